//! Directives are values; one writer prints them and knows which lines are whose.

use std::borrow::Cow;

use entry_model::ObjectRef;

use crate::revision::LineOrigin;
use crate::token::{Pattern, Text, Token};

/// A directive: its name, its arguments, and its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive<'a> {
    name: Token,
    arguments: Cow<'static, [Token]>,
    block: Option<Cow<'static, [Directive<'static>]>>,
    origin: Option<&'a ObjectRef>,
}

/// A directive without arguments and without block.
pub const fn directive(name: &'static str) -> Directive<'static> {
    entry(Token::word(name))
}

/// The same, of a block whose directives are values, such as those of a `map`.
pub const fn entry(name: Token) -> Directive<'static> {
    Directive { name, arguments: Cow::Borrowed(&[]), block: None, origin: None }
}

/// A directive that is the same every time, and so costs nothing to make.
pub const fn constant(name: &'static str, arguments: &'static [Token]) -> Directive<'static> {
    Directive { name: Token::word(name), arguments: Cow::Borrowed(arguments), block: None, origin: None }
}

/// The same with a block.
pub const fn constant_block(
    name: &'static str,
    arguments: &'static [Token],
    block: &'static [Directive<'static>],
) -> Directive<'static> {
    let (arguments, block) = (Cow::Borrowed(arguments), Some(Cow::Borrowed(block)));
    Directive { name: Token::word(name), arguments, block, origin: None }
}

impl<'a> Directive<'a> {
    /// Adds words of this program as arguments.
    pub fn words<const N: usize>(mut self, words: [&'static str; N]) -> Self {
        self.arguments().extend(words.map(Token::word));
        self
    }

    /// Adds an argument.
    pub fn token(mut self, token: Token) -> Self {
        self.arguments().push(token);
        self
    }

    fn arguments(&mut self) -> &mut Vec<Token> {
        if self.arguments.is_empty() {
            // Most have no more.
            self.arguments = Cow::Owned(Vec::with_capacity(4));
        }
        self.arguments.to_mut()
    }

    /// Gives it a block.
    pub fn block(mut self, block: impl Into<Cow<'static, [Directive<'static>]>>) -> Self {
        self.block = Some(block.into());
        self
    }

    /// Says whose it is.
    pub fn origin(self, origin: Option<&'a ObjectRef>) -> Self {
        Self { origin, ..self }
    }
}

/// Prints directives into one file.
#[derive(Debug)]
pub struct Writer<'a> {
    file: &'static str,
    out: String,
    lines: u32,
    /// The blocks that are open: where they began, and whose they are.
    open: Vec<(u32, Option<&'a ObjectRef>)>,
    origins: Vec<LineOrigin>,
}

impl<'a> Writer<'a> {
    /// A writer of this file, with room for so many bytes.
    pub fn new(file: &'static str, size: usize) -> Self {
        Self { file, out: String::with_capacity(size), lines: 0, open: Vec::new(), origins: Vec::new() }
    }

    /// Prints a directive at the end of the file.
    pub fn write(&mut self, directive: &Directive<'a>) {
        let first_line = self.lines + 1;
        self.print(directive, self.open.len());
        if let Some(object) = directive.origin {
            self.own(first_line, object);
        }
    }

    /// Opens a block, whose directives are written one by one: those of a large one are never all in memory.
    pub fn open(&mut self, directive: &Directive<'a>) {
        let first_line = self.lines + 1;
        self.words(directive, self.open.len());
        self.end_line(" {");
        self.open.push((first_line, directive.origin));
    }

    /// Closes it.
    pub fn close(&mut self) {
        if let Some((first_line, origin)) = self.open.pop() {
            self.indent(self.open.len());
            self.end_line("}");
            if let Some(object) = origin {
                self.own(first_line, object);
            }
        }
    }

    /// Begins a directive that is written word by word, for which nothing is set aside. [`Line::end`] or [`Line::open`] ends
    /// it.
    pub fn line(&mut self, name: &'static str) -> Line<'_, 'a> {
        self.indent(self.open.len());
        self.out.push_str(name);
        Line { writer: self, whole: true }
    }

