//! Real nginx with the module, and a table that the test publishes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Backend, FixedAnswer, Forward, Host, HostName, Key, Kind, ListenerSet, Match, ObjectRef, PathMatch,
    PathRewrite, Policies, Policy, Protocol, Routes, Rule,
};
use route_table::{Class, Classifier, Planner, Revision, TableWriter, TlsClass};
use rustix::process::{Pid, Signal, kill_process};
use table_memory::WritableTableMemory;
use tempfile::TempDir;
pub use testbed::echo::{Echo, backend};
use testbed::http::{self, Answer, Connection};
use testbed::nginx::{Program, RunningNginx};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until there is something.
///
/// # Panics
/// There is nothing for too long.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what} is not there in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whoever publishes tables: the other side of the memory.
pub struct Publisher {
    // It stays for as long as the process runs: the test changes its words beside the writer.
    memory: &'static WritableTableMemory,
    writer: TableWriter<&'static WritableTableMemory>,
    planner: Planner,
    revision: u64,
}

impl Publisher {
    /// One whose table is empty.
    pub fn new() -> Self {
        let memory: &_ = Box::leak(Box::new(WritableTableMemory::create(8 << 20).unwrap()));
        let writer = TableWriter::create(memory, [1, 2]).unwrap();
        // The largest body is the policy for which `http_block` has locations.
        let of_policy = |policy: &Policy| Class(policy.max_body_bytes.unwrap_or(0).into());
        let of_text = |_: &FixedAnswer, policy: &Policy| Class(policy.max_body_bytes.unwrap_or(0).into());
        // Whoever has an order of ciphers asks clients what no server of `http_block` does.
        let of_tls = |_: &HostName, host: &Host, policies: &Policies| {
            let is_asking = |rule: &Rule| !policies[rule.policy].client_tls.is_default();
            TlsClass(host.rules.iter().any(is_asking).into())
        };
        Self { memory, writer, planner: Planner::new(Classifier { of_policy, of_text, of_tls }), revision: 0 }
    }

    /// Publishes routes. The revision.
    pub fn publish(&mut self, routes: &Routes) -> u64 {
        self.revision += 1;
        let changes = self.planner.plan(routes, Revision(self.revision));
        self.writer.apply(&changes).unwrap();
        self.revision
    }

    /// The memory's words.
    pub fn words(&self) -> &'static [AtomicU64] {
        self.memory.as_ref()
    }

    /// Where a process finds the memory.
    pub fn path(&self) -> PathBuf {
        self.memory.path()
    }
}

/// What a worker tells on the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerStatus {
    pub pid: i32,
    pub version: String,
    pub revision: u64,
    /// Why the revision is not the newest; empty if it is.
    pub fault: String,
}

/// A running nginx.
pub struct Nginx {
    // It ends before its directory is removed.
    running: Option<RunningNginx>,
    dir: TempDir,
    /// HTTP/1.1 in the clear.
    pub address: SocketAddr,
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub tls: SocketAddr,
}

/// The newest nginx, as a backend with a configuration by hand.
pub struct NginxBackend {
    // It ends before its directory is removed.
    _running: RunningNginx,
    _dir: TempDir,
    /// HTTP/1.1 and HTTP/2 in the clear.
    pub plain: SocketAddr,
    /// Both over TLS.
    pub tls: SocketAddr,
}

impl NginxBackend {
    /// Starts it with the directives of its only server, and waits until it listens.
    pub fn start(server: &str) -> Self {
        let (dir, plain, tls) = (
            tempfile::tempdir().unwrap(),
            testbed::ports::free_address().unwrap(),
            testbed::ports::free_address().unwrap(),
        );
        write_certificate(&dir.path().join("cert.pem"), "backend");
        let config = format!(
            "worker_processes 1; pid nginx.pid; error_log stderr; user root; events {{ }}\n\
             http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
             uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             server {{ listen {plain}; listen {tls} ssl; http2 on;\n\
             ssl_certificate cert.pem; ssl_certificate_key cert.pem; {server} }} }}"
        );
        fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let running = RunningNginx::start(&testbed::nginx::newest(), dir.path()).unwrap();
        wait_for("the backend", || TcpStream::connect(tls).ok());
        Self { _running: running, _dir: dir, plain, tls }
    }
}

