//! What is counted of requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use route_table::{BUCKETS, CountedRequest, CountsSweep, RouteCounts, RouteTotals};

type Memory = Arc<[AtomicU64]>;

fn memory(most: u32) -> (Memory, RouteCounts<Memory>) {
    let words = usize::try_from(RouteCounts::<Memory>::bytes(most) / 8).expect("counts");
    let memory: Memory = (0..words).map(|_| AtomicU64::new(0)).collect();
    (Arc::clone(&memory), RouteCounts::create(memory, most, [3, 4]).expect("counts"))
}

fn counts(most: u32) -> RouteCounts<Memory> {
    memory(most).1
}

fn answered(status: u16) -> CountedRequest {
    CountedRequest { status, ..CountedRequest::default() }
}

/// Requests by route, of those that have any.
fn requests(counts: &RouteCounts<Memory>) -> HashMap<String, u64> {
    let of = |totals: RouteTotals| (totals.route, totals.by_class.iter().sum());
    counts.read().into_iter().map(of).filter(|(_, requests)| *requests > 0).collect()
}

fn expected(counts: &[(&str, u64)]) -> HashMap<String, u64> {
    counts.iter().map(|(route, number)| ((*route).to_owned(), *number)).collect()
}

#[test]
fn requests_are_counted_by_route_status_and_duration() {
    let (memory, counts) = memory(10);
    let request =
        |status, duration_ms| CountedRequest { status, duration_ms, sent_bytes: 100, received_bytes: 7, retries: 1 };
    for (status, duration_ms) in
        [(200, 0), (204, 5), (404, 6), (499, 10_000), (503, 10_001), (101, 3), (301, 251), (0, 9)]
    {
        counts.add(b"Ingress shop/web", request(status, duration_ms));
    }
    counts.add(b"", answered(404));
    // Another process sees the same.
    let counts = RouteCounts::open(memory).expect("counts");
    let all = counts.read();
    let mut by_bucket = [0; BUCKETS];
    for (bucket, number) in [(0, 3), (1, 2), (6, 1), (10, 1), (11, 1)] {
        by_bucket[bucket] = number;
    }
    let shop = RouteTotals {
        route: "Ingress shop/web".to_owned(),
        by_class: [1, 1, 2, 1, 2, 1],
        aborted: 2,
        sent_bytes: 800,
        received_bytes: 56,
        retries: 8,
        duration_ms: 20_275,
        by_bucket,
    };
    assert_eq!(all[0], shop);
    assert_eq!(all[1].route, "none");
    assert_eq!(all[1].by_class, [0, 0, 0, 0, 1, 0]);
    assert_eq!(all[2], RouteTotals { route: "other".to_owned(), ..RouteTotals::default() });
}

#[test]
fn routes_beyond_the_most_are_counted_together() {
    let counts = counts(3);
    for number in 0..5 {
        for _ in 0..=number {
            counts.add(format!("Ingress a/{number}").as_bytes(), answered(200));
        }
    }
    let told = [("Ingress a/0", 1), ("Ingress a/1", 2), ("Ingress a/2", 3), ("other", 9)];
    assert_eq!(requests(&counts), expected(&told));
    let long = [b'a'; 400];
    counts.add(&long, answered(200));
    assert_eq!(requests(&counts)["other"], 10);
    let none = self::counts(0);
    none.add(b"Ingress a/0", answered(200));
    assert_eq!(requests(&none), expected(&[("other", 1)]));
}

#[test]
fn as_many_routes_as_there_may_be_have_a_count_of_their_own() {
    let counts = counts(2000);
    for number in 0..2000 {
        counts.add(format!("Ingress a/{number}").as_bytes(), answered(200));
    }
    let all = requests(&counts);
    assert_eq!((all.len(), all.get("other")), (2000, None));
}

#[test]
fn workers_that_come_at_once_lose_no_request_and_share_slots() {
    let (memory, _) = memory(64);
    let (threads, each) = (4, 2000);
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let counts = RouteCounts::open(Arc::clone(&memory)).expect("counts");
                barrier.wait();
                for number in 0..each {
                    counts.add(format!("Ingress a/{}", number % 50).as_bytes(), answered(200));
                }
            });
        }
    });
    let all = requests(&RouteCounts::open(memory).expect("counts"));
    assert_eq!(all.len(), 50);
    assert!(all.values().all(|requests| *requests == (threads * each / 50) as u64), "{all:?}");
}

