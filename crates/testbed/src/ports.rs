//! Ports on which a test's servers listen.
//!
//! A port that the kernel picks is one that it soon gives to something else: between its choice and the start of a server, a
//! connection of another test has it, and the server does not start. These are below the kernel's own, and no two processes
//! of tests take the same.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Below them are servers that have a port of their own, above them the node ports of Kubernetes and the kernel's own.
const FIRST: u16 = 20_000;
const END: u16 = 30_000;
const BLOCK: u16 = 50;

/// The blocks of this process. Each is held by a name in the kernel, which is in the same network namespace as the ports and ends
/// with the process, however that ends.
struct Blocks {
    held: Vec<(u16, UnixListener)>,
    /// How many ports were given.
    given: usize,
}

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks { held: Vec::new(), given: 0 });

/// An address of 127.0.0.1 on which nobody listens, and that no other test is given while there are others.
///
/// # Errors
/// No port is free.
pub fn free_address() -> io::Result<SocketAddr> {
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in FIRST..END {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, blocks.next()?));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(none_free())
}

impl Blocks {
    /// The next port. Once no block is left, those that this process has begin anew.
    fn next(&mut self) -> io::Result<u16> {
        let size = usize::from(BLOCK);
        if self.given >= self.held.len() * size {
            match reserve() {
                Ok(block) => self.held.push(block),
                Err(error) if self.held.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        let (block, port) = (self.given / size % self.held.len(), self.given % size);
        self.given += 1;
        Ok(self.held[block].0 + u16::try_from(port).unwrap_or_default())
    }
}

/// Takes a block that no process has.
fn reserve() -> io::Result<(u16, UnixListener)> {
    for first in (FIRST..END).step_by(usize::from(BLOCK)) {
        let name = UnixAddress::from_abstract_name(format!("sparrow-test-ports-{first}"))?;
        if let Ok(held) = UnixListener::bind_addr(&name) {
            return Ok((first, held));
        }
    }
    Err(none_free())
}

fn none_free() -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("no port is free on 127.0.0.1 from {FIRST} to {}", END - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    #[test]
    fn no_address_is_given_twice_and_each_can_be_listened_on() {
        let addresses: Vec<_> = (0..200).map(|_| super::free_address().unwrap()).collect();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
        for address in addresses {
            TcpListener::bind(address).unwrap();
        }
    }
}
