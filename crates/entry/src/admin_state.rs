//! What the admin port reports of: whether the parts of the process are well.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use entry_kube::status::WriteCounters;
use entry_model::Kind;
use nginx_process::{Control, SupervisorHandle, SupervisorState};
use tokio::sync::watch;

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
                    let _ = write!(text, ": {}", nginx_conf::reason_of_error(error));
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
