//! The flags of ingress-nginx's controller, as its last release (1.15) has them, and what does the same here.

/// A flag of the controller.
#[derive(Debug, Clone, Copy)]
pub struct ControllerFlag {
    /// Its name, without dashes.
    pub name: &'static str,
    /// What does the same here.
    pub here: Here,
}

/// What does here what a flag of the controller does there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// Our flag of this name, with the same value.
    Flag(&'static str),
    /// Where the switch is on, our flag of this name with this value.
    Switch(&'static str, &'static str),
    /// Nothing has to be done: why.
    Nothing(&'static str),
    /// Somebody has to do something: what.
    ByHand(&'static str),
}

const fn flag(name: &'static str, here: &'static str) -> ControllerFlag {
    ControllerFlag { name, here: Here::Flag(here) }
}

const fn switch(name: &'static str, here: &'static str, value: &'static str) -> ControllerFlag {
    ControllerFlag { name, here: Here::Switch(here, value) }
}

const fn nothing(name: &'static str, why: &'static str) -> ControllerFlag {
    ControllerFlag { name, here: Here::Nothing(why) }
}

const fn by_hand(name: &'static str, what: &'static str) -> ControllerFlag {
    ControllerFlag { name, here: Here::ByHand(what) }
}

const CLASSES: &str = "classes are known by the controller that their IngressClass names";
const STATUS: &str =
    "addresses are written into the status of Ingresses by the holder of a lease; `--no-status` turns it off";
const METRICS: &str = "metrics are served on the admin port; the page on metrics names them";
const PORTS: &str = "the program has no such port";
const WEBHOOK: &str =
    "no webhook is needed: an object that cannot be served concerns itself only, and `check` says it before";
const HEALTH: &str = "health is served on the admin port (`--admin`), at `/healthz` and `/readyz`";

/// All of them.
pub const CONTROLLER_FLAGS: &[ControllerFlag] = &[
    by_hand(
        "annotations-prefix",
        "rename the annotations: they are read with the prefix `nginx.ingress.kubernetes.io/` only",
    ),
    nothing("apiserver-host", "the API server is that of the pod, or of `--kubeconfig`"),
    nothing("certificate-authority", "as `apiserver-host`"),
    flag("configmap", "config"),
    nothing("controller-class", CLASSES),
    flag("default-backend-service", "default-backend"),
    nothing("default-server-port", PORTS),
    flag("default-ssl-certificate", "default-certificate"),
    nothing("deep-inspect", "no text of an object reaches the configuration unquoted"),
    nothing("disable-catch-all", "a namespace may be kept from hosts that no rule names by `sparrow/hosts`"),
    nothing("disable-full-test", WEBHOOK),
    nothing("disable-leader-election", STATUS),
    nothing(
        "disable-svc-external-name",
        "Services of the type ExternalName lead to Services that agree, and to addresses that are none of the cluster, alone",
    ),
    nothing("disable-sync-events", "Events are written where something is wrong only"),
    nothing("dynamic-configuration-retries", "a configuration that is not confirmed is reported, and tried again"),
    nothing("election-id", STATUS),
    nothing("election-ttl", STATUS),
    nothing("enable-annotation-validation", "every value is read or rejected, always"),
    nothing("enable-metrics", METRICS),
    by_hand("enable-ssl-chain-completion", "put the intermediate certificates into the Secret: none are fetched"),
    switch("enable-ssl-passthrough", "tls-passthrough", "all"),
    by_hand(
        "enable-topology-aware-routing",
        "leave it to the cluster: with `--backends cluster-ip` its Services decide",
    ),
    nothing("exclude-socket-metrics", METRICS),
    nothing("health-check-path", HEALTH),
    nothing("health-check-timeout", HEALTH),
    nothing("healthz-host", HEALTH),
    nothing("healthz-port", HEALTH),
    by_hand("http-port", "name the address with `--http`"),
    by_hand("https-port", "name the address with `--https`"),
    nothing("ingress-class", CLASSES),
    by_hand("ingress-class-by-name", "make an IngressClass of this name for each class that Ingresses name"),
    nothing("internal-logger-address", PORTS),
    flag("kubeconfig", "kubeconfig"),
    nothing("length-buckets", METRICS),
    nothing("max-buckets", METRICS),
    nothing("bucket-factor", METRICS),
    by_hand("maxmind-edition-ids", "there is no look-up of countries; do without, or do it in front"),
    by_hand("maxmind-license-key", "there is no look-up of countries; do without, or do it in front"),
    by_hand("maxmind-mirror", "there is no look-up of countries; do without, or do it in front"),
    nothing("maxmind-retries-count", "there is no look-up of countries"),
    nothing("maxmind-retries-timeout", "there is no look-up of countries"),
    nothing("metrics-per-host", METRICS),
    nothing("metrics-per-undefined-host", METRICS),
    nothing("monitor-max-batch-size", METRICS),
    nothing(
        "post-shutdown-grace-period",
        "`--stop-timeout` and the pod's grace period say how long connections may go on",
    ),
    nothing("profiler-address", PORTS),
    nothing("profiler-port", PORTS),
    nothing("profiling", PORTS),
    flag("publish-service", "publish-service"),
    by_hand("publish-status-address", "name a Service with `--publish-service`, or label the Nodes that clients reach"),
    by_hand("report-node-internal-ip-address", "label the Nodes that clients reach (`--node-selector`)"),
    nothing("report-status-classes", METRICS),
    by_hand("shutdown-grace-period", "give `--drain-delay` this time"),
    nothing("size-buckets", METRICS),
    nothing("ssl-passthrough-proxy-port", PORTS),
    nothing("status-port", PORTS),
    nothing("status-update-interval", STATUS),
    nothing("stream-port", PORTS),
    nothing("sync-period", "what changes is followed at once"),
    nothing("sync-rate-limit", "changes that come together go live together"),
    flag("tcp-services-configmap", "tcp-services-configmap"),
    nothing("time-buckets", METRICS),
    flag("udp-services-configmap", "udp-services-configmap"),
    nothing("update-status", STATUS),
    nothing("update-status-on-shutdown", STATUS),
    nothing("v", "`SPARROW_ENTRY_LOG` sets the level of the log"),
    nothing("validating-webhook", WEBHOOK),
    nothing("validating-webhook-certificate", WEBHOOK),
    nothing("validating-webhook-key", WEBHOOK),
    nothing("version", "`--version`"),
    by_hand(
        "watch-ingress-without-class",
        "make the IngressClass the default one (`ingressclass.kubernetes.io/is-default-class`)",
    ),
    flag("watch-namespace", "namespace"),
    by_hand("watch-namespace-selector", "run an entry for each namespace with `--namespace`, or serve all"),
];

/// What is known of a flag.
pub fn find(name: &str) -> Option<&'static ControllerFlag> {
    CONTROLLER_FLAGS.iter().find(|flag| flag.name == name)
}

/// Our flag that does the same as a flag of the controller with this value, with its own value.
pub fn our_flag(name: &str, value: &str) -> Option<(&'static str, String)> {
    match find(name)?.here {
        Here::Flag(ours) => Some((ours, value.to_owned())),
        Here::Switch(ours, on) => (value == "true").then(|| (ours, on.to_owned())),
        Here::Nothing(_) | Here::ByHand(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_one_row() {
        let mut rows: Vec<_> = CONTROLLER_FLAGS.iter().map(|flag| flag.name).collect();
        rows.sort_unstable();
        let names: Vec<_> = include_str!("controller_flag_names.txt").lines().collect();
        assert_eq!(rows, names);
    }

    #[test]
    fn flag_of_ours_that_a_row_names_is_one() {
        let ours = crate::flags::command();
        let migrate = ours.get_subcommands().find(|command| command.get_name() == "migrate").expect("the command");
        let is_known = |name: &str| migrate.get_arguments().any(|flag| flag.get_long() == Some(name));
        for flag in CONTROLLER_FLAGS {
            if let Here::Flag(name) | Here::Switch(name, _) = flag.here {
                assert!(is_known(name), "--{name}");
            }
        }
    }
}
