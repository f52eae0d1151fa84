//! The monitors that `mon_host` names: whether the names resolve, and whether somebody who speaks Ceph's protocol is there.
//! See <https://docs.ceph.com/en/latest/rados/configuration/msgr2/>.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use ceph::Unconnected;

use super::{Finding, Subject};

/// Monitors listen on these unless told otherwise: version 2 of the protocol, and version 1.
const PORTS: [u16; 2] = [3300, 6789];

/// How both versions of the protocol begin; the listening side says it first.
const GREETING: &[u8] = b"ceph v";

/// Addresses looked at, so that a long list does not start a thread for each.
const MAX_ADDRESSES: usize = 32;

/// Resolves the names in `mon_host` and knocks at the addresses. `None` when it is empty: then librados asks DNS.
pub fn examine(configured: &Unconnected, conf: &str, within: Duration) -> Option<Finding> {
    let overridden = configured.option("mon_host_override").unwrap_or_default();
    let text = if overridden.is_empty() { configured.option("mon_host").unwrap_or_default() } else { overridden };
    if text.trim().is_empty() {
        return None;
    }
    Some(examine_text(&text, conf, within))
}

fn examine_text(text: &str, conf: &str, within: Duration) -> Finding {
    let error = |detail: String, correction: String| Finding::error(Subject::Monitors, detail, correction);
    let targets = match parse(text) {
        Ok(targets) => targets,
        Err(part) => {
            return error(
                format!("mon_host in {conf} holds {part:?}, which is no address."),
                "Write addresses such as 192.0.2.1, [2001:db8::1]:6789, or [v2:192.0.2.1:3300/0,v1:192.0.2.1:6789/0], \
                 separated by commas; `ceph config generate-minimal-conf` on a host of the cluster prints them."
                    .into(),
            );
        }
    };
    let addresses = match resolve(&targets, within) {
        Ok(addresses) => addresses,
        Err((host, why)) => {
            return error(
                format!("mon_host in {conf} names {host:?}, which does not resolve: {why}."),
                "Correct the name, or DNS on this host, or write addresses. One name that does not resolve makes Ceph \
                 reject all of mon_host."
                    .into(),
            );
        }
    };
    let results = probe(&addresses, within);
    let answering = results.iter().filter(|(_, knock)| *knock == ProbeResult::Ceph).count();
    let silent: Vec<String> = results
        .iter()
        .filter(|(_, knock)| *knock != ProbeResult::Ceph)
        .map(|(address, knock)| format!("{address} ({})", knock.describe(within)))
        .collect();
    if answering == 0 {
        return error(
            format!("No monitor of mon_host in {conf} can be reached: {}.", silent.join(", ")),
            "See that the monitors run (`ceph mon stat` on a host of the cluster), that these are their addresses, and that \
             routes, firewalls and network policies let this host reach their ports (3300 and 6789)."
                .into(),
        );
    }
    let answer: Vec<String> = results
        .iter()
        .filter(|(_, knock)| *knock == ProbeResult::Ceph)
        .map(|(address, _)| address.to_string())
        .collect();
    let also = if silent.is_empty() { String::new() } else { format!("; not at {}", silent.join(", ")) };
    Finding::ok(Subject::Monitors, format!("Monitors answer at {}{also}.", answer.join(", ")))
}

/// A host with the ports to try.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MonitorTarget {
    host: String,
    ports: Vec<u16>,
}

/// Takes `mon_host` apart: monitors separated by commas, semicolons or spaces; each an address or name with or without
/// port, or several `v1:` and `v2:` addresses in brackets, with or without a nonce.
fn parse(text: &str) -> Result<Vec<MonitorTarget>, String> {
    let mut targets = Vec::new();
    for part in split(text) {
        let inner = part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let vector = inner.filter(|inner| inner.contains(',') || inner.starts_with("v1:") || inner.starts_with("v2:"));
        for address in vector.map_or_else(|| vec![part], split) {
            targets.push(target(address).ok_or_else(|| address.to_owned())?);
        }
    }
    Ok(targets)
}

/// Splits at separators outside of brackets.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (matches!(c, ',' | ';') || c.is_whitespace())
    };
    text.split(outside).filter(|part| !part.is_empty()).collect()
}

