//! What is wrong with configuration, keyring, monitors and capabilities, and what to do.
//!
//! librados answers "no such file" to a missing configuration, a missing keyring and an empty `mon_host` alike, and
//! "access denied" to several more. So the files are looked at, and the monitors knocked at, before it is asked to connect.

mod access;
mod conf;
mod connection;
mod file;
mod keyring;
mod monitors;

pub use access::{capabilities, caps_command, place_forbidden, pools_forbidden};

use std::fmt;
use std::path::PathBuf;

use ceph::Cluster;
use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// The service works, but not all of it.
    Warning,
    /// The service cannot work.
    Error,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The configuration file.
    Configuration,
    /// The monitors that it names.
    Monitors,
    /// The keyring, and the entity's key in it.
    Keyring,
    /// Authentication by the monitors.
    Connection,
    /// What the entity may do with the pools' objects.
    ImageCapabilities,
    /// Whether the entity may create and delete pools.
    PoolCapabilities,
}

/// What was found out about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: Subject,
    /// How bad it is.
    pub state: Severity,
    /// What was found, with the names of files, entities and addresses. Never a secret.
    pub detail: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
}

/// All findings, in the order in which they matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
}

/// An attempt to connect.
pub struct ConnectionAttempt {
    /// What was found on the way.
    pub report: Report,
    /// The connection, if there is one.
    pub cluster: Option<Cluster>,
    /// The files that decide, whether they exist or not: when one changes, it is worth trying again.
    pub files: Vec<PathBuf>,
}

impl Subject {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Monitors => "monitors",
            Self::Keyring => "keyring",
            Self::Connection => "connection",
            Self::ImageCapabilities => "image capabilities",
            Self::PoolCapabilities => "pool capabilities",
        }
    }
}

impl Finding {
    fn ok(subject: Subject, detail: impl Into<String>) -> Self {
        Self { subject, state: Severity::Ok, detail: detail.into(), correction: None }
    }

    fn warning(subject: Subject, detail: impl Into<String>, correction: impl Into<String>) -> Self {
        Self { subject, state: Severity::Warning, detail: detail.into(), correction: Some(correction.into()) }
    }

    fn error(subject: Subject, detail: impl Into<String>, correction: impl Into<String>) -> Self {
        Self { subject, state: Severity::Error, detail: detail.into(), correction: Some(correction.into()) }
    }
}

impl Report {
    /// The worst of the findings.
    pub fn state(&self) -> Severity {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(Severity::Ok)
    }

    /// All errors and what to do about them, in one line; none if there is none.
    pub fn error_summary(&self) -> Option<String> {
        let errors = self.findings.iter().filter(|finding| finding.state == Severity::Error);
        let texts: Vec<String> = errors
            .map(|finding| match &finding.correction {
                Some(correction) => format!("{} {correction}", finding.detail),
                None => finding.detail.clone(),
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

/// For a terminal: a line per finding, and one for what to do about it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let state = match finding.state {
                Severity::Ok => "ok",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            writeln!(f, "{state:<8} {}: {}", finding.subject.name(), finding.detail)?;
            if let Some(correction) = &finding.correction {
                writeln!(f, "         -> {correction}")?;
            }
        }
        Ok(())
    }
}

/// Looks at the files and at the monitors, and connects if nothing speaks against it. Takes up to three times the
/// settings' `connect_timeout`: to resolve names, to knock, to connect.
pub fn try_connect(settings: &ceph::Settings) -> ConnectionAttempt {
    let conf = conf::examine(settings);
    let mut attempt =
        ConnectionAttempt { report: Report { findings: vec![conf.finding] }, cluster: None, files: conf.files };
    let findings = &mut attempt.report.findings;
    let Some(configured) = conf.configured else {
        // Also the keyring, where it does not take the configuration to know which.
        if let Some(path) = &settings.keyring {
            let keyring = keyring::examine_file(&settings.entity, path, &file::inspect_file(path));
            attempt.files.push(path.clone());
            findings.extend((keyring.state == Severity::Error).then_some(keyring));
        }
        return attempt;
    };
    let keyring = keyring::examine(settings, &configured);
    attempt.files.extend(keyring.files);
    let monitors = monitors::examine(&configured, &conf.name, settings.connect_timeout);
    let unnamed = monitors.is_none();
    findings.extend(monitors);
    findings.push(keyring.finding);
    if attempt.report.state() == Severity::Error {
        return attempt;
    }
    let (finding, cluster) =
        connection::connect(configured, settings, &keyring.source, unnamed.then_some(conf.name.as_str()));
    attempt.report.findings.push(finding);
    attempt.cluster = cluster;
    attempt
}
