//! Compression of answers.

use crate::token::{Token, size};
use crate::writer::{Directive, directive};

/// Media types that are worth to be compressed, as ingress-nginx has them.
pub(crate) const COMPRESSED_TYPES: [&str; 17] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-javascript",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/x-component",
];

/// How answers are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gzip {
    /// From 1, fast, to 9, small.
    pub level: u8,
    /// Shorter bodies, by their `Content-Length` in bytes, are sent as they are.
    pub min_bytes: u64,
    /// The media types that are compressed, beside `text/html`, which always is.
    pub types: Vec<String>,
}

impl Default for Gzip {
    /// As ingress-nginx has it.
    fn default() -> Self {
        Self { level: 1, min_bytes: 256, types: COMPRESSED_TYPES.map(str::to_owned).into() }
    }
}

/// Whether a text is a media type, or `*` for all of them.
pub fn is_media_type(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#&^_.+-".contains(&byte);
    let is_part = |part: &str| !part.is_empty() && part.len() <= 64 && part.bytes().all(legal);
    text == "*" || text.split_once('/').is_some_and(|(kind, name)| is_part(kind) && is_part(name))
}

impl Gzip {
    /// What is at the level of `http`.
    pub(crate) fn directives(&self) -> Vec<Directive<'static>> {
        let mut all = vec![
            directive("gzip").words(["on"]),
            directive("gzip_comp_level").token(Token::number(self.level.clamp(1, 9))),
            directive("gzip_min_length").token(size(self.min_bytes)),
            // The client of a proxy in front, which says `Via`, is a client as any other.
            directive("gzip_proxied").words(["any"]),
        ];
        all.extend(types_directive("gzip_types", &self.types));
        all
    }
}

/// A directive that names media types, but for `text/html`, which is always compressed.
pub(crate) fn types_directive(name: &'static str, types: &[String]) -> Option<Directive<'static>> {
    let types = types.iter().filter(|name| is_media_type(name) && !name.eq_ignore_ascii_case("text/html"));
    let types: Vec<Token> = types.filter_map(|name| Token::constant(name)).collect();
    (!types.is_empty()).then(|| types.into_iter().fold(directive(name), Directive::token))
}
