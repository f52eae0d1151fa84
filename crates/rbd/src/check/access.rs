//! What the entity may do, found out on the cluster without changing anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ceph::{Cluster, Errno, IoContext, PoolAccess};
use rbd_model::fault::{Fault, Kind};
use rbd_model::names::Place;

use super::{Finding, Subject};
use crate::pool_applications::RBD;

/// What `ceph auth caps` does.
const CAPS_REPLACE_HINT: &str = "which replaces what it has";

/// An object of every pool that was initialised for rbd (`RBD_INFO` in Ceph's `src/include/rbd_types.h`).
const RBD_INFO: &str = "rbd_info";

/// How much of the time OSDs have; the rest is for whoever collects what they answered.
const OSDS_SHARE: f64 = 0.9;

/// Pools that are tried at once.
const TRIED_AT_ONCE: usize = 16;

/// Asks monitors and OSDs what the entity of the connection may do: with some namespaces, or with whole pools when there are
/// none of these. What does not answer in time is a warning.
pub fn capabilities(cluster: &Cluster, namespaces: &[Place], within: Duration) -> Vec<Finding> {
    let start = Instant::now();
    let (asked, places) = (cluster.clone(), namespaces.to_vec());
    let until = start + within.mul_f64(OSDS_SHARE);
    let of_images = run_apart(move || images(&asked, &places, until, within));
    let asked = cluster.clone();
    let of_pools = run_apart(move || administration(&asked));
    let awaited =
        [(Subject::ImageCapabilities, "the OSDs", of_images), (Subject::PoolCapabilities, "the monitors", of_pools)];
    awaited
        .into_iter()
        .map(|(subject, who, finding)| {
            let left = (start + within).saturating_duration_since(Instant::now());
            let unanswered = || unknown(subject, &unanswered(who, within));
            finding.and_then(|finding| finding.recv_timeout(left).ok()).unwrap_or_else(unanswered)
        })
        .collect()
}

/// Calls on a thread that may be left behind: calls on an OSD that is gone wait until it comes back.
fn run_apart<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<Receiver<T>> {
    let (sender, receiver) = channel();
    let call = move || drop(sender.send(call()));
    thread::Builder::new().name("ceph-capabilities".into()).spawn(call).ok().map(|_| receiver)
}

fn unanswered(who: &str, within: Duration) -> String {
    format!("{who} did not answer within {} s", within.as_secs().max(1))
}

/// What may be done in some places: those that did not answer in time are missing.
fn try_places(places: Vec<IoContext>, until: Instant) -> Vec<(usize, ceph::Result<PoolAccess>)> {
    let (sender, receiver) = channel();
    let count = places.len();
    let (places, next) = (Arc::new(places), Arc::new(AtomicUsize::new(0)));
    for _ in 0..TRIED_AT_ONCE.min(count) {
        let (places, next, sender) = (Arc::clone(&places), Arc::clone(&next), sender.clone());
        run_apart(move || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(place) = places.get(index) else { return };
                let _ = sender.send((index, place.access()));
            }
        });
    }
    drop(sender);
    let mut answers = Vec::new();
    while let Ok(answer) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        answers.push(answer);
    }
    answers.sort_by_key(|(index, _)| *index);
    answers
}

/// What was found out about some places, by what may be done with their images.
#[derive(Debug, Default)]
struct AccessResults {
    all: Vec<String>,
    rejected: Vec<String>,
    /// Of these, those of which not even reading is allowed.
    unreadable: usize,
    read_only: Vec<String>,
    silent: Vec<String>,
    error: Option<ceph::Error>,
}

impl AccessResults {
    fn of(places: Vec<IoContext>, until: Instant) -> Self {
        let names: Vec<String> = places.iter().map(|io| io.subject("")).collect();
        let answers = try_places(places, until);
        let answered = |index: &usize| answers.iter().any(|(known, _)| known == index);
        let silent = (0..names.len()).filter(|index| !answered(index)).map(|index| names[index].clone()).collect();
        let mut found = Self { all: names.clone(), silent, ..Self::default() };
        for (index, access) in answers {
            let name = names[index].clone();
            match access {
                Ok(PoolAccess { read: true, write: true, execute: true }) => {}
                Ok(PoolAccess { read: true, write: false, execute: true }) => found.read_only.push(name),
                Ok(access) => {
                    found.unreadable += usize::from(!access.read);
                    found.rejected.push(name);
                }
                // Deleted meanwhile, or an OSD's own trouble.
                Err(error) => found.error = found.error.or(Some(error)),
            }
        }
        found
    }

