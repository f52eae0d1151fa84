//! `migrate`: what becomes of an installation of ingress-nginx here.

use std::io::Write as _;
use std::process::ExitCode;

use entry_kube::raw;
use serde_json::Value;

use crate::flags::{MigrateFlags, ObjectFlags, ObjectSource};
use crate::migration::{Installation, Report, add_missing_services, copies};
use crate::source;

/// Where HTTPS is served if no flag says it: Ingresses are judged as if it were.
const HTTPS: ([u8; 4], u16) = ([0, 0, 0, 0], 443);

/// What is read of the API as it is written: group, version, kind.
const KINDS: [[&str; 3]; 3] =
    [["apps", "v1", "Deployment"], ["apps", "v1", "DaemonSet"], ["networking.k8s.io", "v1", "Ingress"]];

/// Prints the report, or the objects as they would be here; 1 if something of an Ingress is not served as it was asked for.
pub async fn migrate(flags: &MigrateFlags) -> anyhow::Result<ExitCode> {
    let mut configuration = flags.configuration.clone();
    if configuration.traffic.https.is_empty() {
        configuration.traffic.https.push(HTTPS.into());
    }
    let mut generator = super::generator(&configuration).await?;
    let mut snapshot = source::read(&configuration.objects).await?;
    let objects = read_objects(&configuration.objects).await?;
    let installation = Installation::find(&objects);
    let controller = &configuration.objects.controller;
    let classes = installation.give_classes_to(controller, &mut snapshot);
    // Whoever exports Ingresses need not export what they lead to.
    let is_excerpt = matches!(configuration.objects.from, ObjectSource::Directory(_));
    let services_added = if is_excerpt { add_missing_services(&mut snapshot) } else { 0 };
    let rendered = generator.render(&snapshot)?;
    let report = Report::new(&installation, &classes, &snapshot, &rendered.verdicts);
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
    Ok(ExitCode::from(u8::from(!report.is_whole())))
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
