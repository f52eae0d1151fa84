//! A backend that answers when the test tells it to.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};

use testbed::http::{self, Connection};

use super::support::wait_for;

/// What happened to it, and what it may do.
#[derive(Default)]
struct State {
    arrived: usize,
    gone: usize,
    released: usize,
}

/// The backend. Each request waits until it is released, or gone.
#[derive(Clone, Default)]
pub struct HeldBackend {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl HeldBackend {
    /// One that answers with its name in the header `Backend` and the body that it got.
    pub fn answering(name: &'static str) -> (SocketAddr, Self) {
        let held = Self::default();
        let own = held.clone();
        let serve = move |mut connection: Connection| {
            while let Some(request) = connection.request()? {
                own.wait_for_release();
                let length = request.body.len();
                write!(connection, "HTTP/1.1 200 OK\r\nBackend: {name}\r\nContent-Length: {length}\r\n\r\n")?;
                connection.write_all(&request.body)?;
            }
            Ok(())
        };
        (http::serve(serve).unwrap(), held)
    }

    /// One that says `first`, then nothing, and takes note when nobody listens any more.
    pub fn silent_after(first: String) -> (SocketAddr, Self) {
        let held = Self::default();
        let own = held.clone();
        let serve = move |mut connection: Connection| {
            if connection.request()?.is_some() {
                own.change(|state| state.arrived += 1);
                let end = connection.write_all(first.as_bytes()).and_then(|()| connection.read(&mut [0]));
                own.change(|state| state.gone += 1);
                return end.map(drop);
            }
            Ok(())
        };
        (http::serve(serve).unwrap(), held)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    fn wait_for_release(&self) {
        let mut state = self.state.0.lock().unwrap();
        state.arrived += 1;
        let number = state.arrived;
        self.state.1.notify_all();
        drop(self.state.1.wait_while(state, |state| state.released < number).unwrap());
    }

    /// How many requests have arrived in all.
    pub fn arrived(&self) -> usize {
        self.state.0.lock().unwrap().arrived
    }

    /// Waits until so many requests have arrived in all.
    pub fn wait_arrived(&self, number: usize) {
        wait_for("a request at the backend", || (self.state.0.lock().unwrap().arrived >= number).then_some(()));
    }

    /// Waits until nginx has left so many in all.
    pub fn wait_gone(&self, number: usize) {
        wait_for("the end of a request to the backend", || (self.state.0.lock().unwrap().gone >= number).then_some(()));
    }

    /// The first so many are answered.
    pub fn release(&self, number: usize) {
        self.change(|state| state.released = number);
    }
}
