//! The records of tables on a volume, without a supervisor.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nginx_process::{Error, OfferEffect, TableRecords, Volume};
use route_table::{Change, Changes, Revision};

use crate::bench::Files;
use crate::table_generator::TableGenerator;

const BACKEND: &str = "10.0.0.1:80";

fn files(main: &str) -> Files {
    Files::from([("nginx.conf".to_owned(), main.as_bytes().to_vec())])
}

/// The names of a frame's records.
fn records(volume: &Volume, frame: &str) -> Vec<String> {
    let entries = fs::read_dir(volume.dir().join("tables").join(frame)).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn name(number: u64) -> String {
    format!("{number:020}")
}

/// A volume on which a frame with a table is offered.
fn offered(frame: &str) -> (tempfile::TempDir, Volume, TableGenerator) {
    let dir = tempfile::tempdir().unwrap();
    let volume = Volume::open(dir.path()).unwrap().with_kept(0);
    let mut generator = TableGenerator::new(&volume);
    generator.route("a.example", BACKEND.parse().unwrap());
    let whole = generator.plan();
    assert_eq!(volume.offer(frame, &files(frame), Some(&whole)).unwrap(), OfferEffect::New);
    (dir, volume, generator)
}

#[test]
fn record_is_one_file_that_is_read_as_it_was_published() {
    let (_dir, volume, mut generator) = offered("one");
    generator.route("b.example", BACKEND.parse().unwrap());
    let changes = generator.plan();
    let published = volume.publish("one", &changes).unwrap();
    assert_eq!(published.changes, 1);
    assert_eq!(records(&volume, "one"), [name(1), name(2)]);
    let path = volume.dir().join("tables/one").join(name(2));
    assert_eq!(Changes::decode(&fs::read(&path).unwrap()).unwrap().0, changes);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&path), mode(path.parent().unwrap()), mode(&volume.dir().join("tables"))], [0o640, 0o750, 0o750]);
}

#[test]
fn whole_table_takes_the_place_of_the_records_before_it() {
    let (_dir, volume, mut generator) = offered("one");
    for number in 0..10 {
        generator.route(&format!("host-{number}.example"), BACKEND.parse().unwrap());
        generator.publish("one");
    }
    assert_eq!(records(&volume, "one").len(), 11);
    let whole = generator.publish_whole("one");
    assert_eq!((whole.changes, whole.change_bytes), (0, 0));
    assert_eq!(records(&volume, "one"), [name(12)]);
}

#[test]
fn whole_table_takes_the_place_of_the_newest_record_too() {
    let (_dir, volume, mut generator) = offered("one");
    generator.route("b.example", BACKEND.parse().unwrap());
    generator.publish("one");
    let whole = Changes { revision: Revision(2), ..generator.plan_whole() };
    let other = |revision| Changes { revision: Revision(revision), ..whole.clone() };
    for revision in [1, 3] {
        let error = volume.compact("one", &other(revision)).unwrap_err();
        assert!(matches!(error, Error::TableOrder { newest: Some(2), .. }), "{revision}: {error}");
    }
    assert!(matches!(volume.compact("two", &whole), Err(Error::NotOffered { .. })));
    let change = Changes { base: Some(Revision(1)), ..other(2) };
    assert!(matches!(volume.compact("one", &change), Err(Error::NotWhole(_))));
    assert_eq!(records(&volume, "one"), [name(1), name(2)]);
    volume.compact("one", &whole).unwrap();
    assert_eq!(records(&volume, "one"), [name(2)]);
    assert_eq!(Changes::decode(&fs::read(volume.dir().join("tables/one").join(name(2))).unwrap()).unwrap().0, whole);
    // What comes next is counted from there.
    let mut change = generator.plan();
    (change.base, change.revision) = (Some(Revision(2)), Revision(3));
    let published = volume.publish("one", &change).unwrap();
    assert_eq!((published.changes, published.whole_bytes), (1, 4096));
}

