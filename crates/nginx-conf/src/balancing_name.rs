//! What is called after the way in which an upstream chooses among its servers.

use entry_model::Balancing;

use crate::policy_class::content_name;

/// What an upstream's name ends with, so that backends with several ways to choose have one for each.
pub fn write_suffix(out: &mut String, balancing: &Balancing) {
    match balancing {
        Balancing::RoundRobin => {}
        Balancing::LeastConnections => out.push_str("_least"),
        Balancing::Hash(parts) => out.extend(["_hash-", &content_name(parts)]),
        Balancing::HashSubset(parts, size) => out.extend(["_subset-", &content_name(&(parts, size))]),
        Balancing::Session(cookie) => out.extend(["_session-", &content_name(cookie)]),
    }
}
