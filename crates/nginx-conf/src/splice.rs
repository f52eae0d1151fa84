//! Values are put into a text that a template made, each so that it stays inside the token where it placed.
//!
//! A template cannot know where its output placed: `http://{{ a }}:{{ b }}/`, `"{{ a }}"` and `location {{ a }} {` need
//! different things. So a template prints a mark for each value, and the values come in here, where the text is read as
//! nginx reads it.

use crate::token::Token;

/// Stands around the number of a value. Private to Unicode's users, so in no reasonable text; refused in unreasonable ones.
pub const MARK: char = '\u{f8ff}';

/// A value that cannot stand where it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MisplacedValue {
    /// Where its mark is, in bytes.
    pub at: usize,
    /// The value.
    pub value: String,
    /// What is wrong and what helps.
    pub why: &'static str,
    /// Whether another value could stand there: then the fault is this one's, else the template's.
    pub by_value: bool,
}

/// Longest part of a token, in bytes: some of them must fit into nginx's buffer.
const LONGEST_PART: usize = 1000;

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Between,
    /// In a token without quotes; `true` right after a `$`, where a brace belongs to it.
    Bare(bool),
    Quoted(char),
    /// Right after quotes.
    Closed,
    Comment,
}

/// Where a value came to value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedValue {
    /// Which value.
    pub number: usize,
    /// Its line, counted from 1.
    pub first_line: u32,
    /// The same, or the last line of the block that its directive opens.
    pub last_line: u32,
}

/// The blocks around what is being read.
#[derive(Default)]
struct Blocks {
    /// Values of the directive that is being read.
    directive: Vec<usize>,
    /// For each open block, the values of the directive that opened it.
    open: Vec<Vec<usize>>,
}

impl Blocks {
    /// Takes note of a character at a place, on a line.
    fn read(&mut self, c: char, place: ReaderState, line: u32, placed: &mut [PlacedValue]) {
        match (c, place) {
            (';', ReaderState::Between | ReaderState::Bare(_) | ReaderState::Closed) => self.directive.clear(),
            ('{', ReaderState::Between | ReaderState::Bare(false) | ReaderState::Closed) => {
                self.open.push(std::mem::take(&mut self.directive));
            }
            ('}', ReaderState::Between) => {
                for at in self.open.pop().into_iter().flatten() {
                    if let Some(value) = placed.get_mut(at) {
                        value.last_line = line;
                    }
                }
            }
            _ => {}
        }
    }
}

/// The text with its values, and where each of them placed.
pub fn splice(text: &str, values: &[String]) -> Result<(String, Vec<PlacedValue>), MisplacedValue> {
    let mut out = String::with_capacity(text.len());
    let (mut placed, mut line) = (Vec::new(), 1);
    let mut blocks = Blocks::default();
    let mut place = ReaderState::Between;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if c == MARK {
            let digits: String = std::iter::from_fn(|| rest.next_if(|(_, c)| *c != MARK)).map(|(_, c)| c).collect();
            rest.next();
            let Some((number, value)) =
                digits.parse::<usize>().ok().and_then(|number| Some((number, values.get(number)?)))
            else {
                // Nothing between marks: a value that is not quoted, and has a mark.
                return Err(match digits.as_str() {
                    "" => MisplacedValue {
                        at,
                        value: MARK.to_string(),
                        why: "it has a character that is kept",
                        by_value: true,
                    },
                    _ => MisplacedValue { at, value: digits, why: "its mark was changed by a filter", by_value: false },
                });
            };
            let whole = place == ReaderState::Between && rest.peek().is_none_or(|(_, c)| " \t\r\n;{".contains(*c));
            let by_value = || put("a", place, whole).is_ok();
            let (text, next) = put(value, place, whole).map_err(|why| MisplacedValue {
                at,
                value: value.clone(),
                why,
                by_value: by_value(),
            })?;
            out.push_str(&text);
            place = next;
            blocks.directive.push(placed.len());
            placed.push(PlacedValue { number, first_line: line, last_line: line });
            continue;
        }
        out.push(c);
        line += u32::from(c == '\n');
        blocks.read(c, place, line, &mut placed);
        let space = " \t\r\n".contains(c);
        place = match place {
            ReaderState::Between if space || ";{}".contains(c) => ReaderState::Between,
            ReaderState::Between if c == '#' => ReaderState::Comment,
            ReaderState::Between if c == '"' || c == '\'' => ReaderState::Quoted(c),
            ReaderState::Bare(false) if c == '{' => ReaderState::Between,
            ReaderState::Bare(_) if space || c == ';' => ReaderState::Between,
            ReaderState::Comment if c == '\n' => ReaderState::Between,
            ReaderState::Closed if space || ";{)".contains(c) => ReaderState::Between,
            // An error of nginx.
            ReaderState::Closed => ReaderState::Bare(false),
            ReaderState::Quoted(quote) if c == quote => ReaderState::Closed,
            ReaderState::Between | ReaderState::Bare(_) | ReaderState::Quoted(_) if c == '\\' => {
                if let Some((at, escaped)) = rest.next() {
                    if escaped == MARK {
                        return Err(MisplacedValue {
                            at,
                            value: String::new(),
                            why: "there is a backslash right before it",
                            by_value: false,
                        });
                    }
                    out.push(escaped);
                    line += u32::from(escaped == '\n');
                }
                if let ReaderState::Quoted(_) = place { place } else { ReaderState::Bare(false) }
            }
            ReaderState::Between | ReaderState::Bare(_) => ReaderState::Bare(c == '$'),
            ReaderState::Quoted(_) | ReaderState::Comment => place,
        };
    }
    Ok((out, placed))
}

