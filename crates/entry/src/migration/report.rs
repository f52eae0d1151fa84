//! What is told of a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use entry_model::{Acceptance, Finding, Key, Kind, ObjectRef, Reason, Snapshot, Verdicts};
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
    /// What cannot be read, and why: nothing is known of what it asks for.
    pub unreadable: BTreeMap<String, String>,
    /// How many Services that Ingresses name are not in the directory that was read, and were taken to be there.
    pub services_added: usize,
    /// The `ConfigMaps` that flags of its controllers name.
    pub config_maps: BTreeMap<String, ConfigMapReport>,
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
    /// Of `differs`: those that name Secrets, Services or `ConfigMaps` which are not in the directory that was read, and were taken to be there.
    pub of_an_excerpt: usize,
}

/// What becomes of a `ConfigMap` that a flag of a controller names.
#[derive(Debug, Serialize)]
pub struct ConfigMapReport {
    /// Whether all of it is in force.
    pub is_whole: bool,
    /// What is said of its keys.
    pub findings: Vec<Finding>,
}

/// What was judged, and how.
#[derive(Debug, Clone, Copy)]
pub struct Judgement<'a> {
    /// Where it was found.
    pub installation: &'a Installation,
    /// The classes of the installation, which are ours in the snapshot.
    pub classes: &'a BTreeSet<String>,
    /// What was judged.
    pub snapshot: &'a Snapshot,
    /// What was said of it.
    pub verdicts: &'a Verdicts,
    /// Whether it may be Ingresses alone, without what they name.
    pub is_excerpt: bool,
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
    /// Of the verdicts on a snapshot in which the classes of the installation are ours.
    pub fn new(judgement: Judgement<'_>) -> Self {
        let Judgement { installation, classes, snapshot, verdicts, is_excerpt } = judgement;
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
            let lacks_objects = is_excerpt && lacks_objects_only(&findings);
            let outcome = match verdict.acceptance() {
                Acceptance::Accepted if findings.is_empty() && differences.is_empty() => Outcome::Same,
                Acceptance::Accepted => Outcome::Differs,
                Acceptance::Partial if lacks_objects => {
                    counts.of_an_excerpt += 1;
                    Outcome::Differs
                }
                Acceptance::Partial => Outcome::Partial,
                Acceptance::Rejected => Outcome::Rejected,
            };
            *counts.of(outcome) += 1;
            let name = format!("{}/{}", key.namespace, key.name);
            ingresses.insert(name, IngressReport { outcome, findings, differences });
        }
        let unreadable = snapshot.unreadable.iter().map(|(object, why)| (object.to_string(), why.clone())).collect();
        let config_maps = config_maps(judgement);
        let flags = flags(installation);
        let our_flags = our_flags(installation);
        Self { counts, ingresses, unreadable, services_added: 0, config_maps, flags, our_flags }
    }

    /// Whether all is served that was asked for.
    pub fn is_whole(&self) -> bool {
        self.counts.partial + self.counts.rejected == 0 && self.config_maps.values().all(|report| report.is_whole)
    }

    /// Whether all could be read.
    pub fn is_complete(&self) -> bool {
        self.unreadable.is_empty()
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

/// Whether nothing is lost but what is named and is not there: certificates, and what annotations name.
fn lacks_objects_only(findings: &[Finding]) -> bool {
    let is_named = |field: &str| field.starts_with("spec.tls[") || field.starts_with("metadata.annotations[");
    let is_missing = |finding: &Finding| finding.reason == Reason::RefNotFound && is_named(&finding.field);
    findings.iter().filter(|finding| finding.is_loss).all(is_missing)
}

/// What is said of the `ConfigMaps` that flags name.
fn config_maps(judgement: Judgement<'_>) -> BTreeMap<String, ConfigMapReport> {
    let Judgement { installation, snapshot, verdicts, .. } = judgement;
    let flags = ["configmap", "tcp-services-configmap", "udp-services-configmap"];
    let named = flags.into_iter().flat_map(|flag| installation.config_maps(flag));
    let report = |key: Key| {
        let name = format!("{}/{}", key.namespace, key.name);
        let is_there = snapshot.config_maps.contains_key(&key);
        let report = match verdicts.get(&ObjectRef::new(Kind::ConfigMap, key)) {
            Some(verdict) => ConfigMapReport {
                is_whole: verdict.acceptance() == Acceptance::Accepted,
                findings: verdict.findings().into_iter().cloned().collect(),
            },
            None => not_judged(is_there),
        };
        (name, report)
    };
    named.map(report).collect()
}

fn not_judged(is_there: bool) -> ConfigMapReport {
    let (reason, message) = if is_there {
        (
            Reason::Unsupported,
            "An entry has one ConfigMap of a kind, and another one was judged; name this one with the flag of its kind",
        )
    } else {
        (
            Reason::RefNotFound,
            "It is not among the objects that were read, so nothing is said of its keys; read it with them",
        )
    };
    let finding = Finding { field: String::new(), reason, message: message.to_owned(), is_loss: true };
    ConfigMapReport { is_whole: false, findings: vec![finding] }
}

/// The annotations that mean something else here, but for values that ask for what happens without them.
fn differences(annotations: &BTreeMap<String, String>) -> BTreeMap<String, &'static str> {
    let named = annotations.iter().filter_map(|(name, value)| Some((name.strip_prefix(INGRESS_NGINX_PREFIX)?, value)));
    let known = named
        .filter_map(|(name, value)| find_ingress_nginx_annotation(name).filter(|known| !known.is_unchanged_by(value)));
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
                Some(Here::Flag(_) | Here::Switch(..)) => match controller_flags::our_flag(name, value) {
                    Some((ours, value)) => (format!("`--{ours} {value}`"), false),
                    None => ("nothing to do: it is off".to_owned(), false),
                },
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
    let ours = flags.filter_map(|(name, value)| {
        let (ours, value) = controller_flags::our_flag(name, value.as_deref()?)?;
        Some(format!("--{ours}={value}"))
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
            write_findings(f, &ingress.findings)?;
            for (annotation, how) in &ingress.differences {
                writeln!(f, "  {annotation}: {how}")?;
            }
        }
        for (name, report) in self.config_maps.iter().filter(|(_, report)| !report.findings.is_empty()) {
            writeln!(f, "ConfigMap {name}: {}", if report.is_whole { "in force" } else { "in force in part" })?;
            write_findings(f, &report.findings)?;
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
        let Counts { same, differs, partial, rejected, of_other_classes, of_an_excerpt } = self.counts;
        if of_an_excerpt > 0 {
            writeln!(
                f,
                "Ingresses that name Secrets or other objects which are not in the directory, and are taken to be there: {of_an_excerpt}"
            )?;
        }
        for (object, why) in &self.unreadable {
            writeln!(f, "{object} cannot be read, so nothing is known of what it asks for: {why}")?;
        }
        writeln!(
            f,
            "{} Ingresses of ingress-nginx: {same} served the same, {differs} with something worth knowing, {partial} in part, \
             {rejected} not served; {of_other_classes} of other classes",
            same + differs + partial + rejected
        )?;
        match self.unreadable.len() {
            0 => Ok(()),
            count => writeln!(f, "{count} that cannot be read are not counted; correct them, and run this again"),
        }
    }
}

fn write_findings(f: &mut fmt::Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    for Finding { field, reason, message, .. } in findings {
        let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
        writeln!(f, "  {field}{reason}: {message}")?;
    }
    Ok(())
}
