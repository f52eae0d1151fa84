//! When a request is sent to another endpoint, as its rule says.

use std::io::Write as _;

use entry_model::{BackendAddress, EndpointsId, Key, Policy, Retries, RetryCondition, Routes};
use testbed::http;

use super::support::{Nginx, backed, backend, binaries, forward, prefix, treated_routes};

/// Routes to a backend with two endpoints, one of which answers 503 always.
fn routes_of(retries: Retries) -> Routes {
    let failing = http::serve(|mut connection: http::Connection| {
        while connection.request()?.is_some() {
            connection.write_all(b"HTTP/1.1 503 Own Error\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    let endpoints = [failing.unwrap(), backend("up")];
    let service = Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into();
    let id = EndpointsId { service, port: 80 };
    let rule = backed(forward(prefix("/"), endpoints[0], false), |backend| {
        backend.address = BackendAddress::Endpoints(id.clone());
    });
    let mut routes = treated_routes([(rule, Policy { retries, ..Policy::default() })]);
    routes.endpoints.insert(id, endpoints.into_iter().collect());
    routes
}

#[test]
fn another_endpoint_is_tried_after_what_the_rule_says() {
    let after_503 = |more: &[RetryCondition]| Retries {
        conditions: Some([&[RetryCondition::Http503], more].concat().into_iter().collect()),
        ..Retries::default()
    };
    let never = Retries { conditions: Some([].into()), ..Retries::default() };
    let once = Retries { tries: Some(1), ..after_503(&[]) };
    for binary in binaries() {
        for (retries, method, all_are_served) in [
            (after_503(&[]), "GET", true),
            (after_503(&[]), "POST", false),
            (after_503(&[RetryCondition::NonIdempotent]), "POST", true),
            (once.clone(), "GET", false),
            (never.clone(), "GET", false),
            (Retries::default(), "GET", false),
        ] {
            let nginx = Nginx::start(&binary, &routes_of(retries.clone()), |_| {});
            let request = format!("{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // Endpoints take turns: of some requests one comes to the one that fails.
            let statuses: Vec<u16> = (0..12).map(|_| nginx.send(&request).status).collect();
            let expected = statuses.iter().all(|status| *status == 200);
            assert_eq!(expected, all_are_served, "{retries:?} {method} {statuses:?}");
        }
    }
}
