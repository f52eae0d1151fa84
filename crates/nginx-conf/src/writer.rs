//! Directives are values; one writer prints them and knows which lines are whose.

use entry_routes::ObjectRef;

use crate::generation::Origin;
use crate::token::Token;

/// A directive: its name, its arguments, and its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    name: Token,
    arguments: Vec<Token>,
    block: Option<Vec<Directive>>,
    origin: Option<ObjectRef>,
}

/// A directive without arguments and without block.
pub fn directive(name: &'static str) -> Directive {
    entry(Token::word(name))
}

/// The same, of a block whose directives are values, such as those of a `map`.
pub fn entry(name: Token) -> Directive {
    Directive { name, arguments: Vec::new(), block: None, origin: None }
}

impl Directive {
    /// Adds words of this program as arguments.
    pub fn words(mut self, words: impl IntoIterator<Item = &'static str>) -> Self {
        self.arguments.extend(words.into_iter().map(Token::word));
        self
    }

    /// Adds an argument.
    pub fn token(mut self, token: Token) -> Self {
        self.arguments.push(token);
        self
    }

    /// Gives it a block.
    pub fn block(mut self, block: Vec<Directive>) -> Self {
        self.block = Some(block);
        self
    }

    /// Says whose it is.
    pub fn origin(mut self, origin: &ObjectRef) -> Self {
        self.origin = Some(origin.clone());
        self
    }
}

/// Prints directives into one file.
#[derive(Debug)]
pub struct Writer {
    file: &'static str,
    out: String,
    lines: u32,
    origins: Vec<Origin>,
}

impl Writer {
    /// A writer of this file.
    pub fn new(file: &'static str) -> Self {
        Self { file, out: String::new(), lines: 0, origins: Vec::new() }
    }

    /// Prints a directive at the end of the file.
    pub fn write(&mut self, directive: &Directive, depth: usize) {
        let first_line = self.lines + 1;
        self.indent(depth);
        self.out.push_str(directive.name.as_str());
        for argument in &directive.arguments {
            self.out.push(' ');
            self.out.push_str(argument.as_str());
        }
        match &directive.block {
            None => self.end_line(";"),
            Some(block) => {
                self.end_line(" {");
                for directive in block {
                    self.write(directive, depth + 1);
                }
                self.indent(depth);
                self.end_line("}");
            }
        }
        if let Some(object) = &directive.origin {
            let (file, last_line) = (self.file.to_owned(), self.lines);
            self.origins.push(Origin { file, first_line, last_line, object: object.clone() });
        }
    }

    /// Opens a block whose directives are written one by one.
    pub fn open(&mut self, name: &'static str) {
        self.out.push_str(name);
        self.end_line(" {");
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.end_line("}");
    }

    /// The text, and whose lines are whose.
    pub fn finish(self) -> (String, Vec<Origin>) {
        (self.out, self.origins)
    }

    fn indent(&mut self, depth: usize) {
        for _ in 0..depth {
            self.out.push_str("    ");
        }
    }

    fn end_line(&mut self, end: &str) {
        self.out.push_str(end);
        self.out.push('\n');
        self.lines += 1;
    }
}
