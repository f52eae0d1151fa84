//! The keyring: which file it is, whether it can be read, and whether it holds the entity's key.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ceph::{Settings, Unconnected};

use super::file::{FileState, inspect_file, list, make_readable, tried};
use super::{Finding, Severity, Subject};

/// What was found.
pub struct KeyringCheck {
    /// The finding.
    pub finding: Finding,
    /// The files looked at.
    pub files: Vec<PathBuf>,
    /// Where the key comes from, for sentences.
    pub source: String,
}

/// Looks for the key where librados does: the first file of the `keyring` option that can be opened, else the options `key`
/// and `keyfile`.
pub fn examine(settings: &Settings, configured: &Unconnected) -> KeyringCheck {
    let option = |name: &str| configured.option(name).unwrap_or_default();
    let entity = &settings.entity;
    let methods = option("auth_client_required");
    if !methods.contains("cephx") {
        let detail = format!("None is needed: auth_client_required is {methods:?}.");
        return KeyringCheck {
            finding: Finding::ok(Subject::Keyring, detail),
            files: Vec::new(),
            source: "no key".into(),
        };
    }
    let files = list(&option("keyring"));
    let looks: Vec<(PathBuf, FileState)> = files.iter().map(|path| (path.clone(), inspect_file(path))).collect();
    let origin = if settings.keyring.is_some() {
        "named by --keyring"
    } else {
        "from the option `keyring` of Ceph's configuration or its default; --keyring is not given"
    };
    if let Some((path, look)) = looks.iter().find(|(_, look)| look.ends_search()) {
        let finding = examine_file(entity, path, look);
        return KeyringCheck { finding, files, source: format!("the key in {}", path.display()) };
    }
    if !option("key").is_empty() {
        let detail = format!("The option `key` of Ceph's configuration holds a key for {entity}.");
        return KeyringCheck {
            finding: Finding::ok(Subject::Keyring, detail),
            files,
            source: "the option `key`".into(),
        };
    }
    let keyfile = option("keyfile");
    if !keyfile.is_empty() {
        return key_file(entity, Path::new(&keyfile), files);
    }
    let finding = match looks.as_slice() {
        [(path, look)] => {
            let finding = examine_file(entity, path, look);
            Finding { detail: format!("{} ({origin}).", finding.detail.trim_end_matches('.')), ..finding }
        }
        _ => {
            let unreadable = looks.iter().find(|(_, look)| matches!(look, FileState::Unreadable(_)));
            let correction = match unreadable {
                Some((path, _)) => make_readable(path),
                None => write_keyring_hint(entity, looks.first().map_or(Path::new("FILE"), |(path, _)| path)),
            };
            let detail = format!("No keyring for {entity} can be used: {} ({origin}).", tried(&looks));
            Finding::error(Subject::Keyring, detail, correction)
        }
    };
    KeyringCheck { finding, files, source: String::new() }
}

/// What to say about one file.
pub fn examine_file(entity: &str, path: &Path, look: &FileState) -> Finding {
    let error = |detail: String, correction: String| Finding::error(Subject::Keyring, detail, correction);
    let name = path.display();
    let content = match look {
        FileState::Content(content) => content,
        FileState::Unreadable(_) => return error(format!("The keyring {name} {look}."), make_readable(path)),
        FileState::Directory => {
            let correction =
                format!("Name the file in it with --keyring. {}", write_keyring_hint(entity, &path.join("keyring")));
            return error(format!("The keyring {name} for {entity} {look}."), correction);
        }
        _ => return error(format!("The keyring {name} for {entity} {look}."), write_keyring_hint(entity, path)),
    };
    match parse(content) {
        Err(fault) => error(format!("The keyring {name} is garbage: {fault}."), write_keyring_hint(entity, path)),
        Ok(sections) => match sections.iter().find(|section| section.entity == entity) {
            Some(KeyringSection { has_key: true, .. }) => {
                Finding::ok(Subject::Keyring, format!("{name} can be read and has a key for {entity}."))
            }
            Some(_) => error(
                format!("The keyring {name} has a section [{entity}], but no key in it."),
                write_keyring_hint(entity, path),
            ),
            None => {
                let entities: Vec<&str> = sections.iter().map(|section| section.entity.as_str()).collect();
                let has =
                    if entities.is_empty() { "it is empty".into() } else { format!("it has {}", entities.join(", ")) };
                let mut correction = write_keyring_hint(entity, path);
                if !entities.is_empty() {
                    correction =
                        format!("Name the entity it has with --id, or another keyring with --keyring. {correction}");
                }
                error(format!("The keyring {name} has no key for {entity}: {has}."), correction)
            }
        },
    }
}

