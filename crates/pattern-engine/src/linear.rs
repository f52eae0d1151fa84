//! What runs a pattern: its program alone, a few kilobytes. What a run needs beside is one memory for all patterns.
//!
//! A table of states, as the crate `regex` makes one while it runs, is faster for long texts and takes ten times as much for each of
//! the patterns, of which a worker of nginx may have hundreds; paths are short.

use std::mem;
use std::sync::{Mutex, PoisonError};

use entry_model::{PatternEngine, TemplatePart, template_parts};
use regex_automata::Input;
use regex_automata::nfa::thompson::NFA;
use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::util::primitives::NonMaxUsize;

/// Bytes in which is noted which part of a program was tried where in a text. For longer texts and larger programs all parts are run
/// side by side, which takes longer and no such memory.
const VISITED_BYTES: usize = 1 << 16;

/// Runs a program in time that is linear in the text and in the program.
#[derive(Debug)]
pub struct LinearEngine {
    /// What each text begins with that it matches: of each byte both forms, where case does not count. Of many patterns hardly any have
    /// more of a path to look at.
    beginning: Box<[[u8; 2]]>,
    backtracker: BoundedBacktracker,
    side_by_side: PikeVM,
}

/// Where the groups of a match begin and end.
type Slots = Vec<Option<NonMaxUsize>>;

/// What runs need beside a program.
#[derive(Debug)]
struct Scratch {
    backtracker: backtrack::Cache,
    side_by_side: Option<pikevm::Cache>,
    slots: Slots,
}

/// That of the last run, whichever pattern that was of: nginx's workers have one thread.
static SCRATCH: Mutex<Option<Scratch>> = Mutex::new(None);

impl LinearEngine {
    /// Runs this program, which matches only what begins so. None for one that is no program.
    pub fn new(program: NFA, beginning: Box<[[u8; 2]]>) -> Option<Self> {
        let config = BoundedBacktracker::config().visited_capacity(VISITED_BYTES);
        let backtracker = BoundedBacktracker::builder().configure(config).build_from_nfa(program.clone()).ok()?;
        Some(Self { beginning, backtracker, side_by_side: PikeVM::new_from_nfa(program).ok()? })
    }

    /// Whether a text begins as all do that it matches.
    fn begins(&self, text: &[u8]) -> bool {
        let has_both = |(forms, byte): (&[u8; 2], &u8)| forms.contains(byte);
        text.len() >= self.beginning.len() && self.beginning.iter().zip(text).all(has_both)
    }

    /// Looks for the first match, and where so many groups of it are.
    fn search<T>(&self, text: &[u8], groups: usize, read: impl FnOnce(&Slots) -> T) -> Option<T> {
        if !self.begins(text) {
            return None;
        }
        let mut shared = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = shared.get_or_insert_with(|| Scratch {
            backtracker: self.backtracker.create_cache(),
            side_by_side: None,
            slots: Slots::new(),
        });
        let mut slots = mem::take(&mut scratch.slots);
        slots.clear();
        slots.resize(2 * groups, None);
        let input = Input::new(text);
        scratch.backtracker.reset(&self.backtracker);
        let found = self.backtracker.try_search_slots(&mut scratch.backtracker, &input, &mut slots);
        let found = found.unwrap_or_else(|_| {
            let cache = scratch.side_by_side.get_or_insert_with(|| self.side_by_side.create_cache());
            cache.reset(&self.side_by_side);
            self.side_by_side.search_slots(cache, &input, &mut slots)
        });
        let read = found.map(|_| read(&slots));
        scratch.slots = slots;
        read
    }
}

impl PatternEngine for LinearEngine {
    fn is_match(&self, text: &[u8]) -> bool {
        self.search(text, 0, |_| ()).is_some()
    }

    fn most_steps(&self, text: &[u8]) -> u64 {
        if self.begins(text) {
            // Each part of the program is tried once at each byte, and at the end.
            self.backtracker.get_nfa().states().len() as u64 * (text.len() as u64 + 1)
        } else {
            0
        }
    }

    fn replace(&self, text: &[u8], template: &str) -> Vec<u8> {
        let groups = self.backtracker.get_nfa().group_info().all_group_len();
        let replaced = self.search(text, groups, |slots| {
            let at = |slot: usize| slots.get(slot).copied().flatten().map(NonMaxUsize::get);
            let group =
                |group: usize| at(2 * group).zip(at(2 * group + 1)).map_or(text.len()..text.len(), |(a, b)| a..b);
            let whole = group(0);
            let mut out = text[..whole.start].to_vec();
            for part in template_parts(template) {
                match part {
                    TemplatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
                    TemplatePart::Group(number) => out.extend_from_slice(&text[group(number.into())]),
                }
            }
            out.extend_from_slice(&text[whole.end..]);
            out
        });
        replaced.unwrap_or_else(|| text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use crate::compile;

    #[test]
    fn pattern_is_run_only_on_what_begins_as_it_does() {
        for (text, matching, other) in [
            ("^/a/[0-9]+$", &["/a/12"][..], &["/b/12", "/a", ""][..]),
            ("(?i)^/Ab-c[x]", &["/aB-CX", "/ab-cx"], &["/ac-cx", "/ab_cx"]),
        ] {
            let pattern = compile(text).expect("a pattern");
            assert!(matching.iter().all(|path| pattern.is_match(path) && pattern.most_steps(path) > 0), "{text}");
            assert!(other.iter().all(|path| !pattern.is_match(path) && pattern.most_steps(path) == 0), "{text}");
        }
        for text in ["a", "^a|b", "^(?:a|b)", "^[ab]?c", "(?:^a|c)", "^(a)", "^"] {
            let pattern = compile(text).expect("a pattern");
            assert!(["a", "b", "c"].iter().any(|path| pattern.is_match(path)), "{text}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri takes hours for it")]
    fn long_text_is_matched_as_a_short_one() {
        let pattern = compile("^/.*a.*[b-y]{200}(x|y)z$").expect("a pattern");
        for length in [100, 200, 8000] {
            let path = format!("/a{}xz", "b".repeat(length));
            assert_eq!(pattern.is_match(&path), length >= 200, "{length}");
            let replaced = pattern.replace(&path, "/$1");
            assert_eq!(replaced == b"/x", length >= 200, "{length}");
        }
    }
}
