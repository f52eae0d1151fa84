//! From a snapshot to the files of a configuration: routes are built of it, and written for nginx.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{
    Acceptance, Finding, HostOwners, Key, Kind, ObjectRef, Reason, Routes, Snapshot, SortedMap, StreamPort,
    StreamRoute, Verdict, Verdicts,
};
use entry_translate::{LastGoodSecret, Translation, Translator};
use nginx_conf::{LineOrigin, Revision, TemplateError};
use nginx_process::Shortage;

use crate::closed_ports::ClosedPorts;
use crate::config_map::{FollowedSettings, KeyOutcome, SharedSettings};
use crate::flags::ConfigurationFlags;
use crate::host_record::HostRecord;
use crate::quarantine::Quarantine;
use crate::table_plan::TablePlan;

/// Most configurations that are remembered until it is known what became of them. Of more the oldest are not waited for any more.
const MOST_OFFERED: usize = 16;

/// What a configuration was made of that nginx was offered.
#[derive(Debug)]
struct OfferedConfiguration {
    name: String,
    settings: Arc<SharedSettings>,
    /// What Secrets held that were good.
    last_good: Arc<BTreeMap<Key, LastGoodSecret>>,
}

/// Makes configurations.
#[derive(Debug)]
pub struct Generator {
    translation: entry_translate::TranslateSettings,
    translator: Translator,
    settings: FollowedSettings,
    layout: Layout,
    quarantine: Quarantine,
    closed_ports: ClosedPorts,
    /// The ports of services that were written last.
    streams: SortedMap<StreamPort, StreamRoute>,
    last_good: Arc<BTreeMap<Key, LastGoodSecret>>,
    /// The same as it was when nginx took what was made of it.
    live_good: Arc<BTreeMap<Key, LastGoodSecret>>,
    /// What configurations were made of that nginx was offered, and may have taken, the newest last.
    offered: Vec<OfferedConfiguration>,
    /// Which namespace holds what, by the last configuration.
    host_owners: Arc<HostOwners>,
    /// Where that is kept over restarts.
    record: Option<HostRecord>,
}

/// What a configuration is written as.
#[derive(Debug)]
enum Layout {
    /// A frame, and a table by which nginx's module routes.
    Table(Box<TablePlan>),
    /// A template of the operator's.
    Template(String),
}

/// A configuration, and what it was made of.
#[derive(Debug)]
pub struct Rendered {
    /// The routes.
    pub routes: Routes,
    /// The verdicts, with what could not be written.
    pub verdicts: Verdicts,
    /// The files.
    pub revision: Revision,
    /// What became of each key of the `ConfigMap` of settings.
    pub keys: Arc<[KeyOutcome]>,
}

