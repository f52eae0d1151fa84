//! `migrate`: what becomes of an installation of ingress-nginx here.

use std::io::Write as _;
use std::process::ExitCode;

use entry_kube::{DirectorySource, raw};
use entry_model::Snapshot;
use serde_json::Value;

use crate::flags::{ConfigurationFlags, MigrateFlags, ObjectFlags, ObjectSource, TlsPassthrough};
use crate::migration::{Installation, Judgement, Report, add_missing_services, copies};
use crate::source;

/// Where HTTPS is served if no flag says it: Ingresses are judged as if it were.
const HTTPS: ([u8; 4], u16) = ([0, 0, 0, 0], 443);

/// What is read of the API as it is written: group, version, kind.
const KINDS: [[&str; 3]; 3] =
    [["apps", "v1", "Deployment"], ["apps", "v1", "DaemonSet"], ["networking.k8s.io", "v1", "Ingress"]];

/// Prints the report, or the objects as they would be here; 1 if something is not served as it was asked for, 2 if something cannot be
/// read, so that it cannot be told.
pub async fn migrate(flags: &MigrateFlags) -> anyhow::Result<ExitCode> {
    let mut configuration = flags.configuration.clone();
    if configuration.traffic.https.is_empty() {
        configuration.traffic.https.push(HTTPS.into());
    }
    let objects = read_objects(&configuration.objects).await?;
    let installation = Installation::find(&objects);
    take_flags(&installation, &mut configuration);
    let mut snapshot = match &configuration.objects.from {
        ObjectSource::Directory(directory) => DirectorySource::read_export(directory)?,
        ObjectSource::Kubernetes => source::read(&configuration.objects).await?,
    };
    leave_out_missing(&mut configuration.objects, &snapshot);
    let mut generator = super::generator(&configuration).await?;
    let controller = &configuration.objects.controller;
    let classes = installation.give_classes_to(controller, &mut snapshot);
    // Whoever exports Ingresses need not export what they lead to.
    let is_excerpt = matches!(configuration.objects.from, ObjectSource::Directory(_));
    let services_added = if is_excerpt { add_missing_services(&mut snapshot) } else { 0 };
    let rendered = generator.render(&snapshot)?;
    let report = Report::new(Judgement {
        installation: &installation,
        classes: &classes,
        snapshot: &snapshot,
        verdicts: &rendered.verdicts,
        is_excerpt: is_excerpt && !objects.iter().any(|object| object["kind"] == "Secret"),
    });
    let report = Report { services_added, ..report };
    let text = if flags.objects {
        let copies = copies(&objects, &rendered.verdicts, controller, &flags.class, &flags.suffix);
        serde_json::to_string_pretty(&copies)? + "\n"
    } else if flags.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::from(if report.is_complete() { u8::from(!report.is_whole()) } else { 2 }))
}

/// Takes the flags that do what those of the controllers do, where no others are given: so objects are judged as they would be served.
fn take_flags(installation: &Installation, configuration: &mut ConfigurationFlags) {
    let (objects, traffic) = (&mut configuration.objects, &configuration.traffic);
    let first = |flag| installation.config_maps(flag).into_iter().next();
    if traffic.template.is_none() {
        objects.config = objects.config.take().or_else(|| first("configmap"));
    }
    for (flag, key) in [
        ("tcp-services-configmap", &mut objects.tcp_services_configmap),
        ("udp-services-configmap", &mut objects.udp_services_configmap),
    ] {
        *key = key.take().or_else(|| first(flag));
    }
    if installation.is_on("enable-ssl-passthrough") {
        objects.tls_passthrough = TlsPassthrough::All;
    }
}

/// Leaves out `ConfigMaps` that a directory does not have: the report says that they are not among its objects.
fn leave_out_missing(objects: &mut ObjectFlags, snapshot: &Snapshot) {
    if let ObjectSource::Directory(_) = objects.from {
        for key in [&mut objects.config, &mut objects.tcp_services_configmap, &mut objects.udp_services_configmap] {
            *key = key.take().filter(|key| snapshot.config_maps.contains_key(key));
        }
    }
}

/// The objects as they are written, of whatever kind. What of a cluster cannot be read is told, and does without.
async fn read_objects(flags: &ObjectFlags) -> anyhow::Result<Vec<Value>> {
    if let ObjectSource::Directory(directory) = &flags.from {
        return Ok(raw::read_values(directory)?);
    }
    let client = source::client(flags).await?;
    let mut objects = Vec::new();
    for kind in KINDS {
        match raw::list_values(&client, kind, flags.namespace.as_deref()).await {
            Ok(values) => objects.extend(values),
            Err(why) => {
                writeln!(std::io::stderr(), "{}s cannot be read, so the report goes without: {why}", kind[2])?;
            }
        }
    }
    Ok(objects)
}
