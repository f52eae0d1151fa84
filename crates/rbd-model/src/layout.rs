//! How a new image is to be laid out.

/// What a request asks for. What is `None` is the cluster's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of features, exactly these.
    pub features: Option<Vec<String>>,
    /// Size of the objects, in bytes.
    pub object_size_bytes: Option<u64>,
    /// Striping unit, in bytes.
    pub stripe_unit_bytes: Option<u64>,
    /// Objects a stripe goes over.
    pub stripe_count: Option<u64>,
    /// The pool of the data objects.
    pub data_pool: Option<String>,
}
