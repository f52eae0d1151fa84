//! What happens to the table and to the workers.

use std::sync::atomic::Ordering;

use super::support::{Nginx, Publisher, backend, forward, prefix, routes};

/// How many hosts there are, each with a route.
const HOSTS: usize = 8;

fn host(number: usize) -> String {
    format!("host-{number}.example")
}

#[test]
fn a_worker_that_was_killed_comes_back_with_the_table() {
    let (a, b, mut publisher) = (backend("a"), backend("b"), Publisher::new());
    publisher.publish(&routes([(host(1), vec![forward(prefix("/"), a)])]));
    let nginx = Nginx::start(&publisher, 1);
    assert_eq!(nginx.found(&host(1), "/"), Ok("a".to_owned()));
    // What it is forked from has not seen this one.
    let revision = publisher.publish(&routes([(host(1), vec![forward(prefix("/"), b)])]));
    nginx.replace_worker();
    assert_eq!(nginx.found(&host(1), "/"), Ok("b".to_owned()));
    assert_eq!(nginx.status().unwrap().revision, revision);
}

#[test]
fn a_flipped_bit_makes_no_route_wrong_and_ends_no_worker() {
    let names: [&'static str; HOSTS] = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"];
    let backends = names.map(|name| (name, backend(name)));
    let mut publisher = Publisher::new();
    let rules = |number: usize| vec![forward(prefix("/"), backends[number].1)];
    publisher.publish(&routes((0..HOSTS).map(|number| (host(number), rules(number)))));
    let nginx = Nginx::start(&publisher, 1);
    let words = publisher.words();
    let written: Vec<_> = words.iter().filter(|word| word.load(Ordering::Relaxed) != 0).collect();
    let (mut alone, mut all) = (0, 0);
    for (turn, word) in written.iter().enumerate().step_by(written.len() / 80 + 1) {
        word.fetch_xor(1 << (turn * 7 % 64), Ordering::Relaxed);
        // A new worker has read nothing before.
        nginx.replace_worker();
        let pid = nginx.status().unwrap().pid;
        let found: Vec<_> = (0..HOSTS).map(|number| nginx.found(&host(number), "/x")).collect();
        let unavailable = found.iter().filter(|found| **found == Err(503)).count();
        for (number, found) in found.iter().enumerate() {
            assert!(*found == Err(503) || *found == Ok(names[number].to_owned()), "{found:?} of host {number}");
        }
        assert_eq!(nginx.status().unwrap().pid, pid, "the worker lives");
        alone += usize::from(unavailable == 1);
        all += 1;
        word.fetch_xor(1 << (turn * 7 % 64), Ordering::Relaxed);
        let healed = (0..HOSTS).all(|number| nginx.found(&host(number), "/x") == Ok(names[number].to_owned()));
        assert!(healed, "what was damaged is read again");
    }
    println!("{alone} of {all} flips made one route unavailable and no other");
    assert!(alone * 4 > all, "only {alone} of {all}");
    assert!(nginx.error_log().contains("the route table is damaged"), "{}", nginx.error_log());
}
