//! Readers beside a writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use route_table::{Found, Revision, Step, Table};

use crate::support::{get, many, memory, planner, port_of, put_one, table_of, writer};

/// Each publication changes all hosts to one port: a reader that sees one host at a port sees no other at an older one.
#[test]
fn readers_see_publications_whole_and_in_their_order() {
    const HOSTS: usize = 20;
    let (mut planner, mut writer, _) = table_of(&many(HOSTS, 1), 1 << 17);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|start| {
            let (memory, done) = (Arc::clone(writer.memory()), Arc::clone(&done));
            thread::spawn(move || {
                let mut table = Table::open_with_cache(memory, 8).expect("a table");
                let (mut newest, mut looks) = (0, 0_u64);
                while !done.load(Ordering::Relaxed) {
                    for number in 0..HOSTS {
                        let port = port_of(&mut table, (number + start) % HOSTS);
                        let port = port.expect("no route is damaged").expect("each host is there");
                        assert!(port >= newest, "{port} was found after {newest}");
                        newest = port;
                        looks += 1;
                    }
                }
                (newest, looks)
            })
        })
        .collect();
    for port in 2..=500_u16 {
        writer.apply(&planner.plan(&many(HOSTS, port), Revision(u64::from(port)))).expect("there is room");
    }
    // Readers that were never let run have seen nothing: they look at the last one at least.
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        let (newest, looks) = reader.join().expect("a reader does not panic");
        assert!(newest <= 500 && (looks == 0 || newest >= 1));
    }
    let mut table = Table::open(Arc::clone(writer.memory())).expect("a table");
    assert_eq!(port_of(&mut table, 0), Ok(Some(500)));
}

/// A path moves from a longer prefix to a shorter one and back: there is never a moment without a route, nor one of both.
#[test]
fn readers_never_miss_a_route_that_moves() {
    use entry_model::{Host, HostName, Match, PathMatch, Rule};
    let prefix = |path: &str, name: &str| -> Rule {
        crate::support::rule(name, Match::path(PathMatch::Prefix(path.to_owned())))
    };
    let routes = |rules: Vec<Rule>| {
        let mut routes = many(0, 80);
        routes.hosts.insert(HostName::Any, Arc::new(Host { rules: rules.into(), ..Host::default() }));
        routes
    };
    let both = [
        routes(vec![prefix("/a/b", "new"), prefix("/", "root")]),
        routes(vec![prefix("/a", "new"), prefix("/", "root")]),
    ];
    let (mut planner, mut writer) = (planner(), writer(&memory(1 << 15)));
    writer.apply(&planner.plan(&both[1], Revision(1))).expect("there is room");
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (memory, done) = (Arc::clone(writer.memory()), Arc::clone(&done));
        thread::spawn(move || {
            let mut table = Table::open(memory).expect("a table");
            while !done.load(Ordering::Relaxed) {
                let found = table.find(&get("any.example", "/a/b/c")).expect("no route is damaged");
                let Found::Route(route) = &found else { panic!("{found:?}") };
                assert_eq!(route.rule().origin.key.name, "new");
                assert!(matches!(route.step(), Step::Forward { .. }));
            }
        })
    };
    for step in 0..4000_usize {
        writer.apply(&planner.plan(&both[step % 2], Revision(2 + step as u64))).expect("there is room");
    }
    done.store(true, Ordering::Relaxed);
    reader.join().expect("a reader does not panic");
}

/// With no room to spare, what was replaced is written over at once, under readers that look.
#[test]
fn readers_start_over_where_what_they_read_is_written_over() {
    let mut routes = many(8, 1);
    let (mut planner, mut writer) = (planner(), writer(&memory(9 * 1024)));
    writer.apply(&planner.plan(&routes, Revision(1))).expect("there is room");
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (memory, done) = (Arc::clone(writer.memory()), Arc::clone(&done));
        thread::spawn(move || {
            // Nearly nothing is kept, so that blobs are read again and again.
            let mut table = Table::open_with_cache(memory, 1).expect("a table");
            let mut last = [0; 8];
            while !done.load(Ordering::Relaxed) {
                for (number, last) in last.iter_mut().enumerate() {
                    match port_of(&mut table, number) {
                        Ok(port) => {
                            let port = port.expect("each host is there");
                            assert!(port >= *last, "{port} was found after {last}");
                            *last = port;
                        }
                        // It is told from damage.
                        Err(fault) => assert_eq!(fault, route_table::Fault::Busy),
                    }
                }
            }
        })
    };
    for step in 2..5000_u16 {
        put_one(&mut routes, usize::from(step) % 8, step);
        writer.apply(&planner.plan(&routes, Revision(u64::from(step)))).expect("there is room");
    }
    done.store(true, Ordering::Relaxed);
    reader.join().expect("a reader does not panic");
}
