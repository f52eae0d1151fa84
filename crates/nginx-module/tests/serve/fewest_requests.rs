//! Endpoints of which the one gets a request that has the fewest.

use std::io::Write as _;
use std::net::SocketAddr;

use entry_model::{
    Action, Backend, BackendAddress, Balancing, EndpointsId, Forward, Key, PathRewrite, Policy, Protocol, Routes, Rule,
};
use testbed::http::Connection;

use super::held_backend::HeldBackend;
use super::support::{Nginx, Publisher, policies, prefix, routes_of_any, rule, wait_for};

/// Routes of which all lead to the endpoint with the fewest requests.
fn routes_to(addresses: &[SocketAddr]) -> Routes {
    let id = EndpointsId { service: Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into(), port: 80 };
    let backend =
        Backend { address: BackendAddress::Endpoints(id.clone()), protocol: Protocol::Http, keep_alive: true };
    let mut policies = policies();
    let policy = policies.intern(&Policy { balancing: Balancing::LeastConnections, ..Policy::default() });
    let forward = Action::Forward(Forward::to(backend, PathRewrite::Keep));
    let mut routes = routes_of_any(vec![Rule { policy, ..rule(prefix("/"), forward) }]);
    routes.policies = policies;
    routes.endpoints.insert(id, addresses.into());
    routes
}

/// An nginx with one worker, before two backends.
struct Balanced {
    nginx: Nginx,
    backends: [HeldBackend; 2],
    _publisher: Publisher,
}

impl Balanced {
    fn new(backends: [(SocketAddr, HeldBackend); 2]) -> Self {
        let addresses = backends.each_ref().map(|(address, _)| *address);
        let mut publisher = Publisher::new();
        publisher.publish(&routes_to(&addresses));
        let nginx = Nginx::start(&publisher, 1);
        Self { nginx, backends: backends.map(|(_, backend)| backend), _publisher: publisher }
    }

    fn arrived(&self) -> [usize; 2] {
        self.backends.each_ref().map(HeldBackend::arrived)
    }

    /// A request that has arrived, and at which of both.
    fn ask(&self) -> (Connection, usize) {
        let before = self.arrived();
        let mut client = Connection::open(self.nginx.address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
        let at = wait_for("the request", || (0..2).find(|at| self.arrived()[*at] > before[*at]));
        (client, at)
    }
}

#[test]
fn endpoint_that_is_slow_gets_no_more_requests_than_others_hold() {
    let balanced = Balanced::new([HeldBackend::answering("a"), HeldBackend::answering("b")]);
    let mut clients: Vec<_> = (0..4).map(|_| balanced.ask()).collect();
    assert_eq!(balanced.arrived(), [2, 2]);
    // All of the first are answered, and none of the second.
    balanced.backends[0].release(2);
    for (client, _) in clients.iter_mut().filter(|(_, at)| *at == 0) {
        assert_eq!(client.answer().unwrap().expect(200).header("Backend"), "a");
    }
    let later: Vec<_> = (0..2).map(|_| balanced.ask()).collect();
    assert_eq!(balanced.arrived(), [4, 2], "in turn, each would have got one");
    balanced.backends.iter().for_each(|backend| backend.release(4));
    for (mut client, at) in later.into_iter().chain(clients.into_iter().filter(|(_, at)| *at == 1)) {
        assert_eq!(client.answer().unwrap().expect(200).header("Backend"), ["a", "b"][at]);
    }
}

#[test]
fn request_whose_client_went_away_is_none_of_its_endpoint() {
    let silent = || HeldBackend::silent_after(String::new());
    let balanced = Balanced::new([silent(), silent()]);
    let (mut leaving, at) = balanced.ask();
    let (_staying, other) = balanced.ask();
    assert_ne!(at, other);
    for gone in 1..5 {
        drop(leaving);
        balanced.backends[at].wait_gone(gone);
        let next = balanced.ask();
        assert_eq!(next.1, at, "it has none, and the other has one");
        leaving = next.0;
    }
}