fn target(text: &str) -> Option<MonitorTarget> {
    let (ports, typed) = match text.split_at_checked(3) {
        Some(("v2:", _)) => (vec![PORTS[0]], true),
        Some(("v1:", _)) => (vec![PORTS[1]], true),
        _ => (PORTS.to_vec(), false),
    };
    let text = if typed { &text[3..] } else { text };
    let text = text.split_once('/').map_or(text, |(address, _nonce)| address);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<IpAddr>().ok()?;
        (host, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
    } else if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    let ports = match port {
        Some(port) => vec![port.parse().ok().filter(|port| *port != 0)?],
        None => ports,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    // A name with a version before it is one of the things that Ceph does not take.
    let fits = !host.is_empty() && host.chars().all(plain) && (!typed || host.parse::<IpAddr>().is_ok());
    fits.then(|| MonitorTarget { host: host.to_owned(), ports })
}

/// Runs `each` on every item on threads of their own, and gives the answers that come in time, in no order.
fn all<T: Send + 'static, R: Send + 'static>(
    items: Vec<T>,
    each: fn(usize, T, Instant) -> R,
    until: Instant,
) -> Vec<R> {
    let (sender, receiver): (_, Receiver<R>) = channel();
    for (index, item) in items.into_iter().enumerate() {
        let sender = sender.clone();
        let body = move || sender.send(each(index, item, until));
        let _ = thread::Builder::new().name("ceph-knock".into()).spawn(body);
    }
    drop(sender);
    std::iter::from_fn(|| receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok()).collect()
}

/// The addresses of the targets, or the first name that has none, and why.
fn resolve(targets: &[MonitorTarget], within: Duration) -> Result<Vec<SocketAddr>, (String, String)> {
    let look_up = |index: usize, target: MonitorTarget, _: Instant| {
        let found = match target.host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![address]),
            // The port does not matter to the look-up.
            Err(_) => (target.host.as_str(), 0).to_socket_addrs().map(|found| found.map(|a| a.ip()).collect()),
        };
        (index, found)
    };
    let mut found: Vec<Option<std::io::Result<Vec<IpAddr>>>> = targets.iter().map(|_| None).collect();
    for (index, result) in all(targets.to_vec(), look_up, Instant::now() + within) {
        found[index] = Some(result);
    }
    let mut addresses = Vec::new();
    for (target, result) in targets.iter().zip(found) {
        let hosts = match result {
            Some(Ok(hosts)) => hosts,
            Some(Err(error)) => {
                let why = error.to_string();
                let why = why.strip_prefix("failed to lookup address information: ").unwrap_or(&why);
                return Err((target.host.clone(), why.to_owned()));
            }
            None => return Err((target.host.clone(), format!("no answer within {} s", within.as_secs().max(1)))),
        };
        for address in hosts.iter().flat_map(|ip| target.ports.iter().map(|port| SocketAddr::new(*ip, *port))) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses.truncate(MAX_ADDRESSES);
    Ok(addresses)
}

/// Who is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ProbeResult {
    /// Somebody who speaks Ceph's protocol.
    Ceph,
    /// Somebody who speaks another.
    Other,
    /// The connection is accepted, and nothing said: a process that is frozen or overloaded.
    Silent,
    /// No connection in time.
    Nobody,
    /// No connection.
    Failed(String),
}

impl ProbeResult {
    fn describe(&self, within: Duration) -> impl fmt::Display {
        let seconds = within.as_secs().max(1);
        match self {
            Self::Ceph => "answers".to_owned(),
            Self::Other => "not a monitor".to_owned(),
            Self::Silent => format!("accepts connections, but has said nothing for {seconds} s: frozen or overloaded"),
            Self::Nobody => format!("no answer within {seconds} s"),
            Self::Failed(error) => error.clone(),
        }
    }
}

