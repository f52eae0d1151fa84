//! `v1` Service.

use std::net::IpAddr;

use entry_model::{IpFamily, Object, Service, ServiceKind, ServicePort};
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, LAST_APPLIED, invalid, nonempty, parse_port, reduce_address, reduce_meta};

impl Convert for core::Service {
    /// All labels, for selectors; all annotations but the copy that `kubectl apply` leaves, so that foreign ones can be named.
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let spec = self.spec.unwrap_or_default();
        let mut addresses = spec.cluster_ips.unwrap_or_default();
        if addresses.is_empty() {
            addresses.extend(nonempty(spec.cluster_ip));
        }
        let kind = if spec.type_.as_deref() == Some("ExternalName") {
            ServiceKind::ExternalName(spec.external_name.unwrap_or_default())
        } else if addresses.iter().any(|address| address == "None") {
            ServiceKind::Headless
        } else {
            ServiceKind::ClusterIp
        };
        let mut cluster_ips = Vec::new();
        if kind == ServiceKind::ClusterIp {
            cluster_ips.reserve_exact(addresses.len());
            for (index, address) in addresses.iter().enumerate() {
                match address.parse::<IpAddr>() {
                    Ok(address) => cluster_ips.push(address),
                    Err(_) if address.is_empty() => {}
                    Err(_) => {
                        return invalid(format!("spec.clusterIPs[{index}]"), format!("`{address}` is no IP address"));
                    }
                }
            }
        }
        let family = match (cluster_ips.first(), spec.ip_families.iter().flatten().next()) {
            (Some(first), _) => IpFamily::of(*first),
            (None, Some(first)) if first == "IPv6" => IpFamily::V6,
            (None, _) => IpFamily::V4,
        };
        let entries = spec.ports.unwrap_or_default();
        let mut ports = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            ports.push(ServicePort {
                name: entry.name.unwrap_or_default(),
                port: parse_port(entry.port, format!("spec.ports[{index}].port"))?,
                protocol: nonempty(entry.protocol).unwrap_or_else(|| "TCP".to_owned()),
                app_protocol: nonempty(entry.app_protocol),
            });
        }
        let meta = reduce_meta(self.metadata, true, |name| name != LAST_APPLIED);
        let status = self.status.and_then(|status| status.load_balancer).and_then(|status| status.ingress);
        let addresses =
            status.unwrap_or_default().into_iter().filter_map(|entry| reduce_address(entry.ip, entry.hostname));
        let addresses = addresses.collect();
        Ok(Some(Service { meta, kind, cluster_ips, family, ports, addresses }.into()))
    }
}