impl Generator {
    /// A generator for an nginx of this version, as `nginx -V` prints it.
    ///
    /// # Errors
    /// Settings that nginx cannot follow, a template that cannot be read, or a record of hosts where it must not be.
    pub fn new(flags: &ConfigurationFlags, nginx_version: &str) -> anyhow::Result<Self> {
        let template = flags.traffic.template.as_ref().map(|path| {
            std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("--template {}: {error}", path.display()))
        });
        let record =
            flags.objects.host_record.as_ref().map(|path| HostRecord::new(path, &flags.program.volume)).transpose()?;
        Ok(Self {
            translation: flags.translate_settings(),
            translator: Translator::default(),
            settings: FollowedSettings::new(flags.shared_settings(nginx_version)?, flags.objects.config.clone()),
            layout: template.transpose()?.map_or_else(|| Layout::Table(Box::default()), Layout::Template),
            quarantine: Quarantine::default(),
            closed_ports: ClosedPorts::default(),
            streams: SortedMap::default(),
            last_good: Arc::default(),
            live_good: Arc::default(),
            offered: Vec::new(),
            host_owners: record.as_ref().map(HostRecord::read).unwrap_or_default(),
            record,
        })
    }

    /// The table of the routes, if there is no template.
    pub(crate) fn table(&mut self) -> Option<&mut TablePlan> {
        match &mut self.layout {
            Layout::Table(table) => Some(table),
            Layout::Template(_) => None,
        }
    }

    /// Makes a configuration of a snapshot.
    ///
    /// # Errors
    /// The template fails.
    pub fn render(&mut self, snapshot: &Snapshot) -> anyhow::Result<Rendered> {
        self.quarantine.release_changed(snapshot);
        let judged_settings = self.settings.update(snapshot);
        let mut settings = self.translation.clone();
        settings.defaults = self.settings.current().defaults.clone();
        let services = &mut settings.stream_services;
        services.closed_ports = self.closed_ports.current(services, snapshot);
        settings.now = jiff::Timestamp::now().as_second();
        settings.last_good.clone_from(&self.last_good);
        settings.host_owners = vec![Arc::clone(&self.host_owners)];
        let (routes, mut verdicts, revision) = loop {
            settings.quarantine = self.quarantine.reasons();
            let Translation { routes, verdicts, last_good, host_owners } =
                self.translator.translate(snapshot, &settings);
            match self.write(&routes) {
                Ok(revision) => {
                    self.last_good = last_good;
                    self.host_owners = host_owners;
                    break (routes, verdicts, revision);
                }
                // Without them others may come in their place, so it is looked again. There is less of them each time.
                Err(TemplateError::Objects(objects)) => {
                    for (object, why) in objects {
                        let message = format!("the template of this entry cannot take it: {why}");
                        let is_new = self.quarantine.put(snapshot, &object, Reason::Unsupported, message);
                        anyhow::ensure!(is_new, "{object}: {why}");
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        add_notes(&mut verdicts, &revision);
        self.streams.clone_from(&routes.streams);
        verdicts.extend(judged_settings);
        Ok(Rendered { routes, verdicts, revision, keys: Arc::clone(self.settings.outcomes()) })
    }

    /// Puts the object aside that nginx's error message is about, until it changes. Returns its name, or none if the message is
    /// about no object.
    pub fn quarantine_culprit(
        &mut self,
        snapshot: &Snapshot,
        origins: &[LineOrigin],
        message: &str,
    ) -> Option<ObjectRef> {
        let object = nginx_conf::object_of_error(origins, message)?;
        let message = format!("nginx rejects it: {}", nginx_conf::reason_of_error(message));
        // What the Secret held before is better.
        self.last_good.clone_from(&self.live_good);
        self.quarantine.put(snapshot, &object, Reason::RejectedByNginx, message).then_some(object)
    }

    /// Puts the `ConfigMap` of settings aside that nginx's error message is about, until it changes, as [`FollowedSettings::reject`] has it.
    pub fn reject_settings(&mut self, message: &str) -> Option<ObjectRef> {
        self.settings.reject(message)
    }

    /// Leaves out ports of TCP and UDP services at which nginx could not listen, until what asks for them changes; whether there is one
    /// more.
    pub fn close_ports(&mut self, snapshot: &Snapshot, nginx_stderr: &str) -> bool {
        self.closed_ports.add(nginx_stderr, &self.streams, &self.translation.stream_services, snapshot)
    }

    /// What Secrets held that were good when something was rendered last.
    pub(crate) fn last_good(&self) -> Arc<BTreeMap<Key, LastGoodSecret>> {
        Arc::clone(&self.last_good)
    }

    /// Goes back to what Secrets held then.
    pub(crate) fn restore_last_good(&mut self, last_good: Arc<BTreeMap<Key, LastGoodSecret>>) {
        self.last_good = last_good;
    }

    /// Why what was rendered last may not be offered, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.settings.refusal()
    }

    /// What was rendered last is offered to nginx as a configuration of this name.
    pub(crate) fn note_offered(&mut self, name: &str) {
        self.offered.retain(|offered| offered.name != name);
        if self.offered.len() == MOST_OFFERED {
            self.offered.remove(0);
        }
        let (settings, last_good) = (Arc::clone(self.settings.current()), Arc::clone(&self.last_good));
        self.offered.push(OfferedConfiguration { name: name.to_owned(), settings, last_good });
    }

    /// nginx has taken the configuration of this name, perhaps not the newest that it was offered. What was rendered since it knows nothing of.
    pub(crate) fn confirm(&mut self, name: &str) {
        let Some(index) = self.offered.iter().position(|offered| offered.name == name) else { return };
        // None comes after one that was offered later.
        self.offered.drain(..index);
        let OfferedConfiguration { settings, last_good, .. } = &self.offered[0];
        self.live_good.clone_from(last_good);
        self.settings.confirm(settings);
    }

    /// Which namespace holds what, by the last configuration.
    pub(crate) fn host_owners(&self) -> &Arc<HostOwners> {
        &self.host_owners
    }

    /// Writes that down, if there is a file for it.
    pub(crate) fn write_host_record(&mut self) {
        if let Some(record) = &mut self.record {
            record.write(&self.host_owners);
        }
    }

    /// Puts certificates aside for which the volume has no room: the newest Secrets of those that are not on it yet. Nothing
    /// that was served before is taken away. False if there are none.
    pub(crate) fn make_room(&mut self, snapshot: &Snapshot, revision: &Revision, shortage: &Shortage) -> bool {
        let created = |object: &ObjectRef| snapshot.secrets.get(&*object.key).map(|secret| secret.meta.created);
        let unwritten = revision.origins.iter().filter_map(|LineOrigin { file, object, .. }| {
            let bytes = shortage.unwritten.get(&**file).filter(|_| object.kind == Kind::Secret)?;
            Some((created(object), object.clone(), *bytes))
        });
        let in_table = shortage.unwritten.iter().filter_map(|(id, bytes)| {
            let Layout::Table(table) = &self.layout else { return None };
            let object = table.certificate_owner(id)?;
            Some((created(object), object.clone(), *bytes))
        });
        let mut newest: Vec<_> = unwritten.chain(in_table).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = shortage.bytes;
        let mut any = false;
        for (_, object, bytes) in newest {
            if left == 0 {
                break;
            }
            let message = "the volume of this entry has no room for it, and it is among the newest; have the volume made larger \
                         (for an emptyDir: sizeLimit), or remove certificates";
            any |= self.quarantine.put(snapshot, &object, Reason::BoundExceeded, message.to_owned());
            left = left.saturating_sub(bytes);
        }
        any
    }

    /// Looks anew whether there is room for what was put aside for want of it.
    pub(crate) fn look_for_room(&mut self) {
        self.quarantine.release(Reason::BoundExceeded);
    }

    fn write(&mut self, routes: &Routes) -> Result<Revision, TemplateError> {
        let settings = Arc::clone(self.settings.current());
        let conf = &settings.nginx;
        match &mut self.layout {
            Layout::Template(template) => nginx_conf::render_template(template, routes, conf),
            Layout::Table(table) => {
                table.plan(routes, conf);
                let mut frame = nginx_conf::render(routes, table.needs(), conf);
                frame.notes.extend(table.notes());
                Ok(frame)
            }
        }
    }
}

/// Adds to the verdicts what could not be written for nginx.
fn add_notes(verdicts: &mut Verdicts, revision: &Revision) {
    for note in &revision.notes {
        let message = note.message.clone();
        let finding = Finding { field: "spec".to_owned(), reason: Reason::Unsupported, message, is_loss: true };
        let accepted = || Verdict::new(0, Acceptance::Accepted, Vec::new());
        let mut verdict = verdicts.get(&note.object).cloned().unwrap_or_else(accepted);
        verdict.add(&finding);
        verdicts.insert(note.object.clone(), verdict);
    }
}
