//! The loop: what is known of the cluster becomes a configuration on the volume, and what nginx made of it comes back.
//!
//! ```text
//! snapshots ─► generator ─► rendered ─► volume ─► nginx
//!                 ▲            └► verdicts          │
//!                 └── quarantine ◄── outcome ◄──────┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use entry_kube::status::JudgedSnapshot;
use entry_model::{Finding, Routes, Snapshot, Verdicts};
use nginx_conf::{LineOrigin, Revision};
use nginx_process::{OfferEffect, OutcomeState, TableOutcome, Volume};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::config_map::KeyOutcome;
use crate::generator::{Generator, Rendered};
use crate::pending::PendingConfigurations;

/// How often everything is looked at without a change: certificates run out.
const TICK: Duration = Duration::from_mins(1);
/// How long after a failure to write it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the loop did last.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The routes that were made of it.
    pub routes: Arc<Routes>,
    /// What became of each key of the `ConfigMap` of settings.
    pub keys: Arc<[KeyOutcome]>,
    /// The revision that was offered last.
    pub offered: Option<String>,
    /// Since when there is a newer configuration than the one in force, or none can be made; none when the newest is live.
    pub pending_since: Option<Instant>,
    /// Revisions offered.
    pub revisions: u64,
    /// Why the last one could not be written; none when it was.
    pub last_error: Option<String>,
}

/// The view of the loop from outside.
#[derive(Debug, Clone)]
pub struct PipelineStatus {
    /// What it did last.
    pub progress: watch::Receiver<Progress>,
    /// The newest snapshot and its verdicts; none until objects were read.
    pub judged: watch::Receiver<Option<JudgedSnapshot>>,
}

/// The loop. It ends when the snapshots end.
pub struct Pipeline {
    generator: Generator,
    volume: Volume,
    progress: watch::Sender<Progress>,
    judged: watch::Sender<Option<JudgedSnapshot>>,
    // What was offered last, for nginx's answer.
    origins: Vec<LineOrigin>,
    snapshot: Option<Arc<Snapshot>>,
    pending: PendingConfigurations,
    // A failure that was logged: its hash and its message. It is looked at again and again.
    logged: Option<(String, String)>,
    // The failure of a table that was answered with a whole one last.
    failed_table: Option<TableOutcome>,
    // How often everything is looked at without a change.
    tick: Duration,
}

impl Pipeline {
    /// A loop that writes to this volume, and its status.
    pub fn new(mut generator: Generator, volume: Volume) -> (Self, PipelineStatus) {
        if let Some(table) = generator.table() {
            // Each revision is higher than all before it, those of earlier processes too.
            table.publish_whole_after(volume.newest_table_revision());
        }
        let progress = watch::Sender::new(Progress::default());
        let judged = watch::Sender::new(None);
        let status = PipelineStatus { progress: progress.subscribe(), judged: judged.subscribe() };
        let pipeline = Self {
            generator,
            volume,
            progress,
            judged,
            origins: Vec::new(),
            snapshot: None,
            pending: PendingConfigurations::default(),
            logged: None,
            failed_table: None,
            tick: TICK,
        };
        (pipeline, status)
    }

    /// Makes a configuration of a snapshot and offers it. What is wrong with it is reported, and tried again later.
    ///
    /// # Errors
    /// The volume takes nothing, the template fails, or settings keep someone out in a way that is not followed.
    pub async fn offer(&mut self, snapshot: Arc<Snapshot>) -> anyhow::Result<OfferEffect> {
        let rendered = self.render_fitting(&snapshot).await.and_then(|rendered| match self.generator.refusal() {
            None => Ok(rendered),
            Some(why) => Err(anyhow::anyhow!(why)),
        });
        // Before it is offered: that may take long, and who waits for it should see so.
        let offered = self.progress.borrow().offered.clone();
        let is_new_frame = rendered.as_ref().is_ok_and(|rendered| offered.as_ref() != Some(&rendered.revision.hash));
        if let Some(table) = self.generator.table().filter(|_| is_new_frame) {
            // A table belongs to its frame, which may have been offered before, with this revision.
            table.publish_whole_after(None);
        }
        let revision = self.generator.table().map(|table| table.revision());
        let name = rendered.as_ref().ok().map(|rendered| configuration_name(&rendered.revision.hash, revision));
        self.pending.note_rendered(name.as_deref());
        self.publish_pending();
        let rendered = rendered?;
        let before = self.judged.borrow().as_ref().map(|judged| Arc::clone(&judged.verdicts)).unwrap_or_default();
        log_new(&before, &rendered.verdicts);
        let Revision { hash, files, origins, .. } = rendered.revision;
        let judged = JudgedSnapshot {
            snapshot: Arc::clone(&snapshot),
            verdicts: Arc::new(rendered.verdicts),
            host_owners: Arc::clone(self.generator.host_owners()),
        };
        self.judged.send_replace(Some(judged));
        let (routes, keys) = (Arc::new(rendered.routes), rendered.keys);
        self.progress.send_modify(|progress| (progress.routes, progress.keys) = (routes, keys));
        self.snapshot = Some(snapshot);
        self.generator.write_host_record();
        let offered = self.write(&hash, files).await?;
        self.generator.note_offered(&hash);
        self.origins = origins;
        self.progress.send_modify(|progress| {
            if offered == OfferEffect::New {
                progress.revisions += 1;
            }
            progress.offered = Some(hash);
        });
        Ok(offered)
    }