#[test]
fn route_that_is_gone_gives_its_slot_to_another() {
    let (counts, mut sweep) = (counts(2), CountsSweep::default());
    let sweep_with = |sweep: &mut CountsSweep, there: &[&str]| {
        let counted = CountsSweep::begin(&counts);
        sweep.finish(&counts, counted, |name| there.contains(&name));
    };
    let ask = |route: &str| counts.add(route.as_bytes(), answered(200));
    ["a", "b", "c"].into_iter().for_each(ask);
    assert_eq!(requests(&counts), expected(&[("a", 1), ("b", 1), ("other", 1)]));
    // It may just have come back.
    sweep_with(&mut sweep, &["b", "c"]);
    sweep_with(&mut sweep, &["a", "b", "c"]);
    assert!(!sweep.is_due());
    assert_eq!(requests(&counts).len(), 3);
    sweep_with(&mut sweep, &["b", "c"]);
    sweep_with(&mut sweep, &["b", "c"]);
    assert_eq!(requests(&counts), expected(&[("b", 1), ("other", 1)]), "it is counted no more");
    ask("c");
    assert_eq!(requests(&counts)["other"], 2, "a worker may still add to the slot");
    assert!(sweep.is_due());
    sweep_with(&mut sweep, &["b", "c"]);
    assert!(!sweep.is_due());
    ask("c");
    ask("b");
    assert_eq!(requests(&counts), expected(&[("b", 2), ("c", 1), ("other", 2)]));
    // Again and again, without end.
    for round in 0..100 {
        let name = format!("Ingress a/{round}");
        ask(&name);
        for _ in 0..3 {
            sweep_with(&mut sweep, &["b"]);
        }
    }
    assert_eq!(requests(&counts)["b"], 2);
    assert_eq!(requests(&counts).len(), 2);
}

#[test]
fn worker_that_ends_while_it_takes_a_slot_harms_no_count() {
    // Whatever was written when it ended: each word of the slot but those behind it.
    let (memory, counts) = memory(4);
    counts.add(b"Ingress shop/web", answered(200));
    let before: Vec<u64> = memory.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    // Four times four slots and the two that are reserved: their hashes, and from the next cache line on the slots.
    let hash = (16 + 2..16 + 18).find(|at| before[*at] > 1).expect("counts");
    let name = 40 + (hash - 16) * 72 + 30;
    for written in 1..5 {
        memory[8].store(1, Ordering::Relaxed);
        // Its hash, then its name; no length of the name, and no request.
        for (at, word) in memory.iter().enumerate().skip(16) {
            let is_written = at == hash || (name..name + written).contains(&at);
            word.store(if is_written { before[at] } else { 0 }, Ordering::Relaxed);
        }
        assert!(requests(&counts).is_empty());
        counts.add(b"Ingress shop/web", answered(200));
        counts.add(b"Ingress shop/other", answered(200));
        assert_eq!(requests(&counts), expected(&[("Ingress shop/web", 1), ("Ingress shop/other", 1)]));
    }
}

#[test]
fn what_is_no_name_is_not_read_and_other_memories_are_not_opened() {
    let (memory, counts) = memory(4);
    counts.add(b"Ingress shop/\"web", answered(200));
    assert!(requests(&counts).is_empty(), "whoever runs nginx can write anything");
    for at in 0..7 {
        let before = memory[at].fetch_xor(1 << 7, Ordering::Relaxed);
        assert!(RouteCounts::open(Arc::clone(&memory)).is_err(), "{at}");
        memory[at].store(before, Ordering::Relaxed);
    }
    let all: Vec<u64> = memory.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    let short: Memory = all[..all.len() - 1].iter().map(|word| AtomicU64::new(*word)).collect();
    assert!(RouteCounts::open(short).is_err());
    assert!(RouteCounts::open(memory).is_ok());
    // Whatever stands there, nothing ends the reader.
    let noise: Memory =
        all.iter().enumerate().map(|(at, word)| AtomicU64::new(if at < 8 { *word } else { u64::MAX })).collect();
    let counts = RouteCounts::open(noise).expect("counts");
    counts.add(b"Ingress shop/web", answered(200));
    counts.read();
}
