//! `v1` Secret of the type `kubernetes.io/tls`.

use entry_model::{Object, Secret};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, reduce_meta};

/// The type of Secrets that hold a certificate.
pub(crate) const TLS_SECRET: &str = "kubernetes.io/tls";

impl Convert for core::Secret {
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        if self.type_.as_deref() != Some(TLS_SECRET) {
            return Ok(None);
        }
        let mut data = self.data.unwrap_or_default();
        // An API server merges it into `data`; in a manifest it stands by itself.
        let texts = self.string_data.unwrap_or_default().into_iter();
        data.extend(texts.map(|(name, text)| (name, ByteString(text.into_bytes()))));
        let mut take = |name: &str| data.remove(name).map(|value| value.0).unwrap_or_default();
        let (certificate, key) = (take("tls.crt"), take("tls.key"));
        let meta = reduce_meta(self.metadata, false, |_| false);
        Ok(Some(Secret { meta, certificate, key }.into()))
    }
}
