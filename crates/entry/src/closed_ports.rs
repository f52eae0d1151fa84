//! Ports of TCP and UDP services at which nginx could not listen: they are left out until somebody changes what asks for them, so that
//! one port that is taken, or not allowed, keeps no other change back.

use std::collections::BTreeMap;
use std::sync::Arc;

use entry_model::{ConfigMap, Key, Snapshot, SortedMap, StreamPort, StreamRoute};
use entry_translate::StreamServices;

/// The ports that are left out.
#[derive(Debug, Default)]
pub(crate) struct ClosedPorts {
    /// Why, by the number.
    ports: BTreeMap<u16, String>,
    /// The `ConfigMaps` as they were then.
    asked_by: Vec<Option<Arc<ConfigMap>>>,
}

impl ClosedPorts {
    /// Leaves out the ports of services that nginx complains of; whether there is one more.
    pub(crate) fn add(
        &mut self,
        nginx_stderr: &str,
        streams: &SortedMap<StreamPort, StreamRoute>,
        services: &StreamServices,
        snapshot: &Snapshot,
    ) -> bool {
        let mut is_new = false;
        for (number, why) in nginx_conf::unbound_ports(nginx_stderr) {
            if streams.keys().any(|port| port.number == number) {
                is_new |= self.ports.insert(number, why).is_none();
            }
        }
        if is_new {
            self.asked_by = config_maps(services, snapshot);
        }
        is_new
    }

    /// The ports, unless somebody has changed what asks for them since.
    pub(crate) fn current(&mut self, services: &StreamServices, snapshot: &Snapshot) -> BTreeMap<u16, String> {
        if !self.ports.is_empty() && self.asked_by != config_maps(services, snapshot) {
            self.ports.clear();
        }
        self.ports.clone()
    }
}

fn config_maps(services: &StreamServices, snapshot: &Snapshot) -> Vec<Option<Arc<ConfigMap>>> {
    let found = |key: &Option<Key>| key.as_ref().and_then(|key| snapshot.config_maps.get(key).cloned());
    [&services.tcp, &services.udp].map(found).into()
}
