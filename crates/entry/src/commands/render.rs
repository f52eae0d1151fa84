//! `render`: what the objects give, without putting it in force.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use entry_model::{HostName, LoadBalancerAddress, Routes};
use similar::TextDiff;

use crate::settings::{Render, Settings};
use crate::source;

/// How long others may keep a record: a node that goes is gone soon.
const TTL_SECONDS: u32 = 60;
/// The file that is shown.
const MAIN: &str = "nginx.conf";

/// Prints the configuration, or what would change.
pub async fn render(settings: &Settings, arguments: &Render) -> anyhow::Result<ExitCode> {
    let mut maker = super::maker(settings).await?;
    let snapshot = source::read(settings).await?;
    let made = maker.make(&snapshot)?;
    let mut said = String::new();
    super::check::write(&mut said, &made.verdicts);
    std::io::stderr().write_all(said.as_bytes())?;
    let content = made.generation.files.get(MAIN).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    let mut text = String::new();
    let mut code = ExitCode::SUCCESS;
    if arguments.routes {
        write!(text, "{}", made.routes)?;
    } else if arguments.zone {
        text = zone(
            &made.routes,
            &entry_model::addresses(&snapshot, settings.publish_service.as_ref(), &settings.node_selector),
        );
    } else if arguments.diff {
        let path = settings.volume.join("live").join(MAIN);
        let live = std::fs::read_to_string(&path)
            .with_context(|| format!("--diff: {}: nothing is live on this volume", path.display()))?;
        let diff = TextDiff::from_lines(live.as_str(), &content);
        write!(text, "{}", diff.unified_diff().context_radius(3).header("live", "rendered"))?;
        code = ExitCode::from(u8::from(!text.is_empty()));
    } else {
        text.push_str(&content);
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(code)
}

/// The records of all named hosts, in the form of RFC 1035, section 5.
fn zone(routes: &Routes, addresses: &[LoadBalancerAddress]) -> String {
    let mut text = String::new();
    // One without rules is only kept for its owner.
    let served = routes.hosts.iter().filter(|(name, host)| **name != HostName::Any && !host.rules.is_empty());
    for (host, _) in served {
        for address in addresses {
            let _ = match address {
                LoadBalancerAddress::Ip(ip) => {
                    let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
                    writeln!(text, "{host}. {TTL_SECONDS} IN {kind} {ip}")
                }
                LoadBalancerAddress::Hostname(name) => writeln!(text, "{host}. {TTL_SECONDS} IN CNAME {name}."),
            };
        }
    }
    text
}
