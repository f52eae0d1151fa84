//! A client of the API server that does nothing but see what changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::{Api, WatchEvent, WatchParams};
use tokio::task::JoinHandle;

/// A client that watches one Service.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches the Service of a name.
    pub fn start(api: Api<Service>, name: &str) -> Self {
        let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let (events, parameters) = (Arc::clone(&seen), WatchParams::default().fields(&format!("metadata.name={name}")));
        let task = tokio::spawn(async move {
            // Where the API server ends the watch, it goes on after the last that was seen.
            let mut version = "0".to_owned();
            loop {
                let _ = follow(&api, &parameters, &mut version, &events).await;
            }
        });
        Self { seen, task }
    }

    /// When it first saw a change after this moment.
    pub fn first_after(&self, moment: Instant) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().copied().find(|at| *at >= moment)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    api: &Api<Service>,
    parameters: &WatchParams,
    version: &mut String,
    events: &Mutex<Vec<Instant>>,
) -> kube::Result<()> {
    let mut stream = std::pin::pin!(api.watch(parameters, version).await?);
    while let Some(event) = stream.try_next().await? {
        if let WatchEvent::Added(service) | WatchEvent::Modified(service) = event {
            events.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            *version = service.resource_version().unwrap_or_default();
        }
    }
    Ok(())
}
