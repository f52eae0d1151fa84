//! `render`: what the objects give, without putting it in force.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use entry_model::{HostName, LoadBalancerAddress, Routes};
use similar::TextDiff;

use crate::flags::RenderFlags;
use crate::source;

/// How long others may keep a record: a node that goes is gone soon.
const TTL_SECONDS: u32 = 60;
/// The file that is shown.
const MAIN: &str = "nginx.conf";

/// Prints the configuration or the routes, or what of the configuration would change.
pub async fn render(flags: &RenderFlags) -> anyhow::Result<ExitCode> {
    let configuration = &flags.configuration;
    let mut generator = super::generator(configuration).await?;
    let snapshot = source::read(&configuration.objects).await?;
    let rendered = generator.render(&snapshot)?;
    if let Some(why) = generator.refusal() {
        anyhow::bail!(why);
    }
    let mut findings = String::new();
    super::check::write_findings(&mut findings, &rendered.verdicts);
    std::io::stderr().write_all(findings.as_bytes())?;
    let content = rendered.revision.files.get(MAIN).map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    let mut text = String::new();
    let mut code = ExitCode::SUCCESS;
    if flags.routes {
        write!(text, "{}", rendered.routes)?;
    } else if flags.zone {
        text = zone(
            &rendered.routes,
            &entry_model::entry_addresses(
                &snapshot,
                configuration.objects.publish_service.as_ref(),
                &configuration.objects.node_selector,
            ),
        );
    } else if flags.diff {
        let path = configuration.program.volume.join("live").join(MAIN);
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
