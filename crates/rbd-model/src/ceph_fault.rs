//! What errors of Ceph mean.

use ceph_error::{Errno, Error};

use crate::fault::{Fault, Kind};
use crate::obstacle::Obstacle;

/// What an errno means when nothing more is known about the place it came from. Those who know more say more.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let Some(errno) = error.errno() else {
            if let Some(reason) = Obstacle::from_error(&error) {
                return reason.fault_of(error.subject());
            }
            return match &error {
                Error::Nul(_) => Self::new(Kind::BadRequest, error.to_string()),
                Error::Missing(_) => {
                    Self::new(Kind::NotSupported, error.to_string()).correction("Upgrade librbd beside this service.")
                }
                _ => Self::new(Kind::Damaged, error.to_string()).correction(
                    "Look at the object with `rados listomapvals`, and restore the image from a backup, or remove it.",
                ),
            };
        };
        let detail = error.to_string();
        let fault = match errno {
            Errno::ENOENT => Self::new(Kind::NotFound, detail),
            Errno::EEXIST => Self::new(Kind::Exists, detail),
            Errno::EBUSY | Errno::ENOTEMPTY | Errno::EROFS | Errno::EMLINK => Self::new(Kind::InUse, detail),
            Errno::EINVAL | Errno::EDOM | Errno::ERANGE | Errno::ENODEV => Self::new(Kind::Conflict, detail),
            Errno::EBADMSG => Self::new(Kind::Damaged, detail).correction(
                "Look at the object with `rados listomapvals`, and restore the image from a backup, or remove it.",
            ),
            Errno::ESTALE | Errno::EAGAIN => Self::new(Kind::Conflict, detail)
                .cause("Another client changed the same object at the same time.")
                .correction("Read it again, and repeat the call if it is still wanted.")
                .retry_after(1),
            Errno::EPERM | Errno::EACCES => Self::new(Kind::CephForbidden, detail).correction(
                "Give the entity of this service the missing capability with `ceph auth caps`; \
                 `sparrow-rbd check` names it.",
            ),
            Errno::ENOSPC | Errno::EDQUOT => Self::new(Kind::Full, detail)
                .cause("The pool or the cluster is full, or the pool has reached its quota.")
                .correction("Remove images with ?permanent=true, raise the quota, or add OSDs."),
            Errno::ETIMEDOUT => Self::new(Kind::CephUnavailable, detail)
                .cause("Whether a change took effect is not known.")
                .correction("Read the object again before repeating the change.")
                .retry_after(5),
            Errno::ENOTCONN | Errno::ESHUTDOWN | Errno::ECONNREFUSED => {
                Self::new(Kind::CephUnavailable, detail).retry_after(1)
            }
            Errno::EOPNOTSUPP | Errno::ENOSYS => Self::new(Kind::NotSupported, detail),
            Errno::ECANCELED => Self::new(Kind::Conflict, detail),
            Errno::ENAMETOOLONG => Self::new(Kind::BadRequest, detail)
                .cause("A name is longer than Ceph takes.")
                .correction("Use a shorter name."),
            _ => Self::new(Kind::Internal, detail),
        };
        fault.errno(errno)
    }
}
