//! Where the programs are. `scripts/install-kube` puts them there; the two agree on the places.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const KUBERNETES_MODULE: &str = include_str!("../../kube/kubernetes/go.mod");
const ETCD_MODULE: &str = include_str!("../../kube/etcd/go.mod");
const OAUTH2_MODULE: &str = include_str!("../../kube/oauth2-proxy/go.mod");

/// The programs that an API server is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
}

/// The installed programs: those in the directory `KUBEBUILDER_ASSETS` if it has both, else those that
/// `scripts/install-kube` built into `${SPARROW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sparrow}`.
///
/// # Errors
/// One is missing; the error says which, and to run `scripts/install-kube`.
pub fn available() -> Result<Programs> {
    if let Some(dir) = directory("KUBEBUILDER_ASSETS") {
        let programs = Programs { etcd: dir.join("etcd"), kube_apiserver: dir.join("kube-apiserver") };
        if programs.missing().is_none() {
            return Ok(programs);
        }
    }
    let cache = cache()?;
    let etcd = format!("etcd-{}", required(ETCD_MODULE, "go.etcd.io/etcd/server/v3")?);
    let kubernetes = format!("kube-{}", version()?);
    let programs =
        Programs { etcd: cache.join(etcd).join("etcd"), kube_apiserver: cache.join(kubernetes).join("kube-apiserver") };
    if let Some(missing) = programs.missing() {
        bail!("{} is missing: run scripts/install-kube (5 to 10 minutes, once per machine)", missing.display());
    }
    Ok(programs)
}

/// The version of Kubernetes, e.g. `v1.36.3`.
pub(crate) fn version() -> Result<&'static str> {
    required(KUBERNETES_MODULE, "k8s.io/kubernetes")
}

/// A program of Kubernetes, e.g. `kubelet`, from the same places.
pub(crate) fn kubernetes(name: &str) -> Result<PathBuf> {
    if let Some(program) = directory("KUBEBUILDER_ASSETS").map(|dir| dir.join(name))
        && program.is_file()
    {
        return Ok(program);
    }
    let program = cache()?.join(format!("kube-{}", version()?)).join(name);
    if !program.is_file() {
        bail!("{} is missing: run `scripts/install-kube {name}` (minutes, once per machine)", program.display());
    }
    Ok(program)
}

/// A program below the cache directory, e.g. `kubectl-1.36.3/kubectl`, that `script` puts there.
///
/// # Errors
/// It is not there; the error says to run `script`.
pub fn cached(program: &str, script: &str) -> Result<PathBuf> {
    let path = cache()?.join(program);
    if !path.is_file() {
        bail!("{} is missing: run {script}", path.display());
    }
    Ok(path)
}

/// `oauth2-proxy`, and the provider at which its users sign in.
///
/// # Errors
/// As [`cached`].
pub fn oauth2_programs() -> Result<[PathBuf; 2]> {
    let version = |module| required(OAUTH2_MODULE, module);
    let proxy = version("github.com/oauth2-proxy/oauth2-proxy/v7")?;
    let provider = version("github.com/oauth2-proxy/mockoidc")?;
    let program = |name: &str, version: &str| {
        cached(&format!("{name}-{version}/{name}"), "`scripts/install-kube oauth2-proxy oauth2-provider`")
    };
    Ok([program("oauth2-proxy", proxy)?, program("oauth2-provider", provider)?])
}

impl Programs {
    fn missing(&self) -> Option<&Path> {
        [&self.etcd, &self.kube_apiserver].into_iter().find(|program| !program.is_file()).map(PathBuf::as_path)
    }
}

/// An environment variable that names a directory; an empty one counts as not set, as in the shell's `${NAME:-}`.
fn directory(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Where the installation scripts keep programs.
fn cache() -> Result<PathBuf> {
    if let Some(cache) = directory("SPARROW_CACHE") {
        return Ok(cache);
    }
    let base = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")));
    Ok(base.context("none of SPARROW_CACHE, XDG_CACHE_HOME, HOME is set")?.join("sparrow"))
}

/// The version that a `go.mod` requires of a module, e.g. `v1.36.3`.
fn required<'a>(go_mod: &'a str, module: &str) -> Result<&'a str> {
    go_mod
        .lines()
        .find_map(|line| {
            let line = line.trim_start().trim_start_matches("require ");
            let (name, rest) = line.split_once(' ')?;
            let version = rest.split(' ').next()?;
            (name == module && version.starts_with('v')).then_some(version)
        })
        .with_context(|| format!("go.mod requires no {module}"))
}
