//! The loop: what is known of the cluster becomes a configuration on the volume, and what nginx says of it comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use entry_kube::status::JudgedSnapshot;
use entry_model::{
    Finding, Holdings, Key, Kind, Object, ObjectRef, Outcome, Reason, Routes, Snapshot, Verdict, Verdicts,
};
use entry_translate::{Built, GoodSecret};
use nginx_conf::{Generation, Origin, TemplateError};
use nginx_process::{Offered, OutcomeState, Shortage, Volume};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::newer::Newer;
use crate::record::Record;
use crate::settings::Settings;

/// How often everything is looked at without a change: certificates run out.
const TICK: Duration = Duration::from_mins(1);
/// How long after a failure to write it is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the loop did last.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The routes that were made of it.
    pub routes: Arc<Routes>,
    /// The generation that was offered last.
    pub offered: Option<String>,
    /// Since when there is a newer configuration than the one in force, or none can be made; none when the newest is live.
    pub pending_since: Option<Instant>,
    /// Generations offered.
    pub generations: u64,
    /// Why the last one could not be written; none when it was.
    pub trouble: Option<String>,
}

/// Makes configurations.
#[derive(Debug)]
pub struct Maker {
    build: entry_translate::BuildSettings,
    conf: nginx_conf::Settings,
    template: Option<String>,
    quarantine: BTreeMap<ObjectRef, Quarantined>,
    last_good: BTreeMap<Key, GoodSecret>,
    /// The same as it was when nginx took what was made of it.
    live_good: BTreeMap<Key, GoodSecret>,
    /// Which namespace holds what, by the last configuration.
    held: Arc<Holdings>,
    /// Where that is kept over restarts.
    record: Option<Record>,
}

/// An object that is put aside, as it was then.
#[derive(Debug)]
struct Quarantined {
    reason: Reason,
    words: String,
    as_it_was: Object,
}

/// A configuration, and what it was made of.
#[derive(Debug)]
pub struct Made {
    /// The routes.
    pub routes: Routes,
    /// The verdicts, with what could not be written.
    pub verdicts: Verdicts,
    /// The files.
    pub generation: Generation,
}