    /// Where it stands.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.out.len(), lines: self.lines, open: self.open.len(), origins: self.origins.len() }
    }

    /// Takes back what was written since.
    pub fn take_back(&mut self, mark: &Mark) {
        self.out.truncate(mark.bytes);
        self.lines = mark.lines;
        self.open.truncate(mark.open);
        self.origins.truncate(mark.origins);
    }

    /// The text, and whose lines are whose.
    pub fn finish(mut self) -> (String, Vec<LineOrigin>) {
        // They are kept for as long as the text is live.
        self.origins.shrink_to_fit();
        (self.out, self.origins)
    }

    fn print(&mut self, directive: &Directive<'_>, depth: usize) {
        self.words(directive, depth);
        match &directive.block {
            None => self.end_line(";"),
            Some(block) => {
                self.end_line(" {");
                for directive in block.iter() {
                    self.print(directive, depth + 1);
                }
                self.indent(depth);
                self.end_line("}");
            }
        }
    }

    fn words(&mut self, directive: &Directive<'_>, depth: usize) {
        self.indent(depth);
        self.out.push_str(directive.name.as_str());
        for argument in directive.arguments.iter() {
            self.out.push(' ');
            self.out.push_str(argument.as_str());
        }
    }

    /// Lines of one object after each other are one piece.
    fn own(&mut self, first_line: u32, object: &ObjectRef) {
        match self.origins.last_mut() {
            Some(last) if last.last_line + 1 == first_line && last.object == *object => last.last_line = self.lines,
            _ => self.origins.push(LineOrigin {
                file: self.file.into(),
                first_line,
                last_line: self.lines,
                object: object.clone(),
            }),
        }
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

/// A place in a file.
#[derive(Debug)]
pub struct Mark {
    bytes: usize,
    lines: u32,
    open: usize,
    origins: usize,
}

/// A directive in the making, at the end of a file.
#[derive(Debug)]
#[must_use]
pub struct Line<'w, 'a> {
    writer: &'w mut Writer<'a>,
    /// Whether nginx can read each of its words.
    whole: bool,
}

impl<'a> Line<'_, 'a> {
    /// Adds words of this program.
    pub fn words<const N: usize>(self, words: [&'static str; N]) -> Self {
        for word in words {
            self.writer.out.push(' ');
            self.writer.out.push_str(word);
        }
        self
    }

    /// Adds a token.
    pub fn token(self, token: &Token) -> Self {
        self.writer.out.push(' ');
        self.writer.out.push_str(token.as_str());
        self
    }

    /// Adds a token of several parts.
    pub fn text(self, parts: impl FnOnce(Text) -> Text) -> Self {
        self.quoted(|out| parts(Text::after(out)).close())
    }

    /// Adds a regular expression.
    pub fn pattern(self, parts: impl FnOnce(Pattern) -> Pattern) -> Self {
        self.quoted(|out| parts(Pattern::after(out)).close())
    }

    fn quoted(mut self, add: impl FnOnce(String) -> (String, bool)) -> Self {
        self.writer.out.push(' ');
        let (out, whole) = add(std::mem::take(&mut self.writer.out));
        self.writer.out = out;
        self.whole &= whole;
        self
    }

    /// Ends it; `None` if nginx could not read it.
    pub fn end(self) -> Option<()> {
        self.writer.end_line(";");
        self.whole.then_some(())
    }

    /// Opens its block, which [`Writer::close`] closes; `None` if nginx could not read it.
    pub fn open(self, origin: Option<&'a ObjectRef>) -> Option<()> {
        self.writer.end_line(" {");
        let first_line = self.writer.lines;
        self.writer.open.push((first_line, origin));
        self.whole.then_some(())
    }
}

/// A `map`.
pub fn map(source: &'static str, name: &'static str, cases: Vec<Directive<'static>>) -> Directive<'static> {
    directive("map").words([source, name]).block(cases)
}

/// What a `map` makes of a value.
pub fn case(value: &'static str, result: &'static str) -> Directive<'static> {
    entry(Token::word(value)).words([result])
}
