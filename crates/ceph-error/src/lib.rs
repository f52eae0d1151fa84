//! What can go wrong in a call of Ceph, with enough to act on: which call, on what, and the errno that Ceph gave.
//!
//! Apart from the calls themselves, so that those who explain such an error need neither librados nor librbd.

use std::borrow::Cow;
use std::ffi::c_int;
use std::fmt;

/// The result of a call of Ceph.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call, or bytes from RADOS that do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// librados or librbd answered with a negative errno.
    #[error("{operation} of {subject} failed: {errno}")]
    Call {
        /// The C function or RADOS operation, such as `rbd_open`.
        operation: &'static str,
        /// What it was called on: `pool`, `pool/namespace/image@snapshot`, an object's name.
        subject: String,
        /// The errno it gave.
        errno: Errno,
    },
    /// An object held bytes that are not what librbd writes.
    #[error("{subject} cannot be read: {source}")]
    Decode {
        /// The object, as `pool/object`.
        subject: String,
        /// What is wrong with its bytes.
        source: rbd_format::DecodeError,
    },
    /// An image larger, or laid out otherwise, than librbd can work with. Handing it to librbd could end this process.
    #[error("{subject} {source}")]
    Unbounded {
        /// The image.
        subject: String,
        /// What of it is beyond the bounds.
        source: rbd_format::Unbounded,
    },
    /// An image that librbd must not open: it would not come back, or read what is not Ceph's.
    #[error("{subject} {source}")]
    Unopenable {
        /// The image, or its ancestor.
        subject: String,
        /// Why.
        source: rbd_format::Unopenable,
    },
    /// An image needs a pool that is gone. librbd ends this process where it copies such an image.
    #[error("{subject} needs the pool of id {pool_id}, which held {holds} and is gone")]
    PoolGone {
        /// The image.
        subject: String,
        /// The pool's id.
        pool_id: i64,
        /// What of the image it held: `its data`, `its parent`, `the source of its migration`.
        holds: &'static str,
    },
    /// A name holds a NUL byte, which no C string can carry.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
    /// The time that the caller set ran out; whether a change took effect is not known.
    #[error("{operation} of {subject} had no answer in time")]
    Deadline {
        /// What was waited for.
        operation: &'static str,
        /// On what.
        subject: String,
    },
    /// The librbd or librados that is installed lacks a function that came with a later release.
    #[error("{0} is not in the installed librbd")]
    Missing(&'static str),
}

impl Error {
    /// The errno, where Ceph gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { errno, .. } => Some(*errno),
            Self::Deadline { .. } => Some(Errno::ETIMEDOUT),
            Self::Decode { .. }
            | Self::Unbounded { .. }
            | Self::Unopenable { .. }
            | Self::PoolGone { .. }
            | Self::Nul(_)
            | Self::Missing(_) => None,
        }
    }

    /// What it is about: `pool`, `pool/namespace/image`, an object, a name.
    pub fn subject(&self) -> &str {
        match self {
            Self::Call { subject, .. }
            | Self::Decode { subject, .. }
            | Self::Unbounded { subject, .. }
            | Self::Unopenable { subject, .. }
            | Self::PoolGone { subject, .. }
            | Self::Deadline { subject, .. } => subject,
            Self::Nul(name) => name,
            Self::Missing(function) => function,
        }
    }

    /// Whether Ceph gave exactly this errno.
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

/// A positive errno of the system Ceph runs on (Linux numbering), see errno(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub c_int);

macro_rules! errnos {
    ($($name:ident $text:literal,)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Self = Self(libc::$name);)*

            /// The symbolic name, such as `ENOENT`; `E?` for one that Ceph does not use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* _ => "E?" }
            }

            /// What the number means, in words; those of the system's own for one that Ceph does not use.
            pub fn text(self) -> Cow<'static, str> {
                match self {
                    $(Self::$name => Cow::Borrowed($text),)*
                    Self(number) => Cow::Owned(std::io::Error::from_raw_os_error(number).to_string()),
                }
            }
        }
    };
}

errnos! {
    EPERM "operation not permitted",
    ENOENT "no such file, object, pool or image",
    EIO "input/output error",
    EBADMSG "what is stored does not fit together",
    EBADF "bad file descriptor, or the random id of a new image is taken",
    ENXIO "no such device or address",
    EAGAIN "try again",
    ENOMEM "out of memory",
    EACCES "access denied",
    EBUSY "busy",
    EEXIST "exists already",
    EXDEV "in another pool or namespace",
    ENODEV "no such device",
    ENOTDIR "not a directory",
    EISDIR "is a directory",
    EINVAL "invalid argument",
    EFBIG "too large",
    ENOSPC "no space left",
    EROFS "read-only",
    EMLINK "too many links",
    EDOM "outside the domain",
    ERANGE "out of range",
    ENAMETOOLONG "name too long",
    ENOSYS "not implemented",
    ENOTEMPTY "not empty",
    ENODATA "no data",
    EOVERFLOW "overflow",
    EILSEQ "invalid byte sequence",
    EOPNOTSUPP "not supported",
    ENOTCONN "not connected",
    ESHUTDOWN "shut down (blocklisted)",
    ETIMEDOUT "timed out",
    ECONNREFUSED "connection refused",
    ESTALE "stale",
    EDQUOT "quota exceeded",
    ECANCELED "cancelled",
    EKEYREJECTED "key rejected",
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.text(), self.name(), self.0)
    }
}
