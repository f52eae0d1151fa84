//! The endpoints, one file per resource.

mod images;
mod pools;

use crate::endpoint::Endpoint;

/// All endpoints of `/api/v1`.
pub fn endpoints() -> Vec<Endpoint> {
    [pools::endpoints(), images::endpoints()].concat()
}
