//! `v1` Secret: of the type `kubernetes.io/tls`, or with something in it that annotations may name.

use std::collections::BTreeMap;

use entry_model::{Object, Secret, check_password_hash};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;

use super::{Convert, InvalidObject, reduce_meta};

/// The type of Secrets that hold a certificate.
pub(crate) const TLS_SECRET: &str = "kubernetes.io/tls";

impl Convert for core::Secret {
    /// Only what is needed: nothing else of it is kept in memory.
    fn convert(self) -> Result<Option<Object>, InvalidObject> {
        let is_tls = self.type_.as_deref() == Some(TLS_SECRET);
        let mut data = self.data.unwrap_or_default();
        // An API server merges it into `data`; in a manifest it stands by itself.
        let texts = self.string_data.unwrap_or_default().into_iter();
        data.extend(texts.map(|(name, text)| (name, ByteString(text.into_bytes()))));
        let mut take = |name: &str| data.remove(name).map(|value| value.0).unwrap_or_default();
        let (certificate, key) = (take("tls.crt"), take("tls.key"));
        let (authorities, revoked, passwords) = (take("ca.crt"), take("ca.crl"), take("auth"));
        let password_hashes = if is_tls { BTreeMap::new() } else { password_hashes(data) };
        let is_empty = [&certificate, &key, &authorities, &revoked, &passwords].iter().all(|value| value.is_empty());
        if !is_tls && is_empty && password_hashes.is_empty() {
            return Ok(None);
        }
        let meta = reduce_meta(self.metadata, false, |_| false);
        Ok(Some(Secret { meta, is_tls, certificate, key, authorities, revoked, passwords, password_hashes }.into()))
    }
}

/// The values that are hashes of passwords. Those that are something else are nobody's business here.
fn password_hashes(data: BTreeMap<String, ByteString>) -> BTreeMap<String, String> {
    let hash = |(name, value): (String, ByteString)| {
        let text = String::from_utf8(value.0).ok()?;
        let text = text.trim_end_matches(['\r', '\n']);
        (check_password_hash(text) != Err(entry_model::PasswordHashError::Unknown)).then(|| (name, text.to_owned()))
    };
    data.into_iter().filter_map(hash).collect()
}
