//! Replays the corpus of the fuzz targets, then damages it: what fuzzing finds stays found, without a fuzzer.

mod common;
#[path = "../../../fuzz/src/rbd.rs"]
mod targets;

use std::path::PathBuf;

use common::{all_fixtures, data, entries};

/// Per target; all of them take about two seconds without optimization.
const MUTATIONS: usize = 20_000;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// The inputs of a target, with their file names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = corpus(target);
    let mut seeds: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            (name, std::fs::read(entry.path()).expect("an input"))
        })
        .collect();
    seeds.sort();
    seeds
}

/// Marsaglia's xorshift64*: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).expect("48 bits") % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    /// Numbers that lengths and counts go wrong at.
    const EDGES: [u32; 8] = [0, 1, 4, 0x7f, 0xff, 0xffff, 0x7fff_ffff, u32::MAX];
    for _ in 0..=random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(6) {
            0 => input.truncate(at),
            1 => input.insert(at, random.byte()),
            2 => drop(input.drain(at..(at + random.below(9)).min(input.len()))),
            3 => {
                let from = random.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            4 => {
                let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
                for (byte, edge) in input[at..].iter_mut().zip(edge) {
                    *byte = edge;
                }
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn every_seed_is_well_formed() {
    for (target, run) in targets::TARGETS {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds of {target}");
        for (name, input) in seeds {
            // What fuzzing found and is kept for it begins with this.
            if !name.starts_with("found-") {
                assert!(run(&input), "{target}/{name}");
            }
        }
    }
}

#[test]
fn damaged_seeds_do_no_harm() {
    let mut random = Random(0x5ba2_20e8);
    for (target, run) in targets::TARGETS {
        let seeds = seeds(target);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..MUTATIONS {
            let mut input = seeds[random.below(seeds.len())].1.clone();
            mutate(&mut input, &seeds[random.below(seeds.len())].1, &mut random);
            if run(&input) { accepted += 1 } else { refused += 1 }
        }
        // Neither would be if the damage were always or never fatal, and most of the code went untested.
        assert!(accepted > MUTATIONS / 100 && refused > MUTATIONS / 100, "{target}: {accepted} and {refused}");
    }
}

/// `cargo test -p rbd-format --test corpus -- --ignored` writes the seeds anew from the fixtures.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_corpus() {
    let write = |target: &str, name: &str, input: &[u8]| {
        std::fs::create_dir_all(corpus(target)).expect("the corpus");
        std::fs::write(corpus(target).join(name), input).expect("a seed");
    };
    for fixture in all_fixtures(".omap") {
        let name = fixture.trim_end_matches(".omap");
        let target = match name {
            "group-header" => "rbd_group",
            "trash" => "rbd_trash",
            "children" => "rbd_children",
            name if name.starts_with("header") => "rbd_header",
            _ => "rbd_directory",
        };
        let mut input = Vec::new();
        for (key, value) in entries(&fixture) {
            if key.starts_with(b"snapshot_") && target == "rbd_header" {
                write("rbd_snapshot", &format!("{name}-{}", key[key.len() - 1].escape_ascii()), &value);
            }
            input.push(u8::try_from(key.len()).expect("a short key"));
            input.extend(&key);
            input.extend(u16::try_from(value.len()).expect("a short value").to_le_bytes());
            input.extend(&value);
        }
        // Namespaces have no values to decode.
        if name != "namespace" {
            write(target, name, &input);
        }
    }
    for fixture in all_fixtures(".xattr") {
        write("rbd_lock", fixture.trim_end_matches(".xattr"), &entries(&fixture)[0].1);
    }
    for fixture in all_fixtures(".diff") {
        // Long runs of data teach a fuzzer nothing.
        let stream = data(&fixture);
        if stream.len() < 1024 {
            write("rbd_diff", fixture.trim_end_matches(".diff"), &stream);
        }
    }
    let export = data("image-v2.export");
    let at = export.windows(12).rposition(|window| window == b"rbd diff v2\n").expect("a diff");
    write("rbd_diff", "v2", &export[at..]);
}