fn key_file(entity: &str, path: &Path, mut files: Vec<PathBuf>) -> KeyringCheck {
    let name = path.display();
    let look = inspect_file(path);
    let finding = match &look {
        FileState::Content(content) if is_key(&String::from_utf8_lossy(content)) => {
            Finding::ok(Subject::Keyring, format!("{name} (the option `keyfile`) holds a key for {entity}."))
        }
        FileState::Content(_) => Finding::error(
            Subject::Keyring,
            format!("The file {name} (the option `keyfile`) is garbage: it does not hold a base64 key."),
            format!("Write it anew with `ceph auth print-key {entity} > {name}`."),
        ),
        FileState::Unreadable(_) => Finding::error(
            Subject::Keyring,
            format!("The file {name} (the option `keyfile`) {look}."),
            make_readable(path),
        ),
        _ => Finding::error(
            Subject::Keyring,
            format!("The file {name} (the option `keyfile`) {look}."),
            format!("Write it with `ceph auth print-key {entity} > {name}`."),
        ),
    };
    files.push(path.to_owned());
    let source = if finding.state == Severity::Ok { format!("the key in {name}") } else { String::new() };
    KeyringCheck { finding, files, source }
}

fn write_keyring_hint(entity: &str, path: &Path) -> String {
    format!(
        "As an administrator of the cluster write it with `ceph auth get {entity} -o {}`, or name another with --keyring.",
        path.display()
    )
}

/// A section of a keyring.
#[derive(Debug, PartialEq, Eq)]
struct KeyringSection {
    entity: String,
    has_key: bool,
}

/// The sections of a keyring, or what cannot be in one. Keys are looked at, and never kept.
fn parse(content: &[u8]) -> Result<Vec<KeyringSection>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
    let mut sections: Vec<KeyringSection> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split(['#', ';']).next().unwrap_or("").trim();
        let number = index + 1;
        if line.is_empty() {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(KeyringSection { entity: name.trim().to_owned(), has_key: false });
            continue;
        }
        let option = line.split_once('=');
        let (Some((name, value)), Some(section)) = (option, sections.last_mut()) else {
            return Err(format!("line {number} is neither an [entity] nor, below one, an option = value"));
        };
        if name.trim() == "key" {
            if !is_key(value) {
                return Err(format!("line {number} holds no key for {}", section.entity));
            }
            section.has_key = true;
        }
    }
    Ok(sections)
}

/// Whether a text is a key as `ceph auth` writes it: base64 of its type (2 bytes, 1 for AES), when it was made (8 bytes),
/// its length (2 bytes), and the secret.
fn is_key(text: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(text.trim().trim_matches('"')) else { return false };
    let Some((head, secret)) = bytes.split_at_checked(12) else { return false };
    let kind = u16::from_le_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_le_bytes([head[10], head[11]]));
    kind != 0 && length == secret.len() && length >= 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret_length: u8) -> String {
        let mut bytes = vec![1, 0, 9, 9, 9, 9, 0, 0, 0, 0, 16, 0];
        bytes.resize(12 + usize::from(secret_length), 7);
        STANDARD.encode(bytes)
    }

    #[test]
    fn keyring_that_ceph_wrote_is_read() {
        let text = format!(
            "# by hand\n[client.a]\n\tkey = {}\n\tcaps mon = \"profile rbd\"\n\n[ client.b ]\nauid = 0\n",
            key(16)
        );
        let sections = parse(text.as_bytes()).unwrap();
        let found: Vec<(&str, bool)> = sections.iter().map(|s| (s.entity.as_str(), s.has_key)).collect();
        assert_eq!(found, [("client.a", true), ("client.b", false)]);
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn message_about_a_garbage_keyring_quotes_nothing_of_it() {
        let fault = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(fault("hello"), "line 1 is neither an [entity] nor, below one, an option = value");
        assert_eq!(fault("key = x"), "line 1 is neither an [entity] nor, below one, an option = value");
        for bad in ["!!!".into(), "AQ==".into(), key(15), key(17)] {
            assert_eq!(fault(&format!("[client.a]\nkey = {bad}\n")), "line 2 holds no key for client.a", "{bad}");
        }
        assert_eq!(parse(&[0xff, 0xfe]).unwrap_err(), "it is not text");
    }
}
