//! Sessions and keys whose requests go to one endpoint, while endpoints come and go: with the module, without a reload.

use testbed::clients::{Clients, ConnectionReuse};
use testbed::http;

use super::endpoints::{READY, SHOP, pod, slice, write_shop};
use crate::common::{Bench, CLASS, debian, eventually, programs, until};

/// A client of which all requests go to one endpoint.
struct Client {
    /// Headers by which it is known.
    headers: String,
    backend: String,
}

impl Client {
    /// Asks, and takes the cookie that it is given. Who has answered, and whether there was one.
    fn ask(&mut self, bench: &Bench) -> (String, bool) {
        let answer = http::get(bench.http, "any.example", "/shop", &self.headers).unwrap().expect(200);
        let cookie = answer.header("Set-Cookie").split(';').next().unwrap_or_default();
        if !cookie.is_empty() {
            self.headers = format!("Cookie: {cookie}\r\n");
        }
        (answer.header("Backend").to_owned(), !cookie.is_empty())
    }
}

#[test]
fn sessions_and_keys_stay_over_a_rolling_update_without_a_reload() {
    for (annotations, is_persistent) in [
        ("sparrow/affinity: cookie, sparrow/affinity-mode: persistent", true),
        ("sparrow/affinity: cookie, sparrow/session-cookie-change-on-failure: \"true\"", true),
        ("sparrow/affinity: cookie", false),
        ("sparrow/upstream-hash-by: $http_key", false),
    ] {
        rolling_update(annotations, is_persistent);
    }
}

fn rolling_update(annotations: &str, is_persistent: bool) {
    let bench = Bench::new(&debian());
    let mut pods = vec![pod("a1"), pod("b1"), pod("c1")];
    let shop = SHOP.replace("endpoints }", &format!("endpoints, {annotations} }}"));
    write_shop(&bench, &shop, &pods, None);
    let entry = bench.start(&["run"]);
    eventually("served", || bench.asks("any.example", "/shop").0 == 200);
    let reloads = || ["nginx_reloads", "frame_reloads"].map(|name| entry.count(name));
    let before = reloads();
    let mut clients: Vec<_> = (0..24)
        .map(|number| {
            let mut client = Client { headers: format!("Key: {number}\r\n"), backend: String::new() };
            client.backend = client.ask(&bench).0;
            client
        })
        .collect();
    for name in ["a1", "b1", "c1"] {
        assert!(clients.iter().any(|client| client.backend == name), "{name} of {annotations}");
    }
    let others = Clients::start(16, bench.http, "/shop", ConnectionReuse::Blindly);
    for (went, came) in [("a1", "a2"), ("b1", "b2"), ("c1", "c2")] {
        pods.push(pod(came));
        let old = pods.remove(0);
        write_shop(&bench, &shop, &pods, Some(&old));
        // Of the others each is a client of its own, but for keys, of which they have none.
        if annotations.contains("affinity") {
            until("requests to the new one", || (pods[2].requests() > 5).then_some(()));
        }
        let mut seen = (old.requests(), 0);
        until("the end of requests", || {
            seen = if seen.0 == old.requests() { (seen.0, seen.1 + 1) } else { (old.requests(), 0) };
            (seen.1 > 20).then_some(())
        });
        old.end();
        for client in &mut clients {
            let (now, is_told) = client.ask(&bench);
            let stays = now == client.backend;
            if client.backend == went {
                assert!(!stays && is_told == is_persistent, "{annotations}: from {went} to {now}, {is_told}");
            } else {
                assert!(!is_told && (stays || !is_persistent && now == came), "{annotations}: to {now}, {is_told}");
            }
            client.backend = now;
            let again = client.ask(&bench);
            assert_eq!(again, (client.backend.clone(), false), "{annotations}");
        }
        write_shop(&bench, &shop, &pods, None);
    }
    others.end();
    let traffic = others.join();
    println!("3 of 3 endpoints replaced, {annotations}: {traffic:?}");
    assert_eq!(traffic.lost, 0, "{annotations}: {traffic:?}");
    assert_eq!(reloads(), before, "{annotations}");
    entry.terminate();
}

