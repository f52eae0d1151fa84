//! Real nginx and a small real backend.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use entry_model::{
    Action, Backend, Forward, Host, HostName, Key, Kind, ObjectRef, PathMatch, Protocol, Routes, Rule, Timeouts,
};
use nginx_conf::{Generation, Modules, Settings, Version, render};
use tempfile::TempDir;

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// An nginx to test with.
#[derive(Debug, Clone)]
pub struct Binary {
    pub path: PathBuf,
    pub version: Version,
    pub modules: Modules,
}

/// Debian's and the newest.
pub fn binaries() -> [Binary; 2] {
    [testbed::nginx::debian(), testbed::nginx::newest()].map(|path| {
        let output = Command::new(&path).arg("-V").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = String::from_utf8(output.stderr).unwrap();
        Binary { path, version: text.parse().unwrap(), modules: Modules::parse(&text) }
    })
}

/// A port that nobody listens on.
pub fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Settings for a test, with everything in this directory.
pub fn settings(binary: &Binary, dir: &Path) -> Settings {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    Settings {
        version: binary.version,
        modules: binary.modules,
        http: vec![free()],
        https: vec![free()],
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

/// Writes the files of a generation.
pub fn write(generation: &Generation, dir: &Path) {
    for (path, content) in &generation.files {
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
    pub dir: TempDir,
    pub settings: Settings,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub generation: Generation,
    keeper: Child,
}

/// Runs its arguments until its standard input ends: however the test ends, nginx does too.
const KEEPER: &str = r#""$@" & pid=$!; trap '' INT TERM; while read -r _; do :; done; kill -TERM "$pid"; wait "$pid""#;

/// Starts nginx on the configuration in a directory. It ends with the standard input of what is returned.
pub fn start(binary: &Binary, dir: &Path) -> Child {
    Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(&binary.path)
        .args(["-e", "stderr", "-g", "daemon off;", "-p"])
        .arg(dir)
        .arg("-c")
        .arg(dir.join("nginx.conf"))
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

impl Nginx {
    /// Starts it and waits until its workers tell the generation.
    pub fn start(binary: &Binary, routes: &Routes, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(binary, change, |settings| render(routes, settings))
    }

    /// The same, with a generation made otherwise.
    pub fn start_with(
        binary: &Binary,
        change: impl FnOnce(&mut Settings),
        render: impl FnOnce(&Settings) -> Generation,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(binary, dir.path());
        change(&mut settings);
        settings.check().unwrap();
        let generation = render(&settings);
        write(&generation, dir.path());
        let keeper = start(binary, dir.path());
        let (http, https) = (settings.http[0], settings.https[0]);
        let nginx = Self { dir, settings, http, https, generation, keeper };
        let up = || nginx.control("/generation").filter(|answer| answer.body == nginx.generation.hash);
        wait_for("nginx", up);
        nginx
    }

    /// Asks the control socket.
    pub fn control(&self, path: &str) -> Option<Answer> {
        let mut stream = UnixStream::connect(&self.settings.control).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n").ok()?;
        Answer::read(&mut stream)
    }

    /// Its configuration.
    pub fn config(&self) -> String {
        String::from_utf8_lossy(&self.generation.files["nginx.conf"]).into_owned()
    }

    /// A request for a host and a target, with further header lines, each with its line end.
    pub fn get(&self, host: &str, target: &str, headers: &str) -> Answer {
        send(self.http, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"))
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
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.settings.error_log).unwrap_or_default());
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Reads one until the connection ends.
    pub fn read(stream: &mut impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        // A reset after the answer changes nothing.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_owned(), body: body.to_owned() })
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// A header that the backend saw.
    pub fn seen(&self, name: &str) -> Option<&str> {
        header(&self.body, name)
    }

    /// The target that the backend saw.
    pub fn target(&self) -> &str {
        self.body.lines().next().unwrap_or_default().split(' ').nth(1).unwrap_or_default()
    }
}

/// A header's value, the first one of that name.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Sends bytes and reads the answer.
pub fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_ref()).unwrap();
    Answer::read(&mut stream).expect("an answer")
}

/// Starts a backend that answers with the head of the request as it came. `name` is in the header `Backend`.
pub fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(&stream, name));
        }
    });
    address
}

fn serve(stream: &TcpStream, name: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line).ok()? == 0 {
                return None;
            }
            head.push_str(&String::from_utf8_lossy(&line));
        }
        let target = head.split(' ').nth(1)?.to_owned();
        if target.ends_with("/socket") {
            write!(writer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
                .ok()?;
            loop {
                let mut bytes = [0; 100];
                let read = reader.read(&mut bytes).ok().filter(|read| *read > 0)?;
                writer.write_all(&bytes[..read]).ok()?;
            }
        }
        if target.ends_with("/events") {
            write!(writer, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n").ok()?;
            // The second event comes only when the client, having seen the first, has asked on another connection.
            reader.read_line(&mut String::new()).ok();
            return None;
        }
        let length: usize = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let status = if target.ends_with("/fails") { "500 Own Error" } else { "200 OK" };
        write!(writer, "HTTP/1.1 {status}\r\nBackend: {name}\r\nContent-Length: {}\r\n\r\n{head}", head.len()).ok()?;
    }
}

/// An object.
pub fn object(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Service, Key { namespace: "default".to_owned(), name: name.to_owned() })
}

/// A rule that forwards over HTTP/1.1.
pub fn forward(path: PathMatch, address: SocketAddr, strip_prefix: bool) -> Rule {
    Rule {
        path,
        action: Action::Forward(Forward {
            backend: Backend { address, protocol: Protocol::Http, keep_alive: true },
            strip_prefix,
            timeouts: Timeouts::default(),
            max_body_bytes: None,
        }),
        redirect_to_https: false,
        origin: object("some"),
    }
}

/// The same rule for a backend that speaks this.
pub fn speaking(mut rule: Rule, protocol: Protocol) -> Rule {
    if let Action::Forward(forward) = &mut rule.action {
        forward.backend.protocol = protocol;
    }
    rule
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
        Some(parent) => HostName::Wildcard(parent.to_owned()),
        None if name == "*" => HostName::Any,
        None => HostName::Exact(name.to_owned()),
    };
    let hosts: BTreeMap<_, _> =
        hosts.into_iter().map(|(name, rules)| (named(name), Host { rules, ..Host::default() })).collect();
    Routes { hosts, ..Routes::default() }
}
