//! Certificates: a file each, with the chain and the key.

use std::collections::BTreeMap;

use entry_model::{Certificate, CertificateId, Host, Routes, Scheme};
use sha2::{Digest, Sha256};

use crate::token::{Plain, Text, Token};
use crate::writer::{Directive, directive};
use crate::{LineOrigin, Settings, listen};

/// The certificates that hosts name.
#[derive(Debug)]
pub struct Certificates<'a> {
    by_id: BTreeMap<&'a CertificateId, (Plain, &'a Certificate)>,
}

impl<'a> Certificates<'a> {
    /// Those of the routes; none if there is no HTTPS.
    pub fn of(routes: &'a Routes, settings: &Settings) -> Self {
        let wanted = routes.hosts.values().filter_map(|host| host.certificate.as_ref());
        let found = wanted.filter_map(|id| Some((id, (name(id), &**routes.certificates.get(id)?))));
        Self { by_id: if has_https(routes, settings) { found.collect() } else { BTreeMap::new() } }
    }

    /// The token of the file of a host's certificate.
    pub fn file(&self, host: &Host) -> Option<Token> {
        let (name, _) = self.by_id.get(host.certificate.as_ref()?)?;
        Text::default().own("certs/").plain(name).own(".pem").token()
    }

    /// Adds the files, and whose they are.
    pub fn write(&self, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
        for (name, certificate) in self.by_id.values() {
            let file = format!("certs/{}.pem", name.as_str());
            let mut content = certificate.chain.clone();
            if !content.ends_with(b"\n") {
                content.push(b'\n');
            }
            content.extend(&certificate.key);
            let lines = content.split(|byte| *byte == b'\n').count();
            let last_line = u32::try_from(lines).unwrap_or(u32::MAX);
            origins.push(LineOrigin {
                file: file.clone().into(),
                first_line: 1,
                last_line,
                object: certificate.origin.clone(),
            });
            files.insert(file, content);
        }
    }
}

/// Whether HTTPS is served at all.
pub fn has_https(routes: &Routes, settings: &Settings) -> bool {
    settings.modules.ssl && listen::sockets(routes, Scheme::Https).next().is_some()
}

/// What is at the level of `http`. The ciphers are those of Mozilla's intermediate configuration.
pub fn http() -> Vec<Directive<'static>> {
    vec![
        directive("ssl_protocols").words(["TLSv1.2", "TLSv1.3"]),
        directive("ssl_ciphers")
            .words(["ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
             ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"]),
        directive("ssl_prefer_server_ciphers").words(["off"]),
        // The size never changes: a reload that changes a zone fails.
        directive("ssl_session_cache").words(["shared:sparrow:10m"]),
        directive("ssl_session_timeout").words(["1h"]),
    ]
}

/// The file's name. An id that is none is replaced by a digest of it.
fn name(id: &CertificateId) -> Plain {
    let CertificateId(text) = id;
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Plain::from(text, '-');
    }
    Plain::from(&format!("id-{:x}", Sha256::digest(text.as_bytes())), '-')
}
