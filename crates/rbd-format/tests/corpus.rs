//! Replays the corpus of the fuzz targets, then damages it: what fuzzing finds stays found, without a fuzzer.

mod common;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/rbd.rs"]
mod targets;

use common::{all_fixtures, data, entries};
use replay::write_seed;

/// Per target; all of them take about two seconds without optimization.
const MUTATIONS: usize = 20_000;

#[test]
fn every_seed_is_well_formed() {
    replay::every_seed_is_well_formed(targets::TARGETS);
}

#[test]
fn damaged_seeds_do_no_harm() {
    replay::damaged_seeds_do_no_harm(targets::TARGETS, MUTATIONS);
}

/// `cargo test -p rbd-format --test corpus -- --ignored` writes the seeds anew from the fixtures.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_corpus() {
    for fixture in all_fixtures(".omap") {
        let name = fixture.trim_end_matches(".omap");
        let target = match name {
            "group-header" => "rbd_group",
            "trash" => "rbd_trash",
            "children" => "rbd_children",
            "mirroring" | "journal-journaled" | "journal-demoted" => "rbd_mirror",
            name if name.starts_with("header") => "rbd_header",
            _ => "rbd_directory",
        };
        let mut input = Vec::new();
        for (key, value) in entries(&fixture) {
            if key.starts_with(b"snapshot_") && target == "rbd_header" {
                write_seed("rbd_snapshot", &format!("{name}-{}", key[key.len() - 1].escape_ascii()), &value);
            }
            input.push(u8::try_from(key.len()).expect("a short key"));
            input.extend(&key);
            input.extend(u16::try_from(value.len()).expect("a short value").to_le_bytes());
            input.extend(&value);
        }
        // Namespaces have no values to decode.
        if name != "namespace" {
            write_seed(target, name, &input);
        }
    }
    for (name, kind) in [("directory-format-1", b'd'), ("header-format-1", b'h'), ("header-format-1-plain", b'h')] {
        write_seed("rbd_format1", name, &[&[kind], data(&format!("{name}.object")).as_slice()].concat());
    }
    for fixture in all_fixtures(".xattr") {
        write_seed("rbd_lock", fixture.trim_end_matches(".xattr"), &entries(&fixture)[0].1);
    }
    for fixture in all_fixtures(".diff") {
        // Long runs of data teach a fuzzer nothing.
        let stream = data(&fixture);
        if stream.len() < 1024 {
            write_seed("rbd_diff", fixture.trim_end_matches(".diff"), &stream);
        }
    }
    let export = data("image-v2.export");
    let at = export.windows(12).rposition(|window| window == b"rbd diff v2\n").expect("a diff");
    write_seed("rbd_diff", "v2", &export[at..]);
}
