//! The admin port: whether all is well, what is counted, and which routes there are.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use entry_model::Routes;
use exposition::Form;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::admin_state::AdminState;
use crate::config_map::KeyOutcome;
use crate::metrics;

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
            .route("/metrics", get(show_metrics))
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

async fn show_metrics(extract::State(state): extract::State<AdminState>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let form = Form::of(accepted);
    let page = form.render(metrics::render_metrics(&state).await);
    ([(header::CONTENT_TYPE, form.media_type())], page).into_response()
}

/// A page with the routes.
async fn index(extract::State(state): extract::State<AdminState>) -> Html<String> {
    let progress = state.pipeline.as_ref().map(|pipeline| pipeline.progress.borrow().clone());
    let mut page = page(progress.as_ref().map(|progress| &*progress.routes));
    if let Some(progress) = progress {
        add_settings(&mut page, &progress.keys);
    }
    Html(page)
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

/// Adds the keys of the `ConfigMap` of settings, and what of each is in force.
fn add_settings(page: &mut String, keys: &[KeyOutcome]) {
    if keys.is_empty() {
        return;
    }
    page.push_str("<h1>Settings of the ConfigMap</h1>\n<table>\n");
    for key in keys {
        let cells = [&*key.name, &*key.value, &*key.in_force()].map(escape);
        let _ = writeln!(page, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
    }
    page.push_str("</table>\n");
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
