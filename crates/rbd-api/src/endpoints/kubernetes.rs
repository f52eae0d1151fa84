//! An image as a volume of Kubernetes.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::{Either, Media};
use crate::endpoint::Endpoint;
use crate::input::NoBody;
use crate::media::{AnyJson, Yaml};
use crate::path::ImagePath;
use crate::schema;

const TAG: &str = "kubernetes";

endpoints! {
    /// Get an image as a `PersistentVolume` and a claim of it.
    GET_PERSISTENT_VOLUME: Endpoint<ImagePath, VolumeQuery, NoBody, Either<Media<Yaml>, Media<AnyJson>>> =
        Endpoint::new(
            Method::GET,
            "{scope}/images/{image}/persistent-volume",
            TAG,
            "getPersistentVolume",
            "Get an image as a PersistentVolume and a claim of it",
        )
            .describe(
                "For static volumes of ceph-csi, see https://github.com/ceph/ceph-csi/blob/devel/docs/static-pvc.md: \
                 what `kubectl apply -f -` takes. A List in YAML, or in JSON with `Accept: application/json`. \
                 Nothing is made or changed by the call, and the volume's reclaim policy is Retain: Kubernetes never \
                 deletes the image.",
            )
            .answers(&["The manifests.", "The manifests."]);
}

/// The file system on a volume, or that ceph-csi makes on one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// How pods see a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum VolumeMode {
    /// As a mounted file system.
    #[default]
    Filesystem,
    /// As a block device.
    Block,
}

/// Who may use a volume at once. See <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum AccessMode {
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
pub enum Mounter {
    /// The kernel's own client.
    #[default]
    #[serde(rename = "rbd")]
    Rbd,
    /// librbd behind a network block device; it knows all of librbd's features.
    #[serde(rename = "rbd-nbd")]
    RbdNbd,
}

/// The volume to be described.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VolumeQuery {
    /// The cluster's id in ceph-csi's configuration; often the cluster's fsid.
    #[serde(rename = "clusterID")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"))]
    pub cluster_id: String,
    /// The name of the Secret with `userID` and `userKey` for mapping the image.
    #[serde(default = "default_secret")]
    #[schemars(with = "schema::Subdomain")]
    pub secret_name: String,
    /// The Secret's namespace in Kubernetes.
    #[serde(default = "default_namespace")]
    #[schemars(with = "schema::Label")]
    pub secret_namespace: String,
    /// The CSI driver's name; Rook's has its operator's namespace before it.
    #[serde(default = "default_driver")]
    #[schemars(with = "schema::Driver")]
    pub driver: String,
    /// For an image in a namespace of its pool: that namespace once more, to say that the configuration of `clusterID`
    /// has it as its `radosNamespace`, since no manifest can say so.
    pub rados_namespace: Option<String>,
    /// The claim's namespace in Kubernetes.
    #[serde(default = "default_namespace")]
    #[schemars(with = "schema::Label")]
    pub claim_namespace: String,
    /// The claim's name; without it, made of the image's.
    #[schemars(with = "Option<schema::Subdomain>")]
    pub claim_name: Option<String>,
    /// The volume's name, unique in the whole Kubernetes cluster; without it, made of pool, namespace and image.
    #[schemars(with = "Option<schema::Subdomain>")]
    pub volume_name: Option<String>,
    /// How pods see the volume.
    #[serde(default)]
    pub volume_mode: VolumeMode,
    /// Who may use it at once.
    #[serde(default)]
    pub access_mode: AccessMode,
    /// Its file system; `ext4` without it, and only with `volumeMode=Filesystem`.
    pub fs_type: Option<FsType>,
    /// What maps the image on a node.
    #[serde(default)]
    pub mounter: Mounter,
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