#[test]
fn many_changes_or_large_ones_are_due_for_a_whole_table() {
    let large = TableRecords { changes: 2, change_bytes: 3 << 20, whole_bytes: 2 << 20 };
    let many = TableRecords { changes: 256, change_bytes: 256 * 4096, whole_bytes: 2 << 20 };
    let few = TableRecords { changes: 255, change_bytes: 255 * 4096, whole_bytes: 4096 };
    assert_eq!([large, many, few].map(|records| records.should_compact()), [true, true, false]);
    // What takes long to write is written seldom.
    let of_a_large_table =
        |changes: usize| TableRecords { changes, change_bytes: changes as u64 * 4096, whole_bytes: 32 << 20 };
    assert_eq!([2047, 2048].map(|changes| of_a_large_table(changes).should_compact()), [false, true]);
}

#[test]
fn record_that_does_not_follow_the_newest_is_rejected() {
    let (_dir, volume, mut generator) = offered("one");
    let change = |base: Option<u64>, revision: u64| Changes {
        base: base.map(Revision),
        revision: Revision(revision),
        changes: Vec::<Change>::new(),
    };
    generator.publish("one");
    for (base, revision) in [(Some(1), 3), (Some(2), 2), (Some(2), 1), (None, 2), (None, 1), (None, u64::MAX)] {
        let error = volume.publish("one", &change(base, revision)).unwrap_err();
        assert!(matches!(error, Error::TableOrder { newest: Some(2), .. }), "{base:?} {revision}: {error}");
        assert!(error.to_string().contains("newest one"), "{error}");
    }
    assert_eq!(records(&volume, "one"), [name(1), name(2)]);
    volume.publish("one", &change(Some(2), 7)).unwrap();
    assert_eq!(volume.newest_table_revision(), Some(Revision(7)));
    assert!(matches!(volume.publish("two", &change(None, 8)), Err(Error::NotOffered { .. })));
    assert!(matches!(volume.offer("two", &files("two"), Some(&change(Some(7), 8))), Err(Error::NotWhole(_))));
    assert!(matches!(volume.publish("../one", &change(None, 8)), Err(Error::Hash(_))));
    assert_eq!(volume.offered().unwrap().as_deref(), Some("one"));
}

#[test]
fn same_frame_with_another_table_is_a_publication() {
    let (_dir, volume, mut generator) = offered("one");
    // The same again, as after an error of which it is not known what it has done.
    generator.route("b.example", BACKEND.parse().unwrap());
    let whole = generator.plan_whole();
    for _ in 0..2 {
        assert_eq!(volume.offer("one", &files("one"), Some(&whole)).unwrap(), OfferEffect::Unchanged);
        assert_eq!(records(&volume, "one"), [name(2)]);
    }
    // One that started and did not look.
    let error = volume.offer("one", &files("one"), Some(&TableGenerator::new(&volume).plan_whole()));
    assert!(error.is_ok(), "it counts on: {error:?}");
    assert_eq!(records(&volume, "one"), [name(3)]);
}

#[test]
fn tables_go_with_their_frames() {
    let (_dir, volume, mut generator) = offered("one");
    let whole = generator.plan_whole();
    volume.offer("two", &files("two"), Some(&whole)).unwrap();
    assert_eq!(records(&volume, "one"), Vec::<String>::new());
    assert_eq!(records(&volume, "two"), [name(2)]);
    // A frame without one.
    volume.offer("three", &files("three"), None).unwrap();
    assert_eq!(fs::read_dir(volume.dir().join("tables")).unwrap().count(), 0);
}

#[test]
fn generator_that_died_anywhere_hinders_none_after_it() {
    let (_dir, volume, mut generator) = offered("one");
    let tables = volume.dir().join("tables");
    let whole = generator.plan_whole().encode();
    // A directory without a record; a record that is half written; one that is there and not offered; a whole one whose
    // predecessors are there.
    fs::create_dir(tables.join("two")).unwrap();
    fs::create_dir(tables.join("three")).unwrap();
    fs::write(tables.join("three").join(format!(".tmp-offer-{}", name(9))), &whole[..20]).unwrap();
    fs::create_dir(tables.join("four")).unwrap();
    fs::write(tables.join("four").join(name(2)), &whole).unwrap();
    fs::write(tables.join("one").join(name(2)), &whole).unwrap();
    fs::write(tables.join("one").join(format!(".tmp-offer-{}", name(3))), &whole[..20]).unwrap();
    let mut next = TableGenerator::new(&volume);
    next.route("b.example", BACKEND.parse().unwrap());
    let whole = next.plan();
    assert_eq!(whole.revision, Revision(3));
    volume.offer("one", &files("one"), Some(&whole)).unwrap();
    assert_eq!(records(&volume, "one"), [name(3)]);
    volume.offer("two", &files("two"), Some(&next.plan_whole())).unwrap();
    let mut left: Vec<_> = fs::read_dir(&tables).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["two"]);
}

