//! Damaged tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use route_table::{Fault, OpenError, Revision, Table};

use crate::support::{
    Answer, any_request, any_routes, by_definition, by_table, from_image, image, many, memory, port_of, put_one,
    table_of,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is read of a damaged table is right, or an error.
    #[test]
    fn flipped_bits_never_lead_to_another_route(
        routes in any_routes(),
        flips in vec((0..4096_usize, 0..64_u32), 1..8),
        requests in vec(any_request(), 1..12),
    ) {
        let (_, writer, mut whole) = table_of(&routes, 1 << 15);
        let mut words = image(writer.memory());
        for (at, bit) in flips {
            // Not all of the memory is in use: begin where it is.
            words[16 + at % 600] ^= 1 << bit;
        }
        let Ok(mut table) = Table::open(from_image(&words)) else { return Ok(()) };
        let _ = table.check();
        for request in &requests {
            let expected = by_definition(&routes, request);
            prop_assert_eq!(&by_table(&mut whole, request), &expected);
            let answer = by_table(&mut table, request);
            prop_assert!(answer == expected || answer == Answer::Fault, "{:?} for {:?}", answer, expected);
        }
    }

    #[test]
    fn any_words_behind_a_header_do_no_harm(
        start in 0..40_usize,
        garbage in vec(any::<u64>(), 1..400),
        requests in vec(any_request(), 1..4),
    ) {
        let (_, writer, _) = table_of(&many(20, 80), 1 << 15);
        let mut words = image(writer.memory());
        let start = 8 + start * 10;
        for (word, garbage) in words[start..].iter_mut().zip(garbage) {
            *word = garbage;
        }
        let Ok(mut table) = Table::open(from_image(&words)) else { return Ok(()) };
        let _ = table.check();
        for request in &requests {
            let _ = by_table(&mut table, request);
        }
    }
}

/// The indexes of words that two images do not share.
fn differing(one: &[u64], other: &[u64]) -> Vec<usize> {
    (0..one.len()).filter(|at| one[*at] != other[*at]).collect()
}

#[test]
fn bad_blob_is_an_error_of_its_route_alone() {
    let mut routes = many(500, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 20);
    let before = image(writer.memory());
    // Only the rules: the backend is there already.
    put_one(&mut routes, 7, 80);
    let mut host = entry_model::Host::clone(&routes.hosts[&entry_model::HostName::Exact("host-7.example".to_owned())]);
    host.rules[0].origin = crate::support::object("a-name-that-is-found-in-one-blob-only");
    routes.hosts.insert(entry_model::HostName::Exact("host-7.example".to_owned()), Arc::new(host));
    writer.apply(&planner.plan(&routes, Revision(2))).expect("there is room");
    let after = image(writer.memory());
    let name = u64::from_le_bytes(*b"is-found");
    let found = differing(&before, &after).into_iter().find(|at| {
        let bytes: Vec<u8> = after[*at..*at + 2].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.windows(8).any(|window| window == name.to_le_bytes())
    });
    let at = found.expect("the blob is written");
    writer.memory()[at].fetch_xor(1 << 17, Ordering::Relaxed);
    for number in 0..500 {
        let port = port_of(&mut table, number);
        if number == 7 {
            assert!(matches!(port, Err(Fault::BadBlob { .. })), "{port:?}");
        } else {
            assert_eq!(port, Ok(Some(80)), "{number}");
        }
    }
    // Written anew, it is served again.
    put_one(&mut routes, 7, 81);
    writer.apply(&planner.plan(&routes, Revision(3))).expect_err("what is there cannot be read");
    let mut fresh = crate::support::writer(&memory(1 << 20));
    fresh.apply(&planner.full()).expect("there is room");
    let mut table = Table::open(Arc::clone(fresh.memory())).expect("a table");
    assert_eq!(port_of(&mut table, 7), Ok(Some(81)));
}

#[test]
fn root_that_is_damaged_leaves_the_one_before_in_use() {
    const ROOT: usize = 8;
    let mut routes = many(20, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 18);
    put_one(&mut routes, 3, 81);
    writer.apply(&planner.plan(&routes, Revision(2))).expect("there is room");
    let good = writer.memory()[ROOT].load(Ordering::Relaxed);
    for damaged in [good ^ 1, good ^ 1 << 20, u64::MAX, 0xffff_ffff] {
        writer.memory()[ROOT].store(damaged, Ordering::Relaxed);
        assert_eq!(table.refresh(), Err(Fault::BadRoot), "{damaged:x}");
        assert_eq!((table.revision(), port_of(&mut table, 3)), (Revision(1), Ok(Some(80))));
    }
    writer.memory()[ROOT].store(good, Ordering::Relaxed);
    assert_eq!((table.refresh(), port_of(&mut table, 3)), (Ok(Revision(2)), Ok(Some(81))));
}

#[test]
fn number_of_publications_that_is_damaged_brings_no_older_route_back() {
    const ROOT: usize = 8;
    for looks_between in [false, true] {
        let mut routes = many(20, 80);
        let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 18);
        assert_eq!(port_of(&mut table, 3), Ok(Some(80)));
        let first = writer.memory()[ROOT].load(Ordering::Relaxed);
        put_one(&mut routes, 3, 81);
        writer.apply(&planner.plan(&routes, Revision(2))).expect("there is room");
        if looks_between {
            assert_eq!(port_of(&mut table, 5), Ok(Some(80)));
        }
        let second = writer.memory()[ROOT].load(Ordering::Relaxed);
        let number_of_first = first >> 32 << 32 | second & 0xffff_ffff;
        writer.memory()[ROOT].store(number_of_first, Ordering::Relaxed);
        assert_eq!(port_of(&mut table, 3), Ok(Some(81)));
    }
}

#[test]
fn memory_without_a_table_is_not_opened() {
    let (_, writer, _) = table_of(&many(3, 80), 1 << 16);
    let words = image(writer.memory());
    let open = |change: &dyn Fn(&mut Vec<u64>)| {
        let mut changed = words.clone();
        change(&mut changed);
        Table::open(from_image(&changed)).map(|_| ())
    };
    assert_eq!(open(&|_| {}), Ok(()));
    assert_eq!(open(&|words| words.truncate(0)), Err(OpenError::NoTable));
    assert_eq!(open(&|words| words[0] ^= 1), Err(OpenError::NoTable));
    for at in 1..6 {
        assert_eq!(open(&|words| words[at] ^= 1 << 40), Err(OpenError::Damaged), "{at}");
    }
    let short = OpenError::Short { words: 8192, memory: 8191 };
    assert_eq!(open(&|words| words.truncate(8191)), Err(short));
    assert_eq!(open(&|words| words[8] = 0xffff_ffff), Err(OpenError::Damaged));
}
