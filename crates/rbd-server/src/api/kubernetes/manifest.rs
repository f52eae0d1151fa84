//! The manifests of a static volume of ceph-csi, and the names and quantities in them.

use std::fmt::Write as _;

use rbd_model::fault::Fault;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The longest DNS label (RFC 1123).
const LABEL: usize = 63;
/// The longest DNS name that Kubernetes takes.
const SUBDOMAIN: usize = 253;

/// All that the two manifests say.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The `PersistentVolume`'s name.
    pub name: String,
    /// The claim's name.
    pub claim: String,
    /// The claim's namespace in Kubernetes.
    pub claim_namespace: String,
    /// The CSI driver.
    pub driver: String,
    /// ceph-csi's name of the cluster.
    pub cluster_id: String,
    /// The pool.
    pub pool: String,
    /// The pool's namespace, which only ceph-csi's configuration can name.
    pub rados_namespace: String,
    /// The image.
    pub image: String,
    /// `imageFeatures`.
    pub image_features: &'static str,
    /// `mounter`, if not the default.
    pub mounter: Option<&'static str>,
    /// The size, as a quantity.
    pub capacity: String,
    /// `Filesystem` or `Block`.
    pub mode: &'static str,
    /// `ReadWriteOnce`, …
    pub access_mode: &'static str,
    /// The file system, with `Filesystem`.
    pub fs_type: Option<&'static str>,
    /// The Secret for mapping the image.
    pub secret_name: String,
    /// Its namespace in Kubernetes.
    pub secret_namespace: String,
}

impl Volume {
    /// The `PersistentVolume` and its claim. All leaves are strings.
    fn manifests(&self) -> [Value; 2] {
        let mut attributes = json!({
            "clusterID": self.cluster_id,
            "pool": self.pool,
            "staticVolume": "true",
            "imageFeatures": self.image_features,
        });
        if let Some(mounter) = self.mounter {
            attributes["mounter"] = mounter.into();
        }
        let mut csi = json!({
            "driver": self.driver,
            "volumeHandle": self.image,
            "volumeAttributes": attributes,
            "nodeStageSecretRef": { "name": self.secret_name, "namespace": self.secret_namespace },
        });
        if let Some(fs_type) = self.fs_type {
            csi["fsType"] = fs_type.into();
        }
        let volume = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": self.name },
            "spec": {
                "capacity": { "storage": self.capacity },
                "accessModes": [self.access_mode],
                "volumeMode": self.mode,
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                // Nobody else's claim takes it.
                "claimRef": { "namespace": self.claim_namespace, "name": self.claim },
                "csi": csi,
            },
        });
        let claim = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": self.claim, "namespace": self.claim_namespace },
            "spec": {
                "accessModes": [self.access_mode],
                "volumeMode": self.mode,
                "resources": { "requests": { "storage": self.capacity } },
                // Empty, not absent: else the cluster's default class makes a new volume.
                "storageClassName": "",
                "volumeName": self.name,
            },
        });
        [volume, claim]
    }

    /// Both as one `List`.
    pub fn list(&self) -> Value {
        json!({ "apiVersion": "v1", "kind": "List", "items": self.manifests() })
    }

    /// The same list in YAML: one document, since not every reader takes several.
    pub fn yaml(&self) -> String {
        let mut yaml = String::new();
        if !self.rados_namespace.is_empty() {
            let _ = writeln!(
                yaml,
                "# ceph-csi finds the image only if the entry of this clusterID in its config.json has\n# \"rbd\": \
                 {{\"radosNamespace\": {}}}",
                quoted(&self.rados_namespace)
            );
        }
        write_yaml(&mut yaml, &self.list(), 0);
        yaml
    }
}

