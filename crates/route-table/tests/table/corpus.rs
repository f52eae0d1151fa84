//! Replays the corpus of the fuzz targets, then damages it: what fuzzing finds stays found, without a fuzzer.

use std::sync::atomic::Ordering;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use route_table::{Revision, TableWriter};

use crate::support::{any_routes, many, memory, planner};

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/route_table.rs"]
mod targets;

#[test]
fn every_seed_is_well_formed() {
    replay::every_seed_is_well_formed(targets::TARGETS);
}

#[test]
fn damaged_seeds_do_no_harm() {
    replay::damaged_seeds_do_no_harm(targets::TARGETS, 1000);
}

/// `cargo test -p route-table --test table corpus -- --ignored` writes the seeds anew.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_corpus() {
    let mut runner = TestRunner::deterministic();
    let mut any = || any_routes().new_tree(&mut runner).expect("routes").current();
    for (name, routes) in
        [("hosts", many(5, 80)), ("any-1", any()), ("any-2", any()), ("any-3", any()), ("any-4", any())]
    {
        let changes = planner().plan(&routes, Revision(1));
        // Behind magic, version, length and checksum.
        replay::write_seed("route_changes", name, &changes.encode()[20..]);
        let mut writer = TableWriter::create(memory(targets::WORDS * 8), [3, 5]).expect("a table");
        writer.apply(&changes).expect("there is room");
        let words = writer.memory()[targets::BODY..].iter().map(|word| word.load(Ordering::Relaxed));
        let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last / 8 + 1) * 8);
        bytes.truncate(end);
        replay::write_seed("route_table", name, &bytes);
    }
}
