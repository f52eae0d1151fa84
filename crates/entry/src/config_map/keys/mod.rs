//! The table of keys: all that ingress-nginx reads, and a few of ours, a file for each group.

mod addresses;
mod authentication;
mod bodies;
mod compression;
mod connections;
mod headers;
mod logs;
mod requests;
mod tls;
mod unfollowed;
mod workers;

use entry_translate::SnippetPlace;

use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;

/// A key.
#[derive(Debug, Clone, Copy)]
pub struct ConfigKey {
    /// Its name.
    pub name: &'static str,
    /// What its value does.
    pub effect: KeyEffect,
}

/// Reads a value and puts it into settings: what of it is in force, or what to write instead.
pub type ReadValue = fn(&mut SharedSettings, &KeyContext<'_>) -> Result<Remark, String>;

/// What the value of a key does.
#[derive(Debug, Clone, Copy)]
pub enum KeyEffect {
    /// It is a setting.
    Read {
        /// Reads it.
        read: ReadValue,
        /// What it does, for the documentation.
        words: &'static str,
    },
    /// What it asks for is not needed here, or happens anyway: why.
    Unchanged(&'static str),
    /// What it asks for does not happen.
    NotFollowed {
        /// The values that ask for what happens anyway.
        unless: &'static [&'static str],
        /// Why, and what there is instead.
        why: &'static str,
    },
    /// It is a snippet, which is not followed; one that may keep someone out is not passed over either.
    Snippet(SnippetPlace),
}

/// A key that is a setting.
const fn read(name: &'static str, read: ReadValue, words: &'static str) -> ConfigKey {
    ConfigKey { name, effect: KeyEffect::Read { read, words } }
}

/// A key that changes nothing here.
const fn unchanged(name: &'static str, why: &'static str) -> ConfigKey {
    ConfigKey { name, effect: KeyEffect::Unchanged(why) }
}

/// A key that is not followed, whatever its value.
const fn not_followed(name: &'static str, why: &'static str) -> ConfigKey {
    ConfigKey { name, effect: KeyEffect::NotFollowed { unless: &[], why } }
}

/// A key that is not followed, but for these values, which change nothing.
const fn not_followed_unless(name: &'static str, unless: &'static [&'static str], why: &'static str) -> ConfigKey {
    ConfigKey { name, effect: KeyEffect::NotFollowed { unless, why } }
}

/// A key that is a snippet.
const fn snippet(name: &'static str, place: SnippetPlace) -> ConfigKey {
    ConfigKey { name, effect: KeyEffect::Snippet(place) }
}

/// Why snippets are not followed.
pub const SNIPPET: &str = "no text of nginx's configuration language is taken from a cluster; the settings of this page say what is said most often in \
                           it, and `--template` is for the rest";

/// Groups of keys, with their titles, in the order in which their values are read.
pub const GROUPS: [(&str, &[ConfigKey]); 11] = [
    ("Proxies in front, and addresses", addresses::KEYS),
    ("Connections and times", connections::KEYS),
    ("Requests", requests::KEYS),
    ("Who is asked whether requests may pass", authentication::KEYS),
    ("Bodies and buffers", bodies::KEYS),
    ("Headers", headers::KEYS),
    ("Compression", compression::KEYS),
    ("TLS", tls::KEYS),
    ("Logs", logs::KEYS),
    ("Workers", workers::KEYS),
    ("Not followed, or without meaning here", unfollowed::KEYS),
];

/// All keys, in the order in which their values are read.
pub fn all() -> impl Iterator<Item = &'static ConfigKey> {
    GROUPS.iter().flat_map(|(_, keys)| *keys)
}

/// A key by its name.
pub fn find_key(name: &str) -> Option<&'static ConfigKey> {
    all().find(|key| key.name == name)
}

/// Says which items of a list are left out; nothing if none are.
fn left_out(wrong: &[impl AsRef<str>], hint: &str) -> Remark {
    if wrong.is_empty() {
        return Remark::None;
    }
    let named: Vec<_> =
        wrong.iter().take(5).map(|item| format!("\"{}\"", entry_model::AbridgedText(item.as_ref()))).collect();
    let more = if wrong.len() > named.len() { " and others" } else { "" };
    Remark::Loss(format!("{}{more} cannot be used and is left out, the rest is in force: {hint}", named.join(", ")))
}
