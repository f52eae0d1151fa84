//! Real nginx and a small real backend.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Backend, Destination, Forward, Host, HostName, Key, Kind, Listener, ListenerSet, Match, ObjectRef,
    PathMatch, PathRewrite, Policies, Policy, Protocol, Routes, Rule, WeightedBackend,
};
use nginx_conf::{Modules, Revision, Settings, Version};
use tempfile::TempDir;
pub use testbed::echo::{Echo, backend};
use testbed::http::{self, Answer, Connection};
use testbed::nginx::RunningNginx;

use super::table::{self, RunningTable};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An nginx to test with.
#[derive(Debug, Clone)]
pub struct Binary {
    pub path: PathBuf,
    pub version: Version,
    pub modules: Modules,
    /// The module that routes by a table, which only those have that it is built for.
    pub module: Option<PathBuf>,
    /// Its stream module, where that is a file.
    pub stream_module: Option<PathBuf>,
}

/// Those that the module is built for.
pub fn binaries() -> Vec<Binary> {
    let programs = testbed::nginx::programs().into_iter();
    programs.map(|program| Binary { module: Some(program.module), ..binary(program.nginx) }).collect()
}

/// The oldest and the newest, for what needs no module.
pub fn both() -> Vec<Binary> {
    testbed::nginx::both().map(binary).into()
}

/// The newest, as a backend that speaks whatever there is.
pub fn newest() -> Binary {
    binary(testbed::nginx::newest())
}

fn binary(path: PathBuf) -> Binary {
    let output = Command::new(&path).arg("-V").output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = String::from_utf8(output.stderr).unwrap();
    let stream_module = testbed::nginx::stream_module(&path);
    assert_eq!(stream_module.is_some(), Modules::stream_file(&text).is_some(), "beside {}", path.display());
    Binary { path, version: text.parse().unwrap(), modules: Modules::parse(&text), module: None, stream_module }
}

/// An address that nobody listens on.
pub fn free() -> SocketAddr {
    testbed::ports::free_address().unwrap()
}

/// Settings for a test, with everything in this directory.
pub fn settings(binary: &Binary, dir: &Path) -> Settings {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    Settings {
        version: binary.version,
        modules: binary.modules,
        stream_module: binary.stream_module.clone(),
        // With a template it is not loaded.
        module: binary.module.clone().unwrap_or_else(|| nginx_conf::MODULE.into()),
        control: dir.join("control"),
        runtime: dir.to_owned(),
        worker_processes: Some(1),
        worker_connections: 512,
        access_log: Some(dir.join("access.log")),
        error_log: dir.join("error.log"),
        // Workers of another user could not enter the directory.
        user: root.then(|| "root".to_owned()),
        ..Settings::default()
    }
}

/// Writes the files of a revision.
pub fn write(revision: &Revision, dir: &Path) {
    for (path, content) in &revision.files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Waits until there is something.
///
/// # Panics
/// There is nothing for too long.
pub fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} is not there in time");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The lines of a log, once there are so many; a line that is not whole yet does not count.
pub fn lines_of(log: &Path, number: usize) -> Vec<String> {
    wait_for("the log", || {
        let bytes = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        (text.matches('\n').count() >= number).then(|| text.lines().map(str::to_owned).collect())
    })
}

/// A running nginx.
pub struct Nginx {
    // It ends before its directory is removed.
    _running: RunningNginx,
    pub dir: TempDir,
    pub settings: Settings,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub revision: Revision,
    /// None with a template.
    pub table: Option<RunningTable>,
}

/// An nginx with a configuration by hand, as a backend.
pub struct NginxBackend {
    // It ends before its directory is removed.
    _running: RunningNginx,
    pub address: SocketAddr,
    pub dir: TempDir,
}

impl NginxBackend {
    /// Starts it with what `http` makes of an address to listen on, and waits until it does. A certificate and its key for the
    /// name `backend` are in `cert.pem`.
    pub fn start(binary: &Binary, http: impl FnOnce(SocketAddr) -> String) -> Self {
        let (dir, address) = (tempfile::tempdir().unwrap(), free());
        let made = rcgen::generate_simple_self_signed(["backend".to_owned()]).unwrap();
        fs::write(dir.path().join("cert.pem"), made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let config = format!(
            "worker_processes 1; pid nginx.pid; error_log stderr; user root; events {{ }}\n\
             http {{ client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;\n\
             scgi_temp_path scgi; {} }}",
            http(address)
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let running = RunningNginx::start(&binary.path, dir.path()).unwrap();
        wait_for("the backend", || TcpStream::connect(address).is_ok().then_some(()));
        Self { address, dir, _running: running }
    }
}

impl Nginx {
    /// Starts it and waits until its workers tell the revision.
    pub fn start(binary: &Binary, routes: &Routes, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(binary, routes, change, |routes, settings| {
            let (revision, table) = table::render(routes, settings);
            (revision, Some(table))
        })
    }

    /// The same, with a revision made otherwise.
    pub fn start_with(
        binary: &Binary,
        routes: &Routes,
        change: impl FnOnce(&mut Settings),
        render: impl FnOnce(&Routes, &Settings) -> (Revision, Option<RunningTable>),
    ) -> Self {
        let (http, https) = (free(), free());
        let routes = Routes { listeners: Listener::built_in(&[http], &[https]), ..routes.clone() };
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(binary, dir.path());
        change(&mut settings);
        settings.check().unwrap();
        let (revision, table) = render(&routes, &settings);
        write(&revision, dir.path());
        let running = RunningNginx::start(&binary.path, dir.path()).unwrap();
        let nginx = Self { dir, settings, http, https, revision, table, _running: running };
        let up = || nginx.control("/generation").filter(|answer| answer.text() == nginx.revision.hash);
        wait_for("nginx", up);
        nginx
    }

    /// Asks the control socket.
    pub fn control(&self, path: &str) -> Option<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n");
        Connection::open_unix(&self.settings.control).ok()?.exchange(request).ok()
    }

    /// Its configuration.
    pub fn config(&self) -> String {
        String::from_utf8_lossy(&self.revision.files["nginx.conf"]).into_owned()
    }

    /// A request for a host and a target, with further header lines, each with its line end.
    pub fn get(&self, host: &str, target: &str, headers: &str) -> Answer {
        http::get(self.http, host, target, headers).expect("an answer")
    }

    /// Sends bytes on a connection of their own, and reads the answer.
    pub fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        http::exchange(self.http, request).expect("an answer")
    }

