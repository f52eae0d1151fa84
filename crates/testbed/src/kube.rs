//! A real Kubernetes API server with its etcd, on loopback, as the current user, RBAC on.
//!
//! There is no controller manager, scheduler or kubelet: objects are stored, validated, watched and authorised as in any
//! cluster, but nothing acts on them. A Deployment makes no pods, a deleted Namespace stays `Terminating`, and no
//! Namespace gets its `default` service account, so that the admission plugin `ServiceAccount` is off, or no pod could
//! be created.
//!
//! # Who ends it
//! However this process ends (return, panic, Ctrl-C, `kill -9`), a keeper notices, kills both daemons and removes their
//! directory. Dropping [`ApiServer`] goes the same way and waits for it; statics, which Rust never drops, need no care.
//!
//! # One server for a whole test run
//! [`ApiServer::shared`] attaches to the server in the directory that [`DIR_VARIABLE`] names, or starts one for this
//! process. Tests on it use namespaces of their own; tests that stop or freeze daemons start a server of their own.

mod credentials;
mod programs;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::daemon::{Daemons, tail};
use crate::keeper::Keeper;
use crate::ports::free_address;

pub use self::programs::{Programs, available, cached, oauth2_programs};
pub(crate) use self::programs::{kubernetes, version};

/// Environment variable: directory of the run's API server.
pub const DIR_VARIABLE: &str = "SPARROW_TEST_KUBE_DIR";

/// etcd's address: the Unix socket `etcd.sock:1` in the working directory of both daemons. Unlike a port it cannot be
/// taken, and only the owner of the directory can reach it. The `:1` is for etcd 3.4, which wants a port in every address.
const ETCD_SOCKET: &str = "unix://etcd.sock:1";

/// The addresses of Services unless others are asked for. From the range for documentation (RFC 5737): nothing listens
/// there, and nothing must. There are few of them.
const SERVICE_RANGE: &str = "192.0.2.0/24";

/// How long a daemon may take to serve after its start.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the API server may take to serve the kind of a new `CustomResourceDefinition`.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server for real nodes needs to know; without it, it serves its API on loopback and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct ForNodes {
    /// Its own address, which nodes and pods reach.
    pub address: Ipv4Addr,
    /// The names of the nodes: each gets a certificate, `node-NAME.crt`.
    pub names: Vec<String>,
    /// The first address of Services, which is the API server's own.
    pub first_service: Ipv4Addr,
}

/// One of the two daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// etcd, the API server's storage.
    Etcd,
    /// kube-apiserver.
    ApiServer,
}

impl Daemon {
    /// The program's name, e.g. `etcd`.
    pub fn name(self) -> &'static str {
        match self {
            Daemon::Etcd => "etcd",
            Daemon::ApiServer => "kube-apiserver",
        }
    }

    /// The argument that its process carries, and by which the keeper finds it.
    fn mark(self, dir: &Path) -> String {
        match self {
            Daemon::Etcd => format!("--data-dir={}", dir.join("etcd").display()),
            Daemon::ApiServer => format!("--tls-cert-file={}", dir.join("server.crt").display()),
        }
    }
}

/// A handle on an API server: the owner's, which ends it when dropped, or an attached one, which never does.
#[derive(Debug)]
pub struct ApiServer {
    dir: PathBuf,
    url: String,
    ca_file: PathBuf,
    admin_kubeconfig: PathBuf,
    kubeconfigs: AtomicU32,
    owned: Option<Owned>,
}

/// What only the process that started the daemons has.
#[derive(Debug)]
struct Owned {
    programs: Programs,
    port: u16,
    /// The addresses of Services.
    range: &'static str,
    nodes: Option<ForNodes>,
    etcd: Mutex<Option<Child>>,
    api_server: Mutex<Option<Child>>,
    /// Dropped first of all by [`ApiServer`]'s own `Drop`.
    keeper: Option<Keeper>,
}

impl Owned {
    fn child(&self, daemon: Daemon) -> std::sync::MutexGuard<'_, Option<Child>> {
        let child = match daemon {
            Daemon::Etcd => &self.etcd,
            Daemon::ApiServer => &self.api_server,
        };
        child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiServer {
    /// Starts an API server with the programs of [`available`], and returns when it is ready: `/readyz` answers 200 and
    /// the namespace `default` exists.
    ///
    /// # Errors
    /// A program is missing (the error says how to install it), ends, or does not serve within a minute; the error then
    /// shows the end of its log. Nothing is left behind.
    pub fn start() -> Result<ApiServer> {
        ApiServer::start_with(&available()?)
    }

    /// [`ApiServer::start`] with these programs, e.g. another etcd.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub fn start_with(programs: &Programs) -> Result<ApiServer> {
        ApiServer::start_in(programs, SERVICE_RANGE, None)
    }

