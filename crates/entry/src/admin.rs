//! The admin port: whether all is well, what is counted, and which routes there are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use entry_kube::status::WriteCounters;
use entry_model::{Kind, Routes};
use nginx_process::{Control, SupervisorHandle, SupervisorState};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::metrics;
use crate::pipeline::PipelineStatus;

/// What the admin port reports of. A command has some of it.
#[derive(Debug, Clone, Default)]
pub struct AdminState {
    /// The loop that makes configurations.
    pub pipeline: Option<PipelineStatus>,
    /// Why objects cannot be read, by kind.
    pub source_errors: Option<watch::Receiver<BTreeMap<Kind, String>>>,
    /// What was written into the cluster.
    pub status_writes: Option<Arc<WriteCounters>>,
    /// nginx.
    pub nginx: Option<SupervisorHandle>,
    /// nginx's control socket, for its own counters.
    pub control: Option<Control>,
}

impl AdminState {
    /// The same, with an nginx that runs in this process.
    #[must_use]
    pub fn with_nginx(self, nginx: SupervisorHandle, control: PathBuf) -> Self {
        Self { nginx: Some(nginx), control: Some(Control::new(control)), ..self }
    }

    /// Why it is not ready; none when it is.
    ///
    /// A process that makes configurations is ready once one was offered, one that runs nginx once one is confirmed to be served,
    /// and until it is told to end.
    pub fn why_not_ready(&self) -> Option<String> {
        let reasons: Vec<String> = [self.why_not_served(), self.why_not_offered()].into_iter().flatten().collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Why it will not get well by itself; none while it may.
    pub fn why_dead(&self) -> Option<&'static str> {
        // Its status ends with the loop, which ends before this port only by a fault of its own.
        let ended = self.pipeline.as_ref().is_some_and(|pipeline| pipeline.progress.has_changed().is_err());
        ended.then_some("the loop that makes configurations has ended: what is served stays as it is until a restart")
    }

    fn why_not_served(&self) -> Option<String> {
        let status = self.nginx.as_ref()?.status();
        match status.state {
            // What is in front goes elsewhere from now on.
            SupervisorState::Stopping | SupervisorState::Stopped => {
                Some("it was told to end, and serves what still comes".to_owned())
            }
            state if status.live.is_none() => {
                let mut text = format!("no configuration is served yet: nginx is {state:?}").to_lowercase();
                if let Some(error) = &status.last_error {
                    let _ = write!(text, ": {}", nginx_conf::reason_of(error));
                }
                Some(text)
            }
            _ => None,
        }
    }

    fn why_not_offered(&self) -> Option<String> {
        let progress = self.pipeline.as_ref()?.progress.borrow();
        if progress.offered.is_some() {
            return None;
        }
        let source_errors = self.source_errors.as_ref().map(|errors| errors.borrow().clone()).unwrap_or_default();
        let mut text = match &progress.last_error {
            Some(error) => format!("no configuration could be offered: {error}"),
            None => "the objects have not all been read yet".to_owned(),
        };
        for (kind, error) in source_errors {
            let _ = write!(text, "; {kind}: {error}");
        }
        Some(text)
    }
}

/// Listens on the address of the admin port. First of all, so that nothing was begun if it cannot be had.
///
/// # Errors
/// It cannot be listened on.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("--admin: cannot listen on {address}; choose another address"))
}

/// The admin server.
#[derive(Debug)]
pub struct Admin {
    serving: JoinHandle<()>,
}

impl Admin {
    /// Serves there.
    pub fn start(listener: TcpListener, state: AdminState) -> Self {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "admin");
        }
        let router = Router::new()
            .route("/", get(index))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(openmetrics))
            .with_state(state);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin port has ended");
            }
        });
        Self { serving }
    }

    /// Stops it.
    pub fn stop(self) {
        self.serving.abort();
    }
}

async fn healthz(extract::State(state): extract::State<AdminState>) -> Response {
    match state.why_dead() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{reason}\n")).into_response(),
    }
}

async fn readyz(extract::State(state): extract::State<AdminState>) -> Response {
    match state.why_not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn openmetrics(extract::State(state): extract::State<AdminState>) -> Response {
    let text = metrics::render_metrics(&state).await;
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

/// A page with the routes.
async fn index(extract::State(state): extract::State<AdminState>) -> Html<String> {
    let routes = state.pipeline.as_ref().map(|pipeline| Arc::clone(&pipeline.progress.borrow().routes));
    Html(page(routes.as_deref()))
}

fn page(routes: Option<&Routes>) -> String {
    let mut page = "<!doctype html>\n<meta charset=\"utf-8\">\n<title>sparrow-entry</title>\n\
        <style>body { font: 1rem sans-serif; margin: 2rem } td { padding: .2rem 1rem .2rem 0 }</style>\n\
        <h1>Routes</h1>\n"
        .to_owned();
    match routes {
        None => page.push_str("<p>They are known where configurations are made: ask <code>watch</code>.</p>\n"),
        Some(routes) => {
            page.push_str("<table>\n");
            for line in routes.to_string().lines() {
                let (from, to) = line.split_once(" -> ").unwrap_or((line, ""));
                let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(from), escape(to));
            }
            page.push_str("</table>\n");
        }
    }
    page
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}
