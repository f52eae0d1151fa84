//! The audit log: one JSON line for each call of a changing endpoint, whatever became of it.
//!
//! ```json
//! {"time":"2031-05-04T10:00:00.123456789Z","requestId":"…","who":{"name":"console","method":"token"},
//!  "from":"10.0.0.7:41312","endpoint":"deleteImage","method":"DELETE","path":"/api/v1/pools/a/images/b",
//!  "query":{"permanent":"true"},"target":{"image":"b","pool":"a"},"outcome":"accepted","status":202,
//!  "operation":"…"}
//! ```
//!
//! (One line in the log.) What a line never holds: headers but for `X-Forwarded-For`, bodies but for the member `name`,
//! parameters of the query that the endpoint does not have, into which somebody may have put a secret.
//!
//! A thread of its own writes, so that a full pipe never blocks a request for long, and each line with one call, so that
//! lines are whole even if several processes append to the file. A line that cannot be written goes into the service's
//! log instead.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::{HeaderMap, StatusCode, Uri};
use prometheus_client::metrics::counter::Counter;
use rbd_api::endpoint::Declaration;
use rbd_api::problem::Kind;
use rbd_model::names::Place;
use serde::Serialize;

use crate::auth::{AuthenticationMethod, Principal};
use crate::metrics::Metrics;

/// Lines that wait for the writer.
const QUEUE: usize = 1024;
/// How long an answer waits until its line is written.
const WAIT: Duration = Duration::from_secs(1);
/// How much is kept of what a client may make long: the values of the query, names, `X-Forwarded-For`.
const VALUE_LIMIT_CHARS: usize = 256;

/// Writes the audit log.
pub struct Audit {
    queue: SyncSender<WriterMessage>,
    lost: Counter,
}

struct WriterMessage {
    /// None to learn that all before it is written.
    line: Option<Vec<u8>>,
    written: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Audit {
    /// Writes to a file, appending, or to standard output. A file that was renamed or removed is made anew with the next
    /// line, so that it can be rotated.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn start(file: Option<&Path>, metrics: &Metrics) -> anyhow::Result<Self> {
        let mut target = match file {
            None => LogTarget::StandardOutput,
            Some(path) => {
                let file = open(path).with_context(|| format!("--audit-log {}", path.display()))?;
                LogTarget::File { path: path.to_owned(), file, torn: false }
            }
        };
        let (queue, lines): (_, Receiver<WriterMessage>) = sync_channel(QUEUE);
        let lost = metrics.audit_lines_lost.clone();
        let counter = lost.clone();
        let write = move || {
            for WriterMessage { line, written } in lines {
                if let Some(line) = line
                    && let Err(error) = target.write(&line)
                {
                    give_up(&counter, &line, &error.to_string());
                }
                if let Some(written) = written {
                    let _ = written.send(());
                }
            }
        };
        std::thread::Builder::new().name("audit".into()).spawn(write).context("start a thread")?;
        Ok(Self { queue, lost })
    }

    fn send(&self, line: &AuditLine<'_>, written: Option<tokio::sync::oneshot::Sender<()>>) {
        let Ok(mut text) = serde_json::to_vec(line) else { return };
        text.push(b'\n');
        if let Err(error) = self.queue.try_send(WriterMessage { line: Some(text), written }) {
            let (std::sync::mpsc::TrySendError::Full(message) | std::sync::mpsc::TrySendError::Disconnected(message)) =
                error;
            give_up(&self.lost, &message.line.unwrap_or_default(), "too many lines wait to be written");
        }
    }

    /// Waits until all lines so far are written, for a second at most. For the end of the process.
    pub async fn flush(&self) {
        let (written, wait) = tokio::sync::oneshot::channel();
        let _ = self.queue.try_send(WriterMessage { line: None, written: Some(written) });
        let _ = tokio::time::timeout(WAIT, wait).await;
    }
}

fn give_up(lost: &Counter, line: &[u8], error: &str) {
    lost.inc();
    let line = String::from_utf8_lossy(line);
    tracing::error!(line = line.trim_end(), error, "a line of the audit log cannot be written");
}

fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().create(true).append(true).mode(0o640).open(path)
}

enum LogTarget {
    StandardOutput,
    File {
        path: PathBuf,
        file: File,
        /// A line was cut off by an error; the next one begins on a line of its own.
        torn: bool,
    },
}

impl LogTarget {
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        match self {
            Self::StandardOutput => {
                let mut output = std::io::stdout().lock();
                output.write_all(line)?;
                output.flush()
            }
            Self::File { path, file, torn } => {
                let here = std::fs::metadata(&*path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
                let open_one = file.metadata()?;
                if here != Some((open_one.dev(), open_one.ino())) {
                    *file = open(path)?;
                    *torn = false;
                }
                if *torn {
                    file.write_all(b"\n")?;
                }
                let result = file.write_all(line);
                *torn = result.is_err();
                result
            }
        }
    }
}

/// What a handler adds to its call's line.
#[derive(Debug, Default)]
pub struct AuditNotes {
    name: Option<String>,
    places: Vec<Place>,
}

impl AuditNotes {
    /// The name in the body: of what is made, or the new one.
    pub fn name(&mut self, name: &str) {
        self.name = Some(shortened(name));
    }

    /// A further pool or namespace that the call touches.
    pub fn place(&mut self, place: &Place) {
        if !self.places.contains(place) {
            self.places.push(place.clone());
        }
    }
}

/// [`AuditNotes`] in the hands of a handler and of what runs around it.
pub type SharedAuditNotes = Arc<Mutex<AuditNotes>>;

