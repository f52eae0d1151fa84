//! Replays the corpus of targets, then damages it: for ordinary tests.

use std::path::PathBuf;

type Target = fn(&[u8]) -> bool;

/// Where the inputs of a target are; the crate that asks is in `crates/`.
fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Writes a seed of a target.
pub fn write_seed(target: &str, name: &str, input: &[u8]) {
    std::fs::create_dir_all(corpus(target)).expect("the corpus");
    std::fs::write(corpus(target).join(name), input).expect("a seed");
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

/// Every input is well-formed, but for those that fuzzing found.
pub fn every_seed_is_well_formed(targets: &[(&str, Target)]) {
    for (target, run) in targets {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "no seeds of {target}");
        for (name, input) in seeds {
            let good = run(&input);
            // What fuzzing found and is kept for it begins with this.
            assert!(good || name.starts_with("found-"), "{target}/{name}");
        }
    }
}

/// So many damaged inputs of each target: some are well-formed, and some are not.
pub fn damaged_seeds_do_no_harm(targets: &[(&str, Target)], mutations: usize) {
    let mut random = Random(0x5ba2_20e8);
    for (target, run) in targets {
        let seeds = seeds(target);
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..mutations {
            let mut input = seeds[random.below(seeds.len())].1.clone();
            mutate(&mut input, &seeds[random.below(seeds.len())].1, &mut random);
            if run(&input) { accepted += 1 } else { refused += 1 }
        }
        // Neither would be if the damage were always or never fatal, and most of the code went untested.
        assert!(accepted > mutations / 100 && refused > mutations / 100, "{target}: {accepted} and {refused}");
    }
}
