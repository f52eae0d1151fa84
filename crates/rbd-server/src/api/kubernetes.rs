//! An image as a volume of Kubernetes.

mod manifest;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use rbd_model::fault::{Fault, Kind};
use rbd_model::image::Image;
use schemars::JsonSchema;
use serde::Deserialize;

use self::manifest::{Volume, dns_label, quantity};
use super::images::read_image;
use crate::call::{Call, json};
use crate::endpoint::{Answer, Endpoint};
use crate::schema;

const TAG: &str = "kubernetes";

/// The longest handle of a volume, which for a static one is the image's name
/// (<https://github.com/container-storage-interface/spec/blob/master/spec.md#size-limits>).
const HANDLE_LIMIT_BYTES: usize = 128;

/// The media type of YAML (RFC 9512).
const YAML: &str = "application/yaml";

/// The endpoints.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/persistent-volume",
            TAG,
            "getPersistentVolume",
            "Get an image as a PersistentVolume and a claim of it",
            get,
        )
        .describe(
            "For static volumes of ceph-csi, see https://github.com/ceph/ceph-csi/blob/devel/docs/static-pvc.md: what \
             `kubectl apply -f -` takes. A List in YAML, or in JSON with `Accept: application/json`. Nothing is made or \
             changed by the call, and the volume's reclaim policy is Retain: Kubernetes never deletes the image.",
        )
        .query::<Query>()
        .answers_media(StatusCode::OK, "The manifests.", YAML)
        .answers_media(StatusCode::OK, "The manifests.", "application/json"),
    ]
}

/// The file system on a volume, or that ceph-csi makes on one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FsType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// How pods see a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum VolumeMode {
    /// As a mounted file system.
    #[default]
    Filesystem,
    /// As a block device.
    Block,
}

/// Who may use a volume at once. See <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[expect(clippy::enum_variant_names, reason = "Kubernetes' words")]
enum AccessMode {
    /// One node.
    #[default]
    ReadWriteOnce,
    /// Many nodes, reading.
    ReadOnlyMany,
    /// Many nodes; only with `volumeMode=Block`, and for programs that arrange themselves.
    ReadWriteMany,
    /// One pod.
    ReadWriteOncePod,
}

/// What maps the image on a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Mounter {
    /// The kernel's own client.
    #[default]
    #[serde(rename = "rbd")]
    Rbd,
    /// librbd behind a network block device; it knows all of librbd's features.
    #[serde(rename = "rbd-nbd")]
    RbdNbd,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Query {
    /// The cluster's id in ceph-csi's configuration; often the cluster's fsid.
    #[serde(rename = "clusterID")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"))]
    cluster_id: String,
    /// The name of the Secret with `userID` and `userKey` for mapping the image.
    #[serde(default = "default_secret")]
    #[schemars(with = "schema::Subdomain")]
    secret_name: String,
    /// The Secret's namespace in Kubernetes.
    #[serde(default = "default_namespace")]
    #[schemars(with = "schema::Label")]
    secret_namespace: String,
    /// The CSI driver's name; Rook's has its operator's namespace before it.
    #[serde(default = "default_driver")]
    #[schemars(with = "schema::Driver")]
    driver: String,
    /// For an image in a namespace of its pool: that namespace once more, to say that the configuration of `clusterID`
    /// has it as its `radosNamespace`, since no manifest can say so.
    rados_namespace: Option<String>,
    /// The claim's namespace in Kubernetes.
    #[serde(default = "default_namespace")]
    #[schemars(with = "schema::Label")]
    claim_namespace: String,
    /// The claim's name; without it, made of the image's.
    #[schemars(with = "Option<schema::Subdomain>")]
    claim_name: Option<String>,
    /// The volume's name, unique in the whole Kubernetes cluster; without it, made of pool, namespace and image.
    #[schemars(with = "Option<schema::Subdomain>")]
    volume_name: Option<String>,
    /// How pods see the volume.
    #[serde(default)]
    volume_mode: VolumeMode,
    /// Who may use it at once.
    #[serde(default)]
    access_mode: AccessMode,
    /// Its file system; `ext4` without it, and only with `volumeMode=Filesystem`.
    fs_type: Option<FsType>,
    /// What maps the image on a node.
    #[serde(default)]
    mounter: Mounter,
}

fn default_secret() -> String {
    "csi-rbd-secret".into()
}

fn default_namespace() -> String {
    "default".into()
}

fn default_driver() -> String {
    "rbd.csi.ceph.com".into()
}