    /// [`ApiServer::start`] with Services whose addresses are of this range, e.g. `127.64.0.0/16`: many, on which this
    /// machine can listen.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub fn start_with_services(range: &'static str) -> Result<ApiServer> {
        ApiServer::start_in(&available()?, range, None)
    }

    /// [`ApiServer::start_with_services`] with these programs, and for nodes.
    pub(crate) fn start_in(programs: &Programs, range: &'static str, nodes: Option<&ForNodes>) -> Result<ApiServer> {
        let mut attempt = 1;
        loop {
            match ApiServer::try_start(programs, range, nodes) {
                // Another process took the port between our look and its bind.
                Err(error) if attempt < 5 && format!("{error:#}").contains("address already in use") => attempt += 1,
                result => return result.context("start a Kubernetes API server"),
            }
        }
    }

    /// The API server of this test run if [`DIR_VARIABLE`] names its directory, else one for this process, started on
    /// first use and ended when the process ends.
    ///
    /// # Errors
    /// As [`ApiServer::start`] and [`ApiServer::attach`]; a failed start is not tried again.
    pub fn shared() -> Result<&'static ApiServer> {
        static SHARED: OnceLock<Result<ApiServer, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                let server = match std::env::var_os(DIR_VARIABLE) {
                    Some(dir) => ApiServer::attach(Path::new(&dir)).with_context(|| format!("from {DIR_VARIABLE}")),
                    None => ApiServer::start(),
                };
                server.map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// A handle on the running API server in `dir` (see [`ApiServer::dir`]). Dropping it leaves the server alone; its
    /// daemons can only be stopped and frozen by the owner.
    ///
    /// # Errors
    /// There is no API server in `dir`.
    pub fn attach(dir: &Path) -> Result<ApiServer> {
        let file = dir.join("url");
        let url = fs::read_to_string(&file)
            .with_context(|| format!("no API server in {}: cannot read {}", dir.display(), file.display()))?;
        Ok(ApiServer::at(dir, url, None))
    }

    fn at(dir: &Path, url: String, owned: Option<Owned>) -> ApiServer {
        ApiServer {
            dir: dir.to_owned(),
            url,
            ca_file: dir.join("ca.crt"),
            admin_kubeconfig: dir.join("admin.kubeconfig"),
            kubeconfigs: AtomicU32::new(0),
            owned,
        }
    }

    fn try_start(programs: &Programs, range: &'static str, nodes: Option<&ForNodes>) -> Result<ApiServer> {
        let dir = tempfile::Builder::new().prefix("sparrow-kube-").tempdir().context("create the directory")?;
        ensure!(dir.path().to_str().is_some(), "the path {} is not UTF-8", dir.path().display());
        let marks = [Daemon::Etcd.mark(dir.path()), Daemon::ApiServer.mark(dir.path())];
        let keeper = Keeper::start(dir.path(), &[&marks[0], &marks[1]])?;
        // From here on the keeper removes it.
        let dir = dir.keep();
        let port = free_address().context("pick a port")?.port();
        let owned = Owned {
            programs: programs.clone(),
            port,
            range,
            nodes: nodes.cloned(),
            etcd: Mutex::default(),
            api_server: Mutex::default(),
            keeper: Some(keeper),
        };
        let address = nodes.map_or(Ipv4Addr::LOCALHOST, |nodes| nodes.address);
        let server = ApiServer::at(&dir, format!("https://{address}:{port}"), Some(owned));
        credentials::write(&dir, nodes)?;
        let user = json!({
            "client-certificate": dir.join("admin.crt"),
            "client-key": dir.join("admin.key"),
        });
        write_private(&server.admin_kubeconfig, &server.kubeconfig(&user))?;
        // The API server waits for etcd by itself.
        server.spawn(Daemon::Etcd)?;
        server.start_daemon(Daemon::ApiServer)?;
        // Written last: a directory with it is one to attach to.
        write_private(&dir.join("url"), &server.url)?;
        Ok(server)
    }

    /// The base URL, e.g. `https://127.0.0.1:20443`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate authority that signed the server's certificate, PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// A kubeconfig of a member of `system:masters`, which may do everything.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// The directory of all files: `ca.crt`, `admin.crt`, `admin.key`, `admin.kubeconfig`, `etcd.log`,
    /// `kube-apiserver.log`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The environment variable by which [`ApiServer::shared`] finds this server in another process.
    pub fn variables(&self) -> [(&'static str, &Path); 1] {
        [(DIR_VARIABLE, &self.dir)]
    }

    /// Sends one request as the administrator, and returns status and body. The body of a request is JSON, and for
    /// `PATCH` a JSON merge patch (RFC 7396). `path` begins with `/` and may have a query.
    ///
    /// # Errors
    /// There is no HTTP answer within 30 seconds. A status such as 404 is not an error here.
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Result<(u16, String)> {
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.send(method, path, body.map(|body| (content_type, body)), REQUEST_TIMEOUT)
    }

    /// `body` comes with its content type.
    fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>, timeout: Duration) -> Result<(u16, String)> {
        let context = || format!("{method} {}{path}", self.url);
        let mut command = Command::new("curl");
        command
            // -q: no ~/.curlrc.
            .args(["-q", "--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time"])
            .arg(timeout.as_secs().to_string())
            .arg("--cacert")
            .arg(&self.ca_file)
            .arg("--cert")
            .arg(self.dir.join("admin.crt"))
            .arg("--key")
            .arg(self.dir.join("admin.key"))
            .args(["--write-out", "\n%{http_code}", "--request", method])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some((content_type, _)) = body {
            command.args(["--header", &format!("Content-Type: {content_type}"), "--data-binary", "@-"]);
        }
        let mut child = command
            .arg(format!("{}{path}", self.url))
            .spawn()
            .context("cannot start curl: install it (Debian: apt-get install curl)")?;
        // curl reads all of it before it connects, so this cannot stall.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(body.unwrap_or_default().1.as_bytes()).with_context(context)?;
        }
        let output = child.wait_with_output().with_context(context)?;
        ensure!(output.status.success(), "{}: {}", context(), String::from_utf8_lossy(&output.stderr).trim());
        let text = String::from_utf8(output.stdout).with_context(context)?;
        let (body, status) = text.rsplit_once('\n').with_context(context)?;
        Ok((status.parse().with_context(context)?, body.to_owned()))
    }

    /// Sends a request that must succeed, and returns the answer.
    fn call(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string);
        let body = body.as_deref().map(|body| (content_type, body));
        let (status, answer) = self.send(method, path, body, REQUEST_TIMEOUT)?;
        ensure!((200..300).contains(&status), "{method} {path} was answered with {status}: {answer}");
        serde_json::from_str(&answer).with_context(|| format!("the answer to {method} {path} is not JSON: {answer}"))
    }

    /// Applies YAML documents in their order, as `kubectl apply --server-side --force-conflicts` with the field manager
    /// `testbed`. A namespaced object without a namespace goes into `default`.
    ///
    /// # Errors
    /// A document is not an object, its kind is not served (within ten seconds, for a kind that an earlier document
    /// defines), or the API server rejects it. Documents before it stay applied.
    /// <https://kubernetes.io/docs/reference/using-api/server-side-apply/>
    pub fn apply(&self, yaml: &str) -> Result<()> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(yaml).context("parse the YAML")?;
        // A document of comments alone reads as null.
        for object in objects.iter().filter(|object| !object.is_null()) {
            // A list stands for what is in it, as for kubectl.
            let items = object["items"].as_array().filter(|_| object["kind"] == "List");
            items
                .map_or(std::slice::from_ref(object), Vec::as_slice)
                .iter()
                .try_for_each(|item| self.apply_object(item))?;
        }
        Ok(())
    }

    fn apply_object(&self, object: &Value) -> Result<()> {
        let field = |pointer: &str| {
            let value = object.pointer(pointer).and_then(Value::as_str);
            value.with_context(|| format!("the object has no {pointer}: {object}"))
        };
        let (api_version, kind, name) = (field("/apiVersion")?, field("/kind")?, field("/metadata/name")?);
        let (resource, namespaced) = self.resource(api_version, kind)?;
        let root = api_root(api_version);
        let path = if namespaced {
            let namespace = field("/metadata/namespace").unwrap_or("default");
            format!("{root}/namespaces/{namespace}/{resource}/{name}")
        } else {
            format!("{root}/{resource}/{name}")
        };
        let path = format!("{path}?fieldManager=testbed&force=true");
        // JSON is YAML.
        self.call("PATCH", &path, "application/apply-patch+yaml", Some(object))
            .with_context(|| format!("apply {kind} {name}"))?;
        Ok(())
    }

    /// The resource of a kind, e.g. `services`, and whether it is namespaced, by discovery.
    fn resource(&self, api_version: &str, kind: &str) -> Result<(String, bool)> {
        let root = api_root(api_version);
        let started = Instant::now();
        loop {
            let (status, answer) = self.request("GET", &root, None)?;
            if status == 200 {
                let list: Value = serde_json::from_str(&answer).with_context(|| format!("read {root}"))?;
                let resources = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
                // Subresources, e.g. `services/status`, have kinds too.
                let found = resources
                    .iter()
                    .filter(|resource| resource["kind"] == kind)
                    .filter_map(|resource| Some((resource["name"].as_str()?, resource["namespaced"].as_bool()?)))
                    .find(|(name, _)| !name.contains('/'));
                if let Some((name, namespaced)) = found {
                    return Ok((name.to_owned(), namespaced));
                }
            }
            ensure!(started.elapsed() < DISCOVERY_TIMEOUT, "{root} serves no kind {kind}, after {DISCOVERY_TIMEOUT:?}");
            sleep(Duration::from_millis(100));
        }
    }

    /// Creates a service account, and its namespace when there is none yet.
    ///
    /// # Errors
    /// The API server rejects or does not answer.
    pub fn create_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        self.apply_object(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        }))?;
        self.apply_object(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": namespace },
        }))
    }

    /// A token of a service account, valid for an hour, by the `TokenRequest` API. Without `audiences` it is for the API
    /// server itself.
    ///
    /// # Errors
    /// There is no such service account.
    /// <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>
    pub fn service_account_token(&self, namespace: &str, name: &str, audiences: &[&str]) -> Result<String> {
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": { "audiences": audiences, "expirationSeconds": 3600 },
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.call("POST", &path, "application/json", Some(&request))?;
        let token = answer["status"]["token"].as_str().context("the answer to a TokenRequest has no token")?;
        Ok(token.to_owned())
    }

    /// Writes a kubeconfig with this bearer token, readable by the owner only, into [`ApiServer::dir`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig_for_token(&self, token: &str) -> Result<PathBuf> {
        // With the process id, for processes that share a server.
        let number = self.kubeconfigs.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("token-{}-{number}.kubeconfig", std::process::id()));
        write_private(&path, &self.kubeconfig(&json!({ "token": token })))?;
        Ok(path)
    }

    pub(crate) fn kubeconfig(&self, user: &Value) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "testbed",
                "cluster": { "server": self.url, "certificate-authority": self.ca_file },
            }],
            "users": [{ "name": "user", "user": user }],
            "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": "user" } }],
            "current-context": "testbed",
        });
        format!("{config:#}\n")
    }

    fn owned(&self) -> Result<&Owned> {
        self.owned.as_ref().context("this handle is attached: only the process that started a daemon can do that")
    }

    fn log(&self, daemon: Daemon) -> PathBuf {
        self.dir.join(format!("{}.log", daemon.name()))
    }

    fn spawn(&self, daemon: Daemon) -> Result<()> {
        ensure!(self.find(daemon)?.is_none(), "{} runs already", daemon.name());
        let owned = self.owned()?;
        let (program, args) = match daemon {
            Daemon::Etcd => (&owned.programs.etcd, ApiServer::etcd_args()),
            Daemon::ApiServer => {
                (&owned.programs.kube_apiserver, self.api_server_args(owned.port, owned.range, owned.nodes.as_ref()))
            }
        };
        if daemon == Daemon::Etcd {
            // etcd 3.4 takes the socket of a killed one for a living one's. There is none at the first start.
            let _ = fs::remove_file(self.dir.join("etcd.sock:1"));
        }
        let log = self.log(daemon);
        let output =
            File::options().create(true).append(true).open(&log).with_context(|| format!("open {}", log.display()))?;
        let child = Command::new(program)
            .arg(daemon.mark(&self.dir))
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the log")?)
            .stderr(output)
            // Out of reach of the terminal's Ctrl-C.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        *owned.child(daemon) = Some(child);
        Ok(())
    }

    fn etcd_args() -> Vec<String> {
        vec![
            format!("--listen-client-urls={ETCD_SOCKET}"),
            format!("--advertise-client-urls={ETCD_SOCKET}"),
            // Never used, but etcd insists on one, so the kernel chooses it.
            "--listen-peer-urls=http://127.0.0.1:0".into(),
            "--logger=zap".into(),
            "--log-level=warn".into(),
        ]
    }

    fn api_server_args(&self, port: u16, range: &str, nodes: Option<&ForNodes>) -> Vec<String> {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let mut args = vec![
            format!("--etcd-servers={ETCD_SOCKET}"),
            format!("--secure-port={port}"),
            format!("--tls-private-key-file={}", file("server.key")),
            format!("--client-ca-file={}", file("ca.crt")),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
            format!("--service-account-signing-key-file={}", file("service-account.key")),
            format!("--service-account-key-file={}", file("service-account.pub")),
            format!("--service-cluster-ip-range={range}"),
            // With 28888, which the original deployment used, and the usual range.
            "--service-node-port-range=28000-32767".into(),
            "--allow-privileged=true".into(),
        ];
        args.extend(match nodes {
            None => vec![
                "--bind-address=127.0.0.1".into(),
                "--authorization-mode=RBAC".into(),
                // It would publish this loopback address as the endpoint of the Service `kubernetes`, which is rejected.
                "--endpoint-reconciler-type=none".into(),
                "--disable-admission-plugins=ServiceAccount".into(),
            ],
            Some(nodes) => vec![
                format!("--bind-address={}", nodes.address),
                format!("--advertise-address={}", nodes.address),
                "--authorization-mode=Node,RBAC".into(),
                "--enable-admission-plugins=NodeRestriction".into(),
                // Names of nodes are in no DNS.
                "--kubelet-preferred-address-types=InternalIP".into(),
                format!("--kubelet-client-certificate={}", file("admin.crt")),
                format!("--kubelet-client-key={}", file("admin.key")),
            ],
        });
        args
    }

    fn wait_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            for daemon in [Daemon::Etcd, Daemon::ApiServer] {
                ensure!(self.find(daemon)?.is_some(), "{} does not run", daemon.name());
            }
            // Briefly, so that a daemon's end is noticed soon.
            let ready = |path| matches!(self.send("GET", path, None, Duration::from_secs(2)), Ok((200, _)));
            if ready("/readyz") && ready("/api/v1/namespaces/default") {
                return Ok(());
            }
            if started.elapsed() >= START_TIMEOUT {
                bail!("the API server is not ready after {START_TIMEOUT:?}");
            }
            sleep(Duration::from_millis(50));
        }
    }
}

