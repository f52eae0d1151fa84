//! What a call asks for: a role, a verb on a resource, and how far it reaches.

use std::collections::HashMap;

use rbd_api::endpoint::Declaration;
use rbd_api::role::Role;

/// How far a call reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// Beyond pools: no pool is named.
    Cluster,
    /// The handler shows each caller what they may see, and asks for whatever it touches.
    Filtered,
    /// A pool as a whole.
    Pool(&'a str),
    /// One namespace of a pool.
    Namespace {
        /// The pool.
        pool: &'a str,
        /// The namespace; empty for the default one.
        namespace: &'a str,
    },
}

impl<'a> Reach<'a> {
    /// How far a call of an endpoint with these parameters of the path reaches.
    pub fn of(endpoint: &Declaration, params: &'a HashMap<String, String>) -> Self {
        match (params.get("pool"), params.get("namespace")) {
            (Some(pool), Some(namespace)) => Reach::Namespace { pool, namespace },
            (Some(pool), None) if endpoint.in_namespace => Reach::Namespace { pool, namespace: "" },
            (Some(pool), None) => Reach::Pool(pool),
            (None, _) if endpoint.filtered => Reach::Filtered,
            (None, _) => Reach::Cluster,
        }
    }
}

impl std::fmt::Display for Reach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => f.write_str("the whole cluster"),
            Self::Filtered => f.write_str("some pool"),
            Self::Pool(pool) => write!(f, "pool {pool:?}"),
            Self::Namespace { pool, namespace: "" } => write!(f, "the default namespace of pool {pool:?}"),
            Self::Namespace { pool, namespace } => write!(f, "namespace {namespace:?} of pool {pool:?}"),
        }
    }
}

/// What a call wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Permission<'a> {
    /// The least role that may.
    pub role: Role,
    /// What is touched: `pools`, `images`, `snapshots`, …; the endpoint's tag.
    pub resource: &'a str,
    /// `get`, `list`, `create`, `update`, `delete`.
    pub verb: &'a str,
    /// Where.
    pub reach: Reach<'a>,
}
