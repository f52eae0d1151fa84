//! Which prefix of their path backends are told, by which they make links to themselves.

use entry_model::{HeaderField, Reason};

use super::reader::AnnotationReader;
use crate::verdict_draft::quoted;

const HEADER: &str = "X-Forwarded-Prefix";

/// Longest prefix, in bytes.
const LONGEST: usize = 512;

/// The header that backends are told, if an annotation says what is in it. `rewrites`: whether one of ingress-nginx has the path rewritten,
/// without which its annotation says nothing there.
pub fn read_forwarded_prefix(reader: &mut AnnotationReader<'_, '_>, rewrites: bool) -> Option<HeaderField> {
    if reader.own_counts("forwarded-prefix", &["x-forwarded-prefix"]) {
        return reader.own("forwarded-prefix", parse_own);
    }
    read_ingress_nginx(reader).filter(|_| rewrites)
}

fn read_ingress_nginx(reader: &mut AnnotationReader<'_, '_>) -> Option<HeaderField> {
    const NAME: &str = "x-forwarded-prefix";
    let text = reader.ingress_nginx_text(NAME)?.trim();
    if text.contains('$') {
        let message = format!(
            "The value {} is not told, since groups of the path cannot be put into it; backends are told the prefix that is taken off, if \
             one is. Write it without `$`",
            quoted(text)
        );
        reader.report_loss(NAME, Reason::Unsupported, message);
        return None;
    }
    reader.ingress_nginx(NAME, parse)
}

/// Ours is a path.
fn parse_own(text: &str) -> Result<HeaderField, &'static str> {
    const HINT: &str = "write a path that begins with `/`, of letters, digits and `-._~/:%`";
    if text.starts_with('/') { parse(text).map_err(|_| HINT) } else { Err(HINT) }
}

/// Whatever ingress-nginx takes, which is not only paths.
fn parse(text: &str) -> Result<HeaderField, &'static str> {
    const HINT: &str = "it is of letters, digits and `-._~/:`";
    let text = text.trim();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:%".contains(&byte);
    let is_prefix = (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_plain);
    if is_prefix { HeaderField::new(HEADER, text).map_err(|_| HINT) } else { Err(HINT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_a_plain_path() {
        for (text, own, theirs) in [
            ("/", true, true),
            ("/shop/v1", true, true),
            (" /shop ", false, true),
            ("/a%20b", true, true),
            ("shop", false, true),
            ("", false, false),
            ("/$1", false, false),
            ("/a b", false, false),
            ("/a\r\nX-Admin: 1", false, false),
            ("/\"; return 200;", false, false),
            ("/\u{e4}", false, false),
            (&"/a".repeat(257), false, false),
        ] {
            assert_eq!((parse_own(text).is_ok(), parse(text).is_ok()), (own, theirs), "{text:?}");
        }
    }
}
