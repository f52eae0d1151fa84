//! The settings that are in force, as the `ConfigMap` changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{Acceptance, ConfigMap, Finding, Key, Kind, ObjectRef, Reason, Snapshot, Verdict};
use entry_translate::GlobalAuth;

use super::outcome::{KeyOutcome, verdict};

use super::{KeyValues, SharedSettings, apply};

/// The `ConfigMap` of settings and those that it names, as they are known: as long as they are the same, so are the settings.
type Inputs = Vec<Option<Arc<ConfigMap>>>;

/// The settings that are in force.
#[derive(Debug)]
pub struct FollowedSettings {
    /// What the flags say.
    flags: Arc<SharedSettings>,
    /// The `ConfigMap` that goes over them.
    key: Option<Key>,
    inputs: Inputs,
    current: Arc<SharedSettings>,
    outcomes: Arc<[KeyOutcome]>,
    /// Who is asked whether requests may pass, as the `ConfigMap` has it.
    asked: GlobalAuth,
    /// Values that were in force, and that nginx did not reject.
    good: BTreeMap<String, String>,
    /// What nginx has taken last; what the flags say, before it has.
    confirmed: Arc<SharedSettings>,
    /// Whether it has.
    is_confirmed: bool,
    /// Why nginx has rejected what was made of the inputs.
    rejected: Option<String>,
}

impl FollowedSettings {
    /// Settings of the flags, over which a `ConfigMap` goes if one is named.
    pub fn new(flags: SharedSettings, key: Option<Key>) -> Self {
        let flags = Arc::new(flags);
        Self {
            current: Arc::clone(&flags),
            confirmed: Arc::clone(&flags),
            asked: flags.defaults.external_auth.clone(),
            flags,
            key,
            inputs: Vec::new(),
            outcomes: Arc::default(),
            good: BTreeMap::new(),
            is_confirmed: false,
            rejected: None,
        }
    }

    /// The settings that were made last.
    pub fn current(&self) -> &Arc<SharedSettings> {
        &self.current
    }

    /// What became of each key.
    pub fn outcomes(&self) -> &Arc<[KeyOutcome]> {
        &self.outcomes
    }

    /// Makes settings of a snapshot, and the verdict on the `ConfigMap` that is named, if one is. It costs next to nothing where that did not
    /// change.
    pub fn update(&mut self, snapshot: &Snapshot) -> Option<(ObjectRef, Verdict)> {
        let key = self.key.clone()?;
        let object = ObjectRef::new(Kind::ConfigMap, key.clone());
        let config_map = snapshot.config_maps.get(&key).cloned();
        let named = config_map.iter().flat_map(|config_map| config_map.named_config_maps());
        let named = named.map(|key| snapshot.config_maps.get(&key).cloned()).collect::<Vec<_>>();
        let inputs: Inputs = [config_map.clone()].into_iter().chain(named).collect();
        if inputs != self.inputs {
            self.inputs = inputs;
            if self.rejected.take().is_none() {
                self.remember_good_values();
            }
            self.make(config_map.as_deref(), snapshot);
        }
        let Some(config_map) = config_map else {
            // Why one cannot be read is told with all that cannot.
            return (!snapshot.unreadable.contains_key(&object)).then(|| (object, missing()));
        };
        if self.keeps_out() && self.is_confirmed {
            self.current = self.fallback();
        }
        let generation = config_map.meta.generation;
        let verdict = match &self.rejected {
            Some(why) => {
                self.current = self.fallback();
                rejected_by_nginx(generation, why)
            }
            None => verdict(generation, &self.outcomes),
        };
        Some((object, verdict))
    }

    /// Takes what was in force for what can stay so.
    fn remember_good_values(&mut self) {
        let is_there = |name: &String| self.outcomes.iter().any(|outcome| outcome.name == *name);
        // One that was taken out has nothing that could stay.
        self.good.retain(|name, _| is_there(name));
        let good = self.outcomes.iter().filter(|outcome| outcome.is_good());
        self.good.extend(good.map(|outcome| (outcome.name.clone(), outcome.value.clone())));
    }

    fn make(&mut self, config_map: Option<&ConfigMap>, snapshot: &Snapshot) {
        let mut settings = (*self.flags).clone();
        let Some(config_map) = config_map else {
            self.outcomes = Arc::default();
            self.asked.clone_from(&self.flags.defaults.external_auth);
            self.current = Arc::clone(&self.flags);
            return;
        };
        let outcomes = apply(&mut settings, KeyValues { values: &config_map.data, good: &self.good, snapshot });
        self.outcomes = outcomes.into();
        self.asked.clone_from(&settings.defaults.external_auth);
        self.current = Arc::new(settings);
    }

    /// What is in force where nginx has rejected what was made: what it has taken last, but for who is asked whether requests may pass. By a
    /// fault of another key they would pass unasked.
    fn fallback(&self) -> Arc<SharedSettings> {
        if self.confirmed.defaults.external_auth == self.asked {
            return Arc::clone(&self.confirmed);
        }
        let mut settings = SharedSettings::clone(&self.confirmed);
        settings.defaults.external_auth.clone_from(&self.asked);
        Arc::new(settings)
    }

    /// Whether the `ConfigMap` keeps someone out in a way that is not followed.
    fn keeps_out(&self) -> bool {
        self.outcomes.iter().any(KeyOutcome::keeps_out)
    }

    /// Why nothing may be served, if so: the `ConfigMap` keeps someone out in a way that is not followed, and there are no settings before it.
    pub fn refusal(&self) -> Option<String> {
        let key = self.key.as_ref().filter(|_| !self.is_confirmed)?;
        let outcome = self.outcomes.iter().find(|outcome| outcome.keeps_out())?;
        let (_, message) = outcome.message()?;
        Some(format!("ConfigMap {}/{}, {}: {message}", key.namespace, key.name, outcome.name))
    }

    /// nginx has taken these, which were made before.
    pub fn confirm(&mut self, taken: &Arc<SharedSettings>) {
        self.confirmed = Arc::clone(taken);
        self.is_confirmed = true;
    }

    /// nginx has rejected what was made last, and no other object is to blame. If the settings are others than those that it has taken, they are
    /// put aside until the `ConfigMap` changes. Returns its name, or none if it is not to blame.
    pub fn reject(&mut self, why: &str) -> Option<ObjectRef> {
        // An address that is in use has nothing to do with settings.
        if *self.current == *self.confirmed || self.rejected.is_some() || why.contains("bind()") {
            return None;
        }
        let key = self.key.clone()?;
        self.rejected = Some(nginx_conf::reason_of_error(why));
        Some(ObjectRef::new(Kind::ConfigMap, key))
    }
}

fn missing() -> Verdict {
    let message =
        "There is no such ConfigMap, which --config names: what the flags say is in force; make it".to_owned();
    let finding = Finding { field: String::new(), reason: Reason::RefNotFound, message, is_loss: true };
    Verdict::new(0, Acceptance::Rejected, vec![finding])
}

fn rejected_by_nginx(generation: i64, why: &str) -> Verdict {
    let message = format!(
        "nginx rejects the settings: {why}. Those that it took last stay in force; correct the ConfigMap, and it is tried again"
    );
    let finding = Finding { field: "data".to_owned(), reason: Reason::RejectedByNginx, message, is_loss: true };
    Verdict::new(generation, Acceptance::Rejected, vec![finding])
}