/// Checks that a supervisor that starts finds a whole table and what changed since, one behind the other.
fn check_chain(volume: &Volume, frame: &str) {
    let mut last = None;
    for name in records(volume, frame).iter().filter(|name| !name.starts_with('.')) {
        let bytes = fs::read(volume.dir().join("tables").join(frame).join(name)).unwrap();
        let (changes, length) = Changes::decode(&bytes).unwrap();
        assert_eq!(length, bytes.len(), "{name}");
        assert!(changes.base.is_none() || changes.base == last, "{name}: {:?} after {last:?}", changes.base);
        last = Some(changes.revision);
    }
    assert!(last.is_some(), "no record of {frame}");
}

#[test]
#[ignore = "run by the test below, in a process that it kills"]
fn publish_until_killed() {
    let volume = Volume::open(PathBuf::from(std::env::var_os("PUBLISHED").unwrap())).unwrap().with_kept(1);
    let mut generator = TableGenerator::new(&volume);
    for round in 0.. {
        let frame = ["one", "two"][round / 8 % 2];
        generator.route(&format!("host-{}.example", round % 100), BACKEND.parse().unwrap());
        match round % 8 {
            0 => drop(volume.offer(frame, &files(frame), Some(&generator.plan_whole())).unwrap()),
            4 => drop(generator.publish_whole(frame)),
            6 => generator.compact(frame),
            _ => drop(generator.publish(frame)),
        }
    }
}

#[test]
fn generator_killed_at_any_moment_leaves_a_chain_of_records() {
    let (_dir, volume, _) = offered("one");
    for moment in 0..40 {
        let before = volume.newest_table_revision();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "table_volume::publish_until_killed"])
            .env("PUBLISHED", volume.dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        while volume.newest_table_revision() <= before && begin.elapsed() < crate::bench::SOON {
            thread::sleep(Duration::from_millis(1));
        }
        // Somewhere in what follows.
        thread::sleep(Duration::from_micros(moment * 137));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(volume.newest_table_revision() > before, "it has published");
        let frame = volume.offered().unwrap().unwrap();
        check_chain(&volume, &frame);
        let mut next = TableGenerator::new(&volume);
        next.publish_whole(&frame);
        assert_eq!(records(&volume, &frame), [name(next.revision())]);
    }
}

#[test]
fn racing_generators_leave_a_chain_of_records() {
    let (_dir, volume, _) = offered("one");
    thread::scope(|scope| {
        for number in 0..4 {
            let volume = volume.clone();
            scope.spawn(move || {
                let mut generator = TableGenerator::new(&volume);
                for round in 0..50 {
                    generator.route(&format!("host-{number}-{round}.example"), BACKEND.parse().unwrap());
                    generator.publish("one");
                }
            });
        }
    });
    check_chain(&volume, "one");
}

/// What is in a directory that no generator may touch.
fn outside() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name(1));
    fs::write(&file, "precious").unwrap();
    (dir, file)
}

