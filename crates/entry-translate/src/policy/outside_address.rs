//! Addresses and names that annotations name: where requests of the entry may go that are no backends.
//!
//! The entry reaches what its tenants do not: what listens on its own loopback, the metadata of its machine, the API server. A name is
//! looked up by nginx, which connects to whatever it finds: that is for a `NetworkPolicy` to bound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use entry_model::{Key, Service};

use crate::host::ends_in_number;

/// Where clouds have metadata of machines beside link-local addresses: those of Azure, Alibaba, Oracle, and of AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Why no request may go to an address that an annotation names.
///
/// # Errors
/// What it is.
pub fn check_outside_address(address: IpAddr, api_server: Option<&Service>) -> Result<(), &'static str> {
    check_one(address, api_server)?;
    embedded(address).map_or(Ok(()), |address| check_one(address.into(), api_server))
}

fn check_one(address: IpAddr, api_server: Option<&Service>) -> Result<(), &'static str> {
    let is_api_server = |service: &Service| service.cluster_ips.contains(&address);
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_loopback() || address.is_unspecified() {
        Err("it is an address of the entry itself")
    } else if is_link_local || METADATA.contains(&address) {
        Err("it is an address of the machine's own network, where its metadata are")
    } else if address.is_multicast() {
        Err("it is an address of many")
    } else if api_server.is_some_and(is_api_server) {
        Err("it is the address of the API server")
    } else {
        Ok(())
    }
}

/// The IPv4 address that an IPv6 address stands for, or leads to through a gateway.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let two = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        // ::1 and :: are no addresses of IPv4.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // As such, mapped, translated (RFC 2765), by NAT64 (RFC 6052 and 8215), and of ISATAP, whatever is in front.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, _, _, _, _, high, low]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(two(high, low)),
        // 6to4
        [0x2002, high, low, ..] => Some(two(high, low)),
        // Teredo has its client's with all bits turned.
        [0x2001, 0, _, _, _, _, high, low] => Some(two(!high, !low)),
        _ => None,
    }
}

/// Whether an address may be one of the cluster, which can be anyone's there: a private one, or one beside that of the API server, from
/// the range of which all Services have theirs.
pub fn may_be_of_cluster(address: IpAddr, api_server: Option<&Service>) -> bool {
    let address = embedded(address).map_or(address, IpAddr::V4);
    let is_private = match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || (first, second & 0xc0) == (100, 64)
                || (first, second & 0xfe) == (198, 18)
                || first >= 240
        }
        IpAddr::V6(address) => address.is_unique_local() || address.segments()[0] & 0xffc0 == 0xfec0,
    };
    let is_beside = |other: &IpAddr| match (address, other) {
        (IpAddr::V4(address), IpAddr::V4(other)) => address.octets()[..2] == other.octets()[..2],
        (IpAddr::V6(address), IpAddr::V6(other)) => address.segments()[..4] == other.segments()[..4],
        _ => false,
    };
    is_private || api_server.is_some_and(|service| service.cluster_ips.iter().any(is_beside))
}

/// Why no request may go to a name that an annotation names, before it is looked up. nginx looks names up as they are: no suffix is
/// tried.
///
/// # Errors
/// What is wrong with it.
pub fn check_outside_name(name: &str) -> Result<(), &'static str> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<_> = name.split('.').collect();
    // Whatever is a number at its end is taken for an address by some of those who read it.
    if ends_in_number(&name) {
        Err("it is no address as it is written, and no name; write an address as four numbers without zeros in front")
    } else if name.contains(':') || is_own_name(&name) || labels.iter().any(|label| label.is_empty()) {
        Err("it is no name of a server")
    } else if name == "kubernetes" || name == "kubernetes.default" {
        Err("it is the API server")
    } else if labels.len() < 2 {
        Err("it is no name in DNS; write a Service as `NAME.NAMESPACE.svc.cluster.local`")
    } else if service_of_name(&name).is_none() && is_of_pod(&labels) {
        Err("it is a name of the cluster and of no Service; write a Service as `NAME.NAMESPACE.svc.cluster.local`")
    } else {
        Ok(())
    }
}

/// Whether a name of the cluster is one of a pod, or of a part of a Service: it would be any address that it spells.
fn is_of_pod(labels: &[&str]) -> bool {
    labels.ends_with(&["cluster", "local"]) || labels.iter().skip(2).any(|label| matches!(*label, "svc" | "pod"))
}

