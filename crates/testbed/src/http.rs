//! HTTP/1.1 for tests, on blocking connections: what is sent is what the test writes, byte for byte, so that it can be malformed;
//! what comes is parsed. [`Connection`] serves both sides.
//!
//! An answer's body ends as RFC 9112, section 6.3 says: by its length, by its last chunk, or with the connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How long one reading or writing of a client may take, unless a test sets another time on the stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers in their order, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; a string of it when it is none, so that a failed comparison shows it.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| Value::String(self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of a name, in any case; empty without one.
    pub fn header(&self, name: &str) -> &str {
        find_header(&self.headers, name).unwrap_or_default()
    }

    /// The answer itself if it has the status.
    ///
    /// # Panics
    /// When it has another; the body is in the message.
    #[allow(clippy::return_self_not_must_use, reason = "often the status is all that matters")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Whether the other side keeps the connection open after it.
    pub fn keeps_connection(&self) -> bool {
        !self.header("connection").eq_ignore_ascii_case("close")
    }
}

/// A request, as a backend reads it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The head as it came, with the empty line at its end; bytes that are not UTF-8 are replaced.
    pub head: String,
    /// The body that `Content-Length` announces.
    pub body: Vec<u8>,
}

impl Request {
    /// The request's target: the path with its query, or what else was sent there.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The first header of a name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }
}

/// The first header of a name in a head as it was sent.
pub fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A connection. Reading from it yields what follows the head that was read last.
#[derive(Debug)]
pub struct Connection<S: Read = TcpStream> {
    stream: BufReader<S>,
}

impl Connection {
    /// Connects to an address.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl From<TcpStream> for Connection {
    /// The connection of a stream, whose time limits stay.
    fn from(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }
}

impl Connection<UnixStream> {
    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open_unix(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

impl<S: Read + Write> Connection<S> {
    /// A connection over another stream, such as one of TLS.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The stream itself, for its time limits and its end.
    pub fn stream(&self) -> &S {
        self.stream.get_ref()
    }

    /// Sends these bytes and reads one answer.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> io::Result<Answer> {
        // What answers before it has read all may have closed its side: its answer is there nevertheless.
        let sent = self.write_all(request.as_ref());
        self.answer().map_err(|error| sent.err().unwrap_or(error))
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// None comes, it is no HTTP/1, or the connection ends in its middle.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.answer_head()?;
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            self.read_chunks(&mut answer.body)?;
        } else if let Ok(length) = answer.header("content-length").parse() {
            answer.body = vec![0; length];
            self.stream.read_exact(&mut answer.body)?;
        } else if !matches!(answer.status, 100..=199 | 204 | 304) {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Reads the head of an answer; the body is left to be read at the test's pace.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub fn answer_head(&mut self) -> io::Result<Answer> {
        let head = self.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("this is no answer of HTTP/1: {head:?}")))?;
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Ok(Answer { status, headers: lines.filter_map(header).collect(), body: Vec::new() })
    }

    /// Reads one request, as a backend; none when the connection has ended.
    ///
    /// # Errors
    /// The connection ends in its middle.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.request_head()? else { return Ok(None) };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        request.body = vec![0; length];
        self.stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// Reads the head of a request, as a backend; none when the connection has ended.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub fn request_head(&mut self) -> io::Result<Option<Request>> {
        Ok(self.head()?.map(|head| Request { head, body: Vec::new() }))
    }

    fn head(&mut self) -> io::Result<Option<String>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return if head.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(Some(String::from_utf8_lossy(&head).into_owned()))
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16)
                .map_err(|_| io::Error::other(format!("this is no length of a chunk: {line:?}")))?;
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            // The line end after the chunk; after the last one there may be trailers before it.
            while self.stream.read_line(&mut line)? > 2 && length == 0 {}
            if length == 0 {
                return Ok(());
            }
        }
    }
}

impl<S: Read> Read for Connection<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<S: Read> BufRead for Connection<S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.stream.consume(amount);
    }
}

impl<S: Read + Write> Write for Connection<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().flush()
    }
}

/// Sends bytes on a connection of their own and reads one answer.
///
/// # Errors
/// As [`Connection::open`] and [`Connection::exchange`].
pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> io::Result<Answer> {
    Connection::open(address)?.exchange(request)
}

/// Asks for a target of a host on a connection of its own. `headers` are whole lines, each with its line end.
///
/// # Errors
/// As [`exchange`].
pub fn get(address: SocketAddr, host: &str, target: &str, headers: &str) -> io::Result<Answer> {
    exchange(address, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"))
}

/// Listens on a free port of 127.0.0.1, as a backend of [`serve_connections`].
///
/// # Errors
/// No port is free.
pub fn serve(serve: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    serve_connections(listener, serve);
    Ok(address)
}

/// Hands each connection of a listener to `serve`, in a thread of its own, for as long as the process runs. An error ends the
/// connection and nothing else.
pub fn serve_connections(listener: TcpListener, serve: impl Fn(Connection) -> io::Result<()> + Send + Sync + 'static) {
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(Connection::from(stream)));
        }
    });
}
