//! How much a client may ask for, compared with an nginx that is configured by hand, as ingress-nginx does it.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use entry_model::{HeaderMatch, Limits, Policy, RequestLimit, Rule, ValueMatch};
use nginx_conf::{LimitStatuses, Settings};
use testbed::http;

use super::support::{Nginx, NginxBackend, backend, binaries, forward, object, prefix, treated, treated_routes};

/// How many clients ask at the same time.
const CLIENTS: usize = 32;

fn treat(limits: Limits, rules: Vec<Rule>) -> entry_model::Routes {
    treated(&Policy { limits, ..Policy::default() }, rules)
}

fn per_minute(rate: u32, burst: u32) -> Limits {
    Limits { requests_per_minute: Some(RequestLimit { rate, burst }), ..Limits::default() }
}

/// A rule of another object.
fn of(name: &str, rule: Rule) -> Rule {
    Rule { origin: object(name), ..rule }
}

fn trust_loopback(settings: &mut Settings) {
    settings.trusted = vec!["127.0.0.0/8".parse().unwrap()];
}

/// How many requests of many clients behind one address pass, and how many are answered with another status.
fn passed(address: SocketAddr, target: &str, headers: &str) -> (usize, Vec<u16>) {
    let ask = || http::get(address, "x", target, headers).unwrap().status;
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let others = statuses.iter().copied().filter(|status| *status != 200).collect();
    (statuses.iter().filter(|status| **status == 200).count(), others)
}

#[test]
fn as_many_requests_pass_as_with_ingress_nginx() {
    let address = backend("a");
    let second = Limits { requests_per_second: Some(RequestLimit { rate: 1, burst: 5 }), ..Limits::default() };
    let both = Limits { requests_per_minute: Some(RequestLimit { rate: 3, burst: 15 }), ..second.clone() };
    for (limits, zones, lines) in [
        (second, "limit_req_zone $binary_remote_addr zone=s:5m rate=1r/s;", "limit_req zone=s burst=5 nodelay;"),
        (
            per_minute(2, 10),
            "limit_req_zone $binary_remote_addr zone=m:5m rate=2r/m;",
            "limit_req zone=m burst=10 nodelay;",
        ),
        (
            both,
            "limit_req_zone $binary_remote_addr zone=s:5m rate=1r/s; limit_req_zone $binary_remote_addr zone=m:5m rate=3r/m;",
            "limit_req zone=s burst=5 nodelay; limit_req zone=m burst=15 nodelay;",
        ),
    ] {
        for binary in binaries() {
            let nginx =
                Nginx::start(&binary, &treat(limits.clone(), vec![forward(prefix("/a"), address, true)]), |_| {});
            let by_hand = NginxBackend::start(&binary, |listen| {
                format!(
                    "access_log off; {zones} server {{ listen {listen}; location / {{ {lines} proxy_pass http://{address}/; }} }}"
                )
            });
            let start = Instant::now();
            let (ours, refused) = passed(nginx.http, "/a", "");
            let (theirs, _) = passed(by_hand.address, "/", "");
            // Each second one more may pass.
            let more = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
            assert!(ours.abs_diff(theirs) <= more, "{ours} {theirs} {more} {limits:?}");
            let burst = if limits.requests_per_second.is_some() { 6 } else { 11 };
            assert!((burst..=burst + more).contains(&ours), "{ours} {limits:?}");
            assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
        }
    }
}

#[test]
fn clients_and_objects_are_counted_for_themselves() {
    let address = backend("a");
    let rules = vec![
        of("one", forward(prefix("/a"), address, true)),
        of("one", forward(prefix("/b"), address, false)),
        of("two", forward(prefix("/c"), address, false)),
    ];
    let routes = treat(per_minute(1, 1), rules);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        let ask = |client: &str, target: &str| nginx.get("x", target, &format!("X-Forwarded-For: {client}\r\n")).status;
        // Two rules of one object share what there is, and so does a path that is not plain.
        assert_eq!([ask("10.0.0.1", "/a"), ask("10.0.0.1", "/b")], [200, 200]);
        assert_eq!([ask("10.0.0.1", "/a"), ask("10.0.0.1", "/b"), ask("10.0.0.1", "/a/%78")], [503; 3]);
        assert_eq!([ask("10.0.0.2", "/a"), ask("2001:db8::1", "/a"), ask("10.0.0.1", "/c")], [200; 3]);
    }
}

