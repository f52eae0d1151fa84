//! A generation: the files of one state of the routes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use entry_model::{ObjectRef, Routes};
use sha2::{Digest, Sha256};

use crate::Settings;
use crate::http;
use crate::inexpressible;
use crate::server::Servers;
use crate::tls::Certificates;
use crate::upstream::Upstreams;
use crate::writer::Writer;

/// The file that nginx is started with.
pub(crate) const MAIN: &str = "nginx.conf";

/// How bad it is when nginx does not go on.
const LEVELS: [&str; 3] = ["[emerg]", "[alert]", "[crit]"];

/// Stands where the hash of the generation is told, until it is known.
pub(crate) const HASH_PLACE: &str = "????????????????????????????????";

/// The files of one state of the routes. The same routes and settings give the same.
#[derive(Clone, PartialEq, Eq)]
pub struct Generation {
    /// 32 lower-case hexadecimal digits: of the SHA-256 of all files, in which the place where this is told is blank.
    pub hash: String,
    /// Contents by path. Paths are relative, and so are those in the files; `nginx.conf` is the entry. Files below `certs/`
    /// hold private keys.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whose lines are whose.
    pub origins: Vec<Origin>,
    /// What could not be written, and why.
    pub notes: Vec<Note>,
}

impl fmt::Debug for Generation {
    /// Names the files and shows none: private keys are in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Generation").field("hash", &self.hash).field("files", &files).finish_non_exhaustive()
    }
}

/// Lines that are there because of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Cow<'static, str>,
    /// The first line, counted from 1.
    pub first_line: u32,
    /// The last.
    pub last_line: u32,
    /// The object.
    pub object: ObjectRef,
}

/// Something of an object that could not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The object.
    pub object: ObjectRef,
    /// What is wrong and what becomes of it, in a sentence.
    pub message: String,
}

/// Writes the routes as a configuration.
pub fn render(routes: &Routes, settings: &Settings) -> Generation {
    let mut notes = inexpressible::notes(routes);
    let upstreams = Upstreams::of(routes, settings, &mut notes);
    let certificates = Certificates::of(routes, settings);
    let size = 8192 + 1024 * routes.rules().count() + 512 * routes.hosts.len();
    let mut writer = Writer::new(MAIN, size);
    let servers = Servers { routes, settings, upstreams: &upstreams, certificates: &certificates };
    http::write(&mut writer, &servers, &mut notes);
    let (text, mut origins) = writer.finish();
    let mut files = BTreeMap::from([(MAIN.to_owned(), text.into_bytes())]);
    certificates.write(&mut files, &mut origins);
    finish(files, origins, notes)
}

/// Names the generation and tells the name in its main file.
pub(crate) fn finish(mut files: BTreeMap<String, Vec<u8>>, origins: Vec<Origin>, notes: Vec<Note>) -> Generation {
    let mut hasher = Sha256::new();
    for (path, content) in &files {
        // Lengths keep a path and a content apart.
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    let hash: String = hasher.finalize()[..16].iter().fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    });
    if let Some(main) = files.get_mut(MAIN)
        // It is near the beginning, before anything from an object.
        && let Some(at) = main.windows(HASH_PLACE.len()).position(|window| window == HASH_PLACE.as_bytes())
    {
        main[at..at + HASH_PLACE.len()].copy_from_slice(hash.as_bytes());
    }
    Generation { hash, files, origins, notes }
}

/// The object that an error of nginx is about, if it names a line or a certificate that is there because of one. The text is
/// what `nginx -t` printed.
pub fn origin_of(origins: &[Origin], error: &str) -> Option<ObjectRef> {
    failures(error).find_map(|line| certificate(origins, line).or_else(|| line_of(origins, line)))
}

/// The lines in which nginx says what failed.
fn failures(error: &str) -> impl Iterator<Item = &str> {
    error.lines().filter(|line| LEVELS.iter().any(|level| line.contains(level)))
}

/// Why nginx refused, as it is told to others: its first complaint without time, process, and the directories of this machine.
pub fn reason_of(error: &str) -> String {
    // What ended it before it could complain says so in its own way.
    let any = || error.lines().find(|line| !line.trim().is_empty());
    let line = failures(error).next().or_else(any).unwrap_or_default().trim();
    let after = |level: &&str| line.split_once(*level).map(|(_, rest)| rest.trim_start());
    let mut said = LEVELS.iter().find_map(after).unwrap_or(line);
    // `123#123: `
    if let Some((process, rest)) = said.split_once(": ")
        && process.contains('#')
        && process.bytes().all(|b| b.is_ascii_digit() || b == b'#')
    {
        said = rest;
    }
    let mut said = match said.rsplit_once(" in /") {
        Some((what, place)) => format!("{what} in {}", place.rsplit('/').next().unwrap_or(place)),
        None => said.to_owned(),
    };
    if let Some(at) = said.find("/certs/")
        && let Some(begin) = said[..at].rfind('"')
    {
        said.replace_range(begin + 1..=at, "");
    }
    said
}

