//! The clients of an image.

use schemars::JsonSchema;
use serde::Serialize;

/// A client that has an image open for writing.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watcher {
    /// The client, such as `client.4123`: one connection to Ceph.
    pub client: String,
    /// Its address and nonce, such as `10.0.0.7:0/3936685195`.
    pub address: String,
    /// Tells apart what one client has open.
    pub cookie: u64,
    /// Whether it is this very service.
    pub this_service: bool,
}

/// One who holds the lock of an image.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// The client, such as `client.4123`: one connection to Ceph.
    pub client: String,
    /// The cookie it chose. One that begins with `auto ` is librbd's own exclusive lock.
    pub cookie: String,
    /// Its address and nonce, such as `10.0.0.7:0/3936685195`.
    pub address: String,
    /// `exclusive` or `shared`.
    pub mode: &'static str,
    /// What all holders of a shared lock agree on; `internal` for librbd's own.
    pub tag: String,
    /// Whether it is this very service.
    pub this_service: bool,
}

/// An image that clients have open.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenImage {
    /// Its namespace; empty for the default one.
    pub namespace: String,
    /// Its name.
    pub image: String,
    /// The clients that have it open for writing.
    pub watchers: Vec<Watcher>,
    /// Who holds its lock.
    pub locks: Vec<Lock>,
    #[serde(skip)]
    /// It and its clients, in words.
    pub text: String,
}
