//! Addresses that annotations name: where requests of the entry may go that are no backends.
//!
//! The entry reaches what its tenants do not: what listens on its own loopback, the metadata of its machine, the API server. A name is
//! looked up by nginx, which connects to whatever it finds: that is for a `NetworkPolicy` to bound.

use std::net::IpAddr;

use entry_model::{Key, Service};

/// Why no request may go to an address that an annotation names.
///
/// # Errors
/// What it is.
pub fn check_outside_address(address: IpAddr, api_server: Option<&Service>) -> Result<(), &'static str> {
    let address = address.to_canonical();
    let is_api_server = |service: &Service| service.cluster_ips.contains(&address);
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_loopback() || address.is_unspecified() {
        Err("it is an address of the entry itself")
    } else if is_link_local {
        Err("it is an address of the machine's own network, where its metadata are")
    } else if address.is_multicast() {
        Err("it is an address of many")
    } else if api_server.is_some_and(is_api_server) {
        Err("it is the address of the API server")
    } else {
        Ok(())
    }
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
    use super::*;

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
            "fe80::1",
            "ff02::1",
        ] {
            assert!(is_rejected(address), "{address}");
        }
        for address in ["10.96.0.1", "192.0.2.1", "fd00::1", "2001:db8::1"] {
            assert!(!is_rejected(address), "{address}");
        }
        assert!(is_own_name("LocalHost.") && is_own_name("a.localhost") && !is_own_name("localhost.example"));
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