/// Writes a mapping or a list as block YAML. Every leaf is quoted, so that nothing in it means anything.
fn write_yaml(yaml: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let _ = write!(yaml, "{indent}{key}:");
                match value {
                    Value::Object(_) | Value::Array(_) => {
                        yaml.push('\n');
                        write_yaml(yaml, value, depth + 1);
                    }
                    leaf => {
                        let _ = writeln!(yaml, " {}", scalar(leaf));
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                // A dash is two columns of the item's own indent.
                let start = yaml.len();
                write_yaml(yaml, item, depth + 1);
                yaml.replace_range(start..start + indent.len() + 2, &format!("{indent}- "));
            }
        }
        leaf => {
            let _ = writeln!(yaml, "{indent}{}", scalar(leaf));
        }
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

/// A string as YAML's double-quoted style, which takes JSON's escapes (YAML 1.2.2, section 5.7). Characters that YAML
/// does not take as they are, or that end its lines, are escaped too.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Bytes as a quantity of Kubernetes, without rounding: in the largest binary unit that divides them.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
pub fn quantity(bytes: u64) -> String {
    for (shift, unit) in [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The text itself if it is a DNS label (RFC 1123).
pub fn dns_label(text: &str) -> Option<String> {
    is_label(text).then(|| text.to_owned())
}

/// A DNS label that shows a text as far as it can, and stands for `unique` alone: it ends with a part of their hash.
pub fn unique_name(text: &str, unique: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in unique {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = format!("{:.10x}", hash.finalize());
    let mut shown = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            shown.push(c);
        } else if !shown.is_empty() && !shown.ends_with('-') {
            shown.push('-');
        }
        if shown.len() + 1 + hash.len() == LABEL {
            break;
        }
    }
    let shown = shown.trim_matches('-');
    if shown.is_empty() { format!("rbd-{hash}") } else { format!("{shown}-{hash}") }
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=LABEL).contains(&text.len())
        && text.chars().all(|c| plain(c) || c == '-')
        && text.starts_with(plain)
        && text.ends_with(plain)
}

/// Whether a text is a DNS label, such as a namespace of Kubernetes.
///
/// # Errors
/// `invalid-field`.
pub fn check_label(field: &str, text: &str) -> Result<(), Fault> {
    if is_label(text) {
        return Ok(());
    }
    let allowed = format!("1 to {LABEL} of a-z, 0-9 and '-', beginning and ending with a letter or digit");
    Err(Fault::field(field, "is not a DNS label", allowed))
}

/// Whether a text is a DNS name, such as that of a volume, a claim or a Secret.
///
/// # Errors
/// `invalid-field`.
pub fn check_subdomain(field: &str, text: &str) -> Result<(), Fault> {
    // Kubernetes bounds the whole, not the labels.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let label =
        |part: &str| part.starts_with(plain) && part.ends_with(plain) && part.chars().all(|c| plain(c) || c == '-');
    if text.len() <= SUBDOMAIN && text.split('.').all(label) {
        return Ok(());
    }
    let allowed =
        format!("1 to {SUBDOMAIN} of a-z, 0-9, '-' and '.', each part beginning and ending with a letter or digit");
    Err(Fault::field(field, "is not a DNS name", allowed))
}

/// Whether a text can be the name of a CSI driver: as a DNS name, but 63 long at most.
///
/// # Errors
/// `invalid-field`.
pub fn check_driver(field: &str, text: &str) -> Result<(), Fault> {
    if text.len() > LABEL {
        return Err(Fault::field(field, "is too long", format!("a DNS name of at most {LABEL} bytes")));
    }
    check_subdomain(field, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact() {
        for (bytes, text) in [
            (1, "1"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1 << 30, "1Gi"),
            (3 << 29, "1536Mi"),
            ((1 << 30) + 1, "1073741825"),
            (1 << 63, "8Ei"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(quantity(bytes), text);
        }
    }

    #[test]
    fn unique_names_are_dns_labels_and_differ() {
        let names = ["a", "Disk 1", "ünï", "-", "...", &"x".repeat(300), "a_b", "a-b", "a--b", "A-B"];
        let made: Vec<String> = names.iter().map(|name| unique_name(name, &["p", "", name])).collect();
        for (name, made) in names.iter().zip(&made) {
            assert!(is_label(made), "{name:?} -> {made:?}");
        }
        let mut sorted = made.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), made.len(), "{made:?}");
        // Where one part ends is part of what is hashed.
        assert_ne!(unique_name("i", &["ab", "", "c"]), unique_name("i", &["a", "", "bc"]));
        assert!(check_subdomain("f", "a..b").is_err());
        assert!(check_subdomain("f", "").is_err());
        assert!(check_subdomain("f", "a.b-c").is_ok());
        assert!(check_label("f", "a.b").is_err());
    }

    #[test]
    fn every_yaml_string_is_quoted() {
        assert_eq!(quoted("a\": b\n- c\\"), r#""a\": b\u000a- c\\""#);
        assert_eq!(quoted("\u{85}\u{2028}é"), r#""\u0085\u2028é""#);
    }
}
