//! Sessions and keys whose requests go to one endpoint, while endpoints come and go: with the module, without a reload.

use testbed::clients::{Clients, ConnectionReuse};
use testbed::http;

use super::endpoints::{SHOP, pod, write_shop};
use crate::common::{Bench, eventually, programs, until};

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
    let [_, _, with_module] = programs();
    let bench = Bench::new(&with_module);
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
