//! Reads nginx's language into statements, for what is read as data: nothing of it becomes configuration.
//!
//! Source: `ngx_conf_read_token` of nginx's `src/core/ngx_conf_file.c`.

/// Longest text, in bytes.
const LONGEST: usize = 16 << 10;

/// Most statements, those in blocks among them.
const MOST_STATEMENTS: usize = 200;

const UNCLOSED: &str = "a `}` is missing";

/// How deep blocks may be in each other.
const DEEPEST: usize = 3;

/// A directive, its arguments, and its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name.
    pub name: String,
    /// Its arguments, without quotes.
    pub arguments: Vec<String>,
    /// Its block.
    pub block: Option<Vec<Statement>>,
}

/// Reads a text; the error says what is wrong with it.
pub fn read_statements(text: &str) -> Result<Vec<Statement>, &'static str> {
    if text.len() > LONGEST {
        return Err("it is longer than 16 KiB");
    }
    let mut reader = SnippetReader { rest: text, number: 0 };
    let all = reader.statements(0)?;
    Ok(all)
}

struct SnippetReader<'a> {
    rest: &'a str,
    number: usize,
}

/// What ends a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Semicolon,
    Open,
    Close,
    End,
}

/// A word, or what stands between words.
enum Piece {
    Word(String),
    Mark(Mark),
}

impl SnippetReader<'_> {
    fn statements(&mut self, depth: usize) -> Result<Vec<Statement>, &'static str> {
        let (mut all, mut words) = (Vec::new(), Vec::new());
        loop {
            let mark = match self.piece()? {
                Piece::Word(word) => {
                    words.push(word);
                    continue;
                }
                Piece::Mark(mark) => mark,
            };
            let is_lua = matches!(words.as_slice(), [name] if name.ends_with("_by_lua_block"));
            match mark {
                Mark::Open if is_lua => {
                    words.push(self.lua()?);
                    all.push(self.statement(std::mem::take(&mut words), None)?);
                }
                Mark::Semicolon | Mark::Open => {
                    let block = if mark == Mark::Open { Some(self.block(depth)?) } else { None };
                    all.push(self.statement(std::mem::take(&mut words), block)?);
                }
                Mark::Close if depth == 0 => return Err("it has a `}` too many"),
                Mark::End if depth > 0 => return Err(UNCLOSED),
                Mark::Close | Mark::End if words.is_empty() => return Ok(all),
                Mark::Close | Mark::End => return Err("a `;` is missing"),
            }
        }
    }

    fn block(&mut self, depth: usize) -> Result<Vec<Statement>, &'static str> {
        if depth == DEEPEST { Err("its blocks are too deep in each other") } else { self.statements(depth + 1) }
    }

    /// The text of a block of Lua, to the `}` that ends it, which is known by its number: strings of Lua that have one are not looked into.
    fn lua(&mut self) -> Result<String, &'static str> {
        let mut depth = 1;
        for (at, char) in self.rest.char_indices() {
            depth += match char {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            if depth == 0 {
                let code = self.rest[..at].to_owned();
                self.rest = &self.rest[at + 1..];
                return Ok(code);
            }
        }
        Err(UNCLOSED)
    }

    fn statement(&mut self, words: Vec<String>, block: Option<Vec<Statement>>) -> Result<Statement, &'static str> {
        self.number += 1;
        if self.number > MOST_STATEMENTS {
            return Err("it has more than 200 directives");
        }
        let mut words = words.into_iter();
        let name = words.next().ok_or("a `;` or `{` follows no directive")?;
        Ok(Statement { name, arguments: words.collect(), block })
    }

    fn piece(&mut self) -> Result<Piece, &'static str> {
        self.skip_blank();
        let Some(first) = self.rest.chars().next() else { return Ok(Piece::Mark(Mark::End)) };
        let mark = match first {
            ';' => Mark::Semicolon,
            '{' => Mark::Open,
            '}' => Mark::Close,
            '"' | '\'' => return self.quoted(first).map(Piece::Word),
            _ => return Ok(Piece::Word(self.plain())),
        };
        self.rest = &self.rest[1..];
        Ok(Piece::Mark(mark))
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.find('\n').map_or("", |end| &comment[end..]),
                None => return,
            }
        }
    }

    /// A word in quotes, behind which it ends.
    fn quoted(&mut self, quote: char) -> Result<String, &'static str> {
        let mut word = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => escaped(&mut word, chars.next().map(|(_, next)| next)),
                _ if char == quote => {
                    self.rest = &self.rest[at + 1..];
                    let ends = self.rest.starts_with([' ', '\t', '\r', '\n', ';', '{', ')']);
                    return if ends { Ok(word) } else { Err("something follows a `\"` or `'` at once") };
                }
                _ => word.push(char),
            }
        }
        Err("a `\"` or `'` is missing")
    }

    /// A word without quotes: `{` belongs to it behind a `$`.
    fn plain(&mut self) -> String {
        let (mut word, mut last, mut end) = (String::new(), ' ', self.rest.len());
        let mut chars = self.rest.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => escaped(&mut word, chars.next().map(|(_, next)| next)),
                ' ' | '\t' | '\r' | '\n' | ';' => {
                    end = at;
                    break;
                }
                '{' if last != '$' => {
                    end = at;
                    break;
                }
                _ => word.push(char),
            }
            last = char;
        }
        self.rest = &self.rest[end..];
        word
    }
}

/// Adds what a character behind a backslash stands for.
fn escaped(word: &mut String, next: Option<char>) {
    match next {
        Some(quote @ ('"' | '\'' | '\\')) => word.push(quote),
        Some('t') => word.push('\t'),
        Some('r') => word.push('\r'),
        Some('n') => word.push('\n'),
        Some(other) => word.extend(['\\', other]),
        None => word.push('\\'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<String>, &'static str> {
        let all = read_statements(text)?;
        Ok(all.into_iter().map(|one| [vec![one.name], one.arguments].concat().join("|")).collect())
    }

    #[test]
    fn words_are_as_nginx_reads_them() {
        for (text, expected) in [
            ("", vec![]),
            ("# a; b {\n", vec![]),
            ("more_set_headers \"A: b; c\" 'D: \"e\"';\n\n x y;", vec!["more_set_headers|A: b; c|D: \"e\"", "x|y"]),
            ("a b#c;d \\\" ${x}y \"\\n\";", vec!["a|b#c", "d|\"|${x}y|\n"]),
            ("access_by_lua_block { a[\"b\"] = {c} }\nd;", vec!["access_by_lua_block| a[\"b\"] = {c} ", "d"]),
            ("if ($a = \"b\") {\n return 403; # why\n}\nc;", vec!["if|($a|=|b|)", "c"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
        for text in
            ["a_by_lua_block { {}", "a", "a \"b", "a b }", "{", ";", "a {", "a { b }", "a \"b\"c;", "a{b{c{d{e;}}}}"]
        {
            assert!(read_statements(text).is_err(), "{text}");
        }
        assert!(read_statements(&"a;".repeat(201)).is_err() && read_statements(&"a ".repeat(9000)).is_err());
    }

    #[test]
    fn blocks_hold_statements() {
        let all = read_statements("location /x { deny all; return 403; }").unwrap();
        let inner: Vec<_> = all[0].block.iter().flatten().map(|one| one.name.as_str()).collect();
        assert_eq!((all[0].arguments.clone(), inner), (vec!["/x".to_owned()], vec!["deny", "return"]));
    }
}