/// The Service of the API server.
pub fn api_server() -> Key {
    Key { namespace: "default".to_owned(), name: "kubernetes".to_owned() }
}

/// Whether a name stands for the machine itself, wherever it is looked up.
pub fn is_own_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The Service that a name of the cluster stands for, such as `auth.shop.svc.cluster.local`.
pub fn service_of_name(name: &str) -> Option<Key> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let mut labels = name.split('.');
    let (service, namespace, kind) = (labels.next()?, labels.next()?, labels.next()?);
    let is_label = |label: &str| !label.is_empty() && label.len() <= 63;
    (kind == "svc" && is_label(service) && is_label(namespace))
        .then(|| Key { namespace: namespace.to_owned(), name: service.to_owned() })
}

#[cfg(test)]
mod tests {
    use entry_model::{IpFamily, Meta, ServiceKind};

    use super::*;

    fn service(address: [u8; 4]) -> Service {
        Service {
            meta: Meta::default(),
            kind: ServiceKind::ClusterIp,
            cluster_ips: vec![address.into()],
            family: IpFamily::V4,
            ports: Vec::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn addresses_of_the_entry_and_its_machine_are_rejected() {
        let is_rejected = |address: &str| check_outside_address(address.parse().unwrap(), None).is_err();
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:80ff:fffe",
            "fe80::5efe:7f00:1",
            "2001:db8::200:5efe:7f00:1",
            "168.63.129.16",
            "64:ff9b::6464:64c8",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(is_rejected(address), "{address}");
        }
        for address in ["10.96.0.1", "192.0.2.1", "fd00::1", "2001:db8::1", "64:ff9b::c000:201", "2002:c000:201::1"] {
            assert!(!is_rejected(address), "{address}");
        }
        assert!(is_own_name("LocalHost.") && is_own_name("a.localhost") && !is_own_name("localhost.example"));
    }

    #[test]
    fn address_of_the_api_server_is_rejected_however_it_is_written() {
        let api_server = service([10, 96, 0, 1]);
        for address in ["10.96.0.1", "::ffff:10.96.0.1", "64:ff9b::a60:1"] {
            let told = check_outside_address(address.parse().unwrap(), Some(&api_server));
            assert_eq!(told, Err("it is the address of the API server"), "{address}");
        }
    }

    #[test]
    fn private_addresses_and_those_beside_the_api_server_may_be_anyones() {
        let api_server = service([34, 118, 224, 1]);
        let may_be = |address: &str| may_be_of_cluster(address.parse().unwrap(), Some(&api_server));
        for address in
            ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "34.118.230.9", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert!(may_be(address), "{address}");
        }
        for address in ["192.0.2.1", "34.119.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!may_be(address), "{address}");
        }
    }

    #[test]
    fn names_that_are_addresses_pods_or_the_api_server_are_rejected() {
        for name in [
            "127.0.0.01",
            "169.254.169.0254",
            "127.0.0.1.",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "127.0.0.0X1",
            "2130706433",
            "a.example.1",
            "localhost",
            "x.localhost.",
            "fd00::zz",
            "kubernetes",
            "Kubernetes.Default.",
            "auth",
            "a..example",
            "127-0-0-1.shop.pod.cluster.local",
            "10-0-0-1.auth.auth.svc.cluster.local",
            "web-0.web.shop.svc.cluster.local",
            "_http._tcp.web.shop.svc",
            "web.shop.cluster.local",
            "",
        ] {
            assert!(check_outside_name(name).is_err(), "{name}");
        }
        for name in
            ["auth.example", "1.2.3.4a.example", "auth.shop.svc", "auth.shop.svc.cluster.local.", "svc.example.com"]
        {
            assert_eq!(check_outside_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn name_of_a_service_has_its_namespace() {
        let key = |name| service_of_name(name).map(|key| [key.namespace, key.name].join("/"));
        for name in ["auth.shop.svc", "auth.shop.svc.cluster.local", "Auth.shop.svc.cluster.local."] {
            assert_eq!(key(name).as_deref(), Some("shop/auth"), "{name}");
        }
        for name in ["auth", "auth.shop", "auth.example.com", ".shop.svc", "auth..svc", "svc.svc.com"] {
            assert_eq!(key(name), None, "{name}");
        }
    }
}
