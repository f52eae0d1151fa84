//! `networking.k8s.io/v1` `IngressClass`.

use entry_model::{IngressClass, Object};
use k8s_openapi::api::networking::v1 as networking;

use super::{Convert, InvalidObject, reduce_meta};

impl Convert for networking::IngressClass {
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let mut meta = reduce_meta(self.metadata, false, |name| name == "ingressclass.kubernetes.io/is-default-class");
        meta.namespace.clear();
        let default = std::mem::take(&mut meta.annotations).into_values().any(|value| value == "true");
        let controller = self.spec.and_then(|spec| spec.controller).unwrap_or_default();
        Ok(Some(IngressClass { meta, controller, default }.into()))
    }
}
