//! A backend that answers with what it was asked, so that a test sees what was forwarded.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::SocketAddr;

use crate::http::{self, Answer, Connection, header_of};

/// The answer of [`backend`], whose body is the head that it saw.
pub trait Echo {
    /// A header that the backend saw.
    fn seen(&self, name: &str) -> Option<&str>;

    /// The target that the backend saw.
    fn target(&self) -> &str;
}

impl Echo for Answer {
    fn seen(&self, name: &str) -> Option<&str> {
        header_of(std::str::from_utf8(&self.body).unwrap_or_default(), name)
    }

    fn target(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default().split(' ').nth(1).unwrap_or_default()
    }
}

/// Starts a backend that answers with the head of the request as it came. `name` is in the header `Backend`. It answers a target
/// that ends with `/socket` with a WebSocket that returns every byte, `/events` with an event stream, and `/fails` with 500.
///
/// # Panics
/// No port is free.
pub fn backend(name: &'static str) -> SocketAddr {
    http::serve(move |connection| echo(connection, name)).expect("a free port")
}

fn echo(mut connection: Connection, name: &str) -> io::Result<()> {
    while let Some(request) = connection.request()? {
        let target = request.target();
        if target.ends_with("/socket") {
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
            connection.write_all(head.as_bytes())?;
            let mut bytes = [0; 100];
            while let read @ 1.. = connection.read(&mut bytes)? {
                connection.write_all(&bytes[..read])?;
            }
            return Ok(());
        }
        if target.ends_with("/events") {
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")?;
            // The second event comes only when the client, having seen the first, has asked on another connection.
            return connection.read_line(&mut String::new()).map(drop);
        }
        let status = if target.ends_with("/fails") { "500 Own Error" } else { "200 OK" };
        let (head, length) = (&request.head, request.head.len());
        write!(connection, "HTTP/1.1 {status}\r\nBackend: {name}\r\nContent-Length: {length}\r\n\r\n{head}")?;
    }
    Ok(())
}