    /// That it is less than all, if it is.
    fn partly(&self, entity: &str, what: &str) -> Option<String> {
        let mut parts = Vec::new();
        if !self.rejected.is_empty() {
            parts.push(format!("not use the images of {}", list_names(what, &self.rejected)));
        }
        if !self.read_only.is_empty() {
            parts.push(format!("only read the images of {}", list_names(what, &self.read_only)));
        }
        (!parts.is_empty()).then(|| format!("{entity} may {}.", parts.join(", and ")))
    }
}

/// What may be done with the images of these namespaces, or of the pools that are marked for rbd.
fn images(cluster: &Cluster, namespaces: &[Place], until: Instant, within: Duration) -> Finding {
    let entity = cluster.entity();
    // Monitors do not reject the maps to whom may not read them, they are silent; a command they reject.
    let may_list = cluster.monitor_command(r#"{"prefix":"osd pool ls"}"#);
    let pools = match may_list.and_then(|_| cluster.refresh()).and_then(|()| cluster.pools()) {
        Ok(pools) => pools,
        Err(error) if error.is(Errno::EACCES) => {
            return Finding::error(
                Subject::ImageCapabilities,
                format!("{entity} may not read the cluster's maps: its capability for mon is too small."),
                format!("As an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}.", caps_command(entity, false)),
            );
        }
        Err(error) => return unknown(Subject::ImageCapabilities, &format!("{error}")),
    };
    if !namespaces.is_empty() {
        return of_namespaces(cluster, namespaces, until, within);
    }
    let for_rbd = |pool: &String| {
        let io = cluster.io_context(pool, "").ok()?;
        io.applications().is_ok_and(|applications| applications.iter().any(|name| name == RBD)).then_some(io)
    };
    let places: Vec<IoContext> = pools.iter().filter_map(for_rbd).collect();
    if places.is_empty() {
        return Finding::ok(Subject::ImageCapabilities, "There is no pool for rbd yet to try them on.");
    }
    let first = places[0].clone();
    let tried = AccessResults::of(places, until);
    let command = caps_command(entity, false);
    if tried.rejected.len() == tried.all.len() {
        if tried.unreadable == tried.all.len() && of_some_namespace(&first, until) {
            return only_namespaces(entity);
        }
        return Finding::error(
            Subject::ImageCapabilities,
            format!(
                "{entity} may use the images of no pool for rbd (tried {}): its capability for osd is missing or too small.",
                list_names("pool", &tried.all)
            ),
            format!("As an administrator of the cluster: `{command}`, {CAPS_REPLACE_HINT}."),
        );
    }
    if let Some(partly) = tried.partly(entity, "pool") {
        return Finding::warning(
            Subject::ImageCapabilities,
            partly,
            format!("Unless this is as meant, as an administrator of the cluster: `{command}`, {CAPS_REPLACE_HINT}."),
        );
    }
    answered(&tried, "pool", entity, within)
}

/// What is left to say when nothing was rejected.
fn answered(tried: &AccessResults, what: &str, entity: &str, within: Duration) -> Finding {
    if tried.silent.len() == tried.all.len() {
        return unknown(Subject::ImageCapabilities, &unanswered("the OSDs", within));
    }
    if !tried.silent.is_empty() {
        let who = format!("the OSDs of {}", list_names(what, &tried.silent));
        return unknown(Subject::ImageCapabilities, &unanswered(&who, within));
    }
    if let Some(error) = &tried.error {
        return unknown(Subject::ImageCapabilities, &error.to_string());
    }
    Finding::ok(Subject::ImageCapabilities, format!("{entity} may use the images of {}.", list_names(what, &tried.all)))
}

/// What may be done in namespaces that the service was told of.
fn of_namespaces(cluster: &Cluster, namespaces: &[Place], until: Instant, within: Duration) -> Finding {
    let entity = cluster.entity();
    let missing = namespaces.iter().find(|place| cluster.pool_id(&place.pool).is_err());
    if let Some(Place { pool, namespace }) = missing {
        return Finding::error(
            Subject::ImageCapabilities,
            format!("There is no pool {pool:?} for the namespace {namespace:?}."),
            "Correct --namespace, or make the pool.",
        );
    }
    let places = namespaces.iter().filter_map(|place| cluster.io_context(&place.pool, &place.namespace).ok()).collect();
    let tried = AccessResults::of(places, until);
    match tried.partly(entity, "namespace") {
        Some(partly) if tried.rejected.len() == tried.all.len() => Finding::error(
            Subject::ImageCapabilities,
            partly,
            format!(
                "As an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}.",
                namespace_caps(entity, &namespaces[0])
            ),
        ),
        Some(partly) => Finding::warning(
            Subject::ImageCapabilities,
            partly,
            "Add what is missing with `ceph auth caps`: osd 'profile rbd pool=POOL namespace=NAMESPACE' for each.",
        ),
        None => answered(&tried, "namespace", entity, within),
    }
}

/// Whether the entity has the profile rbd for some namespace: with that comes the right to read this object of every pool.
fn of_some_namespace(io: &IoContext, until: Instant) -> bool {
    match io.read_data(RBD_INFO, 1, Some(until)) {
        Ok(_) => true,
        Err(error) => error.is(Errno::ENOENT),
    }
}

fn only_namespaces(entity: &str) -> Finding {
    Finding::warning(
        Subject::ImageCapabilities,
        format!(
            "{entity} may use no pool as a whole: its capability for osd is for namespaces. These are served; what concerns a whole \
             pool answers 403."
        ),
        format!(
            "Name each with --namespace POOL/NAMESPACE, so that it is tried here, and looked after from the start. If whole pools \
             shall be served, as an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}.",
            caps_command(entity, false)
        ),
    )
}

/// Whether pools may be created and deleted.
fn administration(cluster: &Cluster) -> Finding {
    let entity = cluster.entity();
    match cluster.forbidden_pool_commands() {
        Ok(forbidden) if forbidden.is_empty() => {
            Finding::ok(Subject::PoolCapabilities, format!("{entity} may create and delete pools."))
        }
        Ok(forbidden) => Finding::warning(
            Subject::PoolCapabilities,
            format!(
                "{entity} lacks {}: creating or deleting pools answers 403, all else works.",
                forbidden.iter().map(|command| format!("mon '{}'", allow_hint(command))).collect::<Vec<_>>().join(", ")
            ),
            format!(
                "If it shall, as an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}.",
                caps_command(entity, true)
            ),
        ),
        Err(error) => unknown(Subject::PoolCapabilities, &error.to_string()),
    }
}

fn unknown(subject: Subject, why: &str) -> Finding {
    Finding::warning(subject, format!("Not known: {why}."), "Look at `ceph health detail` on a host of the cluster.")
}

/// Names, but not hundreds.
fn list_names(what: &str, names: &[String]) -> String {
    const MAX_NAMES: usize = 10;
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(|name| format!("{name:?}")).collect();
    let rest = names.len().saturating_sub(MAX_NAMES);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{what}{} {}{more}", if names.len() == 1 { "" } else { "s" }, shown.join(", "))
}

fn allow_hint(command: &str) -> String {
    format!("allow command \"{command}\"")
}

/// The command that gives an entity the capabilities that this service takes, with or without those to administer
/// pools.
pub fn caps_command(entity: &str, pools: bool) -> String {
    let mut mon = vec!["profile rbd".to_owned()];
    if pools {
        let commands = ["osd pool create", "osd pool delete", "osd pool application enable", "osd pool set-quota"];
        mon.extend(commands.iter().map(|command| allow_hint(command)));
    }
    format!("ceph auth caps {entity} mon '{}' osd 'profile rbd' mgr 'profile rbd'", mon.join(", "))
}

/// The answer when a monitor rejects a command of pool administration for lack of capabilities.
pub fn pools_forbidden(entity: &str, command: &str) -> Fault {
    Fault::new(Kind::CephForbidden, format!("Ceph does not let {entity} do `{command}`."))
        .cause(format!("{entity} lacks the capability mon '{}'.", allow_hint(command)))
        .correction(format!(
            "As an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}. It counts within seconds.",
            caps_command(entity, true)
        ))
        .errno(Errno::EACCES)
        .with("capability", format!("mon '{}'", allow_hint(command)))
}

/// The capability for osd that a place takes; the default namespace takes that of its pool.
fn osd_cap(place: &Place) -> String {
    let namespace = if place.namespace.is_empty() { String::new() } else { format!(" namespace={}", place.namespace) };
    format!("profile rbd pool={}{namespace}", place.pool)
}

fn namespace_caps(entity: &str, place: &Place) -> String {
    let cap = osd_cap(place);
    format!("ceph auth caps {entity} mon 'profile rbd' osd '{cap}' mgr '{cap}'")
}

/// Names the capability that was missing when Ceph rejected something in a place, unless the fault does already.
pub fn place_forbidden(fault: Fault, entity: &str, place: &Place) -> Fault {
    if fault.kind() != Kind::CephForbidden || fault.has("capability") || place.pool.is_empty() {
        return fault;
    }
    let cap = format!("osd '{}'", osd_cap(place));
    fault
        .cause(format!("{entity} lacks the capability {cap}, or has it to read only."))
        .correction(format!(
            "As an administrator of the cluster: `{}`, {CAPS_REPLACE_HINT}. It counts within seconds.",
            namespace_caps(entity, place)
        ))
        .with("capability", cap)
}