    /// Writes to the volume what of a configuration is new: the files with a whole table, or what changed in the table.
    async fn write(&mut self, hash: &str, files: BTreeMap<String, Vec<u8>>) -> anyhow::Result<OfferEffect> {
        let is_new_frame = self.progress.borrow().offered.as_deref() != Some(hash);
        let (volume, frame) = (self.volume.clone(), hash.to_owned());
        let Some(table) = self.generator.table() else {
            return Ok(tokio::task::spawn_blocking(move || volume.offer(&frame, &files, None)).await??);
        };
        if is_new_frame {
            let whole = table.whole();
            let offered = tokio::task::spawn_blocking(move || {
                let offered = volume.offer(&frame, &files, Some(&whole))?;
                Ok((offered, whole.revision))
            });
            let (effect, revision) = self.take_order(offered.await?)?;
            self.note_published(revision);
            return Ok(effect);
        }
        let Some(changes) = table.publication() else {
            return Ok(tokio::task::spawn_blocking(move || volume.offer(&frame, &files, None)).await??);
        };
        let published = tokio::task::spawn_blocking(move || {
            let records = volume.publish(&frame, &changes)?;
            Ok((records, changes.revision))
        });
        let (records, revision) = self.take_order(published.await?)?;
        self.note_published(revision);
        if records.should_compact() {
            self.compact(hash).await;
        }
        Ok(OfferEffect::New)
    }

    /// Has the volume keep the whole table in place of its records. If that fails, for want of room, these stay, and more can be added.
    async fn compact(&mut self, frame: &str) {
        let Some(whole) = self.generator.table().and_then(|table| table.published_whole()) else { return };
        let (volume, frame) = (self.volume.clone(), frame.to_owned());
        let compacted = tokio::task::spawn_blocking(move || volume.compact(&frame, &whole)).await;
        if let Ok(Err(error)) = compacted {
            tracing::warn!(%error, "the volume keeps all changes of the table");
        }
    }

    /// What was written; if another generator has written too, or the volume was emptied, the next table is a whole one, or the
    /// next offer has all files.
    fn take_order<T>(&mut self, written: nginx_process::Result<T>) -> anyhow::Result<T> {
        match &written {
            Err(nginx_process::Error::TableOrder { newest, .. }) => {
                if let Some(table) = self.generator.table() {
                    table.publish_whole_after(newest.map(route_table::Revision));
                }
            }
            Err(nginx_process::Error::NotOffered { .. }) => {
                self.progress.send_modify(|progress| progress.offered = None);
            }
            _ => {}
        }
        Ok(written?)
    }

    fn note_published(&mut self, revision: route_table::Revision) {
        if let Some(table) = self.generator.table() {
            table.note_published(revision);
        }
    }

    /// Makes a configuration that has room on the volume, as far as certificates are what is too much.
    async fn render_fitting(&mut self, snapshot: &Snapshot) -> anyhow::Result<Rendered> {
        loop {
            let good = self.generator.last_good();
            let mut rendered = self.generator.render(snapshot)?;
            let volume = self.volume.clone();
            let files = std::mem::take(&mut rendered.revision.files);
            let is_new_frame = self.progress.borrow().offered.as_ref() != Some(&rendered.revision.hash);
            let table = self.generator.table().map(|table| table.unpublished_bytes(is_new_frame)).unwrap_or_default();
            let look = move || (volume.shortage(&files, &table), files);
            let (shortage, files) = tokio::task::spawn_blocking(look).await?;
            rendered.revision.files = files;
            let short = shortage.filter(|shortage| self.generator.make_room(snapshot, &rendered.revision, shortage));
            if short.is_none() {
                return Ok(rendered);
            }
            // What the Secrets held that are put aside now is what is served of them.
            self.generator.restore_last_good(good);
        }
    }

