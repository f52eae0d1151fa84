//! Who may ask.

use std::fmt;
use std::sync::Arc;

use crate::AddressRange;

/// Who may ask: all others are answered 403, or 401 if they may say who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The addresses of clients that may; all without it.
    pub allowed: Option<Arc<[AddressRange]>>,
    /// Those that may not, also of the ones that else may.
    pub denied: Arc<[AddressRange]>,
    /// Those who have a name and a password; all without it.
    pub basic_auth: Option<BasicAuth>,
    /// Whether one of the conditions is enough: the address, or the password.
    pub satisfy_any: bool,
}

/// Who has a name and a password (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BasicAuth {
    /// What a client is told that it is for.
    pub realm: String,
    /// The users.
    pub passwords: Arc<PasswordFile>,
}

/// Users and the hashes of their passwords, as htpasswd writes them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PasswordFile(pub String);

impl fmt::Debug for PasswordFile {
    /// Shows none of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile").finish_non_exhaustive()
    }
}

impl Access {
    /// Whether there is anyone who may not.
    pub fn is_restricted(&self) -> bool {
        let Self { allowed, denied, basic_auth, satisfy_any: _ } = self;
        allowed.is_some() || !denied.is_empty() || basic_auth.is_some()
    }
}
