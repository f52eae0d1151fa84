//! Long work: its state, waiting for it, cancelling it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use rbd::operations::Request;
use rbd::{pool_use, unread};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::operation::{Operation, Work};
use rbd_model::unread::Unread;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::Role;
use crate::call::{Call, json, located};
use crate::endpoint::{Answer, Endpoint};
use crate::envelope::{List, PartialList};
use crate::schema;

const TAG: &str = "operations";

/// The longest that a request may wait for an operation.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/operations", TAG, "listOperations", "List the operations of all pools", list_all)
            .filtered()
            .describe("Those that the caller may see: unfinished ones, and finished ones for as long as they are remembered; oldest first by pool. A pool that does not answer is named in `Unread`, and takes nothing from the others.")
            .answers::<PartialList<Operation>>(StatusCode::OK, "The operations, whichever replica runs them."),
        Endpoint::new(
            Method::GET,
            "/pools/{pool}/operations",
            TAG,
            "listPoolOperations",
            "List the operations of a pool",
            list,
        )
        .answers::<List<Operation>>(StatusCode::OK, "The operations, oldest first."),
        Endpoint::new(
            Method::GET,
            "/pools/{pool}/namespaces/{namespace}/operations",
            TAG,
            "listNamespaceOperations",
            "List the operations of a namespace",
            list_of_namespace,
        )
        .answers::<List<Operation>>(StatusCode::OK, "The operations, oldest first."),
        Endpoint::new(Method::GET, "/operations/{operation}", TAG, "getOperation", "Get an operation", get)
            .filtered()
            .describe("With wait, the answer comes when the operation has ended, or when the time is over.")
            .query::<Wait>()
            .answers::<Operation>(StatusCode::OK, "The operation."),
        Endpoint::new(
            Method::DELETE,
            "/operations/{operation}",
            TAG,
            "cancelOperation",
            "Ask an operation to end early",
            cancel,
        )
        .filtered()
        .answers::<Operation>(StatusCode::ACCEPTED, "It was asked to; `state` becomes `cancelled` when it has ended."),
        Endpoint::new(
            Method::GET,
            "/operations/{operation}/events",
            TAG,
            "watchOperation",
            "Follow an operation as Server-Sent Events",
            events,
        )
        .filtered()
        .describe("An event `operation` with the operation at every change, until it has ended.")
        .answers_media(StatusCode::OK, "The events.", "text/event-stream"),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wait {
    /// How long to wait for its end, such as `10s`; 60 s at most.
    #[schemars(with = "Option<schema::Wait>")]
    wait: Option<String>,
}

impl Call {
    /// Begins an operation in the place that the path names, and answers 202 with it.
    ///
    /// # Errors
    /// `conflict`, `busy`, what Ceph gives.
    pub async fn operate(&self, place: &Place, work: Work) -> Answer {
        let request = self.operation_request();
        let operation = self.app.operations.begin(request, place, work).await?;
        let location = self.link(&format!("/operations/{}", operation.id));
        Ok(located(json(StatusCode::ACCEPTED, &operation)?, &location))
    }

    /// Who asks for an operation by this call.
    pub fn operation_request(&self) -> Request {
        Request {
            requested_by: self.principal.name.clone(),
            request_id: self.request_id.clone(),
            deadline: self.deadline,
        }
    }
}

