//! Serving: the router made from the list of endpoints, what happens around every call, and the end of the service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use axum::routing::{MethodFilter, get, on};
use exposition::Form;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use prometheus_client::metrics::counter::Counter;
use rbd_api::answer::json;
use rbd_api::names;
use rbd_api::problem::{Kind, Problem};
use rbd_model::fault::{self, Fault};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::activity::{Activity, IdleLimits, WatchedConnection};
use crate::app::{App, SharedApp};
use crate::audit::{AuditedCall, SharedAuditNotes};
use crate::auth::permission::{Permission, Reach};
use crate::bind::{BoundEndpoint, CallResult};
use crate::call::{Call, JSON_LIMIT_BYTES, ReceivedRequest, SharedBody, prefix};
use crate::head;
use crate::hosts::{self, Host, HostGuard};
use crate::metrics::{CallLabels, RequestLabels};
use crate::stall::{self, StallTimeout};
use crate::tls::Tls;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send the rest of a body that nobody wants.
const REST_TIMEOUT: Duration = Duration::from_secs(1);
/// How large a request's head may be.
const HEAD_LIMIT_BYTES: usize = 32 << 10;
/// How much of a connection is read at a time, at most: large bodies cost a change of tasks for each part.
const READ_LIMIT_BYTES: usize = 512 << 10;

/// The API's router.
pub fn router(app: &SharedApp) -> Router {
    let mut router = Router::new();
    for bound in crate::api::endpoints().into_iter().flat_map(BoundEndpoint::scoped) {
        let path = format!("/api/v1{}", bound.declaration.path);
        let Ok(filter) = MethodFilter::try_from(bound.declaration.method.clone()) else { continue };
        let bound = Arc::new(bound);
        let app = Arc::clone(app);
        let handler = async move |params: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            let Ok(params) = params else {
                // The only way to fail; `names::check_utf8` has the words for it.
                let problem = names::check_utf8(request.uri().path(), "path").err();
                let problem = problem.unwrap_or_else(|| Fault::new(fault::Kind::BadRequest, "The path is not UTF-8."));
                return answer_rejected(&problem.into(), request).await;
            };
            let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            dispatch(app, bound, params, request).await
        };
        router = router.route(&path, on(filter, handler));
    }
    let description = Arc::clone(app);
    router
        .route("/", get(async |headers: HeaderMap| index(&headers)))
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], description.openapi.clone())),
        )
        .route("/docs", get(async || crate::docs::page()))
        .fallback(async |request: Request| {
            let problem = Fault::new(fault::Kind::NotFound, format!("There is nothing at {:?}.", request.uri().path()))
                .correction("/docs shows the API, /openapi.json describes it; a name in a path is percent-encoded.");
            answer_rejected(&problem.into(), request).await
        })
        .method_not_allowed_fallback(async |request: Request| {
            let detail = format!("{:?} does not take {}.", request.uri().path(), request.method());
            let problem = Fault::new(Kind::MethodNotAllowed, detail)
                .correction("The header Allow names the methods that it takes.");
            answer_rejected(&problem.into(), request).await
        })
}

/// The answer to a request that no endpoint sees. Its body is read all the same: see [`read_rest`].
async fn answer_rejected<B>(problem: &Problem, request: hyper::Request<B>) -> Response<Body>
where
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let expects = request.headers().contains_key(header::EXPECT);
    let mut response = problem.response(None);
    if !read_rest(Body::new(request.into_body()), expects).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What is at the top: where to go on.
fn index(headers: &HeaderMap) -> Response<Body> {
    let prefix = prefix(headers);
    let index = serde_json::json!({
        "service": "sparrow-rbd",
        "docs": format!("{prefix}/docs"),
        "openapi": format!("{prefix}/openapi.json"),
        "api": format!("{prefix}/api/v1"),
    });
    json(StatusCode::OK, &index).unwrap_or_else(|fault| Problem::from(fault).response(None))
}

