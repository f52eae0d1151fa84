//! `v1` `ConfigMap`.

use entry_model::{ConfigMap, Object};
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, reduce_meta};

impl Convert for core::ConfigMap {
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let meta = reduce_meta(self.metadata, false, |_| false);
        Ok(Some(ConfigMap { meta, data: self.data.unwrap_or_default() }.into()))
    }
}
