//! What the parts of a node read: their configuration files.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::json;

/// Addresses of Services.
pub const SERVICES: &str = "10.96.0.0/16";
/// The first of them is the API server's.
pub const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Addresses of all pods.
pub const PODS: &str = "10.244.0.0/16";

/// The address of a node, from a range for documentation (RFC 5737): in the cluster's own network namespaces they are nobody else's.
pub fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, 10 + number)
}

/// The addresses of a node's pods.
pub fn pods(number: u8) -> String {
    format!("10.244.{number}.0/24")
}

/// containerd's configuration, version 2. `dir` is the node's, `programs` has runc and `cni/`.
pub fn containerd(dir: &Path, programs: &Path) -> String {
    let (dir, programs) = (dir.display(), programs.display());
    format!(
        r#"version = 2
root = "{dir}/containerd"
state = "/run/containerd"
[grpc]
address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "sparrow.test/pause:1"
# Without the right to lower a process's score, asking for it fails the start of every container.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{programs}/runc"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{programs}/cni"
conf_dir = "{dir}/cni"
"#
    )
}

/// The pods' network: each has a cable of its own to its node, which routes. Unlike a bridge it needs no `br_netfilter`.
pub fn network(dir: &Path, number: u8) -> String {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": dir.join("addresses"),
                "ranges": [[{ "subnet": pods(number) }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
    .to_string()
}

/// The kubelet's configuration; JSON is YAML. `group` is the control group that all pods are below.
pub fn kubelet(dir: &Path, number: u8, group: &str, ca: &Path) -> String {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address(number),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": ca },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": group,
        "containerRuntimeEndpoint": format!("unix://{}/containerd.sock", dir.display()),
        "enforceNodeAllocatable": ["none"],
        // A machine for tests may be short of disk, and have swap.
        "evictionHard": { "memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%" },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "makeIPTablesUtilChains": false,
        "maxOpenFiles": 20000,
        "podLogsDir": dir.join("pod-logs"),
        "resolvConf": "",
        "syncFrequency": "10s",
        "volumePluginDir": dir.join("volume-plugins"),
    })
    .to_string()
}

/// kube-proxy's configuration.
pub fn proxy(kubeconfig: &Path, node: &str) -> String {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig },
        "clusterCIDR": PODS,
        // These are the machine's, not a namespace's.
        "conntrack": { "maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "detectLocalMode": "ClusterCIDR",
        "hostnameOverride": node,
        "mode": "nftables",
        "nftables": { "minSyncPeriod": "100ms", "syncPeriod": "10s" },
    })
    .to_string()
}
