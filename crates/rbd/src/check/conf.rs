//! The configuration file: which it is, and whether it can be used.

use std::path::{Path, PathBuf};

use ceph::{Settings, Unconnected};

use super::file::{FileState, inspect_file, list, make_readable, tried};
use super::{Finding, Subject};

/// Where a configuration comes from when a cluster's is missing.
const GET_CONF_HINT: &str = "Put the cluster's configuration there (`ceph config generate-minimal-conf` on a host of the cluster \
                       prints it), or name another with --ceph-conf or CEPH_CONF.";

/// What was found.
pub struct ConfCheck {
    /// The finding.
    pub finding: Finding,
    /// A handle with the configuration read, if it could be.
    pub configured: Option<Unconnected>,
    /// The files looked at.
    pub files: Vec<PathBuf>,
    /// The file that is used, for sentences.
    pub name: String,
}

/// Looks at the file and reads it.
pub fn examine(settings: &Settings) -> ConfCheck {
    let (files, origin) = candidates(settings);
    let looks: Vec<(PathBuf, FileState)> = files.iter().map(|path| (path.clone(), inspect_file(path))).collect();
    let chosen = looks.iter().find(|(_, look)| matches!(look, FileState::Content(_)));
    let name = chosen.map(|(path, _)| path.display().to_string()).unwrap_or_default();
    let (finding, configured) = match chosen {
        None => (unusable(&looks, &origin), None),
        Some((path, FileState::Content(content))) => match settings.configure() {
            Ok(configured) => {
                let detail = format!("{} ({origin}) can be read.", path.display());
                (Finding::ok(Subject::Configuration, detail), Some(configured))
            }
            Err(error) => (rejected_line(&error, path, content, &origin), None),
        },
        Some(_) => (unusable(&looks, &origin), None),
    };
    ConfCheck { finding, configured, files, name }
}

/// The files in the order in which librados tries them, and what named them.
fn candidates(settings: &Settings) -> (Vec<PathBuf>, String) {
    if let Some(path) = &settings.conf_file {
        let by_environment = std::env::var_os("CEPH_CONF").is_some_and(|value| value == path.as_os_str());
        let origin = if by_environment { "named by CEPH_CONF" } else { "named by --ceph-conf" };
        return (list(&path.to_string_lossy()), origin.into());
    }
    let mut files = vec![PathBuf::from("/etc/ceph/ceph.conf")];
    files.extend(std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ceph/ceph.conf")));
    files.push("ceph.conf".into());
    (files, "found by Ceph's own search, since neither --ceph-conf nor CEPH_CONF is given".into())
}

fn unusable(looks: &[(PathBuf, FileState)], origin: &str) -> Finding {
    let there = looks.iter().find(|(_, look)| *look != FileState::Missing);
    let correction = match there {
        Some((path, FileState::Unreadable(_))) => make_readable(path),
        _ => GET_CONF_HINT.to_owned(),
    };
    let detail = match looks {
        [] => format!("No configuration file: the name is empty ({origin})."),
        [(path, look)] => format!("The configuration file {} ({origin}) {look}.", path.display()),
        _ if origin.starts_with("named") => format!("No configuration file can be used: {} ({origin}).", tried(looks)),
        _ => format!(
            "No configuration file can be used: {} (Ceph's own search; neither --ceph-conf nor CEPH_CONF is given).",
            tried(looks)
        ),
    };
    Finding::error(Subject::Configuration, detail, correction)
}

fn rejected_line(error: &ceph::Error, path: &Path, content: &[u8], origin: &str) -> Finding {
    let path = path.display();
    let operation = match error {
        ceph::Error::Call { operation, .. } => *operation,
        _ => "",
    };
    match operation {
        "rados_conf_read_file" => {
            let line = find_odd_line(content).map_or_else(String::new, |line| {
                format!(" Line {line} is neither a [section], an option = value nor a comment.")
            });
            Finding::error(
                Subject::Configuration,
                format!("The configuration file {path} ({origin}) does not parse.{line}"),
                "Correct it, or put the output of `ceph config generate-minimal-conf` in its place.",
            )
        }
        "rados_conf_parse_env" => Finding::error(
            Subject::Configuration,
            "The environment variable CEPH_ARGS does not parse.",
            "Correct it, or unset it.",
        ),
        _ => Finding::error(
            Subject::Configuration,
            format!("With the configuration file {path} ({origin}) librados cannot be set up: {error}."),
            "Correct the option in the configuration file or in CEPH_ARGS.",
        ),
    }
}

/// The first line that cannot be part of a configuration file; not shown itself, since the file may hold a key.
fn find_odd_line(content: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(content);
    let mut continued = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let plain = trimmed.is_empty() || trimmed.starts_with(['#', ';']);
        let fits = plain || if trimmed.starts_with('[') { trimmed.contains(']') } else { trimmed.contains('=') };
        if !fits && !continued {
            return Some(index + 1);
        }
        continued = trimmed.ends_with('\\');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::find_odd_line;

    #[test]
    fn invalid_line_of_the_configuration_is_found() {
        assert_eq!(find_odd_line(b"[global]\nmon_host = a\n# note\n\nkey = x \\\n  more\n"), None);
        assert_eq!(find_odd_line(b"[global]\nhello world\n"), Some(2));
        assert_eq!(find_odd_line(b"[global]\na = b\n[unclosed\n"), Some(3));
    }
}
