//! Whether requests are sent to Services or to their endpoints.

use std::str::FromStr;

use crate::Object;

/// The annotation of Services and Ingresses that says to what of a Service requests are sent.
pub const BACKENDS_ANNOTATION: &str = "sparrow/backends";

/// To what of a Service requests are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendMode {
    /// To its cluster IP, behind which the cluster chooses an endpoint for each connection.
    #[default]
    ClusterIp,
    /// To its endpoints, of which one is chosen for each request.
    Endpoints,
}

impl FromStr for BackendMode {
    /// What to write instead.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "cluster-ip" => Ok(Self::ClusterIp),
            "endpoints" => Ok(Self::Endpoints),
            _ => Err("write `cluster-ip` or `endpoints`"),
        }
    }
}

impl BackendMode {
    /// What the annotation of an object says; none without it, or if it says neither.
    pub fn of_object(object: &Object) -> Option<Self> {
        object.meta().annotations.get(BACKENDS_ANNOTATION)?.parse().ok()
    }
}
