//! `v1` Namespace.

use entry_model::{HOSTS_ANNOTATION, Namespace, Object};
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, reduce_meta};

impl Convert for core::Namespace {
    /// Only one that lists hosts.
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let mut meta = reduce_meta(self.metadata, false, |name| name == HOSTS_ANNOTATION);
        meta.namespace.clear();
        let hosts = std::mem::take(&mut meta.annotations).remove(HOSTS_ANNOTATION);
        Ok(hosts.map(|hosts| Namespace { meta, hosts: Some(hosts) }.into()))
    }
}
