//! Routes change while requests are on their way.

use entry_model::Routes;
use testbed::clients::{Clients, ConnectionReuse};
use testbed::http::Connection;

use super::support::{Nginx, Publisher, backend, forward, prefix, routes};

/// How often the route changes.
const CHANGES: usize = 1000;

/// Those that move, among a hundred that stay.
fn routes_to(moving: std::net::SocketAddr, staying: std::net::SocketAddr) -> Routes {
    let stay = (0..100).map(|number| (format!("host-{number}.example"), vec![forward(prefix("/"), staying)]));
    routes(stay.chain([("any.example".to_owned(), vec![forward(prefix("/moving"), moving)])]))
}

#[test]
fn no_request_is_lost_and_none_gets_an_old_answer_while_a_route_changes() {
    let backends = ["a", "b", "c"].map(|name| (name, backend(name)));
    let stay = backend("stay");
    let mut publisher = Publisher::new();
    publisher.publish(&routes_to(backends[0].1, stay));
    let nginx = Nginx::start(&publisher, 2);
    let workers = nginx.workers();
    let clients = Clients::start(32, nginx.address, "/moving", ConnectionReuse::Blindly);
    let mut kept = Connection::open(nginx.address).unwrap();
    for change in 1..=CHANGES {
        let (name, address) = backends[change % backends.len()];
        let revision = publisher.publish(&routes_to(address, stay));
        // A worker routes its next request by what is published, on a connection that was made before as on a new one.
        assert_eq!(nginx.found("any.example", "/moving"), Ok(name.to_owned()), "on a new connection");
        let answer = kept.exchange("GET /moving HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.header("Backend")), (200, name), "on a kept connection");
        if change % 100 == 0 {
            assert_eq!(nginx.status().unwrap().revision, revision);
            assert_eq!(nginx.found("host-7.example", "/"), Ok("stay".to_owned()));
        }
    }
    clients.end();
    let traffic = clients.join();
    println!("{CHANGES} changes: {traffic:?}");
    assert_eq!(traffic.lost, 0, "{traffic:?}");
    assert!(traffic.sent > u64::try_from(CHANGES).unwrap(), "{traffic:?}");
    assert_eq!(nginx.workers(), workers, "no worker ended");
    assert!(!nginx.error_log().contains("signal 1 "), "nothing was reloaded");
}