#[test]
fn same_site_none_is_left_out_for_browsers_that_do_not_understand_it() {
    const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X";
    const KHTML: &str = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
    const ANDROID: &str =
        "Mozilla/5.0 (Linux; U; Android 8.0.0; en-US; X) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0";
    let browsers = [
        (String::new(), true),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/50.0.2661.75 Safari/537.36".to_owned(), true),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/51.0.2704.79 Safari/537.36".to_owned(), false),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chromium/66.0.3359.139 Safari/537.36".to_owned(), false),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/67.0.3396.62 Safari/537.36".to_owned(), true),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/151.0.0.0 Safari/537.36".to_owned(), true),
        (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 12_1_4 like Mac OS X) {KHTML} Version/12.0 Mobile/15E148 Safari/604.1"), false),
        (format!("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) {KHTML} CriOS/80.0.3987.95 Mobile/15E148 Safari/604.1"), false),
        (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 13_2 like Mac OS X) {KHTML} Version/13.0 Mobile/15E148 Safari/604.1"), true),
        (format!("{MAC} 10_14_6) {KHTML} Version/12.1.2 Safari/605.1.15"), false),
        (format!("{MAC} 10_14) {KHTML}"), false),
        (format!("{MAC} 10_15_1) {KHTML} Version/13.0.3 Safari/605.1.15"), true),
        (format!("{MAC} 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.87 Safari/537.36"), true),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.14; rv:72.0) Gecko/20100101 Firefox/72.0".to_owned(), true),
        (format!("{ANDROID} Chrome/57.0.2987.108 UCBrowser/12.13.0.1207 Mobile Safari/537.36"), false),
        (format!("{ANDROID} Chrome/57.0.2987.108 UCBrowser/12.9.3.1144 Mobile Safari/537.36"), false),
        (format!("{ANDROID} Chrome/57.0.2987.108 UCBrowser/12.13.2.1208 Mobile Safari/537.36"), true),
        (format!("{ANDROID} Chrome/78.0.3904.108 UCBrowser/13.4.0.1306 Mobile Safari/537.36"), true),
    ];
    for affinity in ["cookie", "cookie, sparrow/affinity-mode: persistent"] {
        for program in programs() {
            let bench = Bench::new(&program);
            let annotations = format!(
                "sparrow/affinity: {affinity}, sparrow/session-cookie-samesite: None, sparrow/session-cookie-conditional-samesite-none: \"true\""
            );
            let shop = SHOP.replace("endpoints }", &format!("endpoints, {annotations} }}"));
            let pods = [pod("a"), pod("b")];
            write_shop(&bench, &shop, &pods, None);
            let entry = bench.start(&["run"]);
            eventually("served", || bench.asks("any.example", "/shop").0 == 200);
            let told = |agent: &str| {
                let header = if agent.is_empty() { String::new() } else { format!("User-Agent: {agent}\r\n") };
                let answer = http::get(bench.http, "any.example", "/shop", &header).unwrap().expect(200);
                let cookie = answer.header("Set-Cookie").to_owned();
                assert!(cookie.contains("; HttpOnly"), "{cookie}");
                cookie.contains("; SameSite=None")
            };
            for (agent, expected) in &browsers {
                assert_eq!(told(agent), *expected, "{agent}");
            }
            entry.terminate();
        }
    }
}

#[test]
fn canary_draws_sessions_or_each_of_their_requests() {
    const INGRESS_NGINX: &str = "nginx.ingress.kubernetes.io";
    let of = |name: &str, text: &str| {
        text.replace("shop", name).replace("labels: { sparrow/expose: \"true\" }", "labels: {}")
    };
    let ingress = |name: &str, host: &str, service: &str, annotations: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}-{host}\n  annotations: {{ {annotations} \
             }}\nspec:\n  ingressClassName: sparrow\n  rules:\n  - host: {host}.example\n    http:\n      paths:\n      - {{ path: /, \
             pathType: Prefix, backend: {{ service: {{ name: {service}, port: {{ number: 80 }} }} }} }}\n"
        )
    };
    let canary = format!("{INGRESS_NGINX}/canary: \"true\", {INGRESS_NGINX}/canary-weight: \"50\"");
    for program in programs() {
        let bench = Bench::new(&program);
        let pods = [pod("main"), pod("canary")];
        let mut objects = vec![CLASS.to_owned()];
        for pod in &pods {
            let name = if objects.len() == 1 { "main" } else { "canary" };
            let service = ["---\n", SHOP, &slice(name, pod.address(), READY)].concat();
            objects.push(of(name, &service));
        }
        for (host, annotations) in [
            ("sticky", canary.clone()),
            ("legacy", format!("{canary}, {INGRESS_NGINX}/affinity-canary-behavior: legacy")),
            (
                "own",
                "sparrow/canary: \"true\", sparrow/canary-weight: \"50\", sparrow/affinity-canary-behavior: legacy"
                    .to_owned(),
            ),
        ] {
            objects.push(ingress("a", host, "main", "sparrow/affinity: cookie, sparrow/session-cookie-path: /"));
            objects.push(ingress("b", host, "canary", &annotations));
        }
        bench.write("all.yaml", &objects.concat());
        let entry = bench.start(&["run"]);
        eventually("served", || bench.asks("own.example", "/").0 == 200);
        // How many of these sessions were served by both, and how many requests by the canary.
        let ask = |host: &str| {
            let (mut of_both, mut by_canary) = (0, 0);
            for _ in 0..8 {
                let mut headers = String::new();
                let mut seen = std::collections::BTreeSet::new();
                for _ in 0..12 {
                    let answer = http::get(bench.http, host, "/", &headers).unwrap().expect(200);
                    if let Some(cookie) =
                        answer.header("Set-Cookie").split(';').next().filter(|cookie| !cookie.is_empty())
                    {
                        assert_eq!(headers, "", "a session is given once");
                        headers = format!("Cookie: {cookie}\r\n");
                    }
                    by_canary += usize::from(answer.header("Backend") == "canary");
                    seen.insert(answer.header("Backend").to_owned());
                }
                of_both += usize::from(seen.len() == 2);
            }
            (of_both, by_canary)
        };
        let (of_both, by_canary) = ask("sticky.example");
        assert!(of_both == 0 && by_canary % 12 == 0, "{of_both} {by_canary}");
        for host in ["legacy.example", "own.example"] {
            let (of_both, by_canary) = ask(host);
            // By chance a session would be of one only once in 2048 times.
            assert!(of_both >= 7 && (20..=76).contains(&by_canary), "{host}: {of_both} {by_canary}");
        }
        entry.terminate();
    }
}