/// What happens around every call: its id, who calls and whether they may, panics, metrics, the audit log.
async fn dispatch(
    app: SharedApp,
    bound: Arc<BoundEndpoint>,
    params: std::collections::HashMap<String, String>,
    request: Request,
) -> Response<Body> {
    let start = Instant::now();
    let endpoint = Arc::new(bound.declaration.clone());
    let (parts, body) = request.into_parts();
    let request_id = request_id(&parts.headers);
    let deadline = rbd::workers::deadline_in(app.deadline);
    let from = parts.extensions.get::<Peer>().map(|peer| peer.0);
    let mut attempt = endpoint
        .changes()
        .then(|| AuditedCall::new(&app.audit, &endpoint, &request_id, from, (&parts.uri, &parts.headers, &params)));
    let body = SharedBody::new(Mutex::new(body));
    let left = Arc::clone(&body);
    let expects = parts.headers.contains_key(header::EXPECT);
    let notes = attempt.as_ref().map_or_else(SharedAuditNotes::default, AuditedCall::notes);
    app.metrics.in_flight.inc();
    let _in_flight = InFlightGuard(&app);
    let handled = async {
        if let Some(guard) = &app.guard {
            let host = parts.extensions.get::<Option<Host>>().cloned().flatten();
            guard.check_host(host.as_ref())?;
            if endpoint.changes() {
                HostGuard::check_origin(&parts.headers, host.as_ref())?;
            }
        }
        let principal = app.auth.authenticate(&parts.headers, deadline).await?;
        if let Some(attempt) = &mut attempt {
            attempt.set_caller(&principal);
        }
        let permission = Permission {
            role: endpoint.role,
            resource: endpoint.tag,
            verb: endpoint.verb(),
            reach: Reach::of(&endpoint, &params),
        };
        app.auth.authorize(&principal, permission, deadline).await?;
        let received = ReceivedRequest { params, uri: parts.uri, headers: parts.headers, body, deadline, notes };
        let call = Call::new(Arc::clone(&app), Arc::clone(&endpoint), received, principal, request_id.clone());
        bound.run(call).await
    };
    let answer: CallResult = AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
        Err(Fault::new(fault::Kind::Internal, "The handler panicked.")
            .correction("This is a fault of sparrow-rbd: report it with the log.")
            .into())
    });
    let problem = answer.as_ref().err().map(Problem::kind);
    let mut response = answer.unwrap_or_else(|problem| {
        if problem.kind().status().is_server_error() {
            tracing::warn!(request_id, endpoint = endpoint.id, %problem, "a request failed");
        }
        problem.response(Some(&request_id))
    });
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let left = std::mem::take(&mut *left.lock().unwrap_or_else(PoisonError::into_inner));
    if !read_rest(left, expects).await || app.ending.load(Ordering::Relaxed) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(attempt) = attempt {
        attempt.record_answer(response.status(), problem, response.headers()).await;
    }
    let labels = RequestLabels {
        method: endpoint.method.to_string(),
        path: endpoint.path.clone(),
        status: response.status().as_u16(),
    };
    app.metrics.requests.get_or_create(&labels).inc();
    let labels = CallLabels { endpoint: endpoint.id.clone() };
    app.metrics.request_seconds.get_or_create(&labels).observe(start.elapsed().as_secs_f64());
    response
}

/// Reads what a handler left of a small body. Otherwise the connection is closed under a client that is still sending,
/// which may then never see why it was rejected. False when not all of it was read.
async fn read_rest(body: Body, expects: bool) -> bool {
    use axum::body::HttpBody as _;

    if body.is_end_stream() {
        return true;
    }
    // Who waits for `100 Continue` has not sent it, and must not be told to.
    if expects || body.size_hint().lower() > JSON_LIMIT_BYTES as u64 {
        return false;
    }
    let rest = Limited::new(body, JSON_LIMIT_BYTES).collect();
    matches!(tokio::time::timeout(REST_TIMEOUT, rest).await, Ok(Ok(_)))
}

