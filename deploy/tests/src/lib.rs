//! What the tests of the manifests have in common: kubectl, helm, and the objects that they print.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::kube::{ApiServer, cached};

/// The directory `deploy` of this checkout.
pub fn deploy() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The names of the overlays, and the base as `base`.
///
/// # Errors
/// The directory cannot be read.
pub fn overlays() -> Result<Vec<String>> {
    let mut names = vec!["base".to_owned()];
    for entry in deploy().join("kustomize/overlays").read_dir().context("read the overlays")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names[1..].sort();
    Ok(names)
}

/// The directory of an overlay of [`overlays`].
pub fn overlay(name: &str) -> PathBuf {
    let kustomize = deploy().join("kustomize");
    if name == "base" { kustomize.join(name) } else { kustomize.join("overlays").join(name) }
}

/// The namespace that an overlay is for.
pub fn namespace(overlay: &str) -> &'static str {
    if overlay == "internal-entry" { "sparrow-internal" } else { "sparrow" }
}

/// Runs a program of the cache; its standard output. `program` is, e.g., `kubectl-1.36.3/kubectl`.
///
/// # Errors
/// It is missing, or fails; the error has what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("start {shown}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}: {said}{}", output.status, String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).with_context(|| format!("the output of {shown}"))
}

/// kubectl as the administrator of `server`. Warnings of the API server are errors.
///
/// # Errors
/// It is missing.
pub fn kubectl(server: &ApiServer) -> Result<Command> {
    let mut command = Command::new(cached("kubectl-1.36.3/kubectl", "scripts/install-from-pypi kubectl")?);
    command.arg("--kubeconfig").arg(server.admin_kubeconfig()).arg("--warnings-as-errors");
    Ok(command)
}

/// What kustomize makes of a directory, as YAML.
///
/// # Errors
/// It fails.
pub fn kustomize(directory: &Path) -> Result<String> {
    run(Command::new(cached("kubectl-1.36.3/kubectl", "scripts/install-from-pypi kubectl")?)
        .arg("kustomize")
        .arg(directory))
}

/// The releases of helm that the chart must work with.
pub const HELM_3: &str = "helm-v3.22.0/helm";
/// The newer one.
pub const HELM_4: &str = "helm-v4.3.1/helm";

/// helm with the configuration and caches in `home`, and no cluster.
///
/// # Errors
/// It is missing.
pub fn helm(release: &str, home: &Path) -> Result<Command> {
    let mut command = Command::new(cached(release, "scripts/install-kube helm3 helm4")?);
    command.env_remove("KUBECONFIG").envs([
        ("HELM_CACHE_HOME", home.join("cache")),
        ("HELM_CONFIG_HOME", home.join("config")),
        ("HELM_DATA_HOME", home.join("data")),
    ]);
    Ok(command)
}

/// The objects of YAML documents.
///
/// # Errors
/// It does not parse.
pub fn objects(yaml: &str) -> Result<Vec<Value>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(yaml).context("parse the YAML")?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// `KIND NAME` of an object.
pub fn title(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}
