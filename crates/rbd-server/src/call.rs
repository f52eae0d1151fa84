//! One request in the hands of its handler.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Uri, header};
use ceph::{Cluster, IoContext};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rbd::ceph_link::Connection;
use rbd::check::place_forbidden;
use rbd_api::endpoint::Declaration;
use rbd_api::problem::{Kind, RequestFault};
use rbd_api::role::Role;
use rbd_model::fault::{self, Fault};
use rbd_model::names::Place;

use crate::app::SharedApp;
use crate::audit::SharedAuditNotes;
use crate::auth::Principal;
use crate::auth::permission::{Permission, Reach};
use crate::metrics::CallLabels;

/// JSON bodies are small; image data is streamed and not bound by this.
pub const JSON_LIMIT_BYTES: usize = 64 << 10;

/// The lane of calls to the monitors.
const CLUSTER_LANE: &str = "the cluster";

/// A body that is taken once. In a lock also because a `Body` is not `Sync`, and handlers share `&Call` across waits.
pub type SharedBody = Arc<Mutex<Body>>;

/// What of a request is handed on as it came.
pub struct ReceivedRequest {
    /// The path's parameters, percent-decoded.
    pub params: HashMap<String, String>,
    /// The URI.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, also in the hands of what runs around the handler, which reads what the handler leaves of it.
    pub body: SharedBody,
    /// Until when Ceph is waited for.
    pub deadline: Instant,
    /// Where the handler adds to the audit log's line.
    pub notes: SharedAuditNotes,
}

/// One request in the hands of its handler.
pub struct Call {
    /// What all requests share.
    pub app: SharedApp,
    /// The endpoint called.
    pub endpoint: Arc<Declaration>,
    params: HashMap<String, String>,
    uri: Uri,
    /// The headers as they came.
    pub headers: HeaderMap,
    body: SharedBody,
    /// Who calls.
    pub principal: Principal,
    /// The request's id, in the answer and in every log line.
    pub request_id: String,
    /// Until when Ceph is waited for.
    pub deadline: Instant,
    notes: SharedAuditNotes,
}

impl Call {
    /// A call of an endpoint by somebody who may call it.
    pub fn new(
        app: SharedApp,
        endpoint: Arc<Declaration>,
        received: ReceivedRequest,
        principal: Principal,
        request_id: String,
    ) -> Self {
        let ReceivedRequest { params, uri, headers, body, deadline, notes } = received;
        Self { app, endpoint, params, uri, headers, body, principal, request_id, deadline, notes }
    }

    /// A parameter of the path, or nothing for one that the path does not have. Handlers are given those of their endpoint.
    pub(crate) fn path_parameter(&self, name: &str) -> String {
        self.params.get(name).cloned().unwrap_or_default()
    }

    /// The query as it came. Handlers are given that of their endpoint.
    pub(crate) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// The pool and namespace the path names, which the caller may call the endpoint for.
    pub fn place(&self) -> Place {
        Place { pool: self.path_parameter("pool"), namespace: self.path_parameter("namespace") }
    }

