//! What is told of a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use entry_model::{Acceptance, Finding, Key, Kind, ObjectRef, Snapshot, Verdicts};
use entry_translate::{INGRESS_NGINX_PREFIX, Meaning, find_ingress_nginx_annotation};
use serde::Serialize;

use super::controller_flags::{self, Here};
use super::installation::Installation;

/// What becomes of an installation of ingress-nginx here.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How many Ingresses there are of each outcome.
    pub counts: Counts,
    /// Its Ingresses.
    pub ingresses: BTreeMap<String, IngressReport>,
    /// How many Services that Ingresses name are not in the directory that was read, and were taken to be there.
    pub services_added: usize,
    /// The flags of its controllers.
    pub flags: Vec<FlagReport>,
    /// The flags for `sparrow-entry` that do the same.
    pub our_flags: Vec<String>,
}

/// How many Ingresses there are of each outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Served the same.
    pub same: usize,
    /// All of it is served, and something is worth knowing.
    pub differs: usize,
    /// Something that was asked for is not served.
    pub partial: usize,
    /// Nothing is served.
    pub rejected: usize,
    /// Of classes that are not ingress-nginx's.
    pub of_other_classes: usize,
}

/// What becomes of an Ingress.
#[derive(Debug, Serialize)]
pub struct IngressReport {
    /// In a word.
    pub outcome: Outcome,
    /// What is said of it.
    pub findings: Vec<Finding>,
    /// Annotations that mean something else here, and how.
    pub differences: BTreeMap<String, &'static str>,
}

/// What becomes of an Ingress, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is served the same.
    Same,
    /// All of it is served, and something is worth knowing.
    Differs,
    /// Something that was asked for is not served.
    Partial,
    /// Nothing is served.
    Rejected,
}

/// What becomes of a flag.
#[derive(Debug, Serialize)]
pub struct FlagReport {
    /// The Deployment or `DaemonSet`.
    pub controller: String,
    /// The flag, with its value.
    pub flag: String,
    /// What does the same, or what to do.
    pub here: String,
    /// Whether somebody has to do something.
    pub by_hand: bool,
}

impl Report {
    /// Of the verdicts on a snapshot in which these classes of the installation are ours.
    pub fn new(
        installation: &Installation,
        classes: &BTreeSet<String>,
        snapshot: &Snapshot,
        verdicts: &Verdicts,
    ) -> Self {
        let mut counts = Counts::default();
        let mut ingresses = BTreeMap::new();
        for (key, ingress) in &snapshot.ingresses {
            let is_theirs = ingress.class.as_ref().is_none_or(|class| classes.contains(class));
            let verdict = verdicts.get(&ObjectRef::new(Kind::Ingress, Key::clone(key)));
            let Some(verdict) = verdict.filter(|_| is_theirs) else {
                counts.of_other_classes += 1;
                continue;
            };
            let findings: Vec<Finding> = verdict.findings().into_iter().cloned().collect();
            let differences = differences(&ingress.meta.annotations);
            let outcome = match verdict.acceptance() {
                Acceptance::Accepted if findings.is_empty() && differences.is_empty() => Outcome::Same,
                Acceptance::Accepted => Outcome::Differs,
                Acceptance::Partial => Outcome::Partial,
                Acceptance::Rejected => Outcome::Rejected,
            };
            *counts.of(outcome) += 1;
            let name = format!("{}/{}", key.namespace, key.name);
            ingresses.insert(name, IngressReport { outcome, findings, differences });
        }
        let flags = flags(installation);
        let our_flags = our_flags(installation);
        Self { counts, ingresses, services_added: 0, flags, our_flags }
    }

    /// Whether all is served that was asked for.
    pub fn is_whole(&self) -> bool {
        self.counts.partial + self.counts.rejected == 0
    }
}

impl Counts {
    fn of(&mut self, outcome: Outcome) -> &mut usize {
        match outcome {
            Outcome::Same => &mut self.same,
            Outcome::Differs => &mut self.differs,
            Outcome::Partial => &mut self.partial,
            Outcome::Rejected => &mut self.rejected,
        }
    }
}

/// The annotations that mean something else here.
fn differences(annotations: &BTreeMap<String, String>) -> BTreeMap<String, &'static str> {
    let names = annotations.keys().filter_map(|name| name.strip_prefix(INGRESS_NGINX_PREFIX));
    let known = names.filter_map(find_ingress_nginx_annotation);
    let differing = known.filter_map(|known| match known.meaning {
        Meaning::Differs(how) => Some((known.name.to_owned(), how)),
        Meaning::Same(_) | Meaning::Never(_) => None,
    });
    differing.collect()
}

fn flags(installation: &Installation) -> Vec<FlagReport> {
    let mut all = Vec::new();
    for controller in &installation.controllers {
        for (name, value) in &controller.flags {
            let value = value.as_deref().unwrap_or("true");
            let (here, by_hand) = match controller_flags::find(name).map(|flag| flag.here) {
                Some(Here::Flag(ours)) => (format!("`--{ours} {value}`"), false),
                Some(Here::Nothing(why)) => (format!("nothing to do: {why}"), false),
                Some(Here::ByHand(what)) => (what.to_owned(), true),
                None => ("ingress-nginx has no such flag; see what it was meant for".to_owned(), true),
            };
            let flag = format!("--{name}={value}");
            all.push(FlagReport { controller: controller.name.clone(), flag, here, by_hand });
        }
    }
    all
}

fn our_flags(installation: &Installation) -> Vec<String> {
    let flags = installation.controllers.iter().flat_map(|controller| &controller.flags);
    let ours = flags.filter_map(|(name, value)| match controller_flags::find(name)?.here {
        Here::Flag(ours) => Some(format!("--{ours}={}", value.as_deref()?)),
        Here::Nothing(_) | Here::ByHand(_) => None,
    });
    let mut ours: Vec<_> = ours.collect();
    ours.sort_unstable();
    ours.dedup();
    ours
}

impl fmt::Display for Report {
    /// A paragraph for each Ingress that is not served the same and for each controller, then the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, ingress) in self.ingresses.iter().filter(|(_, ingress)| ingress.outcome != Outcome::Same) {
            let outcome = match ingress.outcome {
                Outcome::Same => "served the same",
                Outcome::Differs => "served, and something is worth knowing",
                Outcome::Partial => "served in part",
                Outcome::Rejected => "not served",
            };
            writeln!(f, "Ingress {name}: {outcome}")?;
            for finding in &ingress.findings {
                let Finding { field, reason, message } = finding;
                let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
                writeln!(f, "  {field}{reason}: {message}")?;
            }
            for (annotation, how) in &ingress.differences {
                writeln!(f, "  {annotation}: {how}")?;
            }
        }
        for FlagReport { controller, flag, here, by_hand } in &self.flags {
            writeln!(f, "{controller}: {flag}: {}{here}", if *by_hand { "to do: " } else { "" })?;
        }
        if !self.our_flags.is_empty() {
            writeln!(f, "Flags that do the same: {}", self.our_flags.join(" "))?;
        }
        if self.services_added > 0 {
            let count = self.services_added;
            writeln!(f, "Services that Ingresses name, are not in the directory, and are taken to be there: {count}")?;
        }
        let Counts { same, differs, partial, rejected, of_other_classes } = self.counts;
        writeln!(
            f,
            "{} Ingresses of ingress-nginx: {same} served the same, {differs} with something worth knowing, {partial} in part, \
             {rejected} not served; {of_other_classes} of other classes",
            same + differs + partial + rejected
        )
    }
}