/// Who is at the other end of a request's connection.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

struct InFlightGuard<'a>(&'a App);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

/// The client's id for the request if it is a sane one, else a new one.
fn request_id(headers: &axum::http::HeaderMap) -> String {
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// The admin port's router: health, readiness, metrics.
pub fn admin_router(app: &SharedApp) -> Router {
    let ready = Arc::clone(app);
    let counted = Arc::clone(app);
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(async move || readiness(&ready))).route(
        "/metrics",
        get(async move |headers: HeaderMap| {
            let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
            let form = Form::of(accepted);
            let App { metrics, link, workers, operations, .. } = &*counted;
            ([(header::CONTENT_TYPE, form.media_type())], metrics.text(link, workers, operations, form))
        }),
    )
}

/// Ready from the first connection on. A later outage of Ceph keeps it ready, so that requests get the reason.
fn readiness(app: &App) -> (StatusCode, String) {
    let state = app.link.state();
    if app.ending.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the service is ending\n".into())
    } else if !state.ever_connected {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", state.trouble.unwrap_or_default()))
    } else {
        let mut text = String::from("ready\n");
        if let Some(trouble) = state.trouble {
            text += "but: ";
            text += &trouble;
            text.push('\n');
        }
        (StatusCode::OK, text)
    }
}

/// Both ports, until the end.
pub struct Server {
    app: SharedApp,
    tls: Option<Tls>,
    api: TcpListener,
    admin: TcpListener,
}

impl Server {
    /// Binds both addresses. With `tls`, the API speaks it and nothing else; the admin port never does.
    ///
    /// # Errors
    /// An address that cannot be bound, by name.
    pub async fn bind(app: SharedApp, tls: Option<Tls>, api: SocketAddr, admin: SocketAddr) -> anyhow::Result<Self> {
        let bind = async |flag: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be bound"))
        };
        Ok(Self { app, tls, api: bind("--listen", api).await?, admin: bind("--admin", admin).await? })
    }

    /// Where the API and the admin port listen.
    ///
    /// # Errors
    /// None in practice.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        Ok((self.api.local_addr()?, self.admin.local_addr()?))
    }

    /// Serves until `end` comes; then not ready, but serving for `drain_delay`; then no new connections, and what is
    /// in flight is finished, for `grace` at most since `end`.
    pub async fn run(self, end: impl Future<Output = ()>, drain_delay: Duration, grace: Duration) {
        let api = router(&self.app);
        let admin = admin_router(&self.app);
        let patience = ClientTimeouts {
            stall: self.app.streams.limits().idle,
            limits: IdleLimits { head: HEAD_TIMEOUT, idle: self.app.keep_alive },
        };
        let (drained, drain) = tokio::sync::watch::channel(false);
        let admin = tokio::spawn(accept(self.admin, admin, None, patience, drain.clone()));
        let tls = self.tls.map(|tls| (Arc::new(tls), self.app.metrics.tls_failures.clone()));
        let api = tokio::spawn(accept(self.api, api, tls, patience, drain));
        end.await;
        let latest = tokio::time::Instant::now() + grace;
        self.app.ending.store(true, Ordering::Relaxed);
        tracing::info!("ending: not ready any more, finishing what is in flight");
        let operations = Arc::clone(&self.app.operations);
        let hand_over = tokio::spawn(async move { operations.hand_over(latest.into_std()).await });
        tokio::time::sleep(drain_delay.min(grace)).await;
        let _ = drained.send(true);
        if tokio::time::timeout_at(latest, api).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
        let _ = hand_over.await;
        self.app.audit.flush().await;
        admin.abort();
    }
}

/// How long clients are waited for.
#[derive(Debug, Clone, Copy)]
struct ClientTimeouts {
    /// Until one takes something of an answer.
    stall: Duration,
    /// Until one asks something.
    limits: IdleLimits,
}

