//! What all tests share: sparrow-entry as a process with directories and ports of its own, a backend, requests.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod clock;
pub mod secrecy;
pub mod tls;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbed::http::{self, Answer, Connection};
pub use testbed::nginx::Program;

/// How long anything may take that has to happen. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An address that nobody listens on.
pub fn free() -> SocketAddr {
    testbed::ports::free_address().unwrap()
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Waits until something is true.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    until(what, || is().then_some(()));
}

/// Debian's nginx.
pub fn debian() -> Program {
    testbed::nginx::debian_program()
}

/// All that the module is built for.
pub fn programs() -> Vec<Program> {
    testbed::nginx::programs()
}

/// A volume, a runtime directory, addresses and a directory of manifests, in which sparrow-entry is started.
pub struct Bench {
    dir: TempDir,
    pub http: SocketAddr,
    pub https: SocketAddr,
    /// What is set by environment variables, for all commands: by flag, such as `--http`.
    flags: BTreeMap<String, String>,
}

impl Bench {
    /// With manifests as its source.
    pub fn new(program: &Program) -> Bench {
        let mut bench = Bench::without_source(program);
        let objects = bench.path("objects");
        fs::create_dir(&objects).unwrap();
        bench.flag("--from", objects.display().to_string());
        bench
    }

    /// With one exposed Service, `shop`, at this port of 127.0.0.1; and `run` with it, which serves it.
    pub fn serving_shop(program: &Program, port: u16) -> (Bench, Entry) {
        let bench = Bench::new(program);
        bench.write("shop.yaml", &service("shop", port));
        let entry = bench.start(&["run"]);
        bench.answers("/shop", 200, "one");
        (bench, entry)
    }

    /// With a source that is still to be named.
    pub fn without_source(program: &Program) -> Bench {
        let Program { nginx, module } = program;
        let dir = tempfile::Builder::new().prefix("sparrow-entry-").tempdir().unwrap();
        let mut bench = Bench { dir, http: free(), https: free(), flags: BTreeMap::new() };
        bench.flag("--nginx", nginx.display().to_string());
        bench.flag("--stream-module", nginx.with_file_name("ngx_stream_module.so").display().to_string());
        bench.flag("--nginx-module", module.display().to_string());
        bench.flag("--volume", bench.path("volume").display().to_string());
        bench.flag("--runtime", bench.path("run").display().to_string());
        bench.flag("--access-log", "off".to_owned());
        bench.flag("--http", bench.http.to_string());
        bench.flag("--workers", 2.to_string());
        if rustix::process::geteuid().is_root() {
            // Workers of another user could not enter the directory.
            bench.flag("--user", "root".to_owned());
        }
        bench
    }

    /// Sets the variable of a flag. A command passes over variables of others.
    pub fn flag(&mut self, name: &str, value: String) {
        self.flags.insert(name.to_owned(), value);
    }

    /// The same without a flag.
    pub fn without_flag(mut self, name: &str) -> Bench {
        self.flags.remove(name);
        self
    }

    /// The flags that are set, with their values.
    pub fn flags(&self) -> impl Iterator<Item = (&str, &str)> {
        self.flags.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The environment variables of the flags.
    pub fn variables(&self) -> impl Iterator<Item = (String, &str)> {
        let variable = |name: &str| name.trim_start_matches("--").replace('-', "_").to_uppercase();
        self.flags().map(move |(name, value)| (format!("SPARROW_ENTRY_{}", variable(name)), value))
    }

    /// Serves HTTPS too, and tells clients of its port.
    pub fn with_https(mut self) -> Bench {
        self.flag("--https", self.https.to_string());
        self.flag("--public-https-port", self.https.port().to_string());
        self
    }

    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a manifest there, whole at once, as editors and volumes do.
    pub fn write(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path("objects").join(name)).unwrap();
    }

