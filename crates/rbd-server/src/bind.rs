//! Binding handlers to the endpoints that [`rbd_api`] declares.
//!
//! A handler has the very types of its endpoint, so that it cannot read, or answer, what is not described:
//!
//! ```
//! use rbd_api::answer::NoContent;
//! use rbd_api::endpoints::trash_schedule::DELETE_TRASH_SCHEDULE;
//! use rbd_api::input::Input;
//! use rbd_api::path::PlacePath;
//! use rbd_api::problem::Problem;
//! use rbd_server::bind::bind;
//! use rbd_server::call::Call;
//!
//! async fn delete(_: Call, _: Input<PlacePath>) -> Result<NoContent, Problem> {
//!     Ok(NoContent)
//! }
//! bind(&DELETE_TRASH_SCHEDULE, delete);
//! ```
//!
//! With another body than the declared one, or with another answer, it does not compile:
//!
//! ```compile_fail,E0631
//! # use rbd_api::answer::NoContent;
//! # use rbd_api::endpoints::trash_schedule::DELETE_TRASH_SCHEDULE;
//! # use rbd_api::endpoints::snapshots::NewSnapshot;
//! # use rbd_api::input::{Input, Json, NoQuery};
//! # use rbd_api::path::PlacePath;
//! # use rbd_api::problem::Problem;
//! # use rbd_server::bind::bind;
//! # use rbd_server::call::Call;
//! async fn delete(_: Call, _: Input<PlacePath, NoQuery, Json<NewSnapshot>>) -> Result<NoContent, Problem> {
//!     Ok(NoContent)
//! }
//! bind(&DELETE_TRASH_SCHEDULE, delete);
//! ```
//!
//! ```compile_fail,E0271
//! # use rbd_api::answer::Content;
//! # use rbd_api::endpoints::trash_schedule::DELETE_TRASH_SCHEDULE;
//! # use rbd_api::input::Input;
//! # use rbd_api::path::PlacePath;
//! # use rbd_api::problem::Problem;
//! # use rbd_server::bind::bind;
//! # use rbd_server::call::Call;
//! async fn delete(_: Call, _: Input<PlacePath>) -> Result<Content<String>, Problem> {
//!     Ok(Content::of(String::new()))
//! }
//! bind(&DELETE_TRASH_SCHEDULE, delete);
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use rbd_api::answer::Answer;
use rbd_api::endpoint::{Declaration, Endpoint};
use rbd_api::input::{self, Bytes, Input, Json, NoBody, OptionalJson, Query};
use rbd_api::media::MediaType;
use rbd_api::path::Path;
use rbd_api::problem::Problem;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::call::Call;

/// What a call comes to.
pub type CallResult = Result<Response<Body>, Problem>;

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = CallResult> + Send>> + Send + Sync>;

/// A declared endpoint with its handler.
#[derive(Clone)]
pub struct BoundEndpoint {
    /// What is declared.
    pub declaration: Declaration,
    handler: Handler,
}

impl BoundEndpoint {
    /// Answers a call.
    pub fn run(&self, call: Call) -> Pin<Box<dyn Future<Output = CallResult> + Send>> {
        (self.handler)(call)
    }

    /// The endpoint under both of the paths that `{scope}` stands for; itself without one.
    pub fn scoped(self) -> Vec<Self> {
        let Self { declaration, handler } = self;
        let with = |declaration| Self { declaration, handler: Arc::clone(&handler) };
        declaration.scoped().into_iter().map(with).collect()
    }
}

/// A body that can be read from a call.
pub trait ReadBody: input::Body {
    /// Reads it.
    fn read(call: &mut Call) -> impl Future<Output = Result<Self, Problem>> + Send;
}

impl ReadBody for NoBody {
    async fn read(_: &mut Call) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> ReadBody for Json<T> {
    async fn read(call: &mut Call) -> Result<Self, Problem> {
        Ok(Self::read(&call.json_bytes().await?)?)
    }
}

impl<T: DeserializeOwned + Default + JsonSchema + Send + 'static> ReadBody for OptionalJson<T> {
    async fn read(call: &mut Call) -> Result<Self, Problem> {
        if !call.has_body().await? {
            return Ok(Self(T::default()));
        }
        Ok(Self(Json::read(&call.json_bytes().await?)?.0))
    }
}

impl<M: MediaType> ReadBody for Bytes<M> {
    async fn read(_: &mut Call) -> Result<Self, Problem> {
        Ok(Self::default())
    }
}

/// Binds a handler to an endpoint.
pub fn bind<P, Q, B, A, F, R>(endpoint: &Endpoint<P, Q, B, A>, handler: F) -> BoundEndpoint
where
    P: Path,
    Q: Query,
    B: ReadBody,
    A: Answer,
    F: Fn(Call, Input<P, Q, B>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<A, Problem>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let run = move |mut call: Call| -> Pin<Box<dyn Future<Output = CallResult> + Send>> {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let path = P::read(&|name| call.path_parameter(name));
            let query = Q::read(call.query())?;
            let body = B::read(&mut call).await?;
            Ok(handler(call, Input { path, query, body }).await?.into_response()?)
        })
    };
    BoundEndpoint { declaration: endpoint.declaration(), handler: Arc::new(run) }
}