/// A call of a changing endpoint. Dropped before it was [answered](AuditedCall::record_answer), it is written as one whose client
/// went away.
pub struct AuditedCall<'a> {
    audit: &'a Audit,
    endpoint: &'a Declaration,
    request_id: &'a str,
    from: Option<SocketAddr>,
    forwarded_for: Option<String>,
    path: String,
    query: BTreeMap<String, String>,
    target: BTreeMap<String, String>,
    who: Option<AuditedCaller>,
    notes: SharedAuditNotes,
    written: bool,
}

#[derive(Serialize, Clone)]
struct AuditedCaller {
    name: String,
    method: AuthenticationMethod,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditLine<'a> {
    time: jiff::Timestamp,
    request_id: &'a str,
    /// Null for a caller who is not known.
    who: Option<&'a AuditedCaller>,
    from: Option<SocketAddr>,
    /// What a proxy says, or the client itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_for: Option<&'a str>,
    endpoint: &'a str,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query: &'a BTreeMap<String, String>,
    /// The path's parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    target: &'a BTreeMap<String, String>,
    /// The name in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also: &'a [Place],
    outcome: &'static str,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
}

impl<'a> AuditedCall<'a> {
    /// A call that has just come.
    pub fn new(
        audit: &'a Audit,
        endpoint: &'a Declaration,
        request_id: &'a str,
        from: Option<SocketAddr>,
        (uri, headers, params): (&Uri, &HeaderMap, &HashMap<String, String>),
    ) -> Self {
        let known = uri.query().map(|_| endpoint.query_names()).unwrap_or_default();
        let query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
            .filter(|(name, _)| known.iter().any(|known| known == name))
            .map(|(name, value)| (name.into_owned(), shortened(&value)))
            .collect();
        let forwarded_for =
            headers.get("x-forwarded-for").map(|value| shortened(&String::from_utf8_lossy(value.as_bytes())));
        Self {
            audit,
            endpoint,
            request_id,
            from,
            forwarded_for,
            path: uri.path().to_owned(),
            query,
            target: params.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            who: None,
            notes: SharedAuditNotes::default(),
            written: false,
        }
    }

    /// Who calls, once that is known.
    pub fn set_caller(&mut self, principal: &Principal) {
        self.who = Some(AuditedCaller { name: principal.name.clone(), method: principal.method });
    }

    /// Where the handler adds to the line.
    pub fn notes(&self) -> SharedAuditNotes {
        Arc::clone(&self.notes)
    }

    /// Writes the line; returns when it is written, or after a second, since a reader of the log that hangs must not
    /// hang the API.
    pub async fn record_answer(mut self, status: StatusCode, problem: Option<Kind>, headers: &HeaderMap) {
        let location = headers.get(axum::http::header::LOCATION).and_then(|value| value.to_str().ok());
        let (written, wait) = tokio::sync::oneshot::channel();
        self.write(Some((status, problem, location)), Some(written));
        let _ = tokio::time::timeout(WAIT, wait).await;
    }

    fn write(
        &mut self,
        answer: Option<(StatusCode, Option<Kind>, Option<&str>)>,
        written: Option<tokio::sync::oneshot::Sender<()>>,
    ) {
        self.written = true;
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let status = answer.map(|(status, ..)| status);
        let location = answer.and_then(|(.., location)| location);
        let accepted = status == Some(StatusCode::ACCEPTED);
        let line = AuditLine {
            time: jiff::Timestamp::now(),
            request_id: self.request_id,
            who: self.who.as_ref(),
            from: self.from,
            forwarded_for: self.forwarded_for.as_deref(),
            endpoint: &self.endpoint.id,
            method: self.endpoint.method.as_str(),
            path: &self.path,
            query: &self.query,
            target: &self.target,
            name: notes.name.as_deref(),
            also: &notes.places,
            outcome: outcome(status),
            status: status.map(|status| status.as_u16()),
            problem: answer.and_then(|(_, problem, _)| problem).map(Kind::slug),
            location: location.filter(|_| !accepted),
            operation: location.filter(|_| accepted).and_then(|location| location.rsplit('/').next()),
        };
        self.audit.send(&line, written);
    }
}

impl Drop for AuditedCall<'_> {
    fn drop(&mut self) {
        if !self.written {
            self.write(None, None);
        }
    }
}

/// In a word, for those who search the log.
fn outcome(status: Option<StatusCode>) -> &'static str {
    match status {
        // The client went away; the change may have been made all the same.
        None => "unknown",
        Some(StatusCode::ACCEPTED) => "accepted",
        Some(status) if status.is_success() => "done",
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => "refused",
        Some(status) if status.is_client_error() => "failed",
        // 503 also means that a deadline passed while the change was under way.
        Some(StatusCode::SERVICE_UNAVAILABLE) => "unknown",
        Some(_) => "failed",
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_LIMIT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Vec<u8> {
        format!("{{\"path\":\"{path}\"}}\n").into_bytes()
    }

    #[test]
    fn rotated_audit_file_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit");
        let mut target = LogTarget::File { path: path.clone(), file: open(&path).unwrap(), torn: false };
        target.write(&line("a")).unwrap();
        let old = directory.path().join("audit.1");
        std::fs::rename(&path, &old).unwrap();
        target.write(&line("b")).unwrap();
        target.write(&line("c")).unwrap();
        assert_eq!(std::fs::read(old).unwrap(), line("a"));
        assert_eq!(std::fs::read(path).unwrap(), [line("b"), line("c")].concat());
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shortened("ä"), "ä");
        let long = "ä".repeat(VALUE_LIMIT_CHARS + 1);
        assert_eq!(shortened(&long).chars().count(), VALUE_LIMIT_CHARS + 1);
        assert!(shortened(&long).ends_with('…'));
    }
}
