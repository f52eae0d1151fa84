//! Compiles the C files of `shim/` against nginx's headers. They are those of one version of nginx, and the module is for it alone.

use std::env;
use std::path::{Path, PathBuf};

/// Where nginx's headers are, below `SPARROW_NGINX_HEADERS`: its sources, and what its `configure` has found out.
const INCLUDES: &[&str] = &[
    "objs",
    "src/core",
    "src/event",
    "src/event/modules",
    "src/event/quic",
    "src/os/unix",
    "src/http",
    "src/http/modules",
    "src/http/v2",
    "src/http/v3",
];

fn main() {
    for variable in ["SPARROW_NGINX_HEADERS", "SPARROW_CACHE", "XDG_CACHE_HOME", "HOME"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=shim");
    let headers = headers();
    let objs = headers.join("objs/ngx_auto_config.h");
    println!("cargo::rerun-if-changed={}", objs.display());
    if !objs.is_file() {
        println!(
            "cargo::error=nginx's headers are not there ({}): run scripts/install-nginx headers, or set \
             SPARROW_NGINX_HEADERS to the directory of an nginx whose configure has run",
            objs.display()
        );
        return;
    }
    cc::Build::new()
        .files(
            [
                "certificates",
                "client",
                "connections",
                "context",
                "counts",
                "module",
                "passwords",
                "request_id",
                "route",
                "sessions",
                "upstream",
                "variables",
            ]
            .map(|name| Path::new("shim").join(name).with_extension("c")),
        )
        .includes(INCLUDES.iter().map(|directory| headers.join(directory)))
        .define("SPARROW_VERSION", &*format!("\"{}\"", env::var("CARGO_PKG_VERSION").unwrap_or_default()))
        // The arguments of nginx's callbacks are what they are.
        .flag("-Wno-unused-parameter")
        .compile("sparrow_shim");
}

/// `SPARROW_NGINX_HEADERS`, else what `scripts/install-nginx headers` has made available.
fn headers() -> PathBuf {
    let set = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("SPARROW_NGINX_HEADERS").unwrap_or_else(|| {
        let cache = set("SPARROW_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("sparrow")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/sparrow")));
        cache.unwrap_or_default().join("nginx-debian-headers")
    })
}