async fn list_all(call: Call) -> Answer {
    let pools = call
        .cluster(|cluster| {
            cluster.refresh()?;
            pool_use::with_images(cluster)
        })
        .await?;
    let until = unread::patience(call.deadline);
    let call = &call;
    let lists = pools.iter().map(async |pool| call.app.operations.list(pool, until).await);
    let (mut operations, mut unread) = (Vec::new(), Vec::new());
    for (pool, list) in pools.iter().zip(futures_util::future::join_all(lists).await) {
        match list {
            Ok(list) => operations.extend(list),
            // Pools that this entity may not read, those that hold no omaps, and those that vanished meanwhile, have none to show.
            Err(problem) if matches!(problem.kind(), Kind::CephForbidden | Kind::PoolNotFound | Kind::NotSupported) => {
            }
            Err(problem) => unread.push(Unread { pool: pool.clone(), reason: problem.detail().to_owned() }),
        }
    }
    let mut visible: HashMap<Place, bool> = HashMap::new();
    for operation in &operations {
        if !visible.contains_key(&operation.place) {
            let may = call.may_see(&operation.place).await?;
            visible.insert(operation.place.clone(), may);
        }
    }
    operations.retain(|operation| visible.get(&operation.place) == Some(&true));
    if !unread.is_empty() {
        // Nobody learns the names of pools that are not theirs.
        let theirs = call.visible_pools(unread.iter().map(|unread| unread.pool.clone()).collect()).await?;
        unread.retain(|unread| theirs.contains(&unread.pool));
    }
    json(StatusCode::OK, &PartialList { list: List::new("OperationList", operations), unread })
}

async fn list(call: Call) -> Answer {
    let operations = call.app.operations.list(call.param("pool"), call.deadline).await?;
    json(StatusCode::OK, &List::new("OperationList", operations))
}

async fn list_of_namespace(call: Call) -> Answer {
    // A missing pool or namespace is said as such.
    call.ceph(|_| Ok(())).await?;
    let operations = call.app.operations.list_place(&call.place(), call.deadline).await?;
    json(StatusCode::OK, &List::new("OperationList", operations))
}

async fn get(call: Call) -> Answer {
    let query: Wait = call.query()?;
    let id = call.param("operation");
    // Before the wait: who may not see it need not wait to hear so. An operation's place stays the same.
    let operation = call.app.operations.get(id, call.deadline).await?;
    call.authorize_place(&operation.place, Role::Viewer).await?;
    let operation = match query.wait {
        None => operation,
        Some(wait) => {
            let time = crate::settings::duration(&wait)
                .ok()
                .filter(|time| *time <= LONGEST_WAIT)
                .ok_or_else(|| Fault::field("wait", format!("is {wait:?}"), "a time such as 10s, 60s at most"))?;
            call.app.operations.wait(id, time, call.app.deadline).await?
        }
    };
    json(StatusCode::OK, &operation)
}

async fn cancel(call: Call) -> Answer {
    let id = call.param("operation");
    let operation = call.app.operations.get(id, call.deadline).await?;
    call.authorize_place(&operation.place, Role::Operator).await?;
    let operation = call.app.operations.cancel(id, call.deadline).await?;
    json(StatusCode::ACCEPTED, &operation)
}

async fn events(call: Call) -> Answer {
    let id = call.param("operation").to_owned();
    // What is not there is a problem document, not a stream.
    let first = call.app.operations.get(&id, call.deadline).await?;
    call.authorize_place(&first.place, Role::Viewer).await?;
    let operations = std::sync::Arc::clone(&call.app.operations);
    let app = std::sync::Arc::clone(&call.app);
    let state = (Some(first), None::<Operation>);
    let stream = stream::unfold(Some(state), move |state| {
        let (operations, app, id) = (std::sync::Arc::clone(&operations), std::sync::Arc::clone(&app), id.clone());
        async move {
            let (ready, mut last) = state?;
            let mut next = ready;
            loop {
                let operation = match next.take() {
                    Some(operation) => operation,
                    None => {
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        // Ending: the client connects again, to another replica.
                        if app.ending.load(std::sync::atomic::Ordering::Relaxed) {
                            return None;
                        }
                        operations.get(&id, rbd::workers::within(app.deadline)).await.ok()?
                    }
                };
                if last.as_ref() != Some(&operation) {
                    let event = Event::default().event("operation").data(serde_json::to_string(&operation).ok()?);
                    let finished = operation.state.finished();
                    last = Some(operation);
                    let rest = (!finished).then_some((None, last));
                    return Some((Ok::<_, Infallible>(event), rest));
                }
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()).into_response())
}