    /// Takes a manifest away.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path("objects").join(name)).unwrap();
    }

    /// The configuration that nginx is told to read.
    pub fn live(&self) -> String {
        fs::read_to_string(self.path("volume/live/nginx.conf")).unwrap()
    }

    /// The configuration that was offered last.
    pub fn offered(&self) -> String {
        let volume = self.path("volume");
        let hash = fs::read_to_string(volume.join("offered")).unwrap();
        fs::read_to_string(volume.join("generations").join(hash.trim()).join("nginx.conf")).unwrap()
    }

    /// Whether a text stands in a table on the volume, such as a path: records have it as it is.
    pub fn has_in_table(&self, text: &str) -> bool {
        let has = |file: &Path| {
            let bytes = fs::read(file).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let mut left = vec![self.path("volume")];
        while let Some(path) = left.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => left.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) if has(&path) => return true,
                Err(_) => {}
            }
        }
        false
    }

    /// Runs a command that ends by itself.
    pub fn command(&self, command: &[&str]) -> Output {
        let seconds = PATIENCE.as_secs().to_string();
        let mut timeout = Command::new("timeout");
        timeout
            .args(["-s", "KILL", &seconds, env!("CARGO_BIN_EXE_sparrow-entry")])
            .args(command)
            .envs(self.variables());
        timeout.stdin(Stdio::null()).output().unwrap()
    }

    /// The same, and checks its exit status. Standard output and standard error.
    pub fn ends(&self, status: i32, command: &[&str]) -> (String, String) {
        let output = self.command(command);
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(output.status.code(), Some(status), "{command:?} printed:\n{out}{err}");
        (out, err)
    }

    /// Starts a command that stays, and waits until it is ready.
    pub fn start(&self, command: &[&str]) -> Entry {
        let entry = self.start_unready(command);
        entry.wait_ready();
        entry
    }

    /// Starts a command that stays.
    pub fn start_unready(&self, command: &[&str]) -> Entry {
        self.start_by(&[], command)
    }

    /// Starts a command that stays by a program that becomes it, such as `env`.
    pub fn start_by(&self, by: &[&str], command: &[&str]) -> Entry {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("log{number}"));
        let admin = free();
        let file = File::create(&log).unwrap();
        // The kernel ends it with the thread that started it, however that ends. It has a keeper that ends nginx then.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(by)
            .arg(env!("CARGO_BIN_EXE_sparrow-entry"))
            .args(command)
            .envs(self.variables())
            .args(["--admin", &admin.to_string()])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Entry { child, admin, log }
    }

    /// What a path of a host is answered; none if there is no answer.
    pub fn get(&self, host: &str, path: &str) -> Option<Answer> {
        http::get(self.http, host, path, "").ok()
    }

    /// The status of a path of a host, and which backend answered; 0 if there is no answer.
    pub fn asks(&self, host: &str, path: &str) -> (u16, String) {
        let answer = self.get(host, path);
        answer.map_or((0, String::new()), |answer| (answer.status, answer.header("Backend").to_owned()))
    }

    /// Waits until a path of every host is answered so.
    pub fn answers(&self, path: &str, status: u16, backend: &str) {
        let wanted = (status, backend.to_owned());
        let mut last = None;
        let begun = Instant::now();
        while last.as_ref() != Some(&wanted) {
            assert!(begun.elapsed() < PATIENCE, "{path}: {last:?}, not {wanted:?}");
            sleep(Duration::from_millis(20));
            last = Some(self.asks("any.example", path));
        }
    }
}

/// A sparrow-entry that stays. Dropping it kills it.
pub struct Entry {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

impl Entry {
    /// Waits until it says that it is ready.
    pub fn wait_ready(&self) {
        eventually("ready", || self.admin("/readyz").is_some_and(|answer| answer.status == 200));
    }

    /// Where its admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Asks its admin port.
    pub fn admin(&self, path: &str) -> Option<Answer> {
        http::get(self.admin, "admin", path, "").ok()
    }

    /// A metric, by its name and labels as they are printed, without the prefix; 0 if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin("/metrics").unwrap().text();
        let value =
            page.lines().find_map(|line| line.strip_prefix("sparrow_entry_")?.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// A counter.
    pub fn count(&self, name: &str) -> u64 {
        let value = self.metric(&format!("{name}_total"));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small")]
        let count = value as u64;
        count
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has written something.
    pub fn says(&self, part: &str) {
        eventually(&format!("said: {part}"), || self.log().contains(part));
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its nginx: the master.
    pub fn nginx(&self) -> Option<Pid> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap_or_default();
        // Children belong to the thread that made them.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        let more: String =
            tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default()).collect();
        (children + &more).split_whitespace().find_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let master = String::from_utf8_lossy(&line).starts_with("nginx: master");
            master.then(|| Pid::from_raw(pid.parse().ok()?)).flatten()
        })
    }

    /// Tells it to end.
    pub fn tell_to_end(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        until("ended", || self.child.try_wait().unwrap())
    }

    /// Ends it in good order.
    pub fn terminate(mut self) {
        self.tell_to_end();
        let status = self.ended();
        assert!(status.success(), "{status}");
        // Of two fields of the same name, readers of JSON take one.
        for line in self.log().lines().filter(|line| line.starts_with('{')) {
            assert_eq!(line.matches("\"message\":").count(), 1, "{line}");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("sparrow-entry said:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// A backend on a free port of 127.0.0.1, which tells its name in the header `Backend` and the request's target as body.
pub fn backend(name: &'static str) -> u16 {
    backend_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), name)
}

/// The same where one listens already.
pub fn backend_on(listener: TcpListener, name: &'static str) -> u16 {
    let port = listener.local_addr().unwrap().port();
    http::serve_connections(listener, move |connection| answer_targets(connection, name));
    port
}

fn answer_targets(mut connection: Connection, name: &str) -> io::Result<()> {
    while let Some(request) = connection.request()? {
        let (target, length) = (request.target(), request.target().len());
        write!(connection, "HTTP/1.1 200 OK\r\nBackend: {name}\r\nContent-Length: {length}\r\n\r\n{target}")?;
    }
    Ok(())
}

/// A Service that is exposed by its annotations, at `/NAME`.
pub fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  labels: {{ sparrow/expose: \"true\" }}\n\
         spec:\n  clusterIP: 127.0.0.1\n  ports: [{{ port: {port} }}]\n"
    )
}

/// The class of the Ingresses here.
pub const CLASS: &str = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: { name: sparrow }\n\
                         spec: { controller: sparrow/entry }\n";

/// An Ingress: everything of a host to a Service's port, with the certificate of a Secret if one is named.
pub fn ingress(name: &str, host: &str, service: &str, port: u16, secret: Option<&str>) -> String {
    let tls = secret.map_or(String::new(), |secret| format!("  tls: [{{ hosts: [{host}], secretName: {secret} }}]\n"));
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: {name} }}\nspec:\n  \
         ingressClassName: sparrow\n{tls}  rules:\n    - host: {host}\n      http:\n        paths:\n          \
         - {{ path: /, pathType: Prefix, backend: {{ service: {{ name: {service}, port: {{ number: {port} }} }} }} }}\n"
    )
}
