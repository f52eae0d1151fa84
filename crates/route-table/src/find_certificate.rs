//! What a handshake of TLS gets, by the host that the client names in it (RFC 6066, section 3).

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::cache::Decoded;
use crate::certificate::Certificate;
use crate::fault::Fault;
use crate::find::lower_case;
use crate::host_entry::TlsClass;
use crate::key::CERTIFICATE;
use crate::table::Table;

/// What a handshake gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handshake {
    /// The certificate of a host.
    Certificate {
        /// Its id.
        id: Arc<str>,
        /// What is asked of the client.
        tls_class: TlsClass,
        /// Bytes that another host does not have, nor this one with another certificate, or if something else is asked of its clients: a
        /// session that was made with one is taken up again with the same only. Hosts of one wildcard have others each: OpenSSL says of a session of
        /// TLS 1.2 which host was named when it was made, and that may not be the wildcard's any more.
        session_context: Vec<u8>,
    },
    /// No host has such a name, or it has no certificate: the handshake is rejected.
    Rejected,
}

impl<M: AsRef<[AtomicU64]>> Table<M> {
    /// What a handshake at a listener gets whose client names a host, in any case; an empty one if it names none.
    ///
    /// # Errors
    /// What is known of the host is damaged: the handshake fails.
    pub fn find_handshake(&mut self, listener: u8, host: &[u8]) -> Result<Handshake, Fault> {
        let host = lower_case(host);
        self.look_up(|table| {
            let Some(found) = table.find_host(&host, listener)? else { return Ok(Handshake::Rejected) };
            let Some(handshake) = found.handshake else { return Ok(Handshake::Rejected) };
            let (id, tls_class) = (Arc::clone(&handshake.certificate), handshake.tls_class);
            let session_context = [&*host, &[found.kind], &tls_class.0.to_be_bytes(), id.as_bytes()].concat();
            Ok(Handshake::Certificate { id, tls_class, session_context })
        })
    }

    /// The certificate of an id that a host names.
    ///
    /// # Errors
    /// It is damaged, or not there.
    pub fn certificate(&mut self, id: &[u8]) -> Result<Arc<Certificate>, Fault> {
        self.look_up(|table| {
            let mut hasher = table.hasher();
            hasher.write(id);
            match table.get(hasher.finish_with(CERTIFICATE), &[id, &[CERTIFICATE]])? {
                Some(Decoded::Certificate(certificate)) => Ok(Arc::clone(certificate)),
                _ => Err(Fault::NoCertificate),
            }
        })
    }
}
