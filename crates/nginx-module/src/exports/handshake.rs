//! What handshakes of TLS ask: which certificate a host has, and the certificate itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use route_table::{Certificate, Fault, Handshake, Table};
use table_memory::TableMemory;

use super::{Bytes, TLS_CLASS_LEN, TableOfC};

/// `SPARROW_HANDSHAKE_…`.
const REJECTED: u8 = 0;
const CERTIFICATE: u8 = 1;
const FAILED: u8 = 2;

/// `sparrow_handshake_t`.
#[repr(C)]
#[derive(Debug)]
struct HandshakeOfC {
    kind: u8,
    tls_class: [u8; TLS_CLASS_LEN],
    certificate: Bytes,
    session_context: Bytes,
    complaint: Bytes,
}

/// `sparrow_certificate_t`.
#[repr(C)]
#[derive(Debug)]
struct CertificateOfC {
    chain: Bytes,
    key: Bytes,
    complaint: Bytes,
}

// `shim/sparrow.h` says the same of its own.
const _: () = assert!(size_of::<HandshakeOfC>() == 72 && size_of::<CertificateOfC>() == 48);

/// What the last handshake was told, to which C has pointers until the next.
#[derive(Debug, Default)]
pub struct LastHandshake {
    certificate: Option<Arc<str>>,
    session_context: Vec<u8>,
    pem: Option<Arc<Certificate>>,
    complaint: String,
}

impl LastHandshake {
    fn complain(&mut self, error: &str) -> Bytes {
        self.complaint = format!("the handshake fails, other hosts are served: {error}");
        Bytes::new(self.complaint.as_bytes())
    }

    fn handshake(&mut self, found: Result<Handshake, String>) -> HandshakeOfC {
        let of = |kind| HandshakeOfC {
            kind,
            tls_class: [0; TLS_CLASS_LEN],
            certificate: Bytes::EMPTY,
            session_context: Bytes::EMPTY,
            complaint: Bytes::EMPTY,
        };
        match found {
            Ok(Handshake::Certificate { id, tls_class, session_context }) => {
                self.session_context = session_context;
                let id = self.certificate.insert(id);
                HandshakeOfC {
                    tls_class: tls_class.0.to_be_bytes(),
                    certificate: Bytes::new(id.as_bytes()),
                    session_context: Bytes::new(&self.session_context),
                    ..of(CERTIFICATE)
                }
            }
            Ok(Handshake::Rejected) => of(REJECTED),
            Err(error) => HandshakeOfC { complaint: self.complain(&error), ..of(FAILED) },
        }
    }

    fn certificate(&mut self, found: Result<Arc<Certificate>, String>) -> CertificateOfC {
        match found {
            Ok(certificate) => {
                let Certificate { chain, key } = &**self.pem.insert(certificate);
                CertificateOfC { chain: Bytes::new(chain), key: Bytes::new(key), complaint: Bytes::EMPTY }
            }
            Err(error) => CertificateOfC { chain: Bytes::EMPTY, key: Bytes::EMPTY, complaint: self.complain(&error) },
        }
    }
}

/// Looks something up; a panic is an error as others are.
fn look<T>(table: &mut TableOfC, look: impl FnOnce(&mut Table<TableMemory>) -> Result<T, Fault>) -> Result<T, String> {
    // What a panic leaves are blobs that are replaced before they are used again.
    let found = catch_unwind(AssertUnwindSafe(|| look(table.router.table())));
    found.map_or_else(
        |_| Err("there is a fault in the module".to_owned()),
        |found| found.map_err(|fault| fault.to_string()),
    )
}

/// Which certificate a handshake gets whose client names a host.
///
/// # Safety
/// `table` is one of [`super::sparrow_table_open`], of which no other call is going on; `host` is readable, and `handshake` is
/// writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_handshake_find(
    table: *mut TableOfC,
    listener: u8,
    host: Bytes,
    handshake: *mut HandshakeOfC,
) {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says.
    let host = unsafe { host.as_slice() };
    let found = look(table, |table| table.find_handshake(listener, host));
    let found = table.last_handshake.handshake(found);
    // SAFETY: as the caller says.
    unsafe { *handshake = found };
}

/// The certificate of an id that [`sparrow_handshake_find`] has told.
///
/// # Safety
/// As there; `certificate` is writable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_certificate_find(table: *mut TableOfC, id: Bytes, certificate: *mut CertificateOfC) {
    // SAFETY: as the caller says: a worker has one thread.
    let table = unsafe { &mut *table };
    // SAFETY: as the caller says: they may be those that the table told last, which stay until they are replaced below.
    let found = look(table, |table| table.certificate(unsafe { id.as_slice() }));
    let found = table.last_handshake.certificate(found);
    // SAFETY: as the caller says.
    unsafe { *certificate = found };
}
