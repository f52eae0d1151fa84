//! Names in DNS to which Services of the type `ExternalName` lead. They are looked up by whoever follows the objects, since nginx would connect
//! to whatever it finds; what is found comes as an `EndpointSlice` of the Service.

use std::net::IpAddr;

use entry_model::{AddressRange, Service, ServiceKind};

use crate::policy::outside_address::{check_outside_address, check_outside_name, may_be_of_cluster, service_of_name};

/// The name that is looked up for a Service, if it leads to one: not an address, nor another Service, nor what is no name in DNS.
pub fn looked_up_name(service: &Service) -> Option<&str> {
    let ServiceKind::ExternalName(name) = &service.kind else { return None };
    is_looked_up(name).then_some(name.trim_end_matches('.'))
}

/// The name of the `EndpointSlice` that has what was found for a Service. No object of a cluster can have it, so that nobody else writes one.
pub fn slice_name(service: &str) -> String {
    format!("{service} in DNS")
}

/// Whether such a name is looked up.
fn is_looked_up(name: &str) -> bool {
    name.parse::<IpAddr>().is_err() && check_outside_name(name).is_ok() && service_of_name(name).is_none()
}

/// Whether requests may be sent to an address as which a name was looked up: none of the entry itself, of its machine's network or of the API
/// server, and none that may be one of the cluster, but for those of the ranges.
pub fn may_be_reached(address: IpAddr, api_server: Option<&Service>, ranges: &[AddressRange]) -> bool {
    check_outside_address(address, api_server).is_ok()
        && (!may_be_of_cluster(address, api_server) || ranges.iter().any(|range| range.contains(address)))
}

#[cfg(test)]
mod tests {
    use entry_model::{IpFamily, Meta};

    use super::*;

    fn service(kind: ServiceKind, cluster_ips: &[[u8; 4]]) -> Service {
        let cluster_ips = cluster_ips.iter().map(|ip| (*ip).into()).collect();
        Service {
            meta: Meta::default(),
            kind,
            cluster_ips,
            family: IpFamily::V4,
            ports: Vec::new(),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn names_in_dns_alone_are_looked_up() {
        for (name, looked_up) in [
            ("www.example.com", Some("www.example.com")),
            ("www.example.com.", Some("www.example.com")),
            ("192.0.2.1", None),
            ("2130706433", None),
            ("127.0.0.01", None),
            ("localhost", None),
            ("a.localhost", None),
            ("example", None),
            ("web.shop.svc.cluster.local", None),
            ("web.shop.svc", None),
            ("10-0-0-1.shop.pod.cluster.local", None),
            ("kubernetes.default", None),
            ("", None),
        ] {
            assert_eq!(looked_up_name(&service(ServiceKind::ExternalName(name.to_owned()), &[])), looked_up, "{name}");
        }
        assert_eq!(looked_up_name(&service(ServiceKind::ClusterIp, &[[10, 96, 0, 2]])), None);
    }

    #[test]
    fn addresses_of_ranges_are_reached_unless_they_are_of_the_entry() {
        let api_server = service(ServiceKind::ClusterIp, &[[10, 96, 0, 1]]);
        let all: Vec<AddressRange> = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let some: Vec<AddressRange> = vec!["10.20.0.0/16".parse().unwrap()];
        for (address, alone, with_some, with_all) in [
            ("203.0.113.1", true, true, true),
            ("10.20.0.1", false, true, true),
            ("10.21.0.1", false, false, true),
            ("10.96.0.1", false, false, false),
            ("127.0.0.1", false, false, false),
            ("::ffff:127.0.0.1", false, false, false),
            ("169.254.169.254", false, false, false),
            ("0.0.0.0", false, false, false),
            ("224.0.0.1", false, false, false),
        ] {
            let may = |ranges: &[AddressRange]| may_be_reached(address.parse().unwrap(), Some(&api_server), ranges);
            assert_eq!((may(&[]), may(&some), may(&all)), (alone, with_some, with_all), "{address}");
        }
    }
}
