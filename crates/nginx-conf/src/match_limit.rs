//! How long a regular expression may take.

/// How often an engine may go on with a pattern before it gives up.
pub const MATCH_LIMIT: &str = "(*LIMIT_MATCH=50000)";
