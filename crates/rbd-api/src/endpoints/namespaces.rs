//! Namespaces of a pool.

use http::Method;
use rbd_model::namespace::NamespaceState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer::{Content, Created, FoundOrCreated, NoContent};
use crate::endpoint::Endpoint;
use crate::input::{Json, NoBody, NoQuery};
use crate::list::List;
use crate::path::{PlacePath, PoolPath};
use crate::schema;

const TAG: &str = "namespaces";

endpoints! {
    /// List a pool's namespaces.
    LIST_NAMESPACES: Endpoint<PoolPath, NoQuery, NoBody, Content<List<Namespace>>> =
        Endpoint::new(Method::GET, "/pools/{pool}/namespaces", TAG, "listNamespaces", "List a pool's namespaces")
            .describe("The default namespace, which has no name, is not among them.")
            .answers(&["The namespaces, by name."]);

    /// Make a namespace.
    CREATE_NAMESPACE: Endpoint<PoolPath, NoQuery, Json<NewNamespace>, Created<Namespace>> =
        Endpoint::new(Method::POST, "/pools/{pool}/namespaces", TAG, "createNamespace", "Make a namespace")
            .answers(&["The namespace was made."]);

    /// Get a namespace.
    GET_NAMESPACE: Endpoint<PlacePath, NoQuery, NoBody, Content<Namespace>> =
        Endpoint::new(Method::GET, "/pools/{pool}/namespaces/{namespace}", TAG, "getNamespace", "Get a namespace")
            .answers(&["The namespace."]);

    /// Make a namespace unless it is there.
    PUT_NAMESPACE: Endpoint<PlacePath, NoQuery, NoBody, FoundOrCreated<Namespace>> =
        Endpoint::new(
            Method::PUT,
            "/pools/{pool}/namespaces/{namespace}",
            TAG,
            "putNamespace",
            "Make a namespace unless it is there",
        )
            .names("namespace")
            .answers(&["The namespace was there.", "The namespace was made."]);

    /// Delete an empty namespace.
    DELETE_NAMESPACE: Endpoint<PlacePath, NoQuery, NoBody, NoContent> =
        Endpoint::new(
            Method::DELETE,
            "/pools/{pool}/namespaces/{namespace}",
            TAG,
            "deleteNamespace",
            "Delete an empty namespace",
        )
            .describe("409 names the images, those in its trash, and the groups that it holds.")
            .answers(&["The namespace is gone."]);
}

/// A namespace.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// Whether it can be used.
    pub state: NamespaceState,
    /// Why it cannot; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
}

impl Namespace {
    /// One that can be used.
    pub fn ready(name: String, pool: String) -> Self {
        Self { name, pool, state: NamespaceState::Ready, state_reason: None }
    }
}

/// A namespace to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewNamespace {
    /// Its name.
    #[schemars(with = "schema::NewName")]
    pub name: String,
}
