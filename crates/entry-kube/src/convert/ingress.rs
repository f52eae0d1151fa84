//! `networking.k8s.io/v1` Ingress.

use entry_model::{
    Ingress, IngressBackend, IngressPath, IngressRule, IngressTls, LoadBalancerAddress, Object, PathType, PortRef,
};
use k8s_openapi::api::networking::v1 as networking;

use super::{Convert, InvalidObject, LAST_APPLIED, invalid, nonempty, parse_port, reduce_address, reduce_meta};

impl Convert for networking::Ingress {
    /// No labels; all annotations but the copy that `kubectl apply` leaves, so that foreign ones can be named.
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let mut meta = reduce_meta(self.metadata, false, |name| name != LAST_APPLIED);
        let spec = self.spec.unwrap_or_default();
        let class = nonempty(spec.ingress_class_name)
            .or_else(|| nonempty(meta.annotations.remove("kubernetes.io/ingress.class")));
        let default_backend =
            spec.default_backend.map(|backend| ingress_backend(backend, "spec.defaultBackend")).transpose()?;
        let entries = spec.rules.unwrap_or_default();
        let mut rules = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let asked = entry.http.unwrap_or_default().paths;
            let mut paths = Vec::with_capacity(asked.len());
            for (number, path) in asked.into_iter().enumerate() {
                paths.push(ingress_path(path, &format!("spec.rules[{index}].http.paths[{number}]"))?);
            }
            rules.push(IngressRule { host: nonempty(entry.host), paths });
        }
        let tls = spec.tls.unwrap_or_default().into_iter();
        let tls = tls
            .map(|tls| IngressTls { hosts: tls.hosts.unwrap_or_default(), secret: nonempty(tls.secret_name) })
            .collect();
        let status = self.status.and_then(|status| status.load_balancer).and_then(|status| status.ingress);
        let addresses = status.unwrap_or_default().iter().filter_map(load_balancer_address).collect();
        Ok(Some(Ingress { meta, class, default_backend, rules, tls, addresses }.into()))
    }
}

/// An entry of an Ingress's status; `None` if it names neither an address nor a host.
pub(crate) fn load_balancer_address(entry: &networking::IngressLoadBalancerIngress) -> Option<LoadBalancerAddress> {
    reduce_address(entry.ip.clone(), entry.hostname.clone())
}

fn ingress_path(path: networking::HTTPIngressPath, field: &str) -> Result<IngressPath, InvalidObject> {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => PathType::ImplementationSpecific,
        "" => {
            return invalid(
                format!("{field}.pathType"),
                "it is missing: write Exact, Prefix or ImplementationSpecific",
            );
        }
        _ => PathType::Unknown(path.path_type),
    };
    let backend = ingress_backend(path.backend, &format!("{field}.backend"))?;
    Ok(IngressPath { path: nonempty(path.path), path_type, backend })
}

fn ingress_backend(backend: networking::IngressBackend, field: &str) -> Result<IngressBackend, InvalidObject> {
    match (backend.service, backend.resource) {
        (Some(_), Some(_)) => invalid(field, "it has both a service and a resource: keep one"),
        (None, None) => invalid(field, "it names no service"),
        (None, Some(resource)) => Ok(IngressBackend::Resource { kind: resource.kind, name: resource.name }),
        (Some(service), None) => {
            let wanted = service.port.unwrap_or_default();
            let port = match (wanted.number.filter(|number| *number != 0), nonempty(wanted.name)) {
                (Some(number), None) => PortRef::Number(parse_port(number, format!("{field}.service.port.number"))?),
                (None, Some(name)) => PortRef::Name(name),
                (None, None) => return invalid(format!("{field}.service.port"), "write a number or a name"),
                (Some(_), Some(_)) => {
                    return invalid(format!("{field}.service.port"), "it has both a number and a name: keep one");
                }
            };
            if service.name.is_empty() {
                return invalid(format!("{field}.service.name"), "it is missing");
            }
            Ok(IngressBackend::Service { name: service.name, port })
        }
    }
}
