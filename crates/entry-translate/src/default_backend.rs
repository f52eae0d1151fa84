//! The Service that the operator names for all: requests that no rule takes go to it, and it makes the pages of errors of those who name
//! no other.

use std::str::FromStr;
use std::sync::Arc;

use entry_model::{BackendAddress, BackendMode, Key, Kind, ObjectRef, PortRef, Reason, Service, ServicePort};

use crate::resolve::{default_port, find_port, service_address};
use crate::verdict_draft::object_name;

/// A Service that gets what nobody else does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultBackend {
    /// The Service, of any namespace.
    pub service: Key,
    /// Its port; without one the port that is called `http`, else the first of TCP.
    pub port: Option<PortRef>,
}

impl DefaultBackend {
    /// The object.
    pub fn object(&self) -> ObjectRef {
        ObjectRef::new(Kind::Service, self.service.clone())
    }

    /// Where the Service is reached, and at which of its ports. `service` is what is known by that name.
    ///
    /// # Errors
    /// Why it cannot be reached, in sentences without a final stop.
    pub(crate) fn find<'a>(
        &self,
        service: Option<&'a Arc<Service>>,
        mode: BackendMode,
    ) -> Result<(BackendAddress, &'a ServicePort), (Reason, String)> {
        let name = object_name(&self.object());
        let Some(service) = service else {
            return Err((Reason::RefNotFound, format!("There is no {name}; make it, or name another")));
        };
        let found = service_address(service, mode).and_then(|address| {
            let port = match &self.port {
                Some(port) => find_port(service, port)?.1,
                None => default_port(service)?.1,
            };
            Ok((address.with_port(port.port), port))
        });
        found.map_err(|error| (error.reason, format!("{name}: {}", error.message)))
    }
}

impl FromStr for DefaultBackend {
    type Err = &'static str;

    /// Reads `NAMESPACE/SERVICE` or `NAMESPACE/SERVICE:PORT`, where the port is a number or a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str =
            "write `NAMESPACE/SERVICE`, or `NAMESPACE/SERVICE:PORT` with the number or the name of its port";
        let (service, port) = match text.split_once(':') {
            Some((service, port)) => (service, Some(parse_port(port).ok_or(HINT)?)),
            None => (text, None),
        };
        Ok(Self { service: Key::parse(service).ok_or(HINT)?, port })
    }
}

/// A number from 1 to 65535, or a name as ports of Services have it.
fn parse_port(text: &str) -> Option<PortRef> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| *number > 0).map(PortRef::Number);
    }
    let is_name = text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| PortRef::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_backend_is_a_service_with_or_without_a_port() {
        let service = || Key { namespace: "infra".to_owned(), name: "pages".to_owned() };
        for (text, port) in [
            ("infra/pages", None),
            ("infra/pages:8080", Some(PortRef::Number(8080))),
            ("infra/pages:http", Some(PortRef::Name("http".to_owned()))),
        ] {
            assert_eq!(text.parse(), Ok(DefaultBackend { service: service(), port }), "{text}");
        }
        for text in [
            "",
            "pages",
            "infra/",
            "a/b/c",
            "infra/pages:",
            "infra/pages:0",
            "infra/pages:70000",
            "infra/pages:a b",
            "a/b:1:2",
        ] {
            assert!(text.parse::<DefaultBackend>().is_err(), "{text}");
        }
    }
}