impl Query {
    fn check(&self, namespace: &str) -> Result<(), Fault> {
        if self.cluster_id.is_empty()
            || self.cluster_id.chars().count() > 253
            || self.cluster_id.chars().any(char::is_control)
        {
            return Err(Fault::field(
                "clusterID",
                "is not an id of ceph-csi's configuration",
                "1 to 253 characters, no control characters: the clusterID of an entry of ceph-csi's config.json",
            ));
        }
        manifest::check_subdomain("secretName", &self.secret_name)?;
        manifest::check_label("secretNamespace", &self.secret_namespace)?;
        manifest::check_label("claimNamespace", &self.claim_namespace)?;
        manifest::check_driver("driver", &self.driver)?;
        for (field, name) in [("claimName", &self.claim_name), ("volumeName", &self.volume_name)] {
            if let Some(name) = name {
                manifest::check_subdomain(field, name)?;
            }
        }
        if self.access_mode == AccessMode::ReadWriteMany && self.volume_mode == VolumeMode::Filesystem {
            return Err(Fault::field_conflict(
                "accessMode",
                "is ReadWriteMany for a file system, which several nodes would destroy",
                "ReadWriteMany only with volumeMode=Block",
            ));
        }
        if self.fs_type.is_some() && self.volume_mode == VolumeMode::Block {
            return Err(Fault::field_conflict(
                "fsType",
                "is given for a block device",
                "it only with volumeMode=Filesystem",
            ));
        }
        if self.rados_namespace.as_deref().unwrap_or("") != namespace {
            let (wrong, allowed) = if namespace.is_empty() {
                ("is given for an image that is in none", "it only for an image in a namespace".to_owned())
            } else {
                (
                    "is not the image's namespace",
                    format!(
                        "radosNamespace={namespace}, once the entry of clusterID {:?} in ceph-csi's config.json has \
                         \"rbd\": {{\"radosNamespace\": {namespace:?}}}; a manifest cannot name it, and without it \
                         ceph-csi looks in the default namespace",
                        self.cluster_id
                    ),
                )
            };
            return Err(Fault::field_conflict("radosNamespace", wrong, allowed));
        }
        Ok(())
    }

    /// The volume that an image makes.
    fn volume(&self, image: &Image) -> Result<Volume, Fault> {
        let refuse = |detail: String| Fault::new(Kind::Conflict, detail);
        image.whole()?;
        let Some(size_bytes) = image.size_bytes.filter(|size| *size > 0) else {
            return Err(refuse(format!("Image {:?} has no size, and Kubernetes takes no volume of none.", image.name))
                .correction("Resize it first."));
        };
        // ceph-csi makes a path of the volume handle, which is the image's name.
        if image.name.chars().any(|c| matches!(c, '/' | '@') || c.is_control())
            || matches!(image.name.as_str(), "." | "..")
        {
            return Err(refuse(format!("The name {:?} cannot be ceph-csi's handle of a volume.", image.name))
                .correction("Rename the image first."));
        }
        if image.name.len() > HANDLE_LIMIT_BYTES {
            return Err(refuse(format!(
                "The name of image {:?} has {} bytes, and the handle of a volume at most {HANDLE_LIMIT_BYTES}.",
                image.name,
                image.name.len()
            ))
            .correction("Rename the image first."));
        }
        let journaling = image.features.contains(&"journaling");
        if journaling && self.mounter == Mounter::Rbd {
            return Err(refuse(format!(
                "Image {:?} is journaled, which the kernel's client does not know.",
                image.name
            ))
            .correction("Ask with mounter=rbd-nbd, or disable the feature journaling."));
        }
        let unique = [image.pool.as_str(), &image.namespace, &image.name];
        Ok(Volume {
            name: self.volume_name.clone().unwrap_or_else(|| manifest::unique_name(&image.name, &unique)),
            claim: self.claim_name.clone().unwrap_or_else(|| {
                dns_label(&image.name).unwrap_or_else(|| manifest::unique_name(&image.name, &unique))
            }),
            claim_namespace: self.claim_namespace.clone(),
            driver: self.driver.clone(),
            cluster_id: self.cluster_id.clone(),
            pool: image.pool.clone(),
            rados_namespace: image.namespace.clone(),
            image: image.name.clone(),
            // Which features an image has is read from it when it is mapped. This attribute is only checked, against
            // lists that differ by release; these two values are in all of them.
            image_features: if journaling { "layering,exclusive-lock,journaling" } else { "layering" },
            mounter: (self.mounter == Mounter::RbdNbd).then_some("rbd-nbd"),
            capacity: quantity(size_bytes),
            mode: match self.volume_mode {
                VolumeMode::Filesystem => "Filesystem",
                VolumeMode::Block => "Block",
            },
            access_mode: match self.access_mode {
                AccessMode::ReadWriteOnce => "ReadWriteOnce",
                AccessMode::ReadOnlyMany => "ReadOnlyMany",
                AccessMode::ReadWriteMany => "ReadWriteMany",
                AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
            },
            fs_type: match (self.volume_mode, self.fs_type) {
                (VolumeMode::Block, _) => None,
                (VolumeMode::Filesystem, Some(FsType::Xfs)) => Some("xfs"),
                (VolumeMode::Filesystem, _) => Some("ext4"),
            },
            secret_name: self.secret_name.clone(),
            secret_namespace: self.secret_namespace.clone(),
        })
    }
}

async fn get(call: Call) -> Answer {
    let query: Query = call.query()?;
    let (place, name, deadline) = (call.place(), call.param("image").to_owned(), call.deadline);
    query.check(&place.namespace)?;
    let image = call
        .in_lane(&format!("pool {}", place.pool), move |connection| {
            read_image(connection, &connection.context(&place.pool, &place.namespace)?, &name, deadline)
        })
        .await?;
    let volume = query.volume(&image)?;
    if prefers_json(&call) {
        return json(StatusCode::OK, &volume.list());
    }
    let mut response = Response::new(Body::from(volume.yaml()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(YAML));
    Ok(response)
}

/// Whether `Accept` names JSON and no YAML before it. What weighs more than the order (`q`) is not looked at.
fn prefers_json(call: &Call) -> bool {
    let accept = call.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    let types = accept.split(',').map(|part| part.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    let known = |name: &String| name == "application/json" || name.contains("yaml");
    types.into_iter().find(known).is_some_and(|name| name == "application/json")
}
