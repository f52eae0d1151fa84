//! Long work: its state, waiting for it, cancelling it.

use http::Method;
use rbd_model::operation::Operation;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Accepted, Content, Media};
use crate::endpoint::Endpoint;
use crate::input::{NoBody, NoQuery};
use crate::list::{List, PartialList};
use crate::media::EventStream;
use crate::path::{NoPath, OperationPath, PlacePath, PoolPath};
use crate::schema;

const TAG: &str = "operations";

endpoints! {
    /// List the operations of all pools.
    LIST_OPERATIONS: Endpoint<NoPath, NoQuery, NoBody, Content<PartialList<Operation>>> =
        Endpoint::new(Method::GET, "/operations", TAG, "listOperations", "List the operations of all pools")
            .filtered()
            .describe(
                "Those that the caller may see: unfinished ones, and finished ones for as long as they are \
                 remembered; oldest first by pool. A pool that does not answer is named in `Unread`, and takes \
                 nothing from the others.",
            )
            .answers(&["The operations, whichever replica runs them."]);

    /// List the operations of a pool.
    LIST_POOL_OPERATIONS: Endpoint<PoolPath, NoQuery, NoBody, Content<List<Operation>>> =
        Endpoint::new(
            Method::GET,
            "/pools/{pool}/operations",
            TAG,
            "listPoolOperations",
            "List the operations of a pool",
        )
            .answers(&["The operations, oldest first."]);

    /// List the operations of a namespace.
    LIST_NAMESPACE_OPERATIONS: Endpoint<PlacePath, NoQuery, NoBody, Content<List<Operation>>> =
        Endpoint::new(
            Method::GET,
            "/pools/{pool}/namespaces/{namespace}/operations",
            TAG,
            "listNamespaceOperations",
            "List the operations of a namespace",
        )
            .answers(&["The operations, oldest first."]);

    /// Get an operation.
    GET_OPERATION: Endpoint<OperationPath, WaitQuery, NoBody, Content<Operation>> =
        Endpoint::new(Method::GET, "/operations/{operation}", TAG, "getOperation", "Get an operation")
            .filtered()
            .describe("With wait, the answer comes when the operation has ended, or when the time is over.")
            .answers(&["The operation."]);

    /// Ask an operation to end early.
    CANCEL_OPERATION: Endpoint<OperationPath, NoQuery, NoBody, Accepted> =
        Endpoint::new(
            Method::DELETE,
            "/operations/{operation}",
            TAG,
            "cancelOperation",
            "Ask an operation to end early",
        )
            .filtered()
            .answers(&["It was asked to; `state` becomes `cancelled` when it has ended."]);

    /// Follow an operation as Server-Sent Events.
    WATCH_OPERATION: Endpoint<OperationPath, NoQuery, NoBody, Media<EventStream>> =
        Endpoint::new(
            Method::GET,
            "/operations/{operation}/events",
            TAG,
            "watchOperation",
            "Follow an operation as Server-Sent Events",
        )
            .filtered()
            .describe("An event `operation` with the operation at every change, until it has ended.")
            .answers(&["The events."]);
}

/// Whether the end is waited for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitQuery {
    /// How long to wait for its end, such as `10s`; 60 s at most.
    #[schemars(with = "Option<schema::Wait>")]
    pub wait: Option<String>,
}
