//! Long work: its state, waiting for it, cancelling it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use rbd::operations::OperationRequest;
use rbd::{pool_applications, unread};
use rbd_api::answer::{Accepted, Content, Media};
use rbd_api::duration::parse_duration;
use rbd_api::endpoints::operations as declared;
use rbd_api::endpoints::operations::WaitQuery;
use rbd_api::input::Input;
use rbd_api::list::{List, PartialList};
use rbd_api::media::EventStream;
use rbd_api::path::{NoPath, OperationPath, PlacePath, PoolPath};
use rbd_api::problem::Problem;
use rbd_api::role::Role;
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;
use rbd_model::operation::{Operation, Work};
use rbd_model::unread::UnreadPool;

use crate::bind::{BoundEndpoint, bind};
use crate::call::Call;

/// The endpoints with their handlers.
pub fn endpoints() -> Vec<BoundEndpoint> {
    vec![
        bind(&declared::LIST_OPERATIONS, list_all),
        bind(&declared::LIST_POOL_OPERATIONS, list),
        bind(&declared::LIST_NAMESPACE_OPERATIONS, list_of_namespace),
        bind(&declared::GET_OPERATION, get),
        bind(&declared::CANCEL_OPERATION, cancel),
        bind(&declared::WATCH_OPERATION, events),
    ]
}

/// The longest that a request may wait for an operation.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl Call {
    /// Begins an operation in the place that the path names, and answers 202 with it.
    ///
    /// # Errors
    /// `conflict`, `busy`, what Ceph gives.
    pub async fn operate(&self, place: &Place, work: Work) -> Result<Accepted, Problem> {
        let request = self.operation_request();
        let operation = self.app.operations.begin(request, place, work).await?;
        Ok(Accepted { location: Some(self.url(&format!("/operations/{}", operation.id))), operation })
    }

    /// Who asks for an operation by this call.
    pub fn operation_request(&self) -> OperationRequest {
        OperationRequest {
            requested_by: self.principal.name.clone(),
            request_id: self.request_id.clone(),
            deadline: self.deadline,
        }
    }
}

async fn list_all(call: Call, _: Input<NoPath>) -> Result<Content<PartialList<Operation>>, Problem> {
    let pools = call
        .cluster(|cluster| {
            cluster.refresh()?;
            pool_applications::pools_with_images(cluster)
        })
        .await?;
    let until = unread::deadline_per_pool(call.deadline);
    let call = &call;
    let lists = pools.iter().map(async |pool| call.app.operations.list(pool, until).await);
    let (mut operations, mut unread) = (Vec::new(), Vec::new());
    for (pool, list) in pools.iter().zip(futures_util::future::join_all(lists).await) {
        match list {
            Ok(list) => operations.extend(list),
            // Pools that this entity may not read, those that hold no omaps, and those that vanished meanwhile, have none to show.
            Err(problem) if matches!(problem.kind(), Kind::CephForbidden | Kind::PoolNotFound | Kind::NotSupported) => {
            }
            Err(problem) => unread.push(UnreadPool { pool: pool.clone(), reason: problem.detail().to_owned() }),
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
    Ok(Content::of(PartialList { list: List::new("OperationList", operations), unread }))
}

async fn list(call: Call, Input { path, .. }: Input<PoolPath>) -> Result<Content<List<Operation>>, Problem> {
    let operations = call.app.operations.list(&path.pool, call.deadline).await?;
    Ok(Content::of(List::new("OperationList", operations)))
}

async fn list_of_namespace(
    call: Call,
    Input { path, .. }: Input<PlacePath>,
) -> Result<Content<List<Operation>>, Problem> {
    // A missing pool or namespace is said as such.
    call.ceph(|_| Ok(())).await?;
    let operations = call.app.operations.list_place(&path.place, call.deadline).await?;
    Ok(Content::of(List::new("OperationList", operations)))
}

async fn get(
    call: Call,
    Input { path, query, .. }: Input<OperationPath, WaitQuery>,
) -> Result<Content<Operation>, Problem> {
    let id = &path.operation;
    // Before the wait: who may not see it need not wait to hear so. An operation's place stays the same.
    let operation = call.app.operations.get(id, call.deadline).await?;
    call.authorize_place(&operation.place, Role::Viewer).await?;
    let operation = match query.wait {
        None => operation,
        Some(wait) => {
            let time = parse_duration(&wait)
                .ok()
                .filter(|time| *time <= LONGEST_WAIT)
                .ok_or_else(|| Fault::field("wait", format!("is {wait:?}"), "a time such as 10s, 60s at most"))?;
            call.app.operations.wait(id, time, call.app.deadline).await?
        }
    };
    Ok(Content::of(operation))
}

async fn cancel(call: Call, Input { path, .. }: Input<OperationPath>) -> Result<Accepted, Problem> {
    let id = &path.operation;
    let operation = call.app.operations.get(id, call.deadline).await?;
    call.authorize_place(&operation.place, Role::Operator).await?;
    let operation = call.app.operations.cancel(id, call.deadline).await?;
    Ok(Accepted { location: None, operation })
}

async fn events(
    call: Call,
    Input { path: OperationPath { operation: id }, .. }: Input<OperationPath>,
) -> Result<Media<EventStream>, Problem> {
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
                        operations.get(&id, rbd::workers::deadline_in(app.deadline)).await.ok()?
                    }
                };
                if last.as_ref() != Some(&operation) {
                    let event = Event::default().event("operation").data(serde_json::to_string(&operation).ok()?);
                    let finished = operation.state.is_finished();
                    last = Some(operation);
                    let rest = (!finished).then_some((None, last));
                    return Some((Ok::<_, Infallible>(event), rest));
                }
            }
        }
    });
    let (parts, body) = Sse::new(stream).keep_alive(KeepAlive::default()).into_response().into_parts();
    Ok(Media::of(body, parts.headers))
}
