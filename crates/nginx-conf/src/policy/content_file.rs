//! Files that directives of policies name: each is called after its content, so that what is the same is there once.

use std::collections::BTreeMap;

use entry_model::ObjectRef;
use sha2::{Digest, Sha256};

use crate::revision::LineOrigin;
use crate::token::Text;

/// A file that a directive names.
#[derive(Debug, Clone, Copy)]
pub struct ContentFile<'a> {
    /// What its path begins with, such as `revoked/`.
    start: &'static str,
    /// What its path ends with.
    end: &'static str,
    content: &'a [u8],
}

impl<'a> ContentFile<'a> {
    /// Names and hashes of passwords, as `auth_basic_user_file` reads them.
    pub fn passwords(content: &'a str) -> Self {
        Self { start: "passwords/", end: "", content: content.as_bytes() }
    }

    /// The authorities of clients' certificates.
    pub fn authorities(content: &'a str) -> Self {
        Self { start: "authorities/", end: ".pem", content: content.as_bytes() }
    }

    /// The certificates that such authorities have revoked.
    pub fn revoked(content: &'a str) -> Self {
        Self { start: "revoked/", end: ".pem", content: content.as_bytes() }
    }

    /// What a backend is verified by, or shown: certificates, and maybe a key.
    pub fn of_backend(content: &'a [u8]) -> Self {
        Self { start: "certs/backend-", end: ".pem", content }
    }

    /// Adds its path to a directive.
    pub fn path(self, text: Text) -> Text {
        text.own(self.start).plain_of(&self.digest(), '_').own(self.end)
    }

    /// Adds it to the files, and says whose it is.
    pub fn add(self, object: Option<&ObjectRef>, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
        let path = [self.start, &self.digest(), self.end].concat();
        if files.insert(path.clone(), self.content.to_vec()).is_some() {
            return;
        }
        if let Some(object) = object {
            let lines = self.content.split(|byte| *byte == b'\n').count();
            let last_line = u32::try_from(lines).unwrap_or(u32::MAX);
            origins.push(LineOrigin { file: path.into(), first_line: 1, last_line, object: object.clone() });
        }
    }

    fn digest(self) -> String {
        format!("{:x}", Sha256::digest(self.content))
    }
}
