//! Cookies of a request.

/// The value of a cookie, byte by byte, among those that requests name in `Cookie` headers (RFC 6265, section 4.2); of several of one
/// name the first. Case counts.
pub fn find_cookie<'a>(mut headers: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    let of_header = |header: &'a [u8]| {
        let mut pairs = header.split(|byte| *byte == b';').map(trim_blanks);
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
    };
    headers.find_map(of_header)
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_cookie_of_a_name_counts() {
        let find = |headers: &[&'static str], name: &str| {
            let found = find_cookie(headers.iter().map(|header| header.as_bytes()), name.as_bytes());
            found.map(|value| std::str::from_utf8(value).unwrap())
        };
        for (headers, expected) in [
            (&[][..], None),
            (&["a=1"], Some("1")),
            (&["a="], Some("")),
            (&["a"], None),
            (&["A=1"], None),
            (&["aa=1; a=2;a=3"], Some("2")),
            (&["b=a=1"], None),
            (&["b=1", " a=x=y \t"], Some("x=y")),
            (&["a =1"], None),
            (&[";;a=1"], Some("1")),
        ] {
            assert_eq!(find(headers, "a"), expected, "{headers:?}");
        }
    }
}
