//! In which order the patterns of a host are tried.
//!
//! Of two patterns whose texts are equally long any may come first: [`entry_model::Match::precedence`] goes by what else their rules ask for,
//! then by age. So what is tried one after the other are *runs*: rules that follow each other and have one pattern. The rules themselves
//! are where those of any path are, and this changes only with their number and order.

use std::collections::HashMap;

use entry_model::{PathMatch, Pattern, Rule as ModelRule};
use pattern_engine::CompiledPatterns;

use crate::bytes::{ByteReader, ByteWriter};

/// The runs of a host's rules for patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternOrder {
    /// Tried in this order.
    pub runs: Box<[PatternRun]>,
}

/// Rules of one pattern that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternRun {
    /// Their pattern.
    pub pattern: Pattern,
    /// Where they are among all others.
    pub place: PatternPlace,
    /// Which of the pattern's rules they are: the number of the first, and of the one behind the last.
    pub rules: (u16, u16),
}

/// Where a pattern is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternPlace {
    /// Whether before exact paths.
    pub is_first: bool,
    /// How long its text is as its object has written it: a prefix of the same length comes behind it.
    pub length: u16,
}

impl PatternPlace {
    fn of(pattern: &Pattern) -> Self {
        let length = u16::try_from(pattern.written().len()).unwrap_or(u16::MAX);
        Self { is_first: pattern.is_first(), length }
    }
}

impl PatternOrder {
    /// The bytes of the order of these rules, which are sorted; none without any pattern, or if something is too long.
    pub fn encode<'a>(rules: impl Iterator<Item = &'a ModelRule>) -> Option<Vec<u8>> {
        let mut runs: Vec<(&Pattern, PatternPlace, usize, usize)> = Vec::new();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for rule in rules {
            let PathMatch::Regex(pattern) = &rule.matches.path else { continue };
            let (place, count) = (PatternPlace::of(pattern), counts.entry(pattern.text()).or_default());
            *count += 1;
            match runs.last_mut() {
                Some((last, at, _, end)) if *last == pattern && *at == place => *end = *count,
                _ => runs.push((pattern, place, *count - 1, *count)),
            }
        }
        let mut writer = ByteWriter::default();
        writer.len16(runs.len());
        for (pattern, PatternPlace { is_first, length }, start, end) in &runs {
            writer.bool(*is_first);
            writer.u16(*length);
            writer.text(pattern.text());
            writer.len16(*start);
            writer.len16(*end);
        }
        if runs.is_empty() { None } else { writer.into_bytes() }
    }

    /// What was written; none if it is not well-formed.
    pub fn decode(bytes: &[u8], patterns: &mut CompiledPatterns) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let runs = reader.list(|reader| {
            let place = PatternPlace { is_first: reader.bool()?, length: reader.u16()? };
            let pattern = patterns.get(reader.text()?).ok()?;
            let rules = (reader.u16()?, reader.u16()?);
            (rules.0 < rules.1).then_some(PatternRun { pattern, place, rules })
        })?;
        reader.end()?;
        Some(Self { runs })
    }
}
