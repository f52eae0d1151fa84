//! What the entity may do, found out on the cluster without changing anything.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ceph::{Cluster, Errno, PoolAccess};

use super::{Finding, Subject};
use crate::problem::{Kind, Problem};

/// What `ceph auth caps` does.
const REPLACES: &str = "which replaces what it has";

/// Asks monitors and OSDs what the entity of the connection may do. What does not answer in time is a warning.
pub fn capabilities(cluster: &Cluster, within: Duration) -> Vec<Finding> {
    let (sender, receiver) = channel();
    let asked = cluster.clone();
    let ask = move || {
        for finding in [images(&asked), administration(&asked)] {
            let _ = sender.send(finding);
        }
    };
    let until = std::time::Instant::now() + within;
    let mut findings = Vec::new();
    // On a thread that may be left behind: calls on an OSD that is gone wait until it comes back.
    let started = thread::Builder::new().name("ceph-capabilities".into()).spawn(ask).is_ok();
    for (subject, who) in [(Subject::ImageCapabilities, "the OSDs"), (Subject::PoolCapabilities, "the monitors")] {
        let left = until.saturating_duration_since(std::time::Instant::now());
        let Some(finding) = started.then(|| receiver.recv_timeout(left).ok()).flatten() else {
            findings.push(unknown(subject, &format!("{who} did not answer within {} s", within.as_secs().max(1))));
            break;
        };
        findings.push(finding);
    }
    findings
}

/// What may be done with the objects of the pools that are marked for rbd.
fn images(cluster: &Cluster) -> Finding {
    let entity = cluster.entity();
    let mut all = Vec::new();
    let mut refused = Vec::new();
    let mut read_only = Vec::new();
    let mut first_error = None;
    // Monitors do not refuse the maps to whom may not read them, they are silent; a command they refuse.
    let may_list = cluster.monitor_command(r#"{"prefix":"osd pool ls"}"#);
    let pools = match may_list.and_then(|_| cluster.refresh()).and_then(|()| cluster.pools()) {
        Ok(pools) => pools,
        Err(error) if error.is(Errno::EACCES) => {
            return Finding::error(
                Subject::ImageCapabilities,
                format!("{entity} may not read the cluster's maps: its capability for mon is too small."),
                format!("As an administrator of the cluster: `{}`, {REPLACES}.", caps_command(entity, false)),
            );
        }
        Err(error) => return unknown(Subject::ImageCapabilities, &format!("{error}")),
    };
    for pool in pools {
        let Ok(io) = cluster.io_context(&pool, "") else { continue };
        if !io.applications().is_ok_and(|applications| applications.iter().any(|name| name == "rbd")) {
            continue;
        }
        match io.access() {
            Ok(PoolAccess { read: true, write: true, execute: true }) => {}
            Ok(PoolAccess { read: true, write: false, execute: true }) => read_only.push(pool.clone()),
            Ok(_) => refused.push(pool.clone()),
            // Deleted meanwhile, or an OSD's own trouble.
            Err(error) => first_error = first_error.or(Some(error)),
        }
        all.push(pool);
    }
    let command = caps_command(entity, false);
    if all.is_empty() {
        return Finding::ok(Subject::ImageCapabilities, "There is no pool for rbd yet to try them on.");
    }
    if refused.len() == all.len() {
        return Finding::error(
            Subject::ImageCapabilities,
            format!(
                "{entity} may use the images of no pool for rbd (tried {}): its capability for osd is missing or too small.",
                some(&all)
            ),
            format!("As an administrator of the cluster: `{command}`, {REPLACES}."),
        );
    }
    if !refused.is_empty() || !read_only.is_empty() {
        let mut parts = Vec::new();
        if !refused.is_empty() {
            parts.push(format!("not use the images of {}", some(&refused)));
        }
        if !read_only.is_empty() {
            parts.push(format!("only read the images of {}", some(&read_only)));
        }
        return Finding::warning(
            Subject::ImageCapabilities,
            format!("{entity} may {}.", parts.join(", and ")),
            format!("Unless this is as meant, as an administrator of the cluster: `{command}`, {REPLACES}."),
        );
    }
    if let Some(error) = first_error {
        return unknown(Subject::ImageCapabilities, &error.to_string());
    }
    Finding::ok(Subject::ImageCapabilities, format!("{entity} may use the images of {}.", some(&all)))
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
                forbidden.iter().map(|command| format!("mon '{}'", allow(command))).collect::<Vec<_>>().join(", ")
            ),
            format!("If it shall, as an administrator of the cluster: `{}`, {REPLACES}.", caps_command(entity, true)),
        ),
        Err(error) => unknown(Subject::PoolCapabilities, &error.to_string()),
    }
}

fn unknown(subject: Subject, why: &str) -> Finding {
    Finding::warning(subject, format!("Not known: {why}."), "Look at `ceph health detail` on a host of the cluster.")
}

/// Names, but not hundreds.
fn some(names: &[String]) -> String {
    const MOST: usize = 10;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("{name:?}")).collect();
    let rest = names.len().saturating_sub(MOST);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{} {}{more}", if names.len() == 1 { "pool" } else { "pools" }, shown.join(", "))
}

fn allow(command: &str) -> String {
    format!("allow command \"{command}\"")
}

/// The command that gives an entity the capabilities that this service takes, with or without those to administer
/// pools.
pub fn caps_command(entity: &str, pools: bool) -> String {
    let mut mon = vec!["profile rbd".to_owned()];
    if pools {
        let commands = ["osd pool create", "osd pool delete", "osd pool application enable", "osd pool set-quota"];
        mon.extend(commands.iter().map(|command| allow(command)));
    }
    format!("ceph auth caps {entity} mon '{}' osd 'profile rbd' mgr 'profile rbd'", mon.join(", "))
}

/// The answer when a monitor refuses a command of pool administration for lack of capabilities.
pub fn pools_forbidden(entity: &str, command: &str) -> Problem {
    Problem::new(Kind::CephForbidden, format!("Ceph does not let {entity} do `{command}`."))
        .cause(format!("{entity} lacks the capability mon '{}'.", allow(command)))
        .correction(format!(
            "As an administrator of the cluster: `{}`, {REPLACES}. It counts within seconds.",
            caps_command(entity, true)
        ))
        .errno(Errno::EACCES)
        .with("capability", format!("mon '{}'", allow(command)))
}
