//! An image's bytes: export, import, differences.