    /// A connection to it.
    pub fn connect(&self) -> Connection {
        Connection::open(self.http).unwrap()
    }

    /// What curl prints for a URL of a host, over TLS.
    pub fn curl(&self, host: &str, target: &str, arguments: &[&str]) -> (bool, String) {
        let port = self.https.port();
        let output = Command::new("curl")
            .args(["-q", "-sS", "-k", "--path-as-is", "--noproxy", "*", "--max-time", "20", "--resolve"])
            .arg(format!("{host}:{port}:127.0.0.1"))
            .args(arguments)
            .arg(format!("https://{host}:{port}{target}"))
            .output()
            .unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.settings.error_log).unwrap_or_default());
        }
    }
}

/// An object.
pub fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, Key { namespace: "default".to_owned(), name: name.to_owned() })
}

/// A rule that forwards over HTTP/1.1, and is treated as all others.
pub fn forward(path: PathMatch, address: SocketAddr, strip_prefix: bool) -> Rule {
    let backend = Backend { address: address.into(), protocol: Protocol::Http, keep_alive: true };
    let rewrite = if strip_prefix { PathRewrite::StripPrefix } else { PathRewrite::Keep };
    rule(path, Action::Forward(Forward::to(backend, rewrite)), "some")
}

/// A rule of an object, treated as all others.
pub fn rule(path: PathMatch, action: Action, name: &str) -> Rule {
    Rule {
        listeners: ListenerSet::ALL,
        matches: Match::path(path),
        action,
        policy: policies().intern(&Policy::default()),
        origin: object(name),
    }
}

/// The policies of all routes here: the one that asks for nothing, and the one that redirects to HTTPS.
pub fn policies() -> Policies {
    let mut policies = Policies::default();
    policies.intern(&Policy::default());
    policies.intern(&Policy { redirect_to_https: true, ..Policy::default() });
    policies
}

/// Routes of one host for all names, of rules with policies of their own.
pub fn treated_routes<const N: usize>(rules: [(Rule, Policy); N]) -> Routes {
    let mut policies = policies();
    let rules = rules.map(|(rule, policy)| Rule { policy: policies.intern(&policy), ..rule });
    Routes { policies, ..routes([("*", rules.into())]) }
}

/// The same rule for another backend of the same address.
pub fn backed(mut rule: Rule, change: impl FnOnce(&mut Backend)) -> Rule {
    if let Action::Forward(Forward { backends, .. }) = &mut rule.action
        && let [WeightedBackend { destination: Destination::Backend(backend), .. }] = backends.as_mut_slice()
    {
        change(backend);
    }
    rule
}

/// The same rule with another path for what is forwarded.
pub fn with_rewrite(mut rule: Rule, rewrite: PathRewrite) -> Rule {
    if let Action::Forward(forward) = &mut rule.action {
        forward.path = rewrite;
    }
    rule
}

/// The same rule for a backend that speaks this.
pub fn speaking(rule: Rule, protocol: Protocol) -> Rule {
    backed(rule, |backend| backend.protocol = protocol)
}

/// `Prefix`.
pub fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

/// `Exact`.
pub fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

/// Routes of hosts without certificates. Names as in Ingresses: `*` is any.
pub fn routes<const N: usize>(hosts: [(&str, Vec<Rule>); N]) -> Routes {
    let named = |name: &str| match name.strip_prefix("*.") {
        Some(parent) => HostName::OneLabel(parent.to_owned()),
        None if name == "*" => HostName::Any,
        None => HostName::Exact(name.to_owned()),
    };
    let hosts =
        hosts.into_iter().map(|(name, rules)| (named(name), Host { rules: rules.into(), ..Host::default() }.into()));
    Routes { hosts: hosts.collect(), policies: policies(), ..Routes::default() }
}

/// Routes of any host whose rules are all treated in this way.
pub fn treated(policy: &Policy, rules: Vec<Rule>) -> Routes {
    let mut policies = policies();
    let policy = policies.intern(policy);
    let rules = rules.into_iter().map(|rule| Rule { policy, ..rule }).collect();
    Routes { policies, ..routes([("*", rules)]) }
}