/// Reads `… in /x/nginx.conf:123`. What comes before may be text of an object, so the last place counts.
fn line_of(origins: &[Origin], error: &str) -> Option<ObjectRef> {
    let (_, place) = error.trim_end().rsplit_once(" in ")?;
    let (path, line) = place.rsplit_once(':')?;
    let line: u32 = line.parse().ok()?;
    let name = path.rsplit('/').next()?;
    origins
        .iter()
        .filter(|origin| origin.file == name && (origin.first_line..=origin.last_line).contains(&line))
        // Blocks nest: the innermost one is to blame.
        .min_by_key(|origin| origin.last_line - origin.first_line)
        .map(|origin| origin.object.clone())
}

/// Reads `cannot load certificate "/x/certs/ID.pem": …` and its like.
fn certificate(origins: &[Origin], error: &str) -> Option<ObjectRef> {
    let (_, rest) = error.split_once("/certs/")?;
    let (id, _) = rest.split_once(".pem")?;
    let file = format!("certs/{id}.pem");
    origins.iter().find(|origin| origin.file == file).map(|origin| origin.object.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entry_model::{Key, Kind};

    fn object(name: &str) -> ObjectRef {
        ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: name.to_owned() })
    }

    #[test]
    fn the_reason_is_told_without_time_process_and_directories() {
        for (error, expected) in [
            (
                "2026/11/23 08:00:00 [warn] 7#7: y in /v/nginx.conf:2\n2026/11/23 08:00:00 [emerg] 71#71: invalid return code \
                 \"8081\" in /var/lib/sparrow-entry/generations/ab12/nginx.conf:31\nnginx: configuration file /v test failed",
                "invalid return code \"8081\" in nginx.conf:31",
            ),
            (
                "nginx: [emerg] cannot load certificate \"/v/generations/1/certs/ab12.pem\": PEM_read_bio_X509() failed (SSL: \
                 error:0480006C:PEM routines::no start line)",
                "cannot load certificate \"certs/ab12.pem\": PEM_read_bio_X509() failed (SSL: error:0480006C:PEM \
                 routines::no start line)",
            ),
            ("nginx: [emerg] a: b in /v/nginx.conf:3", "a: b in nginx.conf:3"),
            ("it did not answer", "it did not answer"),
            ("\nnginx: error while loading shared libraries\nand more", "nginx: error while loading shared libraries"),
            ("", ""),
        ] {
            assert_eq!(reason_of(error), expected);
        }
    }

    #[test]
    fn an_error_of_nginx_leads_to_the_object() {
        let origin = |file: &str, first_line, last_line, name| Origin {
            file: file.to_owned().into(),
            first_line,
            last_line,
            object: object(name),
        };
        let origins = [
            origin(MAIN, 10, 30, "outer"),
            origin(MAIN, 12, 14, "inner"),
            origin("certs/ab12.pem", 1, 9, "certificate"),
        ];
        for (error, expected) in [
            ("nginx: [emerg] unknown directive \"x\" in /v/generations/1/nginx.conf:13", Some("inner")),
            (
                "nginx: [emerg] x in /v/nginx.conf:20\nnginx: configuration file /v/nginx.conf test failed\n",
                Some("outer"),
            ),
            ("nginx: [warn] x in /v/nginx.conf:13\nnginx: [emerg] y in /v/nginx.conf:30", Some("outer")),
            // A text of an object that looks like a place.
            ("nginx: [emerg] bad \"a in /v/nginx.conf:13\" in /v/nginx.conf:20", Some("outer")),
            (
                "nginx: [emerg] cannot load certificate \"/v/certs/ab12.pem\": PEM_read_bio_X509() failed",
                Some("certificate"),
            ),
            ("nginx: [emerg] cannot load certificate key \"/v/certs/ab12.pem\": no start line", Some("certificate")),
            ("nginx: [emerg] x in /v/nginx.conf:9", None),
            ("nginx: [emerg] x in /v/other.conf:13", None),
            ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", None),
            ("", None),
        ] {
            assert_eq!(origin_of(&origins, error), expected.map(object), "{error}");
        }
    }
}
