//! Backends with several endpoints: in turn, past those that fail, and while they come and go.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use entry_model::{Action, Backend, BackendAddress, EndpointsId, Forward, Key, PathRewrite, Protocol, Routes};
use testbed::clients::{Clients, ConnectionReuse};
use testbed::http;
use testbed::pod::Pod;

use super::support::{Nginx, Publisher, backend, prefix, routes_of_any, rule, wait_for};

/// Routes of which all lead to the endpoints of one Service.
pub fn routes_to(addresses: &[SocketAddr]) -> Routes {
    let service = Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into();
    let id = EndpointsId { service, port: 80 };
    let address = BackendAddress::Endpoints(id.clone());
    let to = Forward::to(Backend { address, protocol: Protocol::Http, keep_alive: true }, PathRewrite::Keep);
    let mut routes = routes_of_any(vec![rule(prefix("/"), Action::Forward(to))]);
    routes.endpoints.insert(id, addresses.into());
    routes
}

/// An nginx with one worker that routes by them.
fn serving(addresses: &[SocketAddr]) -> (Publisher, Nginx) {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(addresses));
    let nginx = Nginx::start(&publisher, 1);
    (publisher, nginx)
}

fn post(nginx: &Nginx) -> u16 {
    let request = "POST / HTTP/1.1\r\nHost: any.example\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    http::exchange(nginx.address, request).unwrap().status
}

/// Which backends answer so many requests, and how many each.
fn answers(nginx: &Nginx, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(nginx.found("any.example", "/").unwrap()).or_default() += 1;
    }
    counts
}

/// A backend that reads each request, counts it and hangs up.
fn hanging_up() -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let serve = move |mut connection: http::Connection| {
        connection.request()?;
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    (http::serve(serve).unwrap(), count)
}

#[test]
fn requests_go_round_the_endpoints() {
    let (mut publisher, nginx) = serving(&["a", "b", "c"].map(backend));
    let each = |names: &[&str], count| names.iter().map(|name| ((*name).to_owned(), count)).collect();
    assert_eq!(answers(&nginx, 30), each(&["a", "b", "c"], 10));
    // Others take their place without a reload.
    let pids = nginx.workers();
    publisher.publish(&routes_to(&["d", "e"].map(backend)));
    assert_eq!(answers(&nginx, 30), each(&["d", "e"], 15));
    publisher.publish(&routes_to(&[]));
    assert_eq!(nginx.found("any.example", "/"), Err(503));
    publisher.publish(&routes_to(&[backend("f")]));
    assert_eq!(answers(&nginx, 3), each(&["f"], 3));
    assert_eq!(nginx.workers(), pids);
}

#[test]
fn every_request_gets_past_an_endpoint_that_is_not_there() {
    let gone = [testbed::ports::free_address().unwrap(), testbed::ports::free_address().unwrap()];
    let (_publisher, nginx) = serving(&[gone[0], backend("a"), gone[1]]);
    for _ in 0..10 {
        assert_eq!(nginx.found("any.example", "/"), Ok("a".to_owned()));
        assert_eq!(post(&nginx), 200, "it was not sent anywhere before");
    }
    let log = nginx.error_log();
    assert!(log.contains("failed three times in a row and gets no requests for 10 s"), "{log}");
    assert_eq!(log.matches("Connection refused").count(), 6, "each is tried three times: {log}");
}

#[test]
fn only_what_may_be_repeated_is_sent_to_a_second_endpoint() {
    let (broken, count) = hanging_up();
    let (_publisher, nginx) = serving(&[broken, backend("a")]);
    let statuses: Vec<u16> = (0..4).map(|_| nginx.get("any.example", "/", "").status).collect();
    assert_eq!(statuses, [200; 4]);
    assert_eq!(count.load(Ordering::SeqCst), 2, "each second one");
    // It may have done what was asked. The third failure in a row is the last for a while.
    let mut statuses: Vec<u16> = (0..8).map(|_| post(&nginx)).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 502]);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[test]
fn all_endpoints_are_tried_when_all_have_failed() {
    let places = [testbed::ports::free_address().unwrap(), testbed::ports::free_address().unwrap()];
    let (_publisher, nginx) = serving(&places);
    for _ in 0..6 {
        assert_eq!(nginx.found("any.example", "/"), Err(502));
    }
    // One is back, and found at once.
    let listener = std::net::TcpListener::bind(places[1]).unwrap();
    http::serve_connections(listener, |mut connection| {
        while connection.request()?.is_some() {
            connection.write_all(b"HTTP/1.1 200 OK\r\nBackend: back\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    });
    assert_eq!(answers(&nginx, 4), [("back".to_owned(), 4)].into());
}

#[test]
fn connections_are_kept_for_each_endpoint() {
    let connections: Vec<_> = (0..2).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let serve = |count: &Arc<AtomicUsize>| {
        let count = Arc::clone(count);
        let serve = move |mut connection: http::Connection| {
            count.fetch_add(1, Ordering::SeqCst);
            while connection.request()?.is_some() {
                connection.write_all(b"HTTP/1.1 200 OK\r\nBackend: kept\r\nContent-Length: 0\r\n\r\n")?;
            }
            Ok(())
        };
        http::serve(serve).unwrap()
    };
    let addresses: Vec<_> = connections.iter().map(serve).collect();
    let (_publisher, nginx) = serving(&addresses);
    answers(&nginx, 20);
    assert_eq!(connections.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn rolling_update_loses_no_request() {
    const NAMES: [&str; 9] = ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3"];
    let start = |name| Pod::start(Ipv4Addr::LOCALHOST.into(), name).unwrap();
    let mut pods: Vec<Pod> = NAMES[..3].iter().copied().map(start).collect();
    let publish = |publisher: &mut Publisher, pods: &[Pod]| {
        publisher.publish(&routes_to(&pods.iter().map(Pod::address).collect::<Vec<_>>()));
    };
    let mut publisher = Publisher::new();
    publish(&mut publisher, &pods);
    let nginx = Nginx::start(&publisher, 2);
    let workers = nginx.workers();
    let clients = Clients::start(32, nginx.address, "/", ConnectionReuse::Blindly);
    for name in &NAMES[3..] {
        wait_for("requests to all of them", || pods.iter().all(|pod| pod.requests() > 20).then_some(()));
        // A new one is ready, and an old one ends: as soon as nobody sends it anything, it goes.
        pods.push(start(name));
        let old = pods.remove(0);
        publish(&mut publisher, &pods);
        let mut seen = (old.requests(), 0);
        wait_for("the end of requests", || {
            seen = if seen.0 == old.requests() { (seen.0, seen.1 + 1) } else { (old.requests(), 0) };
            (seen.1 > 20).then_some(())
        });
        old.end();
    }
    clients.end();
    let traffic = clients.join();
    println!("6 of 3 endpoints replaced: {traffic:?}");
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    assert_eq!(nginx.workers(), workers, "nothing was reloaded, no worker ended");
}