/// Accepts connections until told to drain; then waits for them to finish.
async fn accept(
    listener: TcpListener,
    router: Router,
    tls: Option<(Arc<Tls>, Counter)>,
    patience: ClientTimeouts,
    mut drain: tokio::sync::watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // How long it is waited for a head is for `WatchedConnection` to say.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(READ_LIMIT_BYTES);
    let head_limit = u32::try_from(HEAD_LIMIT_BYTES).unwrap_or(u32::MAX);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(head_limit).max_concurrent_streams(128);
    let builder = Arc::new(builder);
    let connections = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: those that end free some.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = drain.changed() => break,
        };
        stall::prepare(&stream);
        let stream = StallTimeout::new(stream, patience.stall);
        let (router, builder, watcher) = (router.clone(), Arc::clone(&builder), connections.watcher());
        let mut ending = drain.clone();
        match tls.clone() {
            None => drop(tokio::spawn(serve(stream, peer, router, builder, watcher, patience.limits))),
            // In the connection's own task: a slow handshake holds nobody up.
            Some((tls, failures)) => drop(tokio::spawn(async move {
                let accepted = tokio::select! {
                    accepted = tls.accept(stream) => accepted,
                    // Nothing was asked yet that would have to be answered.
                    _ = ending.changed() => return,
                };
                match accepted {
                    Ok(stream) => serve(stream, peer, router, builder, watcher, patience.limits).await,
                    Err(error) => {
                        failures.inc();
                        tracing::debug!(%peer, %error, "a TLS handshake failed");
                    }
                }
            })),
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// One connection, until its end.
async fn serve<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    builder: Arc<auto::Builder<TokioExecutor>>,
    watcher: Watcher,
    limits: IdleLimits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::for_new_connection();
    let stream = WatchedConnection::new(stream, activity.clone(), limits);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let running = activity.begin(request.version() >= Version::HTTP_2);
        let router = router.clone();
        async move {
            let response = answer(router, peer, request).await;
            Ok::<_, Infallible>(response.map(|body| running.until_sent(body)))
        }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    // Clients go away in many ways; none of them is news.
    let _ = watcher.watch(connection.into_owned()).await;
}

/// The answer to a request; to one whose head is not as it must be, why.
async fn answer(router: Router, peer: SocketAddr, request: hyper::Request<Incoming>) -> Response<Body> {
    if head_bytes(&request) > HEAD_LIMIT_BYTES {
        let detail = format!("The request's target and headers have more than {HEAD_LIMIT_BYTES} bytes.");
        return answer_rejected(&Fault::new(Kind::HeadTooLarge, detail).into(), request).await;
    }
    let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut response = match head::check(&request) {
        Ok(()) => routed(router, peer, request).await,
        Err(problem) => answer_rejected(&problem, request).await,
    };
    // hyper does not show a Content-Length that follows a Transfer-Encoding: whoever sends both gets one request in.
    if chunked {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn routed(mut router: Router, peer: SocketAddr, mut request: hyper::Request<Incoming>) -> Response<Body> {
    match hosts::of(&request) {
        Ok(host) => request.extensions_mut().insert(host),
        Err(fault) => return answer_rejected(&fault.into(), request).await,
    };
    request.extensions_mut().insert(Peer(peer));
    let Ok(response) = tower_service::Service::call(&mut router, without_trailing_slash(request)).await;
    response
}

/// What a request's target and headers take, as they are held.
fn head_bytes<B>(request: &hyper::Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len())
}

/// `/pools/` is `/pools`.
fn without_trailing_slash<B>(mut request: hyper::Request<B>) -> hyper::Request<B> {
    let uri = request.uri();
    let path = uri.path();
    if path.len() > 1 && path.ends_with('/') {
        let trimmed = path.trim_end_matches('/');
        let target = match uri.query() {
            Some(query) => format!("{trimmed}?{query}"),
            None => trimmed.to_owned(),
        };
        if let Ok(uri) = target.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}
