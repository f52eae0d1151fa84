//! TLS with clients: certificates, a file each with the chain and the key, and how it is spoken.

use std::collections::BTreeMap;
use std::time::Duration;

use entry_model::{Certificate, CertificateId, Host, Routes, Scheme};
use sha2::{Digest, Sha256};

use crate::token::{self, Plain, Text, Token, size};
use crate::writer::{Directive, directive};
use crate::{LineOrigin, Settings, listen};

/// The certificates that hosts name.
#[derive(Debug, Default)]
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

/// Versions of TLS that clients may speak. Older ones than 1.2 are broken (RFC 8996).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// How TLS is spoken with clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The versions.
    pub versions: TlsVersions,
    /// The ciphers of TLS 1.2, in the words of OpenSSL; those of Mozilla's intermediate configuration without it.
    pub ciphers: Option<String>,
    /// The curves, in the words of OpenSSL; those of the library without it.
    pub curves: Option<String>,
    /// The memory for sessions, in bytes; none are kept if 0.
    pub session_bytes: u64,
    /// How long a session can be taken up again.
    pub session_timeout: Duration,
    /// Whether clients keep sessions themselves, encrypted; as nginx has it, which is yes, without it.
    pub session_tickets: Option<bool>,
    /// How much is encrypted at once, in bytes; as nginx has it without it.
    pub record_bytes: Option<u64>,
}

/// The memory for sessions, if nothing else is set, in bytes.
const SESSION_BYTES: u64 = 10 << 20;

/// The ciphers of Mozilla's intermediate configuration.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                       ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            versions: TlsVersions::Both,
            ciphers: None,
            curves: None,
            session_bytes: SESSION_BYTES,
            session_timeout: Duration::from_hours(1),
            session_tickets: None,
            record_bytes: None,
        }
    }
}

impl TlsSettings {
    /// Whether a text is a list of ciphers or curves, of signs that OpenSSL has in such; whether it knows each, only nginx can say.
    pub fn is_list(text: &str) -> bool {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:+!@=.".contains(&byte);
        (1..=2000).contains(&text.len()) && text.bytes().all(legal)
    }

    /// What is at the level of `http`.
    pub(crate) fn directives(&self) -> Vec<Directive<'static>> {
        let versions: &[&'static str] = match self.versions {
            TlsVersions::Both => &["TLSv1.2", "TLSv1.3"],
            TlsVersions::Only12 => &["TLSv1.2"],
            TlsVersions::Only13 => &["TLSv1.3"],
        };
        let protocols = versions.iter().fold(directive("ssl_protocols"), |line, version| line.words([*version]));
        let list = |text: &Option<String>| {
            let text = text.as_deref().filter(|text| Self::is_list(text))?;
            Text::default().constant(text)?.token()
        };
        let mut all = vec![
            protocols,
            directive("ssl_ciphers").token(list(&self.ciphers).unwrap_or(Token::word(CIPHERS))),
            directive("ssl_prefer_server_ciphers").words(["off"]),
            directive("ssl_session_cache").token(self.session_cache()),
            directive("ssl_session_timeout").token(hours(self.session_timeout)),
        ];
        all.extend(list(&self.curves).map(|curves| directive("ssl_ecdh_curve").token(curves)));
        let switch = |on: bool| if on { ["on"] } else { ["off"] };
        all.extend(self.session_tickets.map(|on| directive("ssl_session_tickets").words(switch(on))));
        all.extend(self.record_bytes.map(|bytes| directive("ssl_buffer_size").token(size(bytes))));
        all
    }

    /// A reload that changes the size of a zone fails: one of another size has another name.
    fn session_cache(&self) -> Token {
        match self.session_bytes {
            0 => Token::word("off"),
            SESSION_BYTES => Token::word("shared:sparrow:10m"),
            bytes => {
                let cache = Text::default().own("shared:sparrow_").number(bytes).own(":").number(bytes);
                cache.token().unwrap_or(Token::word("off"))
            }
        }
    }
}

/// A time in hours where these are whole.
fn hours(time: Duration) -> Token {
    if time == Duration::from_hours(1) { Token::word("1h") } else { token::time(time) }
}

/// The file's name. An id that is none is replaced by a digest of it.
fn name(id: &CertificateId) -> Plain {
    let CertificateId(text) = id;
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Plain::from(text, '-');
    }
    Plain::from(&format!("id-{:x}", Sha256::digest(text.as_bytes())), '-')
}