    /// Follows snapshots and outcomes until the sender of snapshots is gone.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut outcomes = self.volume.watch();
        let mut due = true;
        // Not a sleep of each turn: looking for nginx's outcome ends one every two seconds.
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + self.tick, self.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if due {
                // Only here it counts as seen: one that comes while nginx's outcome is read is still to be offered.
                let snapshot = snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    let result = self.offer(snapshot).await;
                    due = match &result {
                        Err(_) => true,
                        // It may be live already: of before a restart.
                        Ok(OfferEffect::Unchanged) if self.pending.since().is_some() => self.read_outcome().await,
                        Ok(_) => false,
                    };
                    self.set_last_error(result.err());
                }
            }
            tokio::select! {
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    due = true;
                }
                () = outcomes.changed() => due |= self.read_outcome().await,
                _ = tick.tick() => {
                    self.generator.look_for_room();
                    due = true;
                }
                () = tokio::time::sleep(RETRY), if due => {}
            }
        }
    }

    /// Publishes since when the newest configuration is not in force.
    fn publish_pending(&self) {
        let since = self.pending.since();
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.pending_since, since) != since);
    }

    /// Publishes why no configuration can be offered, or that one can; logs each once.
    fn set_last_error(&self, error: Option<anyhow::Error>) {
        let error = error.map(|error| format!("{error:#}"));
        self.progress.send_if_modified(|progress| {
            if progress.last_error == error {
                return false;
            }
            match &error {
                Some(error) => {
                    tracing::error!(error, "the configuration in force stays: a new one cannot be offered");
                }
                None => tracing::info!("configurations can be offered again"),
            }
            progress.last_error = error;
            true
        });
    }

    /// Reads what became of the last offer; true if a configuration has to be made anew.
    async fn read_outcome(&mut self) -> bool {
        let volume = self.volume.clone();
        let read = move || Ok::<_, nginx_process::Error>((volume.outcome()?, volume.table_outcome()?));
        let (outcome, table) = match tokio::task::spawn_blocking(read).await {
            Ok(Ok((Some(outcome), table))) => (outcome, table),
            Ok(Ok((None, _))) | Err(_) => return false,
            Ok(Err(error)) => {
                tracing::error!(%error, "what became of the configuration is not known");
                return false;
            }
        };
        let table = table.filter(|table| outcome.live.as_ref() == Some(&table.frame));
        let revision = table.as_ref().and_then(|table| table.revision).map(route_table::Revision);
        let live = outcome.live.as_ref().map(|frame| configuration_name(frame, revision));
        self.pending.note_live(live.as_deref());
        self.publish_pending();
        // It may have taken one and rejected another since it was looked at last.
        if let Some(live) = &outcome.live {
            self.generator.confirm(live);
        }
        if table.is_some_and(|table| self.table_failed(&table)) {
            return true;
        }
        let offered = self.progress.borrow().offered.clone();
        if offered.as_deref() != Some(&outcome.hash) {
            return false;
        }
        let nginx_stderr = outcome.message;
        let is_live = outcome.state == OutcomeState::Live;
        if let Some(snapshot) = self.snapshot.as_deref().filter(|_| !is_live)
            && self.generator.close_ports(snapshot, &nginx_stderr)
        {
            tracing::warn!(nginx_stderr, "nginx cannot listen at a port of a service: the others go on without it");
            return true;
        }
        let failure = match (outcome.state, &self.snapshot) {
            (OutcomeState::Live, _) => {
                self.logged = None;
                return false;
            }
            (OutcomeState::Refused, Some(snapshot)) => {
                if let Some(object) = self.generator.quarantine_culprit(snapshot, &self.origins, &nginx_stderr) {
                    tracing::warn!(%object, nginx_stderr, "nginx rejected an object: the others go on without it");
                    return true;
                }
                if let Some(object) = self.generator.reject_settings(&nginx_stderr) {
                    tracing::warn!(%object, nginx_stderr, "nginx rejected the settings: those that it took last stay");
                    return true;
                }
                "nginx rejected the configuration, and not because of one object: the one in force stays"
            }
            (OutcomeState::Refused | OutcomeState::Failed, _) => {
                "the configuration could not be put in force: the last good one is"
            }
        };
        let logged = Some((outcome.hash, nginx_stderr));
        if self.logged != logged {
            let nginx_stderr = logged.as_ref().map(|(_, nginx_stderr)| nginx_stderr);
            tracing::error!(nginx_stderr, "{failure}");
            self.logged = logged;
        }
        false
    }
}

impl Pipeline {
    /// Whether what was published of the table did not come into force; then a whole one comes next. Looks at each failure once.
    fn table_failed(&mut self, outcome: &TableOutcome) -> bool {
        let is_offered = self.progress.borrow().offered.as_ref() == Some(&outcome.frame);
        if !is_offered || outcome.message.is_empty() || self.failed_table.as_ref() == Some(outcome) {
            return false;
        }
        let Some(table) = self.generator.table() else { return false };
        tracing::error!(in_force = outcome.revision, "routes that changed are not in force: {}", outcome.message);
        table.publish_whole_after(None);
        self.failed_table = Some(outcome.clone());
        true
    }
}

/// What a configuration is called while it is waited for: its frame, and the revision of its table, if it has one.
fn configuration_name(frame: &str, table: Option<route_table::Revision>) -> String {
    table.map_or_else(|| frame.to_owned(), |revision| format!("{frame}.{revision}"))
}

/// Logs the verdicts that are new.
fn log_new(before: &Verdicts, now: &Verdicts) {
    for object in now.changed_keys(before, PartialEq::eq) {
        let Some(verdict) = now.get(object) else { continue };
        for Finding { field, reason, message, .. } in verdict.findings() {
            tracing::warn!(%object, outcome = ?verdict.acceptance(), field, %reason, "{message}");
        }
    }
}

#[cfg(test)]
mod tests;
