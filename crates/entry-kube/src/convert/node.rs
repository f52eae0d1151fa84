//! `v1` Node.

use entry_model::{Node, Object};
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, reduce_meta};

impl Convert for core::Node {
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let mut meta = reduce_meta(self.metadata, true, |_| false);
        meta.namespace.clear();
        let status = self.status.unwrap_or_default();
        let (mut external, mut internal) = (Vec::new(), Vec::new());
        for entry in status.addresses.unwrap_or_default() {
            let Ok(address) = entry.address.parse() else { continue };
            match entry.type_.as_str() {
                "ExternalIP" => external.push(address),
                "InternalIP" => internal.push(address),
                _ => {}
            }
        }
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        Ok(Some(Node { meta, external, internal, ready }.into()))
    }
}