#[test]
fn requests_of_a_canary_count_for_its_main() {
    let address = backend("a");
    // With and without clients that are not counted.
    for exempt in [vec![], vec!["10.9.0.0/16".parse().unwrap()]] {
        let limits = Limits { exempt: exempt.into(), ..per_minute(1, 1) };
        let of_canary = Limits { counted_for: Some(object("main")), ..limits.clone() };
        let mut canary = of("canary", forward(prefix("/"), address, false));
        canary.matches.headers =
            vec![HeaderMatch { name: "x-c".to_owned(), value: ValueMatch::Exact("always".to_owned()) }];
        let main = of("main", forward(prefix("/"), address, false));
        let [canary, main] =
            [(canary, of_canary), (main, limits)].map(|(rule, limits)| (rule, Policy { limits, ..Policy::default() }));
        let routes = treated_routes([canary, main]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, trust_loopback);
            let ask = |client: &str, canary: &str| {
                nginx.get("x", "/", &format!("X-Forwarded-For: {client}\r\n{canary}")).status
            };
            let always = "X-C: always\r\n";
            for (client, first) in [("10.0.0.1", always), ("10.0.0.2", "")] {
                let asked = [first, "", always, ""].map(|canary| ask(client, canary));
                assert_eq!(asked, [200, 200, 503, 503], "{}", nginx.config());
            }
        }
    }
}

#[test]
fn exempt_clients_are_not_counted() {
    let exempt = ["10.0.0.0/8", "2001:db8::/32"].map(|range| range.parse().unwrap()).to_vec();
    let limits = Limits { exempt: exempt.into(), status: Some(429), ..per_minute(1, 0) };
    let routes = treat(limits, vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        for (client, expected) in [("10.0.0.1", [200, 200]), ("2001:db8::1", [200, 200]), ("11.0.0.1", [200, 429])] {
            let asked = [(); 2].map(|()| nginx.get("x", "/", &format!("X-Forwarded-For: {client}\r\n")).status);
            assert_eq!(asked, expected, "{client}");
        }
    }
}

#[test]
fn all_addresses_may_be_exempt() {
    let exempt = ["0.0.0.0/0", "::/0"].map(|range| range.parse().unwrap()).to_vec();
    let limits = Limits { exempt: exempt.into(), ..per_minute(1, 0) };
    let routes = treat(limits, vec![forward(prefix("/"), backend("a"), false)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, trust_loopback);
        assert_eq!([(); 3].map(|()| nginx.get("x", "/", "X-Forwarded-For: 10.0.0.1\r\n").status), [200; 3]);
        assert_eq!([(); 3].map(|()| nginx.get("x", "/", "X-Forwarded-For: 2001:db8::1\r\n").status), [200; 3]);
    }
}

/// The next line of an answer that does not end.
fn line(connection: &mut http::Connection) -> String {
    let mut line = String::new();
    assert_ne!(connection.read_line(&mut line).unwrap(), 0, "the answer has ended");
    line
}

#[test]
fn requests_at_the_same_time_are_counted() {
    let limits = Limits { connections: Some(2), ..Limits::default() };
    let routes = treat(limits, vec![forward(prefix("/a"), backend("a"), true)]);
    for binary in binaries() {
        let nginx = Nginx::start(&binary, &routes, |_| {});
        // The backend does not end these.
        let held: Vec<_> = (0..2)
            .map(|_| {
                let mut connection = nginx.connect();
                connection.write_all(b"GET /a/events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                while line(&mut connection) != "data: one\n" {}
                connection
            })
            .collect();
        assert_eq!(nginx.get("x", "/a", "").status, 503);
        drop(held);
        super::support::wait_for("an end of the others", || (nginx.get("x", "/a", "").status == 200).then_some(()));
    }
}

#[test]
fn status_over_a_limit_is_that_of_the_settings_unless_the_object_says_another() {
    let statuses = LimitStatuses { requests: Some(429), connections: Some(420) };
    let own = Limits { status: Some(418), ..per_minute(1, 0) };
    for (limits, expected) in [(per_minute(1, 0), 429), (own, 418)] {
        let routes = treat(limits, vec![forward(prefix("/"), backend("a"), false)]);
        for binary in binaries() {
            let nginx = Nginx::start(&binary, &routes, |settings| settings.limit_statuses = statuses);
            let asked: Vec<_> = (0..2).map(|_| nginx.get("x.example", "/", "").status).collect();
            assert_eq!(asked, [200, expected], "with {}", binary.version);
        }
    }
}
