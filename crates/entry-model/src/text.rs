//! Routes as text.

use std::fmt;
use std::time::Duration;

use crate::{Action, Forward, HostName, PathMatch, Protocol, Routes, Rule};

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Http2 => "h2c",
            Self::Http2Tls => "h2",
        })
    }
}

impl fmt::Display for Routes {
    /// A line for each rule, in the order in which they are tried, then one for each certificate of a host. Stable.
    ///
    /// ```text
    /// shop.example.com prefix /cart -> 10.0.0.7:80 http strip redirect read=5s (Ingress shop/web)
    /// shop.example.com without default
    /// default -> unavailable (Ingress shop/rest)
    /// shop.example.com certificate 9f86d081884c (Secret shop/tls)
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, host) in &self.hosts {
            for rule in &host.rules {
                line(f, Some(name), rule)?;
            }
            if host.rules.is_empty() {
                writeln!(f, "{name} kept for its owner")?;
            } else if host.closed && self.default.is_some() {
                writeln!(f, "{name} without default")?;
            }
        }
        if let Some(rule) = &self.default {
            line(f, None, rule)?;
        }
        for (name, host) in &self.hosts {
            let Some(id) = &host.certificate else { continue };
            // Enough of it to be told from others.
            write!(f, "{name} certificate {}", id.0.get(..12).unwrap_or(&id.0))?;
            match self.certificates.get(id) {
                Some(certificate) => writeln!(f, " ({})", certificate.origin)?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, host: Option<&HostName>, rule: &Rule) -> fmt::Result {
    match host {
        Some(host) => write!(f, "{host} ")?,
        None => f.write_str("default ")?,
    }
    let kind = if matches!(rule.path, PathMatch::Exact(_)) { "exact" } else { "prefix" };
    let path = rule.path.path();
    match path {
        _ if host.is_none() => {}
        _ if path.contains([' ', '"', '\\']) || path.contains(char::is_whitespace) => write!(f, "{kind} {path:?} ")?,
        _ => write!(f, "{kind} {path} ")?,
    }
    match &rule.action {
        Action::Forward(forward) => to(f, forward)?,
        Action::Unavailable => f.write_str("-> unavailable")?,
    }
    let redirect = if rule.redirect_to_https { " redirect" } else { "" };
    writeln!(f, "{redirect} ({})", rule.origin)
}

fn to(f: &mut fmt::Formatter<'_>, forward: &Forward) -> fmt::Result {
    let Forward { backend, strip_prefix, timeouts, max_body_bytes } = forward;
    write!(f, "-> {} {}", backend.address, backend.protocol)?;
    if *strip_prefix {
        f.write_str(" strip")?;
    }
    if !backend.keep_alive {
        f.write_str(" once")?;
    }
    let mut time = |name, time: Option<Duration>| time.map_or(Ok(()), |time| write!(f, " {name}={time:?}"));
    time("connect", timeouts.connect)?;
    time("read", timeouts.read)?;
    time("send", timeouts.send)?;
    max_body_bytes.map_or(Ok(()), |bytes| write!(f, " body={bytes}"))
}