impl Maker {
    /// A maker for these settings and an nginx that says this of itself.
    ///
    /// # Errors
    /// Settings that nginx cannot follow, a template that cannot be read, or a record of hosts where it must not be.
    pub fn new(settings: &Settings, said: &str) -> anyhow::Result<Self> {
        let template = settings.template.as_ref().map(|path| {
            std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("--template {}: {error}", path.display()))
        });
        let record = settings.host_record.as_ref().map(|path| Record::new(path, &settings.volume)).transpose()?;
        Ok(Self {
            build: settings.build(),
            conf: settings.conf(said)?,
            template: template.transpose()?,
            quarantine: BTreeMap::new(),
            last_good: BTreeMap::new(),
            live_good: BTreeMap::new(),
            held: record.as_ref().map(Record::read).unwrap_or_default(),
            record,
        })
    }

    /// Makes a configuration of a snapshot.
    ///
    /// # Errors
    /// The template fails.
    pub fn make(&mut self, snapshot: &Snapshot) -> anyhow::Result<Made> {
        self.quarantine.retain(|object, held| snapshot.get(object).as_ref() == Some(&held.as_it_was));
        let mut settings = self.build.clone();
        settings.now = jiff::Timestamp::now().as_second();
        settings.last_good.clone_from(&self.last_good);
        settings.held = vec![Arc::clone(&self.held)];
        let (routes, mut verdicts, generation) = loop {
            let held = |(object, held): (&ObjectRef, &Quarantined)| (object.clone(), (held.reason, held.words.clone()));
            settings.quarantine = self.quarantine.iter().map(held).collect();
            let Built { routes, verdicts, good, held } = entry_translate::build(snapshot, &settings);
            match self.render(&routes) {
                Ok(generation) => {
                    self.last_good = good;
                    self.held = held;
                    break (routes, verdicts, generation);
                }
                // Without them others may come in their place, so it is looked again. There are fewer each time.
                Err(TemplateError::Objects(objects)) => {
                    for (object, why) in objects {
                        let words = format!("the template of this entry cannot take it: {why}");
                        anyhow::ensure!(self.hold(snapshot, &object, Reason::Unsupported, words), "{object}: {why}");
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        for note in &generation.notes {
            let verdict = verdicts.entry(note.object.clone()).or_insert(Verdict {
                generation: 0,
                outcome: Outcome::Accepted,
                findings: Vec::new(),
            });
            verdict.outcome = verdict.outcome.max(Outcome::Partial);
            let message = note.message.clone();
            verdict.findings.push(Finding { field: "spec".to_owned(), reason: Reason::Unsupported, message });
        }
        Ok(Made { routes, verdicts, generation })
    }

    /// Puts the object aside that nginx's words are about, until it changes. Gives its name, or none if the words are about
    /// no object.
    pub fn blame(&mut self, snapshot: &Snapshot, origins: &[Origin], message: &str) -> Option<ObjectRef> {
        let object = nginx_conf::origin_of(origins, message)?;
        let words = format!("nginx refuses it: {}", nginx_conf::reason_of(message));
        // What the Secret held before is better.
        self.last_good.clone_from(&self.live_good);
        self.hold(snapshot, &object, Reason::RefusedByNginx, words).then_some(object)
    }

    /// Puts an object aside until it changes; false if it is not there, or is put aside already.
    fn hold(&mut self, snapshot: &Snapshot, object: &ObjectRef, reason: Reason, words: String) -> bool {
        let Some(as_it_was) = snapshot.get(object) else { return false };
        self.quarantine.insert(object.clone(), Quarantined { reason, words, as_it_was }).is_none()
    }

    /// Puts certificates aside for which the volume has no room: the newest Secrets of those that are not on it yet. Nothing
    /// that was served before is taken away. False if there are none.
    fn make_room(&mut self, snapshot: &Snapshot, generation: &Generation, shortage: &Shortage) -> bool {
        let created = |object: &ObjectRef| snapshot.secrets.get(&*object.key).map(|secret| secret.meta.created);
        let unwritten = generation.origins.iter().filter_map(|Origin { file, object, .. }| {
            let bytes = shortage.unwritten.get(&**file).filter(|_| object.kind == Kind::Secret)?;
            Some((created(object), object.clone(), *bytes))
        });
        let mut newest: Vec<_> = unwritten.collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = shortage.bytes;
        let mut any = false;
        for (_, object, bytes) in newest {
            if left == 0 {
                break;
            }
            let words = "the volume of this entry has no room for it, and it is among the newest; have the volume made larger \
                         (for an emptyDir: sizeLimit), or remove certificates";
            any |= self.hold(snapshot, &object, Reason::BoundExceeded, words.to_owned());
            left = left.saturating_sub(bytes);
        }
        any
    }

    /// Looks anew whether there is room for what was put aside for want of it.
    fn look_for_room(&mut self) {
        self.quarantine.retain(|_, held| held.reason != Reason::BoundExceeded);
    }

    fn render(&self, routes: &Routes) -> Result<Generation, TemplateError> {
        match &self.template {
            None => Ok(nginx_conf::render(routes, &self.conf)),
            Some(template) => nginx_conf::render_template(template, routes, &self.conf),
        }
    }
}

/// What the loop tells.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it did last.
    pub progress: watch::Receiver<Progress>,
    /// The newest snapshot and its verdicts; none until objects were read.
    pub judged: watch::Receiver<Option<JudgedSnapshot>>,
}

/// The loop. It ends when the snapshots end.
pub struct Pipeline {
    maker: Maker,
    volume: Volume,
    progress: watch::Sender<Progress>,
    judged: watch::Sender<Option<JudgedSnapshot>>,
    // What was offered last, for nginx's answer.
    origins: Vec<Origin>,
    snapshot: Option<Arc<Snapshot>>,
    newer: Newer,
    // A failure that was logged: its hash and its words. It is looked at again and again.
    logged: Option<(String, String)>,
    // How often everything is looked at without a change.
    tick: Duration,
}

impl Pipeline {
    /// A loop that writes to this volume, and what it tells.
    pub fn new(maker: Maker, volume: Volume) -> (Self, Told) {
        let (progress, progress_told) = watch::channel(Progress::default());
        let (judged, judged_told) = watch::channel(None);
        let told = Told { progress: progress_told, judged: judged_told };
        let pipeline = Self {
            maker,
            volume,
            progress,
            judged,
            origins: Vec::new(),
            snapshot: None,
            newer: Newer::default(),
            logged: None,
            tick: TICK,
        };
        (pipeline, told)
    }

    /// Makes a configuration of a snapshot and offers it. What is wrong with it is told, and tried again later.
    ///
    /// # Errors
    /// The volume takes nothing, or the template fails.
    pub async fn offer(&mut self, snapshot: Arc<Snapshot>) -> anyhow::Result<Offered> {
        let made = self.fitting(&snapshot).await;
        // Told before it is offered: that may take long, and whoever waits for it should see so.
        self.newer.made(made.as_ref().ok().map(|made| made.generation.hash.as_str()));
        self.tell_pending();
        let made = made?;
        let before = self.judged.borrow().as_ref().map(|judged| Arc::clone(&judged.verdicts));
        tell(before.as_deref(), &made.verdicts);
        let Generation { hash, files, origins, .. } = made.generation;
        let judged = JudgedSnapshot {
            snapshot: Arc::clone(&snapshot),
            verdicts: Arc::new(made.verdicts),
            held: Arc::clone(&self.maker.held),
        };
        self.judged.send_replace(Some(judged));
        let routes = Arc::new(made.routes);
        self.progress.send_modify(|progress| progress.routes = routes);
        self.snapshot = Some(snapshot);
        if let Some(record) = self.maker.record.as_mut() {
            record.write(&self.maker.held);
        }
        let volume = self.volume.clone();
        let name = hash.clone();
        let offered = tokio::task::spawn_blocking(move || volume.offer(&name, &files)).await??;
        self.origins = origins;
        self.progress.send_modify(|progress| {
            if offered == Offered::New {
                progress.generations += 1;
            }
            progress.offered = Some(hash);
        });
        Ok(offered)
    }

    /// Makes a configuration that has room on the volume, as far as certificates are what is too much.
    async fn fitting(&mut self, snapshot: &Snapshot) -> anyhow::Result<Made> {
        loop {
            let good = self.maker.last_good.clone();
            let mut made = self.maker.make(snapshot)?;
            let volume = self.volume.clone();
            let files = std::mem::take(&mut made.generation.files);
            let look = move || (volume.shortage(&files), files);
            let (shortage, files) = tokio::task::spawn_blocking(look).await?;
            made.generation.files = files;
            let short = shortage.filter(|shortage| self.maker.make_room(snapshot, &made.generation, shortage));
            if short.is_none() {
                return Ok(made);
            }
            // What the Secrets held that are put aside now is what is served of them.
            self.maker.last_good = good;
        }
    }

    /// Follows snapshots and outcomes until the sender of snapshots is gone.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut outcomes = self.volume.watch();
        let mut due = true;
        // Not a sleep of each turn: looking for nginx's words ends one every two seconds.
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + self.tick, self.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if due {
                // Only here it counts as seen: one that comes while nginx's words are read is still to be offered.
                let snapshot = snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    let result = self.offer(snapshot).await;
                    due = match &result {
                        Err(_) => true,
                        // It may be live already: of before a restart.
                        Ok(Offered::Unchanged) if self.newer.since().is_some() => self.hear().await,
                        Ok(_) => false,
                    };
                    self.trouble(result.err());
                }
            }
            tokio::select! {
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    due = true;
                }
                () = outcomes.changed() => due |= self.hear().await,
                _ = tick.tick() => {
                    self.maker.look_for_room();
                    due = true;
                }
                () = tokio::time::sleep(RETRY), if due => {}
            }
        }
    }

    /// Tells since when the newest configuration is not in force.
    fn tell_pending(&self) {
        let since = self.newer.since();
        self.progress.send_if_modified(|progress| std::mem::replace(&mut progress.pending_since, since) != since);
    }

    /// Tells a trouble once, and its end.
    fn trouble(&self, trouble: Option<anyhow::Error>) {
        let trouble = trouble.map(|error| format!("{error:#}"));
        self.progress.send_if_modified(|progress| {
            if progress.trouble == trouble {
                return false;
            }
            match &trouble {
                Some(trouble) => {
                    tracing::error!(trouble, "the configuration in force stays: a new one cannot be offered");
                }
                None => tracing::info!("configurations can be offered again"),
            }
            progress.trouble = trouble;
            true
        });
    }

    /// Looks at what nginx said; true if a configuration has to be made anew.
    async fn hear(&mut self) -> bool {
        let volume = self.volume.clone();
        let outcome = match tokio::task::spawn_blocking(move || volume.outcome()).await {
            Ok(Ok(Some(outcome))) => outcome,
            Ok(Ok(None)) | Err(_) => return false,
            Ok(Err(error)) => {
                tracing::error!(%error, "what became of the configuration is not known");
                return false;
            }
        };
        self.newer.live(outcome.live.as_deref());
        self.tell_pending();
        let offered = self.progress.borrow().offered.clone();
        if offered.as_deref() != Some(&outcome.hash) {
            return false;
        }
        let words = outcome.message;
        let failure = match (outcome.state, &self.snapshot) {
            (OutcomeState::Live, _) => {
                self.logged = None;
                self.maker.live_good.clone_from(&self.maker.last_good);
                return false;
            }
            (OutcomeState::Refused, Some(snapshot)) => {
                if let Some(object) = self.maker.blame(snapshot, &self.origins, &words) {
                    tracing::warn!(%object, words, "nginx refused an object: the others go on without it");
                    return true;
                }
                "nginx refused the configuration, and not because of one object: the one in force stays"
            }
            (OutcomeState::Refused | OutcomeState::Failed, _) => {
                "the configuration could not be put in force: the last good one is"
            }
        };
        let logged = Some((outcome.hash, words));
        if self.logged != logged {
            let words = logged.as_ref().map(|(_, words)| words);
            tracing::error!(words, "{failure}");
            self.logged = logged;
        }
        false
    }
}

/// Logs the verdicts that are new.
fn tell(before: Option<&Verdicts>, now: &Verdicts) {
    for (object, verdict) in now {
        if before.and_then(|before| before.get(object)) == Some(verdict) {
            continue;
        }
        for Finding { field, reason, message } in &verdict.findings {
            tracing::warn!(%object, outcome = ?verdict.outcome, field, %reason, "{message}");
        }
    }
}

#[cfg(test)]
mod tests;
