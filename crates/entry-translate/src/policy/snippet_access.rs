//! Lines of snippets that say by address who may ask.

use entry_model::AddressRange;

use super::snippet_text::Statement;

/// Who may ask, by address.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SourceRanges {
    /// Those that may; all without it.
    pub allowed: Option<Vec<AddressRange>>,
    /// Those that may not, also of the ones that else may.
    pub denied: Vec<AddressRange>,
}

/// Whether a statement is one of those.
pub fn is_access(statement: &Statement) -> bool {
    matches!(statement.name.as_str(), "allow" | "deny") && statement.block.is_none()
}

/// Reads them: addresses that are denied, then those that are allowed, and last that all others are not, or are. None if there are no addresses,
/// or in another order: nginx takes the first line that is for a client.
pub fn read_source_ranges(statements: &[Statement]) -> Option<SourceRanges> {
    let (mut ranges, mut is_closed, mut is_ended) = (SourceRanges::default(), false, false);
    for statement in statements.iter().filter(|one| is_access(one)) {
        let [argument] = statement.arguments.as_slice() else { return None };
        let is_allowed = statement.name == "allow";
        if is_ended {
            return None;
        }
        if argument == "all" {
            (is_closed, is_ended) = (!is_allowed, true);
            continue;
        }
        let range = argument.parse().ok()?;
        if is_allowed {
            ranges.allowed.get_or_insert_default().push(range);
        } else if ranges.allowed.is_none() {
            ranges.denied.push(range);
        } else {
            return None;
        }
    }
    let is_known =
        if is_closed { ranges.allowed.is_some() } else { ranges.allowed.is_none() && !ranges.denied.is_empty() };
    is_known.then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::super::snippet_text::read_statements;
    use super::*;

    fn read(text: &str) -> Option<(Option<String>, String)> {
        let ranges = read_source_ranges(&read_statements(text).unwrap())?;
        let join = |all: Vec<AddressRange>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        Some((ranges.allowed.map(join), join(ranges.denied)))
    }

    #[test]
    fn lists_are_read_where_their_order_says_nothing() {
        let known = |allowed: Option<&str>, denied: &str| Some((allowed.map(str::to_owned), denied.to_owned()));
        for (text, expected) in [
            ("allow 10.0.0.0/8; allow 2001:db8::1; deny all;", known(Some("10.0.0.0/8 2001:db8::1"), "")),
            ("deny 10.1.0.0/16; allow 10.0.0.0/8; deny all;", known(Some("10.0.0.0/8"), "10.1.0.0/16")),
            ("deny 192.0.2.1; more_set_headers \"X: y\"; deny 192.0.2.2;", known(None, "192.0.2.1 192.0.2.2")),
            ("deny 192.0.2.1; allow all;", known(None, "192.0.2.1")),
            ("", None),
            ("deny all;", None),
            ("allow all;", None),
            ("allow 10.0.0.0/8;", None),
            ("allow 10.0.0.0/8; allow all;", None),
            ("allow 10.1.0.0/16; deny 10.0.0.0/8; allow all;", None),
            ("deny all; allow 10.0.0.0/8;", None),
            ("allow all; deny 10.0.0.0/8;", None),
            ("allow unix:; deny all;", None),
            ("allow a.example; deny all;", None),
            ("allow 10.0.0.0/33; deny all;", None),
            ("allow 10.0.0.0/8 10.1.0.0/16; deny all;", None),
            ("allow $ip; deny all;", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