fn probe(addresses: &[SocketAddr], within: Duration) -> Vec<(SocketAddr, ProbeResult)> {
    let mut results: Vec<(SocketAddr, ProbeResult)> =
        addresses.iter().map(|address| (*address, ProbeResult::Nobody)).collect();
    let until = Instant::now() + within;
    for (index, result) in
        all(addresses.to_vec(), |index, address, until| (index, probe_address(address, until)), until)
    {
        results[index].1 = result;
    }
    results
}

fn probe_address(address: SocketAddr, until: Instant) -> ProbeResult {
    // Earlier than who waits for all, by more than a busy machine lets a thread wait; never zero, which is rejected.
    let left = || until.saturating_duration_since(Instant::now()).mul_f64(0.8).max(Duration::from_millis(1));
    let mut stream = match TcpStream::connect_timeout(&address, left()) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::TimedOut => ProbeResult::Nobody,
                ErrorKind::ConnectionRefused => ProbeResult::Failed("connection refused".into()),
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => ProbeResult::Failed("no route".into()),
                _ => ProbeResult::Failed(error.to_string()),
            };
        }
    };
    let mut said = [0; GREETING.len()];
    if stream.set_read_timeout(Some(left())).is_err() {
        return ProbeResult::Silent;
    }
    match stream.read_exact(&mut said) {
        Ok(()) if said == GREETING => ProbeResult::Ceph,
        Ok(()) => ProbeResult::Other,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => ProbeResult::Silent,
        Err(_) => ProbeResult::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, Vec<u16>)> {
        parse(text).unwrap().into_iter().map(|target| (target.host, target.ports)).collect()
    }

    #[test]
    fn every_form_of_mon_host_is_read() {
        let both = || PORTS.to_vec();
        let one = |host: &str, ports: Vec<u16>| vec![(host.to_owned(), ports)];
        assert_eq!(parsed("192.0.2.1"), one("192.0.2.1", both()));
        assert_eq!(parsed("192.0.2.1:6790"), one("192.0.2.1", vec![6790]));
        assert_eq!(parsed("2001:db8::1"), one("2001:db8::1", both()));
        assert_eq!(parsed("[2001:db8::1]"), one("2001:db8::1", both()));
        assert_eq!(parsed("[2001:db8::1]:6790"), one("2001:db8::1", vec![6790]));
        assert_eq!(parsed("v2:192.0.2.1:3301/0"), one("192.0.2.1", vec![3301]));
        assert_eq!(parsed("[v2:[2001:db8::1]:3301/0]"), one("2001:db8::1", vec![3301]));
        assert_eq!(parsed("v2:192.0.2.1"), one("192.0.2.1", vec![3300]));
        assert_eq!(parsed("mon.example:6789"), one("mon.example", vec![6789]));
        let several = parsed("[v2:192.0.2.1:3300/0,v1:192.0.2.1:6789/0], mon2;mon3  mon4");
        let hosts: Vec<&str> = several.iter().map(|(host, _)| host.as_str()).collect();
        assert_eq!(hosts, ["192.0.2.1", "192.0.2.1", "mon2", "mon3", "mon4"]);
    }

    #[test]
    fn invalid_mon_host_names_the_invalid_part() {
        for bad in ["192.0.2.1:99999", "mon:", "[v2:192.0.2.1:3300", "[mon]", "[v2:mon:3300/0]", "a b@c", "192.0.2.1:0"]
        {
            assert!(parse(bad).is_err(), "{bad}: {:?}", parse(bad));
        }
        assert_eq!(parse("good, 192.0.2.1:99999"), Err("192.0.2.1:99999".into()));
    }

    #[test]
    fn server_that_says_something_else_or_nothing_is_no_monitor() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let addresses = [silent.local_addr().unwrap(), other.local_addr().unwrap(), closed];
        let ssh = thread::spawn(move || other.accept().unwrap().0.write_all(b"SSH-2.0-x\r\n").unwrap());
        let within = Duration::from_millis(500);
        let started = Instant::now();
        let results: Vec<ProbeResult> = probe(&addresses, within).into_iter().map(|(_, knock)| knock).collect();
        assert!(started.elapsed() < within * 2);
        assert_eq!(
            results,
            [ProbeResult::Silent, ProbeResult::Other, ProbeResult::Failed("connection refused".into())]
        );
        ssh.join().unwrap();
    }
}