/// The form of a value at a place, and the place after it.
fn put(value: &str, place: ReaderState, whole: bool) -> Result<(String, ReaderState), &'static str> {
    const PART: &str =
        "it is a part of a word and has characters that need quotes: put the whole word in quotes in the template";
    const REFUSED: &str = "it has a character that cannot be quoted (a dollar sign or a zero), or is too long";
    let plain = value.chars().all(|c| c.is_alphanumeric() || "-._~/:[]@%+,=&".contains(c));
    match place {
        ReaderState::Between if whole => {
            let token = Token::constant(value).ok_or(REFUSED)?;
            let text = if plain && !value.is_empty() { value } else { token.as_str() };
            Ok((text.to_owned(), ReaderState::Between))
        }
        _ if value.len() > LONGEST_PART => Err(REFUSED),
        ReaderState::Between | ReaderState::Bare(_) if !plain => Err(PART),
        // After a `$` it would be the name of a variable.
        ReaderState::Bare(true) => Err(PART),
        ReaderState::Between if value.is_empty() => Ok((String::new(), ReaderState::Between)),
        ReaderState::Between | ReaderState::Bare(_) => Ok((value.to_owned(), ReaderState::Bare(false))),
        ReaderState::Quoted(_) => {
            let token = Token::constant(value).ok_or(REFUSED)?;
            let inner = &token.as_str()[1..token.as_str().len() - 1];
            // nginx knows this escape in both kinds of quotes.
            Ok((inner.replace('\'', "\\'"), place))
        }
        ReaderState::Closed => Err("it follows quotes directly"),
        ReaderState::Comment => Err("values have no place in comments"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(text: &str, value: &str) -> Result<String, &'static str> {
        let text = text.replace('@', &format!("{MARK}0{MARK}"));
        splice(&text, &[value.to_owned()]).map(|(text, _)| text).map_err(|misplaced| misplaced.why)
    }

    #[test]
    fn value_stays_inside_its_token() {
        for (text, value, expected) in [
            ("location @ {", "/a", Some("location /a {")),
            ("location @ {", "/a b;{}\"", Some("location \"/a b;{}\\\"\" {")),
            ("x @;", "", Some("x \"\";")),
            ("x http://@:80/;", "10.0.0.1", Some("x http://10.0.0.1:80/;")),
            ("x @:80;", "[fd00::1]", Some("x [fd00::1]:80;")),
            ("x http://@/;", "a;b", None),
            ("x http://@/;", "a\"", None),
            ("x @y;", "a b", None),
            ("x @@;", "a b", None),
            ("x \"@\";", "a\" \\;'", Some("x \"a\\\" \\\\;\\'\";")),
            ("x '@';", "a' \n", Some("x 'a\\' \\n';")),
            ("x @;", "$host", None),
            ("x \"@\";", "$host", None),
            ("x $@;", "host", None),
            ("x a\\\"@;", "b;c", None),
            ("x ${a}@;", "b", Some("x ${a}b;")),
            ("if ($a = \"@\") {", "b)", Some("if ($a = \"b)\") {")),
            ("if ($a = @) {", "b)", None),
            ("# @\n", "a", None),
            ("# don't\nx @;", "a b", Some("# don't\nx \"a b\";")),
            ("x \"a\\\"\" @;", "c;", Some("x \"a\\\"\" \"c;\";")),
            ("x \"a\"@;", "c;", None),
            ("x \"\\@\";", "\" c;", None),
            ("x \\@;", "c", None),
        ] {
            let found = spliced(text, value);
            assert_eq!(found.as_deref().ok(), expected, "{text} {value:?} {found:?}");
        }
        assert!(splice(&format!("{MARK}9{MARK}"), &[]).is_err());
    }

    #[test]
    fn misplaced_value_or_template_is_blamed() {
        for (text, value, by_value) in [
            ("x @;", "$a", true),
            ("x \"@\";", "$a", true),
            ("x a@;", "b c", true),
            ("# @\n", "$a", false),
            ("x \"a\"@;", "$a", false),
            ("x $@;", "$a", false),
            ("x \\@;", "$a", false),
        ] {
            let text = text.replace('@', &format!("{MARK}0{MARK}"));
            let misplaced = splice(&text, &[value.to_owned()]).unwrap_err();
            assert_eq!(misplaced.by_value, by_value, "{text}");
        }
        assert!(splice(&format!("{MARK}{MARK}"), &[]).unwrap_err().by_value);
        assert!(!splice(&format!("{MARK}9{MARK}"), &[]).unwrap_err().by_value);
    }

    #[test]
    fn lines_of_a_block_belong_to_the_value_that_opens_it() {
        for (text, last_line) in [
            ("x @;\ny {\n}\n", 1),
            ("x @ {\n  y;\n}\nz {\n}\n", 3),
            ("x \"@\"{\n  y { a b; }\n  \"}\" '}' c} # }\n;\n}\n}\n", 5),
            ("s {\nx @ {\n}\n}\n", 3),
            ("s {\nx @;\n}\n", 2),
            ("x ${a}@ {\n}\n", 2),
            ("x @ {\n  y;\n", 1),
        ] {
            let marked = text.replace('@', &format!("{MARK}0{MARK}"));
            let (_, placed) = splice(&marked, &["v".to_owned()]).unwrap();
            assert_eq!(placed.iter().map(|value| value.last_line).collect::<Vec<_>>(), [last_line], "{text}");
        }
    }
}