/// Only the owner's handle knows its daemons: on an attached one all of this is an error.
impl Daemons for ApiServer {
    type Daemon = Daemon;

    fn name(&self, daemon: Daemon) -> &'static str {
        daemon.name()
    }

    fn find(&self, daemon: Daemon) -> Result<Option<Pid>> {
        let mut child = self.owned()?.child(daemon);
        let Some(running) = child.as_mut() else { return Ok(None) };
        // Only a child that is not waited for yet is sure to still have its pid.
        let ended = running.try_wait().with_context(|| format!("look at {}", daemon.name()))?;
        Ok(ended.is_none().then(|| Pid::from_child(running)))
    }

    fn start_daemon(&self, daemon: Daemon) -> Result<()> {
        self.spawn(daemon)?;
        self.wait_ready().with_context(|| {
            let log = |daemon| tail(&self.log(daemon), 15);
            format!(
                "start {}; the end of etcd's log:\n{}\nthe end of kube-apiserver's log:\n{}",
                daemon.name(),
                log(Daemon::Etcd),
                log(Daemon::ApiServer),
            )
        })
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(owned) = &mut self.owned {
            // Ends both daemons; then they only have to be waited for.
            drop(owned.keeper.take());
            for daemon in [Daemon::ApiServer, Daemon::Etcd] {
                if let Some(child) = owned.child(daemon).as_mut() {
                    let _ = child.wait();
                }
            }
        }
    }
}

/// The path under which an API version is served.
fn api_root(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

/// Writes a file that only the owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write {}", path.display()))
}
