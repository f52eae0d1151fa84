//! Reads a configuration as nginx does, to judge what was written. For tests and fuzzing: it shares nothing with what writes.
//!
//! Source: `ngx_conf_read_token` of nginx's `src/core/ngx_conf_file.c`.

use thiserror::Error;

/// nginx's buffer: a token and what surrounds it must fit.
const BUFFER: usize = 4096;

/// A directive as nginx sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name and arguments, without quotes.
    pub words: Vec<String>,
    /// Its block.
    pub block: Option<Vec<Statement>>,
    /// The line on which it ends, or its block begins.
    pub line: u32,
}

/// What nginx would refuse.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct LexError {
    /// The line.
    pub line: u32,
    /// What is wrong.
    pub what: &'static str,
}

/// Reads a file. A comment is an error here: nothing writes one.
///
/// # Errors
///
/// What nginx would refuse, and comments.
pub fn lex(text: &str) -> Result<Vec<Statement>, LexError> {
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1 };
    let all = lexer.statements(0)?;
    Ok(all)
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: u32,
}

enum End {
    Word,
    Semicolon,
    Open,
    Close,
    File,
}

impl Lexer<'_> {
    fn error<T>(&self, what: &'static str) -> Result<T, LexError> {
        Err(LexError { line: self.line, what })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += u32::from(c == Some('\n'));
        c
    }

    fn statements(&mut self, depth: u32) -> Result<Vec<Statement>, LexError> {
        let mut all = Vec::new();
        let mut words = Vec::new();
        loop {
            let (word, end) = self.word()?;
            words.extend(word);
            match end {
                End::Word => {}
                End::Semicolon | End::Open if words.is_empty() => return self.error("no directive"),
                End::Semicolon => {
                    all.push(Statement { words: std::mem::take(&mut words), block: None, line: self.line });
                }
                End::Open if depth > 10 => return self.error("too deep"),
                End::Open => {
                    let line = self.line;
                    let block = Some(self.statements(depth + 1)?);
                    all.push(Statement { words: std::mem::take(&mut words), block, line });
                }
                End::Close | End::File if !words.is_empty() => return self.error("a directive without end"),
                End::Close if depth == 0 => return self.error("a } too many"),
                End::File if depth > 0 => return self.error("a } is missing"),
                End::Close | End::File => return Ok(all),
            }
        }
    }

    /// A word, if there is one, and what came after it.
    fn word(&mut self) -> Result<(Option<String>, End), LexError> {
        while self.rest.peek().is_some_and(|c| " \t\r\n".contains(*c)) {
            self.next();
        }
        match self.rest.peek() {
            None => return Ok((None, End::File)),
            Some(';') => return Ok((None, self.take(End::Semicolon))),
            Some('{') => return Ok((None, self.take(End::Open))),
            Some('}') => return Ok((None, self.take(End::Close))),
            Some('#') => return self.error("a comment"),
            Some(quote @ ('"' | '\'')) => {
                let quote = *quote;
                self.next();
                return self.quoted(quote);
            }
            Some(_) => {}
        }
        let (mut word, mut variable, mut length) = (String::new(), false, 0);
        loop {
            let c = self.rest.peek().copied();
            match c {
                None => return self.error("the file ends in a word"),
                Some('{') if variable => {}
                Some('{') => return Ok((Some(word), self.take(End::Open))),
                Some(';') => return Ok((Some(word), self.take(End::Semicolon))),
                Some(' ' | '\t' | '\r' | '\n') => return Ok((Some(word), End::Word)),
                Some('\\') => {
                    self.next();
                    self.escape(&mut word)?;
                    variable = false;
                    continue;
                }
                Some(_) => {}
            }
            variable = c == Some('$');
            word.extend(self.next());
            length += c.map_or(0, char::len_utf8);
            if length >= BUFFER {
                return self.error("too long");
            }
        }
    }

    fn take(&mut self, end: End) -> End {
        self.next();
        end
    }

    fn quoted(&mut self, quote: char) -> Result<(Option<String>, End), LexError> {
        let mut word = String::new();
        loop {
            match self.next() {
                None => return self.error("the file ends in quotes"),
                Some('\\') => self.escape(&mut word)?,
                Some(c) if c == quote => break,
                Some(c) => word.push(c),
            }
            if word.len() >= BUFFER - 2 {
                return self.error("too long");
            }
        }
        match self.rest.peek() {
            Some(';') => Ok((Some(word), self.take(End::Semicolon))),
            Some('{') => Ok((Some(word), self.take(End::Open))),
            Some(' ' | '\t' | '\r' | '\n' | ')') => Ok((Some(word), End::Word)),
            _ => self.error("something right after quotes"),
        }
    }

    fn escape(&mut self, word: &mut String) -> Result<(), LexError> {
        match self.next() {
            None => self.error("the file ends in an escape"),
            Some(c @ ('"' | '\'' | '\\')) => {
                word.push(c);
                Ok(())
            }
            Some('t') => {
                word.push('\t');
                Ok(())
            }
            Some('r') => {
                word.push('\r');
                Ok(())
            }
            Some('n') => {
                word.push('\n');
                Ok(())
            }
            Some(c) => {
                word.extend(['\\', c]);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lexer_splits_words_as_nginx_does() {
        let statements = lex("a b\\;c \"d;{}\\\"\\n\\.\" 'e\"';\nif ($x !~ \"y\" ) {\n  z ${q};\n}\n").unwrap();
        assert_eq!(statements[0].words, ["a", "b\\;c", "d;{}\"\n\\.", "e\""]);
        assert_eq!(statements[1].words, ["if", "($x", "!~", "y", ")"]);
        assert_eq!(statements[1].line, 2);
        assert_eq!(statements[1].block.as_ref().unwrap()[0].words, ["z", "${q}"]);
        for bad in [
            "a",
            "a;}",
            "a {",
            "a { b }",
            "{}",
            ";",
            "a \"b",
            "a \"b\"c;",
            "# c\n",
            &format!("a {};", "b".repeat(5000)),
        ] {
            assert!(lex(bad).is_err(), "{bad}");
        }
    }
}
