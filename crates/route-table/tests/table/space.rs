//! The room in a table.

use std::sync::Arc;

use route_table::{CreateError, LEAST_WORDS, Revision, Table, TableWriter, WriteError};

use crate::support::{many, memory, planner, port_of, put_one, table_of, writer};

#[test]
fn full_table_keeps_what_was_published_and_takes_what_fits() {
    let mut planner = planner();
    let mut writer = writer(&memory(1 << 16));
    let mut table = Table::open(Arc::clone(writer.memory())).expect("a table");
    writer.apply(&planner.plan(&many(10, 80), Revision(1))).expect("there is room");
    let before = writer.usage();
    for _ in 0..3 {
        let error = writer.apply(&crate::support::planner().plan(&many(1000, 81), Revision(2))).expect_err("too many");
        let WriteError::Full { bytes, .. } = error else { panic!("{error}") };
        assert_eq!(bytes, before.bytes);
        assert!(error.to_string().contains("make a larger table"), "{error}");
    }
    // Nothing is lost by what was refused.
    assert_eq!(writer.usage().keys, before.keys);
    assert!(writer.usage().used_bytes <= before.used_bytes, "{:?} after {before:?}", writer.usage());
    assert_eq!((writer.revision(), table.refresh()), (Revision(1), Ok(Revision(1))));
    assert_eq!((port_of(&mut table, 9), port_of(&mut table, 10)), (Ok(Some(80)), Ok(None)));
    writer.apply(&planner.plan(&many(12, 82), Revision(2))).expect("there is room");
    assert_eq!(port_of(&mut table, 11), Ok(Some(82)));
}

#[test]
fn room_of_what_was_replaced_is_used_again_without_end() {
    let mut routes = many(50, 80);
    let (mut planner, mut writer, mut table) = table_of(&routes, 1 << 18);
    let mut most = 0;
    for step in 0..10_000_usize {
        // Names of one length, so that sizes are the same.
        let port = u16::try_from(10_000 + step % 50_000).expect("a port");
        put_one(&mut routes, step % 50, port);
        writer.apply(&planner.plan(&routes, Revision(2 + step as u64))).expect("there is room");
        assert_eq!(port_of(&mut table, step % 50), Ok(Some(port)));
        if step < 1000 {
            most = most.max(writer.usage().used_bytes);
        }
        // Which backends there are decides how many nodes lead to them.
        assert!(writer.usage().used_bytes <= most + most / 4, "{step}");
    }
    table.check().expect("a table");
}

#[test]
fn room_of_what_was_replaced_is_used_at_once_where_there_is_no_other() {
    let mut routes = many(60, 80);
    let mut planner = planner();
    let mut writer = writer(&memory((LEAST_WORDS + 500 * 8) * 8));
    let mut table = Table::open(Arc::clone(writer.memory())).expect("a table");
    writer.apply(&planner.plan(&routes, Revision(1))).expect("there is room");
    for step in 2..400_u16 {
        for number in 0..60 {
            put_one(&mut routes, number, step);
        }
        writer.apply(&planner.plan(&routes, Revision(u64::from(step)))).expect("there is room");
        assert_eq!(port_of(&mut table, 30), Ok(Some(step)));
    }
    table.check().expect("a table");
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let create = |words: usize| TableWriter::create(memory(words * 8), [1, 2]).map(|_| ());
    assert_eq!(create(LEAST_WORDS - 1), Err(CreateError::Small));
    assert_eq!(create(LEAST_WORDS), Ok(()));
}
