//! `sparrow-rbd` as a process of its own, and a client for it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use crate::ceph::Ceph;
use crate::daemon::tail;
use crate::description::{Description, SentRequest, SharedDescription};
pub use crate::http::Answer;
use crate::keeper::Keeper;
use crate::ports::free_address;

/// A running `sparrow-rbd`. Dropping it kills it, so that a test cannot leave it behind.
#[derive(Debug)]
pub struct RbdService {
    api: SocketAddr,
    admin: SocketAddr,
    child: Child,
    log: PathBuf,
    // Removes the log's directory, and kills the service when this process dies before it.
    _keeper: Keeper,
    /// Sends requests to it.
    pub client: ApiClient,
}

/// How to start it.
#[derive(Debug, Clone)]
pub struct RbdServiceOptions {
    /// The binary: `env!("CARGO_BIN_EXE_sparrow-rbd")` in a test of its package.
    pub binary: PathBuf,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Whether to wait until it is ready.
    pub wait_ready: bool,
    /// Whether its client compares every answer with the API description.
    pub checked: bool,
}

impl RbdServiceOptions {
    /// The binary with the keyring of a cluster's administrator, waited for.
    pub fn new(binary: impl Into<PathBuf>, ceph: &Ceph) -> Self {
        Self::with_files(binary, ceph.conf(), ceph.keyring())
    }

    /// The binary with these files.
    pub fn with_files(binary: impl Into<PathBuf>, conf: &Path, keyring: &Path) -> Self {
        let arguments = ["--ceph-conf".into(), text(conf), "--keyring".into(), text(keyring)];
        Self { binary: binary.into(), arguments: arguments.to_vec(), wait_ready: true, checked: true }
    }

    /// With more arguments of `serve`.
    #[must_use]
    pub fn arguments(mut self, more: &[&str]) -> Self {
        self.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Without waiting until it is ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.wait_ready = false;
        self
    }

    /// With a client that compares no answers, where their time counts.
    #[must_use]
    pub fn without_checks(mut self) -> Self {
        self.checked = false;
        self
    }

    /// Starts it on free loopback ports.
    ///
    /// # Errors
    /// When it does not start, or is not ready within 20 s; its log is in the error.
    pub fn start(&self) -> Result<RbdService> {
        RbdService::start(self)
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl RbdService {
    fn start(options: &RbdServiceOptions) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("sparrow-rbd-").tempdir()?;
        let (api, admin) = (free_address()?, free_address()?);
        // The name by which it is started is in a directory of its own, so it marks the process for the keeper. An address would
        // not do: as soon as it is free another test may have it, and this keeper would end that one's service and keeper.
        let mark = text(&directory.path().join("sparrow-rbd"));
        let keeper = Keeper::start(directory.path(), &[&mark])?;
        let directory = directory.keep();
        let log = directory.join("log");
        let mut command = Command::new(&options.binary);
        command.arg0(&mark).args(["serve", &format!("--listen={api}"), &format!("--admin={admin}")]);
        command.args(&options.arguments);
        let child = command
            // A test that wants to see the drain says so by flag, which goes before this.
            .env("SPARROW_RBD_DRAIN_DELAY", "0s")
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(directory.join("out"))?)
            .stderr(std::fs::File::create(&log)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", options.binary.display()))?;
        let mut service = Self {
            api,
            admin,
            child,
            log: log.clone(),
            _keeper: keeper,
            client: ApiClient::new(&format!("http://{api}")),
        };
        service.client.log = Some(log);
        service.client.description = options.checked.then(SharedDescription::default);
        service.wait(options.wait_ready)?;
        Ok(service)
    }

    fn wait(&mut self, ready: bool) -> Result<()> {
        let started = Instant::now();
        let admin = ApiClient::new(&format!("http://{}", self.admin));
        let path = if ready { "/readyz" } else { "/healthz" };
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("sparrow-rbd ended with {status}: {}", self.log());
            }
            if admin.get(path).is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(20) {
                bail!("sparrow-rbd does not answer {path}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the API is served.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where health and metrics are served.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A client of the admin port.
    pub fn admin_client(&self) -> ApiClient {
        ApiClient::new(&format!("http://{}", self.admin))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it wrote to standard output so far: the audit log.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.log.with_file_name("out")).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a process id")?;
        kill_process(pid, signal).context("signal sparrow-rbd")
    }

    /// Kills it, as `kill -9`.
    ///
    /// # Errors
    /// None in practice.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// None in practice.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGTERM and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end within the time.
    pub fn terminate(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > within {
                bail!("sparrow-rbd has not ended within {within:?} of SIGTERM: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RbdService {
    fn drop(&mut self) {
        // FrozenDaemon ones too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain HTTP client: no retries, no redirects, errors are answers. Cheap to clone; connections are kept.
#[derive(Debug, Clone)]
pub struct ApiClient {
    base: String,
    agent: ureq::Agent,
    token: Option<String>,
    // Of the process that is asked; its end is told when there is no answer.
    log: Option<PathBuf>,
    // Of the API that is asked: every answer is compared with it.
    description: Option<SharedDescription>,
}

impl ApiClient {
    /// A client whose paths are below `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_mins(2)))
            .build();
        Self { base: base.to_owned(), agent: config.into(), token: None, log: None, description: None }
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// Sends a request with headers and a body.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When a service answers otherwise than its API description says.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let answer = self.ask(method, path, headers, body)?;
        let request = SentRequest { method, target: path, headers, body };
        if let Some(Err(error)) = self.description()?.map(|description| description.check(request, &answer)) {
            panic!(
                "{method} {path} is answered {} otherwise than the API description says: {error:#}\n{}",
                answer.status,
                answer.text()
            );
        }
        Ok(answer)
    }

    /// The API description of the service that is asked, if this is the client of one.
    fn description(&self) -> Result<Option<&Description>> {
        let Some(shared) = &self.description else { return Ok(None) };
        if let Some(known) = shared.get() {
            return Ok(Some(known));
        }
        let read = self.ask("GET", "/openapi.json", &[], &[])?;
        let description = Description::new(&read.body)?;
        Ok(Some(shared.get_or_init(|| description)))
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = &self.agent;
        let response = if body.is_empty() { agent.run(request.body(())?) } else { agent.run(request.body(body)?) };
        let mut response = response.with_context(|| format!("{method} {path}{}", self.end_of_log()))?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let mut body = Vec::new();
        let status = response.status().as_u16();
        response
            .body_mut()
            .as_reader()
            .read_to_end(&mut body)
            .with_context(|| format!("the body of {method} {path}"))?;
        Ok(Answer { status, headers, body })
    }

    fn end_of_log(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        format!("\nthe end of its log:\n{}", tail(log, 100))
    }

    /// `GET`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, &[], &[])
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, &[], &[])
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.json("POST", path, body)
    }

    /// `PUT` of JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.json("PUT", path, body)
    }

    /// Any method with JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn json(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        self.send(method, path, &[("content-type", "application/json")], &serde_json::to_vec(body)?)
    }
}

impl Answer {
    /// The slug of the problem's type; empty when it is none.
    pub fn problem(&self) -> String {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        kind.strip_prefix("urn:sparrow:problem:").unwrap_or_default().to_owned()
    }
}
