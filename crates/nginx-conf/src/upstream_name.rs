//! What the upstream of a backend is called.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use entry_model::{Backend, BackendAddress, BackendTls, Balancing, EndpointsId, Key, Policy, Protocol};
use sha2::{Digest as _, Sha256};

use crate::backend_protocols::is_tls;
use crate::balancing_name::write_suffix;

/// The name of an upstream, of what the backend is and how it is used: connections are kept by name, and must not be shared between
/// protocols, nor used again where they are for one request each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpstreamName<'a> {
    pub address: &'a BackendAddress,
    pub protocol: Protocol,
    /// Whether a connection is kept for further requests. nginx keeps it by its address: what was verified for one rule must not be used
    /// for another.
    pub keeps_connections: bool,
    pub balancing: &'a Balancing,
}

impl<'a> UpstreamName<'a> {
    /// The name of a backend's upstream, for a rule with this policy.
    pub fn of(backend: &'a Backend, policy: &'a Policy) -> Self {
        let Backend { address, protocol, keep_alive } = backend;
        let is_shared = !is_tls(*protocol) || policy.backend_tls == BackendTls::default();
        Self { address, protocol: *protocol, keeps_connections: *keep_alive && is_shared, balancing: &policy.balancing }
    }

    /// Adds it to a text. It is plain everywhere: letters, digits, `.`, `-` and `_`.
    pub fn write(self, out: &mut String) {
        write_address(out, self.address);
        out.push_str(match self.protocol {
            Protocol::Http => "_http",
            Protocol::Https => "_https",
            Protocol::Http2 => "_http2",
            Protocol::Http2Tls => "_http2-tls",
        });
        if !self.keeps_connections {
            out.push_str("_once");
        }
        write_suffix(out, self.balancing);
    }
}

impl fmt::Display for UpstreamName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Adds what the address of a backend is called, which is plain everywhere too.
pub fn write_address(out: &mut String, address: &BackendAddress) {
    let port = match address {
        BackendAddress::ClusterIp(address) => {
            write_ip(out, address.ip());
            address.port()
        }
        BackendAddress::Endpoints(EndpointsId { service, port }) => {
            write_service(out, service);
            *port
        }
    };
    out.push('_');
    decimal(out, port);
}

fn write_ip(out: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (place, octet) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push('.');
                }
                decimal(out, octet.into());
            }
        }
        IpAddr::V6(ip) => {
            let start = out.len();
            let _ = write!(out, "{ip}");
            let name = out.split_off(start).replace(':', "-");
            out.push_str(&name);
        }
    }
}

/// Adds the name of a Service. No name of Kubernetes has a `_`; what is none is named by a hash.
fn write_service(out: &mut String, Key { namespace, name }: &Key) {
    let is_plain = |text: &str| {
        text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if is_plain(namespace) && is_plain(name) {
        out.extend([namespace, "_", name]);
    } else {
        let mut hasher = Sha256::new();
        // Lengths keep the two apart.
        hasher.update((namespace.len() as u64).to_le_bytes());
        hasher.update(namespace);
        hasher.update(name);
        let _ = write!(out, "service__{:.32x}", hasher.finalize());
    }
}

/// Adds a number: what `write!` does, in a tenth of the time, for what stands in every route.
fn decimal(out: &mut String, number: u16) {
    if number >= 10 {
        decimal(out, number / 10);
    }
    out.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(backend: &Backend) -> String {
        UpstreamName::of(backend, &Policy::default()).to_string()
    }

    #[test]
    fn upstream_name_says_address_and_protocol() {
        for (address, protocol, name) in [
            ("10.96.0.1:80", Protocol::Http, "10.96.0.1_80_http"),
            ("255.0.10.9:65535", Protocol::Https, "255.0.10.9_65535_https"),
            ("[fd00::1]:8080", Protocol::Http2, "fd00--1_8080_http2"),
            ("[::ffff:1.2.3.4]:1", Protocol::Http2Tls, "--ffff-1.2.3.4_1_http2-tls"),
        ] {
            let address = BackendAddress::ClusterIp(address.parse().unwrap());
            let backend = Backend { address, protocol, keep_alive: true };
            assert_eq!(super::tests::name(&backend), name);
            assert_eq!(super::tests::name(&Backend { keep_alive: false, ..backend.clone() }), format!("{name}_once"));
            let verified = BackendTls { name: Some("a.example".to_owned()), ..BackendTls::default() };
            let policy = Policy { backend_tls: verified, ..Policy::default() };
            let of_verified = if is_tls(protocol) { format!("{name}_once") } else { name.to_owned() };
            assert_eq!(UpstreamName::of(&backend, &policy).to_string(), of_verified);
        }
    }

    #[test]
    fn upstream_name_says_service_and_port() {
        let name = |namespace: &str, name: &str| {
            let service = Key { namespace: namespace.to_owned(), name: name.to_owned() }.into();
            let address = BackendAddress::Endpoints(EndpointsId { service, port: 80 });
            super::tests::name(&Backend { address, protocol: Protocol::Http, keep_alive: true })
        };
        assert_eq!(name("shop", "web-1"), "shop_web-1_80_http");
        let long = "x".repeat(64);
        let odd = [("a_b", "c"), ("a", "b_c"), ("a", "b.c"), ("", "a"), ("a", "\"; }"), ("a", &long)];
        let names: std::collections::BTreeSet<_> = odd.iter().map(|(namespace, of)| name(namespace, of)).collect();
        assert_eq!(names.len(), odd.len());
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        assert!(names.iter().all(plain), "{names:?}");
    }
}