    /// Whether the caller may also touch a place that the path does not name, such as the target of a clone or the pool
    /// of an operation, and if so, adds it to the audit log's line. Ask before anything is done there; 403 comes before
    /// 404, so that nobody learns what a foreign pool holds.
    ///
    /// A place that is only read takes [`Role::Viewer`], one that is changed [`Role::Operator`], whatever the endpoint's
    /// own role is.
    ///
    /// # Errors
    /// `forbidden`, `authentication-unavailable`.
    pub async fn authorize_place(&self, place: &Place, role: Role) -> Result<(), RequestFault> {
        // Kubernetes knows no roles: to read is "get", to change is what the endpoint does.
        let verb = match role {
            Role::Viewer => "get",
            _ if self.endpoint.changes() => self.endpoint.verb(),
            _ => "update",
        };
        let reach = Reach::Namespace { pool: &place.pool, namespace: &place.namespace };
        let permission = Permission { role, resource: self.endpoint.tag, verb, reach };
        self.app.auth.authorize(&self.principal, permission, self.deadline).await?;
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).place(place);
        Ok(())
    }

    /// [`Call::authorize_place`] for the pool that is to take the data of an image, if it is another than the image's.
    ///
    /// # Errors
    /// `forbidden`, `authentication-unavailable`.
    pub async fn authorize_data_pool(&self, data_pool: Option<&str>, image: &Place) -> Result<(), RequestFault> {
        match data_pool {
            Some(pool) if pool != image.pool => {
                let place = Place { pool: pool.to_owned(), namespace: image.namespace.clone() };
                self.authorize_place(&place, Role::Operator).await
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may read in a place.
    ///
    /// # Errors
    /// `authentication-unavailable`.
    pub async fn may_see(&self, place: &Place) -> Result<bool, RequestFault> {
        match self.authorize_place(place, Role::Viewer).await {
            Ok(()) => Ok(true),
            Err(rejection) if rejection.kind() == Kind::Forbidden => Ok(false),
            Err(rejection) => Err(rejection),
        }
    }

    /// Those of the pools that the caller may see, for an endpoint that is
    /// [filtered](rbd_api::endpoint::Endpoint::filtered).
    ///
    /// # Errors
    /// `forbidden`, `authentication-unavailable`.
    pub async fn visible_pools(&self, pools: Vec<String>) -> Result<Vec<String>, RequestFault> {
        let (resource, verb) = (self.endpoint.tag, self.endpoint.verb());
        let permission = Permission { role: self.endpoint.role, resource, verb, reach: Reach::Cluster };
        self.app.auth.visible_pools(&self.principal, permission, pools, self.deadline).await
    }

    /// The bytes of a JSON body. The member `name` of it is noted for the audit log.
    ///
    /// # Errors
    /// `media-type`, `too-large`, `bad-request` for one that does not arrive.
    pub(crate) async fn json_bytes(&mut self) -> Result<bytes::Bytes, RequestFault> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = media_type.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Fault::new(Kind::MediaType, format!("The body is {media_type:?}."))
                .correction("Send application/json with the header Content-Type: application/json."));
        }
        let charset = media_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        let charset = charset.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        for (_, charset) in charset {
            let charset = charset.trim().trim_matches('"');
            if !charset.eq_ignore_ascii_case("utf-8") {
                return Err(Fault::new(Kind::MediaType, format!("The body is in the charset {charset:?}."))
                    .correction("Send JSON in UTF-8, which needs no charset."));
            }
        }
        let bytes = self.small_body().await?;
        if let Ok(NamedBody { name: Some(name) }) = serde_json::from_slice(&bytes) {
            self.notes.lock().unwrap_or_else(PoisonError::into_inner).name(&name);
        }
        Ok(bytes)
    }

    /// Whether there is a body.
    ///
    /// # Errors
    /// As [`Call::json_bytes`].
    pub(crate) async fn has_body(&mut self) -> Result<bool, RequestFault> {
        let empty = HttpBody::is_end_stream(&*self.body.lock().unwrap_or_else(PoisonError::into_inner));
        if empty || self.headers.contains_key(header::CONTENT_TYPE) {
            return Ok(!empty);
        }
        // A body of no chunks is seen to be empty only when it is read.
        let bytes = self.small_body().await?;
        let there = !bytes.is_empty();
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Body::from(bytes);
        Ok(there)
    }

    /// The body, to be streamed; empty the second time.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn small_body(&mut self) -> Result<bytes::Bytes, RequestFault> {
        let mut body = self.take_body();
        let collected = Limited::new(&mut body, JSON_LIMIT_BYTES).collect();
        match tokio::time::timeout_at(self.deadline.into(), collected).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                crate::streams::linger(body);
                Err(Fault::new(Kind::TooLarge, format!("The body is larger than {JSON_LIMIT_BYTES} bytes.")))
            }
            Ok(Err(error)) => {
                Err(Fault::new(fault::Kind::BadRequest.into(), format!("The body did not arrive: {error}.")))
            }
            Err(_) => Err(Fault::new(fault::Kind::BadRequest.into(), "The body did not arrive in time.")),
        }
    }

    /// Calls the cluster in a worker.
    ///
    /// # Errors
    /// What the call gives, `busy`, `ceph-unavailable`.
    pub async fn cluster<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Cluster) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.in_lane(CLUSTER_LANE, move |connection| call(connection.cluster())).await
    }

    /// Calls the pool and namespace that the path names, in a worker of that pool.
    ///
    /// # Errors
    /// What the call gives, `pool-not-found`, `namespace-not-found`, `busy`, `ceph-unavailable`.
    pub async fn ceph<T: Send + 'static>(
        &self,
        call: impl FnOnce(&IoContext) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.place();
        let lane = format!("pool {}", place.pool);
        self.in_lane(&lane, move |connection| call(&connection.context(&place.pool, &place.namespace)?)).await
    }

    /// As [`Call::ceph`], with the connection beside the context.
    ///
    /// # Errors
    /// As [`Call::ceph`].
    pub async fn in_place_lane<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Connection, &IoContext) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = self.place();
        let lane = format!("pool {}", place.pool);
        self.in_lane(&lane, move |connection| call(connection, &connection.context(&place.pool, &place.namespace)?))
            .await
    }

    /// Calls Ceph in a worker of a lane.
    ///
    /// # Errors
    /// What the call gives, `busy`, `ceph-unavailable`.
    pub async fn in_lane<T: Send + 'static>(
        &self,
        lane: &str,
        call: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let connection = self.app.link.connection()?;
        let entity = connection.cluster().entity().to_owned();
        let labels = CallLabels { endpoint: self.endpoint.id.clone() };
        let seconds = self.app.metrics.ceph_seconds.get_or_create_owned(&labels);
        let link = self.app.link.clone();
        let run = move || {
            let start = Instant::now();
            let result = call(&connection);
            seconds.observe(start.elapsed().as_secs_f64());
            if let Err(fault) = &result
                && let Some(errno) = fault.ceph_errno()
            {
                link.report_errno(errno);
            }
            result
        };
        // What monitors reject has nothing to do with the pool's objects.
        let place = if lane == CLUSTER_LANE { Place::default() } else { self.place() };
        let named = |fault| place_forbidden(self.explained(fault), &entity, &place);
        self.app.workers.run(lane, self.deadline, run).await.map_err(named)
    }

    /// Adds which part of Ceph does not answer, where that is known.
    fn explained(&self, fault: Fault) -> Fault {
        if fault.kind() != fault::Kind::CephUnavailable {
            return fault;
        }
        match self.app.link.state().monitors_silent {
            Some(silent) => {
                fault.cause(format!("The monitors have not answered for {} s.", silent.as_secs().max(1)))
            }
            None => fault
                .cause("The monitors answer, but an OSD that holds the object does not. The call goes on; whether a change takes effect is not known."),
        }
    }

    /// A link to a path below `/api/v1`, right behind a prefix that a proxy stripped.
    pub fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.prefix())
    }

    /// The prefix that a proxy stripped (`X-Forwarded-Prefix`), if it is a sane path.
    pub fn prefix(&self) -> &str {
        prefix(&self.headers)
    }
}

/// The prefix that a proxy stripped (`X-Forwarded-Prefix`), if it is a sane path.
pub fn prefix(headers: &HeaderMap) -> &str {
    let prefix = headers.get("x-forwarded-prefix").and_then(|value| value.to_str().ok()).unwrap_or("");
    let prefix = prefix.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%".contains(c);
    if prefix.starts_with('/') && !prefix.starts_with("//") && prefix.chars().all(plain) { prefix } else { "" }
}

/// The name in a body, for the audit log.
#[derive(serde::Deserialize)]
struct NamedBody {
    name: Option<String>,
}
