//! Compression of answers with Brotli, by a module that is none of nginx's own.

use std::path::Path;

use crate::gzip::{COMPRESSED_TYPES, types_directive};
use crate::token::{Token, path_token, size};
use crate::writer::{Directive, directive};

/// How answers are compressed with Brotli.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brotli {
    /// From 0, fast, to 11, small.
    pub level: u8,
    /// Shorter bodies, by their `Content-Length` in bytes, are sent as they are.
    pub min_bytes: u64,
    /// The media types that are compressed, beside `text/html`, which always is.
    pub types: Vec<String>,
}

impl Default for Brotli {
    /// As ingress-nginx has it.
    fn default() -> Self {
        let types = COMPRESSED_TYPES.into_iter().chain(["application/xml+rss"]);
        Self { level: 4, min_bytes: 20, types: types.map(str::to_owned).collect() }
    }
}

impl Brotli {
    /// What is at the level of `http`.
    pub(crate) fn directives(&self) -> Vec<Directive<'static>> {
        let mut all = vec![
            directive("brotli").words(["on"]),
            directive("brotli_comp_level").token(Token::number(self.level.min(11))),
            directive("brotli_min_length").token(size(self.min_bytes)),
        ];
        all.extend(types_directive("brotli_types", &self.types));
        all
    }
}

/// Loads the module from its file.
pub(crate) fn load_module(file: &Path) -> Option<Directive<'static>> {
    Some(directive("load_module").token(path_token(file)?))
}
