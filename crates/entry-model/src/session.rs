//! What the cookies of sessions say, and which share of several the requests of a session get.

/// How many hexadecimal digits the name of a session has that was given to a client: as `$request_id` of nginx.
const NAME_DIGITS: usize = 32;
/// How many digits the name of an endpoint has behind it, after a hyphen.
const ENDPOINT_DIGITS: usize = 16;
/// So many digits of a session's name choose its share.
const SHARE_DIGITS: usize = 16;

/// What names the session in the value of a cookie; none if that is no session. `names_endpoint`: whether such cookies name their endpoints, so
/// that others than those that were given to clients are none.
pub fn session_of_cookie(value: &[u8], names_endpoint: bool) -> Option<&[u8]> {
    let end = value.iter().position(|byte| b" \t".contains(byte)).unwrap_or(value.len());
    let text = &value[..end];
    if !names_endpoint {
        return Some(text).filter(|text| !text.is_empty());
    }
    let (name, endpoint) = text.split_at_checked(NAME_DIGITS)?;
    let are_digits = |text: &[u8]| text.iter().all(|byte| digit(*byte).is_some());
    let is_endpoint =
        |text: &[u8]| text.strip_prefix(b"-").is_some_and(|name| name.len() == ENDPOINT_DIGITS && are_digits(name));
    (are_digits(name) && (endpoint.is_empty() || is_endpoint(endpoint))).then_some(name)
}

/// The number by which a share is chosen for a session (see [`crate::Forward::destination`]): its first digits. Where one is missing, or is
/// none, it is as if all from there on were the highest.
pub fn number_of_session(name: &[u8]) -> u64 {
    let mut digits = name.iter().map_while(|byte| digit(*byte)).fuse();
    (0..SHARE_DIGITS).fold(0, |number, _| number << 4 | digits.next().unwrap_or(0xf))
}

fn digit(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some((byte - b'0').into()),
        b'a'..=b'f' => Some((byte - b'a' + 10).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_what_was_given_to_a_client() {
        let name = "0123456789abcdef0123456789abcdef";
        for (value, of_any, of_endpoint) in [
            (name.to_owned(), Some(name), Some(name)),
            (format!("{name} x"), Some(name), Some(name)),
            (
                format!("{name}-0123456789abcdef\tx"),
                Some("0123456789abcdef0123456789abcdef-0123456789abcdef"),
                Some(name),
            ),
            (format!("{name}-0123456789abcdeg"), Some("0123456789abcdef0123456789abcdef-0123456789abcdeg"), None),
            (format!("{name}-"), Some("0123456789abcdef0123456789abcdef-"), None),
            (format!("{name}0"), Some("0123456789abcdef0123456789abcdef0"), None),
            ("0123456789ABCDEF0123456789ABCDEF".to_owned(), Some("0123456789ABCDEF0123456789ABCDEF"), None),
            ("7".to_owned(), Some("7"), None),
            (String::new(), None, None),
            (" 7".to_owned(), None, None),
        ] {
            let session = |names_endpoint| session_of_cookie(value.as_bytes(), names_endpoint);
            let expected = [of_any, of_endpoint].map(|text| text.map(str::as_bytes));
            assert_eq!([session(false), session(true)], expected, "{value}");
        }
    }

    #[test]
    fn number_is_that_of_the_first_digits() {
        for (name, expected) in [
            ("0123456789abcdef0123456789abcdef", 0x0123_4567_89ab_cdef),
            ("80", 0x80ff_ffff_ffff_ffff),
            ("7x00000000000000", 0x7fff_ffff_ffff_ffff),
            ("A", u64::MAX),
            ("", u64::MAX),
        ] {
            assert_eq!(number_of_session(name.as_bytes()), expected, "{name}");
        }
    }
}