#[test]
fn links_on_the_volume_lead_no_generator_outside() {
    let (elsewhere, precious) = outside();
    for place in ["tables", "tables/one", "tables/other", "record", "unfinished"] {
        let (_dir, volume, mut generator) = offered("one");
        let tables = volume.dir().join("tables");
        match place {
            "tables" => {
                fs::remove_dir_all(&tables).unwrap();
                symlink(elsewhere.path(), &tables).unwrap();
            }
            "tables/one" => {
                fs::remove_dir_all(tables.join("one")).unwrap();
                symlink(elsewhere.path(), tables.join("one")).unwrap();
            }
            "tables/other" => symlink(elsewhere.path(), tables.join("other")).unwrap(),
            "record" => symlink(&precious, tables.join("one").join(name(7))).unwrap(),
            _ => symlink(&precious, tables.join("one").join(format!(".tmp-offer-{}", name(2)))).unwrap(),
        }
        // Whatever becomes of it, it ends, and what it needs to go on is said.
        for _ in 0..2 {
            let published = volume.publish("one", &generator.plan_whole());
            if let Err(error) = &published {
                assert!(matches!(error, Error::TableOrder { .. } | Error::File { .. }), "{place}: {error}");
                generator = TableGenerator::new(&volume);
            }
        }
        volume.offer("two", &files("two"), Some(&generator.plan_whole())).unwrap();
        assert_eq!(records(&volume, "two").len(), 1, "{place}");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious", "{place}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "{place}");
        assert!(!fs::symlink_metadata(&tables).unwrap().is_symlink(), "{place}");
    }
}

#[test]
fn link_in_place_of_all_tables_goes_with_the_next_offer() {
    let (elsewhere, precious) = outside();
    let (_dir, volume, _) = offered("one");
    fs::remove_dir_all(volume.dir().join("tables")).unwrap();
    symlink(elsewhere.path(), volume.dir().join("tables")).unwrap();
    volume.offer("two", &files("two"), None).unwrap();
    assert!(!volume.dir().join("tables").is_symlink());
    assert!(precious.exists());
}

#[test]
fn files_that_are_no_records_hinder_no_generator() {
    let (_dir, volume, mut generator) = offered("one");
    let one = volume.dir().join("tables/one");
    fs::create_dir_all(one.join(name(2)).join("deep/deeper")).unwrap();
    fs::create_dir_all(one.join(format!(".tmp-offer-{}", name(9))).join("deep")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, one.join(name(3)), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    fs::write(one.join("18446744073709551615"), "").unwrap();
    fs::File::create(one.join(name(4))).unwrap().set_len(1 << 40).unwrap();
    fs::write(volume.dir().join("tables/no-frame"), "").unwrap();
    generator.publish("one");
    assert_eq!(records(&volume, "one"), [name(5)]);
}

#[test]
fn outcome_that_no_supervisor_wrote_is_an_error_that_names_the_file() {
    let (_dir, volume, _) = offered("one");
    assert_eq!(volume.table_outcome().unwrap(), None);
    let path = volume.dir().join("table-outcome");
    fs::write(&path, "{").unwrap();
    assert!(volume.table_outcome().unwrap_err().to_string().contains("table-outcome is not understood"));
    fs::remove_file(&path).unwrap();
    // A pipe to which nobody writes is not waited for.
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert!(volume.table_outcome().is_err());
}

#[test]
fn full_volume_keeps_the_records_that_are_published() {
    crate::bench::on_a_small_file_system("table_volume::on_a_full_volume");
}

#[test]
#[ignore = "run by the test above, where SMALL is small"]
fn on_a_full_volume() {
    let dir = std::env::var_os("SMALL").unwrap();
    let volume = Volume::open(Path::new(&dir)).unwrap().with_kept(0);
    let mut generator = TableGenerator::new(&volume);
    generator.route("a.example", BACKEND.parse().unwrap());
    volume.offer("one", &files("one"), Some(&generator.plan())).unwrap();
    fs::write(volume.dir().join("ballast"), vec![0; 600_000]).unwrap_err();
    let many: Vec<String> = (0..1000).map(|number| format!("host-{number}.example")).collect();
    generator.route_all(&many, BACKEND.parse().unwrap());
    let changes = generator.plan();
    let error = volume.publish("one", &changes).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    // Neither a frame with a table.
    let error = volume.offer("two", &files("two"), Some(&generator.plan_whole())).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert_eq!(volume.offered().unwrap().as_deref(), Some("one"));
    assert_eq!(records(&volume, "one"), [name(1)]);
    assert_eq!(records(&volume, "two"), Vec::<String>::new());
    fs::remove_file(volume.dir().join("ballast")).unwrap();
    volume.publish("one", &changes).unwrap();
    assert_eq!(records(&volume, "one"), [name(1), name(2)]);
}
