//! Settings for all of the entry: what flags say, over which a `ConfigMap` goes that is followed as it changes.
//!
//! ```text
//! flags ─► SharedSettings ─► apply(--set) ─► apply(ConfigMap) ─► nginx_conf::Settings, PolicyDefaults
//!                                                    └► a verdict on the ConfigMap
//! ```
//!
//! The keys are those of ingress-nginx: `keys` has the table of all of them, a file for each group.

mod followed;
mod key_context;
pub mod keys;
mod outcome;
mod shared_settings;
mod values;

use std::collections::BTreeMap;

use entry_model::Snapshot;

pub use followed::FollowedSettings;
pub use key_context::{KeyContext, Remark};
pub use outcome::{KeyOutcome, KeyState};
pub use shared_settings::SharedSettings;

use self::keys::{KeyEffect, find_key};

/// Values of keys, each where it came from.
#[derive(Debug, Clone, Copy)]
pub struct KeyValues<'a> {
    /// The values by key.
    pub values: &'a BTreeMap<String, String>,
    /// Values that were good before, by key: one that is broken now stays in force as it was.
    pub good: &'a BTreeMap<String, String>,
    /// The objects that they can name.
    pub snapshot: &'a Snapshot,
}

/// Puts values over settings, key by key in the order of the table. A value that cannot be used changes nothing.
pub fn apply(settings: &mut SharedSettings, keys: KeyValues<'_>) -> Vec<KeyOutcome> {
    let in_table = keys::all().filter_map(|key| Some((key.name, key.effect, keys.values.get(key.name)?)));
    let mut outcomes: Vec<_> = in_table
        .map(|(name, effect, value)| {
            let state = apply_key(settings, effect, name, value, &keys);
            KeyOutcome { name: name.to_owned(), value: value.trim().to_owned(), state }
        })
        .collect();
    let unknown = keys.values.iter().filter(|(name, _)| find_key(name).is_none());
    outcomes.extend(unknown.map(|(name, value)| KeyOutcome {
        name: name.clone(),
        value: value.trim().to_owned(),
        state: KeyState::Unknown,
    }));
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    outcomes
}

fn apply_key(
    settings: &mut SharedSettings,
    effect: KeyEffect,
    name: &str,
    value: &str,
    key_values: &KeyValues<'_>,
) -> KeyState {
    let value = value.trim();
    let read = match effect {
        KeyEffect::Read { read, .. } => read,
        KeyEffect::Unchanged(_) => return KeyState::Unchanged,
        KeyEffect::NotFollowed { unless, .. } if unless.iter().any(|same| value.eq_ignore_ascii_case(same)) => {
            return KeyState::Unchanged;
        }
        KeyEffect::NotFollowed { why, .. } => return KeyState::NotFollowed(why),
        KeyEffect::Snippet(_) if value.is_empty() => return KeyState::Unchanged,
        KeyEffect::Snippet(place) => {
            let guards = entry_translate::snippet_guards(value, place);
            return if guards.is_empty() { KeyState::NotFollowed(keys::SNIPPET) } else { KeyState::KeepsOut(guards) };
        }
    };
    let mut attempt = |value: &str| {
        let before = settings.clone();
        let context = KeyContext { value, values: key_values.values, snapshot: key_values.snapshot };
        let read = read(settings, &context).and_then(|remark| match settings.nginx.check() {
            Ok(()) => Ok(remark),
            Err(error) => Err(error.to_string()),
        });
        if read.is_err() {
            *settings = before;
        }
        read
    };
    match attempt(value) {
        Ok(Remark::None) => KeyState::InForce,
        Ok(Remark::Note(note)) => KeyState::Noted(note),
        Ok(Remark::Loss(loss)) => KeyState::Partial(loss),
        Err(hint) => {
            let good = key_values.good.get(name).filter(|good| attempt(good).is_ok());
            KeyState::Rejected { hint, stays: good.cloned() }
        }
    }
}

#[cfg(test)]
mod tests;
