//! What is called after the way in which an upstream chooses among its servers.

use std::fmt::Write as _;

use entry_model::{Balancing, SessionCookie};

use crate::policy_class::content_hash;

/// What an upstream's name ends with, so that backends with several ways to choose have one for each.
pub fn write_suffix(out: &mut String, balancing: &Balancing) {
    match balancing {
        Balancing::RoundRobin => {}
        Balancing::LeastConnections => out.push_str("_least"),
        Balancing::Hash(parts) => {
            let _ = write!(out, "_hash-{:016x}", content_hash(parts));
        }
        Balancing::Session(cookie) => {
            let _ = write!(out, "_session-{:016x}", session_hash(cookie));
        }
    }
}

/// Names what sessions have in common that one cookie tells apart. The path is told by the location, so that sessions of several paths are one.
pub fn session_hash(cookie: &SessionCookie) -> u64 {
    content_hash(&SessionCookie { path: String::new(), ..cookie.clone() })
}