/// Writes a certificate of a name that it has signed itself, and its key.
fn write_certificate(path: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(path, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
}

impl Nginx {
    /// Starts it with so many workers, and waits until they route by the table.
    pub fn start(publisher: &Publisher, workers: usize) -> Self {
        Self::start_with(publisher, workers, |config| config)
    }

    /// The same, with another `http` block.
    pub fn start_with(publisher: &Publisher, workers: usize, change: impl FnOnce(String) -> String) -> Self {
        Self::start_on(&testbed::nginx::debian_program(), publisher, workers, change)
    }

    /// The same, on another nginx.
    pub fn start_on(
        program: &Program,
        publisher: &Publisher,
        workers: usize,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let mut nginx = Self::configured(program, publisher, workers, change);
        nginx.running = Some(RunningNginx::start(&program.nginx, nginx.dir.path()).unwrap());
        nginx.wait_for_workers(workers);
        nginx
    }

    /// The same, as a daemon: one that is nobody's child puts another binary in its place when it is told to.
    pub fn start_daemon(publisher: &Publisher, workers: usize) -> Self {
        let program = testbed::nginx::debian_program();
        let nginx = Self::configured(&program, publisher, workers, |config| config);
        let dir = nginx.dir.path();
        let mut command = Command::new(program.nginx);
        command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf"));
        assert!(command.status().unwrap().success());
        nginx.wait_for_workers(workers);
        nginx
    }

    fn configured(
        program: &Program,
        publisher: &Publisher,
        workers: usize,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [address, tls] = std::array::from_fn(|_| testbed::ports::free_address().unwrap());
        write_config(dir.path(), &program.module, workers, &change(http_block(&publisher.path(), [address, tls])));
        Self { running: None, dir, address, tls }
    }

    fn wait_for_workers(&self, number: usize) {
        wait_for("nginx", || Some(self.workers()).filter(|pids| pids.len() == number));
    }

    /// What whichever worker answers tells of itself.
    pub fn status(&self) -> io::Result<WorkerStatus> {
        let mut control = Connection::open_unix(&self.dir.path().join("control"))?;
        let text = control.exchange("GET /table HTTP/1.0\r\n\r\n")?.text();
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default().trim_end().to_owned();
        let number = |text: String| text.parse().map_err(|_| io::Error::other(text));
        let (pid, version) = (word().parse().map_err(io::Error::other)?, word());
        Ok(WorkerStatus { pid, version, revision: number(word())?, fault: word() })
    }

    /// The workers that take new connections.
    pub fn workers(&self) -> BTreeSet<i32> {
        // At the start nobody has written it.
        let master = fs::read_to_string(self.dir.path().join("nginx.pid")).unwrap_or_default();
        master.trim().parse().map(testbed::nginx::workers).unwrap_or_default()
    }

    /// The process that owns the workers; of two, the one that was started later.
    pub fn master(&self) -> i32 {
        let read = || fs::read_to_string(self.dir.path().join("nginx.pid")).ok()?.trim().parse().ok();
        wait_for("the master's process id", read)
    }

    /// Reads its configuration anew.
    pub fn reload(&self) {
        signal(self.master(), Signal::HUP);
    }

    /// Has its configuration name another file of the module, from the next start or reload on.
    pub fn load_module(&self, path: &Path) {
        let config = self.dir.path().join("nginx.conf");
        let text = fs::read_to_string(&config).unwrap();
        let (_, rest) = text.split_once(';').unwrap();
        fs::write(config, format!("load_module {};{rest}", path.display())).unwrap();
    }

    /// Its only worker is killed, and another one is there.
    pub fn replace_worker(&self) {
        let pid = self.status().unwrap().pid;
        signal(pid, Signal::KILL);
        wait_for("another worker", || self.status().ok().filter(|status| status.pid != pid));
    }

    /// A request for a host and a target, with further header lines, each with its line end.
    pub fn get(&self, host: &str, target: &str, headers: &str) -> Answer {
        http::get(self.address, host, target, headers).unwrap()
    }

    /// A client that asks for a path of `any.example` so often, in streams of one connection over HTTP/2. It gives the query a number.
    pub fn streams(&self, path: &str, number: usize) -> Command {
        let port = self.tls.port();
        let mut curl = Command::new("curl");
        curl.args(["-q", "-sS", "-k", "--http2", "-Z", "--parallel-max", "100", "--noproxy", "*", "--resolve"]);
        curl.arg(format!("any.example:{port}:127.0.0.1")).arg(format!("https://any.example:{port}{path}?[1-{number}]"));
        curl
    }

    /// The name of the backend that answers, or the status.
    pub fn found(&self, host: &str, target: &str) -> Result<String, u16> {
        let answer = self.get(host, target, "");
        if answer.status == 200 { Ok(answer.header("Backend").to_owned()) } else { Err(answer.status) }
    }

    /// What is in its error log.
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Daemons, of which there may be two.
        for file in ["nginx.pid", "nginx.pid.oldbin"].iter().filter(|_| self.running.is_none()) {
            let pid = fs::read_to_string(self.dir.path().join(file)).ok().and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid {
                signal(pid, Signal::TERM);
                wait_for("the end of a daemon", || (!is_running(pid)).then_some(()));
            }
        }
        if thread::panicking() {
            eprintln!("{}", self.error_log());
        }
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Whether a process has not ended.
pub fn is_running(pid: i32) -> bool {
    // Of one that has ended and that nobody has waited for, this is gone already.
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// How many descriptors a process has.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A line of what the kernel says of a process, such as `PPid` or `RssAnon`: its number.
pub fn process_number(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The `http` block that routes by a table. Answers say in their headers what its variables say; those to requests that the table
/// leaves to the locations of their server have the status 418.
pub fn http_block(table: &Path, [address, tls]: [SocketAddr; 2]) -> String {
    // From nginx 1.29.7 on it keeps connections by itself, and this says that it does not, in words that older ones know too.
    let upstreams: String = ["http", "https", "h2c", "h2"]
        .map(|protocol| {
            format!(
                "upstream sparrow_{protocol} {{ sparrow_backends; sparrow_keep_connections 64 4s 1000000; keepalive_requests 1; }}\n\
                 upstream sparrow_{protocol}_once {{ sparrow_backends; keepalive_requests 1; }}\n"
            )
        })
        .concat();
    let classes: String = [0, 5].map(class).concat();
    let answers: String = [400, 404, 421, 503]
        .map(|status| {
            format!("location = sparrow-answer-{status} {{ return {status} \"answer {status} of $uri\"; }}\n")
        })
        .concat();
    format!(
        r#"
        sparrow_table {};
        sparrow_public_ports 80 8443;
        sparrow_scheme $told_scheme;
        map $http_told_scheme $told_scheme {{ default $scheme; https https; }}
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:sessions:1m;
        keepalive_requests 1000000;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header Uri $uri;
        proxy_set_header Prefix $sparrow_prefix;
        grpc_set_header Uri $uri;
        grpc_set_header Prefix $sparrow_prefix;
        grpc_set_header Sent $request_uri;
        proxy_ssl_server_name on;
        proxy_ssl_name $host;
        grpc_ssl_server_name on;
        grpc_ssl_name $host;
        add_header Route $sparrow_route always;
        add_header Sent $request_uri always;
        add_header Uri $uri always;
        {upstreams}
        server {{
            listen {address};
            listen {tls} ssl http2;
            sparrow_route;
            sparrow_certificates;
            error_page 413 502 @error_page;
            {classes}
            {answers}
            location @error_page {{ return 200 "error page of $uri"; }}
            location / {{ return 418; }}
        }}
        server {{
            listen unix:control;
            location = /table {{
                return 200 "$pid $sparrow_module_version $sparrow_table_revision $sparrow_table_fault\n";
            }}
        }}"#,
        table.display()
    )
}

/// The locations of a class of policies: those whose bodies have at most so many bytes.
fn class(bytes: u64) -> String {
    let passes = [
        ("http", "proxy_pass http"),
        ("https", "proxy_pass https"),
        ("h2c", "grpc_pass grpc"),
        ("h2", "grpc_pass grpcs"),
    ];
    let locations = passes.iter().flat_map(|(protocol, pass)| {
        [("", ""), ("-once", "_once")].map(|(once, upstream)| {
            format!(
                "location = sparrow-{protocol}{once}-{bytes:032x} {{ \
                 client_max_body_size {bytes}; {pass}://sparrow_{protocol}{upstream}; }}\n"
            )
        })
    });
    locations.collect()
}

/// Writes a configuration into a directory.
pub fn write_config(directory: &Path, module: &Path, workers: usize, http: &str) {
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let config = format!(
        "load_module {}; {user} worker_processes {workers}; pid nginx.pid; error_log error.log notice;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi; scgi_temp_path scgi; {} }}\n",
        module.display(),
        http.replace("unix:control", &format!("unix:{}", directory.join("control").display()))
    );
    fs::write(directory.join("nginx.conf"), config).unwrap();
}

/// What `nginx -t` says of an `http` block: whether it is right, and the text.
pub fn test_config(http: &str) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let program = testbed::nginx::debian_program();
    write_config(dir.path(), &program.module, 1, http);
    let mut nginx = Command::new(program.nginx);
    nginx.args(["-t", "-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(dir.path().join("nginx.conf"));
    let output = nginx.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An action that forwards over HTTP/1.1.
pub fn to(address: SocketAddr, path: PathRewrite) -> Action {
    speaking(Protocol::Http, address, path)
}

/// An action that forwards over a protocol.
pub fn speaking(protocol: Protocol, address: SocketAddr, path: PathRewrite) -> Action {
    Action::Forward(Forward::to(Backend { address: address.into(), protocol, keep_alive: true }, path))
}

/// A rule that forwards what it matches as it is.
pub fn forward(path: PathMatch, address: SocketAddr) -> Rule {
    rule(path, to(address, PathRewrite::Keep))
}

/// A rule that is treated as all others.
pub fn rule(path: PathMatch, action: Action) -> Rule {
    let name = Key { namespace: "default".to_owned(), name: "some".to_owned() };
    let origin = ObjectRef::new(Kind::Service, name);
    let policy = policies().intern(&Policy::default());
    Rule { listeners: ListenerSet::ALL, matches: Match::path(path), action, policy, origin }
}

/// The same rule, but that the client is sent to HTTPS.
pub fn redirected(rule: Rule) -> Rule {
    Rule { policy: policies().intern(&redirecting()), ..rule }
}

/// The same rule, but that bodies have at most five bytes.
pub fn limited(rule: Rule) -> Rule {
    Rule { policy: policies().intern(&limiting()), ..rule }
}

fn redirecting() -> Policy {
    Policy { redirect_to_https: true, ..Policy::default() }
}

fn limiting() -> Policy {
    Policy { max_body_bytes: Some(5), ..Policy::default() }
}

/// The policies of all routes here: the one that asks for nothing, the one that redirects to HTTPS, and the one that limits bodies.
pub fn policies() -> Policies {
    let mut policies = Policies::default();
    for policy in [Policy::default(), redirecting(), limiting()] {
        policies.intern(&policy);
    }
    policies
}

/// `Prefix`.
pub fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.to_owned())
}

/// `Exact`.
pub fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

/// Routes of hosts without certificates, their rules in any order. Names as they are displayed: `*.a` for one label, `**.a` for
/// any number of them, `*` for all.
pub fn routes(hosts: impl IntoIterator<Item = (String, Vec<Rule>)>) -> Routes {
    let named = |name: &str| match (name.strip_prefix("**."), name.strip_prefix("*.")) {
        (Some(parent), _) => HostName::Suffix(parent.to_owned()),
        (None, Some(parent)) => HostName::OneLabel(parent.to_owned()),
        (None, None) if name == "*" => HostName::Any,
        (None, None) => HostName::Exact(name.to_owned()),
    };
    let hosts =
        hosts.into_iter().map(|(name, rules)| (named(&name), Host { rules: rules.into(), ..Host::default() }.into()));
    Routes { hosts: hosts.collect(), policies: policies(), ..Routes::default() }
}

/// Routes of all hosts.
pub fn routes_of_any(rules: Vec<Rule>) -> Routes {
    routes([("*".to_owned(), rules)])
}
