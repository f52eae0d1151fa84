//! The nginx binaries that tests run: the oldest that is supported and the newest.

use std::path::PathBuf;

/// Debian 12's nginx: `SPARROW_NGINX_DEBIAN`, else what `scripts/install-nginx` has made available.
///
/// # Panics
/// If it is not there: a test without its nginx has not passed.
pub fn debian() -> PathBuf {
    find("SPARROW_NGINX_DEBIAN", "nginx-debian")
}

/// The newest nginx: `SPARROW_NGINX_NEWEST`, else what `scripts/install-nginx` has made available.
///
/// # Panics
/// If it is not there: a test without its nginx has not passed.
pub fn newest() -> PathBuf {
    find("SPARROW_NGINX_NEWEST", "nginx-1.31.3")
}

/// The oldest nginx and the newest.
///
/// # Panics
/// As [`debian`] and [`newest`].
pub fn both() -> [PathBuf; 2] {
    [debian(), newest()]
}

fn find(variable: &str, directory: &str) -> PathBuf {
    let path = set(variable).unwrap_or_else(|| {
        let cache = set("SPARROW_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("sparrow")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/sparrow")))
            .unwrap_or_default();
        cache.join(directory).join("nginx")
    });
    assert!(path.is_file(), "{} is not there: run scripts/install-nginx, or set {variable}", path.display());
    path
}

fn set(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
