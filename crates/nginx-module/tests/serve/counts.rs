//! What workers count of requests, by route.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use entry_model::{
    Action, Backend, BackendAddress, EndpointsId, Forward, Key, Kind, ObjectRef, PathRewrite, Protocol, Routes, Rule,
};
use route_table::{RouteCounts, RouteTotals};
use table_memory::WritableTableMemory;
use testbed::http::{self, Connection};

use super::support::{Nginx, Publisher, forward, prefix, routes_of_any, rule, test_config, wait_for};

type Counts = RouteCounts<WritableTableMemory>;

/// Counts of so many routes, in a memory of this process.
fn counts(most: u32) -> Counts {
    let memory = WritableTableMemory::create(Counts::bytes(most)).unwrap();
    RouteCounts::create(memory, most, [5, 6]).unwrap()
}

fn counting(publisher: &Publisher, workers: usize, counts: &Counts) -> Nginx {
    Nginx::start_with(publisher, workers, |config| {
        format!("sparrow_counts {};\n{config}", counts.memory().path().display())
    })
}

/// What was counted of a route, once it has so many requests: nginx counts one after its answer.
fn counted(counts: &Counts, route: &str, requests: u64) -> RouteTotals {
    wait_for("the requests", || {
        let totals = counts.read().into_iter().find(|totals| totals.route == route)?;
        (totals.by_class.iter().sum::<u64>() == requests).then_some(totals)
    })
}

/// A rule of the Ingress of this name.
fn named(name: &str, rule: Rule) -> Rule {
    let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
    Rule { origin: ObjectRef::new(Kind::Ingress, key), ..rule }
}

/// A backend that answers with the status in the path, and 10 bytes.
fn answering() -> SocketAddr {
    let serve = |mut connection: Connection| {
        while let Some(request) = connection.request()? {
            let status = request.target().rsplit('/').next().unwrap_or_default().to_owned();
            write!(connection, "HTTP/1.1 {status} Some\r\nContent-Length: 10\r\n\r\n0123456789")?;
        }
        Ok(())
    };
    http::serve(serve).unwrap()
}

#[test]
fn requests_are_counted_by_the_object_of_their_rule_and_their_status() {
    let (counts, mut publisher, backend) = (counts(10), Publisher::new(), answering());
    let all = vec![
        named("a", forward(prefix("/a"), backend)),
        named("b", forward(prefix("/b"), backend)),
        named("b", rule(prefix("/teapot"), Action::Respond(418))),
    ];
    publisher.publish(&routes_of_any(all));
    let nginx = counting(&publisher, 2, &counts);
    for (target, status) in [
        ("/a/200", 200),
        ("/a/201", 201),
        ("/a/302", 302),
        ("/a/404", 404),
        ("/a/500", 500),
        ("/b/503", 503),
        ("/teapot", 418),
        ("/nowhere", 404),
        ("/a//../b", 400),
    ] {
        nginx.get("any.example", target, "").expect(status);
    }
    let a = counted(&counts, "Ingress shop/a", 5);
    assert_eq!((a.by_class, a.aborted, a.retries), ([0, 0, 2, 1, 1, 1], 0, 0));
    assert_eq!(a.by_bucket.iter().sum::<u64>(), 5);
    // Bodies of 10 bytes, and more in heads.
    assert!(a.sent_bytes > 5 * 60 && a.received_bytes > 5 * 40, "{a:?}");
    // A target that could mean another path is answered 400, and was a request for this one.
    assert_eq!(counted(&counts, "Ingress shop/b", 3).by_class, [0, 0, 0, 0, 2, 1]);
    assert_eq!(counted(&counts, "none", 1).by_class, [0, 0, 0, 0, 1, 0]);
    assert_eq!(counts.read().len(), 4, "what is asked on the control socket is counted nowhere");
}

