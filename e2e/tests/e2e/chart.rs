//! The chart, in the place of the base: installed, changed, and removed.

use deploy_tests::{HELM_3, deploy, helm, kustomize, objects, overlay, run};
use e2e::{NAMESPACE, NODE_PORT, POOLS, Site, pool_names, site, wait};
use serde_json::json;

const PATH: &str = "/volume/api/v1/pools/";

#[test]
fn is_installed_upgraded_and_uninstalled() {
    let site = site();
    let site = site.as_ref().unwrap();
    let token = site.token("chart", "sparrow-rbd-viewer").unwrap();
    // All of the base but the namespace, in which the Secret with the keyring is.
    let mut base = objects(&kustomize(&overlay("base")).unwrap()).unwrap();
    base.retain(|object| object["kind"] != "Namespace");
    let file = site.cluster.dir().join("base.json");
    std::fs::write(&file, json!({ "apiVersion": "v1", "kind": "List", "items": base }).to_string()).unwrap();
    site.kubectl(&["delete", "--filename", &file.display().to_string()]).unwrap();
    wait("the pods of the base to end", || Ok(pods(site) == 0)).unwrap();

    let chart = deploy().join("helm/sparrow").display().to_string();
    let helm = |arguments: &[&str]| {
        let mut command = helm(HELM_3, &site.cluster.dir().join("helm")).unwrap();
        command.args(arguments).args(["--namespace", NAMESPACE, "--kubeconfig"]);
        run(command.arg(site.cluster.api_server().admin_kubeconfig())).unwrap_or_else(|error| panic!("{error:#}"))
    };
    helm(&["install", "sparrow", &chart]);
    site.wait_rollouts().unwrap();
    let answers = || {
        let answer = site.client(NODE_PORT).with_token(&token).get(PATH)?;
        Ok(answer.status == 200 && pool_names(&answer.json())?.len() == POOLS.len())
    };
    wait("pools through what the chart installed", answers).unwrap();

    // Both Deployments are rolled.
    let before = names(site);
    helm(&[
        "upgrade",
        "sparrow",
        &chart,
        "--set",
        "entry.settings.SPARROW_ENTRY_READ_TIMEOUT=61s",
        "--set",
        "storage.settings.SPARROW_RBD_DEADLINE=29s",
    ]);
    site.wait_rollouts().unwrap();
    assert!(names(site).iter().all(|name| !before.contains(name)), "{before:?}");
    wait("pools after the upgrade", answers).unwrap();

    helm(&["uninstall", "sparrow", "--wait"]);
    wait("the pods of the chart to end", || Ok(pods(site) == 0)).unwrap();
    assert!(site.client(NODE_PORT).get(PATH).is_err(), "nothing listens any more");
    site.restore().unwrap();
    wait("the base", answers).unwrap();
}

/// The names of the pods of both.
fn names(site: &Site) -> Vec<String> {
    let pods = ["rbd-rest-api", "nginx-kit"].map(|deployment| site.pods(deployment).unwrap()).concat();
    pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn pods(site: &Site) -> usize {
    names(site).len()
}
