//! Connecting, and what it means when the monitors reject although the files are fine.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ceph::{Cluster, Errno, Settings, Unconnected};

use super::access::caps_command;
use super::{Finding, Subject};

/// What librados may take beyond `client_mount_timeout`, which does not bind its own look-up of names.
const SLACK: Duration = Duration::from_secs(1);

/// Connects. `unnamed` is the configuration file when it names no monitor.
pub fn connect(
    configured: Unconnected,
    settings: &Settings,
    key: &str,
    unnamed: Option<&str>,
) -> (Finding, Option<Cluster>) {
    let entity = &settings.entity;
    // On a thread that may be left behind; a connection that comes too late is closed there.
    let (sender, receiver) = channel();
    let started = thread::Builder::new().name("ceph-connect".into()).spawn(move || sender.send(configured.connect()));
    let result = started.ok().and_then(|_| receiver.recv_timeout(settings.connect_timeout + SLACK).ok());
    let error = match result {
        Some(Ok(cluster)) => {
            let detail = format!("The monitors know {entity}; the cluster is {}.", cluster.fsid().unwrap_or_default());
            return (Finding::ok(Subject::Connection, detail), Some(cluster));
        }
        Some(Err(error)) => Some(error),
        None => None,
    };
    let errno = error.as_ref().map_or(Errno::ETIMEDOUT, |error| error.errno().unwrap_or(Errno::EIO));
    let finding = match (errno, unnamed) {
        (Errno::ENOENT | Errno::ETIMEDOUT, Some(conf)) => Finding::error(
            Subject::Monitors,
            format!("mon_host is empty in {conf}, and DNS has no SRV records of the monitors (mon_dns_srv_name)."),
            "Write `mon_host = ADDRESS, ADDRESS, ...` into its section [global]; `ceph config generate-minimal-conf` on a \
             host of the cluster prints it.",
        ),
        (Errno::EACCES | Errno::EPERM, _) => Finding::error(
            Subject::Connection,
            format!(
                "The monitors reject {entity} with {key}: it is not the key they have for it, they do not know the \
                 entity, or it has no capability for mon."
            ),
            format!(
                "As an administrator of the cluster look at `ceph auth get {entity}`, and write the keyring anew with \
                 `ceph auth get {entity} -o FILE`. If there is no such entity, make it with `ceph auth get-or-create \
                 {entity} mon 'profile rbd' osd 'profile rbd' mgr 'profile rbd' -o FILE`. If it lacks the capability: \
                 `{}`.",
                caps_command(entity, false)
            ),
        ),
        (Errno::ETIMEDOUT, _) => Finding::error(
            Subject::Connection,
            format!(
                "The monitors accept connections, but did not let {entity} in within {} s.",
                settings.connect_timeout.as_secs().max(1)
            ),
            "They may have no quorum: look at `ceph -s` and the monitors' logs on the hosts of the cluster. Over a slow \
             network raise --connect-timeout.",
        ),
        (errno, _) => Finding::error(
            Subject::Connection,
            format!("librados cannot connect as {entity} with {key}: {errno}."),
            "Run `ceph -s` with the same configuration, entity and keyring, and --debug-monc 20.",
        ),
    };
    (finding, None)
}