#[test]
fn duration_is_that_of_the_whole_answer() {
    let (counts, mut publisher) = (counts(10), Publisher::new());
    let (send, receive) = mpsc::channel::<()>();
    let receive = std::sync::Mutex::new(receive);
    let backend = http::serve(move |mut connection: Connection| {
        connection.request()?;
        let _ = receive.lock().unwrap().recv();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    publisher.publish(&routes_of_any(vec![named("slow", forward(prefix("/"), backend.unwrap()))]));
    let nginx = counting(&publisher, 1, &counts);
    let client = std::thread::spawn({
        let address = nginx.address;
        move || http::get(address, "any.example", "/", "").unwrap().expect(200)
    });
    // How long it takes is what is measured here.
    std::thread::sleep(Duration::from_millis(300));
    send.send(()).unwrap();
    client.join().unwrap();
    let slow = counted(&counts, "Ingress shop/slow", 1);
    assert!(slow.duration_ms >= 250, "{slow:?}");
    assert_eq!(slow.by_bucket[..6], [0; 6], "{slow:?}");
}

#[test]
fn client_that_goes_away_and_a_second_endpoint_are_counted() {
    let (counts, mut publisher) = (counts(10), Publisher::new());
    let (asked, was_asked) = mpsc::channel();
    let silent = http::serve(move |mut connection: Connection| {
        connection.request()?;
        let _ = asked.send(());
        // Until nginx gives it up.
        connection.request().map(drop)
    });
    let id = EndpointsId { service: Key { namespace: "shop".to_owned(), name: "web".to_owned() }.into(), port: 80 };
    let address = BackendAddress::Endpoints(id.clone());
    let to = Forward::to(Backend { address, protocol: Protocol::Http, keep_alive: true }, PathRewrite::Keep);
    let gone = testbed::ports::free_address().unwrap();
    let routes = routes_of_any(vec![
        named("silent", forward(prefix("/silent"), silent.unwrap())),
        named("retried", rule(prefix("/retried"), Action::Forward(to))),
        named("down", forward(prefix("/down"), gone)),
    ]);
    let mut routes: Routes = routes;
    routes.endpoints.insert(id, [gone, answering()].as_slice().into());
    publisher.publish(&routes);
    let nginx = counting(&publisher, 1, &counts);

    let mut client = Connection::open(nginx.address).unwrap();
    client.write_all(b"GET /silent HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
    was_asked.recv().unwrap();
    drop(client);
    let silent = counted(&counts, "Ingress shop/silent", 1);
    assert_eq!((silent.by_class, silent.aborted), ([0, 0, 0, 0, 1, 0], 1), "nginx says 499");

    for _ in 0..4 {
        nginx.get("any.example", "/retried/200", "").expect(200);
    }
    let retried = counted(&counts, "Ingress shop/retried", 4);
    assert_eq!(retried.by_class, [0, 0, 4, 0, 0, 0]);
    assert_eq!(retried.retries, 2, "each second one came to the other endpoint first");

    nginx.get("any.example", "/down", "").expect(502);
    let down = counted(&counts, "Ingress shop/down", 1);
    assert_eq!((down.by_class, down.retries), ([0, 0, 0, 0, 0, 1], 0));
}

#[test]
fn counts_outlive_workers_and_configurations() {
    let (counts, mut publisher) = (counts(10), Publisher::new());
    publisher.publish(&routes_of_any(vec![named("a", forward(prefix("/"), answering()))]));
    let nginx = counting(&publisher, 1, &counts);
    let ask = || nginx.get("any.example", "/200", "").expect(200);
    ask();
    counted(&counts, "Ingress shop/a", 1);
    nginx.replace_worker();
    ask();
    let worker = nginx.status().unwrap().pid;
    nginx.reload();
    wait_for("new workers", || nginx.status().ok().filter(|status| status.pid != worker));
    ask();
    counted(&counts, "Ingress shop/a", 3);
}

#[test]
fn requests_are_served_where_nothing_can_be_counted() {
    let mut publisher = Publisher::new();
    publisher.publish(&routes_of_any(vec![forward(prefix("/"), answering())]));
    for path in ["/nowhere".to_owned(), publisher.path().display().to_string()] {
        let nginx = Nginx::start_with(&publisher, 1, |config| format!("sparrow_counts {path};\n{config}"));
        nginx.get("any.example", "/200", "").expect(200);
        let (is_right, said) = test_config(&format!("sparrow_counts {path};"));
        assert!(is_right && said.contains("requests are served and not counted"), "{said}");
    }
}
