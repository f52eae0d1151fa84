//! What annotations say of the host that a backend is told.

use entry_model::{IngressBackend, PortRef, UpstreamHost};

/// The `Host` that a backend is told, in which there may be variables of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamVhost<'a>(&'a str);

/// Variables of ingress-nginx that say something of the backend.
const VARIABLES: [&str; 3] = ["$service_name", "$service_port", "$namespace"];

impl<'a> UpstreamVhost<'a> {
    /// Reads it, or says why it cannot be used.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let rest = VARIABLES.iter().fold(text.to_owned(), |rest, variable| rest.replace(variable, "a"));
        if rest.contains('$') {
            return Err("of variables, only `$service_name`, `$service_port` and `$namespace` are put in");
        }
        if UpstreamHost::new(&rest).is_some() {
            Ok(Self(text))
        } else {
            Err("it is no host, of letters, digits, `-._`, and maybe a port")
        }
    }

    /// The host for a backend of this namespace.
    pub fn for_backend(self, backend: &IngressBackend, namespace: &str) -> Option<UpstreamHost> {
        let IngressBackend::Service { name, port } = backend else { return None };
        let port = match port {
            PortRef::Number(number) => number.to_string(),
            PortRef::Name(name) => name.clone(),
        };
        let values = [name, &port, namespace];
        let host = VARIABLES
            .iter()
            .zip(values)
            .fold(self.0.to_owned(), |host, (variable, value)| host.replace(variable, value));
        UpstreamHost::new(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_backend_are_put_in() {
        let backend = IngressBackend::Service { name: "web".to_owned(), port: PortRef::Number(80) };
        for (text, expected) in [
            ("a.example", Some("a.example")),
            ("$service_name.$namespace.svc.cluster.local:80", Some("web.shop.svc.cluster.local:80")),
            ("$service_name:$service_port", Some("web:80")),
            ("$remote_addr", None),
            ("a\"; return 200; #", None),
            ("a b", None),
            ("", None),
        ] {
            let host = UpstreamVhost::parse(text).ok().and_then(|vhost| vhost.for_backend(&backend, "shop"));
            assert_eq!(host.as_ref().map(UpstreamHost::as_str), expected, "{text}");
        }
    }
}
