//! A backend that ends as a pod does.

use std::io::{self, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::http::Connection;

/// A backend that says its name in the header `Backend`, and counts. When it ends it answers what it has got, and listens no more.
#[derive(Debug)]
pub struct Pod {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: AtomicU64,
    ends: AtomicBool,
}

impl Pod {
    /// Starts one on a free port of an address.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(ip: IpAddr, name: &'static str) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let its = Arc::clone(&shared);
        let listening = thread::spawn(move || its.listen(listener, name));
        Ok(Self { address, shared, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has got.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Ends it in good order. From then on nothing is answered.
    ///
    /// # Panics
    /// It has ended already.
    pub fn end(self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // It looks whether it ends after each connection.
        TcpStream::connect(self.address).expect("it still listens");
        self.listening.join().expect("it has ended in good order");
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: TcpListener, name: &'static str) {
        // All connections that were ever made, each with the thread that serves it.
        let mut connections = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
            let Ok(other) = stream.try_clone() else { continue };
            let shared = Arc::clone(self);
            connections.push((other, thread::spawn(move || shared.serve(Connection::from(stream), name))));
        }
        drop(listener);
        // Nothing more is read than what has come.
        for (stream, _) in &connections {
            let _ = stream.shutdown(Shutdown::Read);
        }
        for (stream, serving) in connections {
            drop(stream);
            // What became of its last answer is for the client to say.
            let _ = serving.join();
        }
    }

    fn serve(&self, mut connection: Connection, name: &str) -> io::Result<()> {
        while connection.request()?.is_some() {
            self.requests.fetch_add(1, Ordering::SeqCst);
            write!(connection, "HTTP/1.1 200 OK\r\nBackend: {name}\r\nContent-Length: 2\r\n\r\nok")?;
        }
        Ok(())
    }
}
