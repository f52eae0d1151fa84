//! Ingresses that were written for ingress-nginx, in shapes that people have: what becomes of each, judged alone.
//!
//! `ingresses.yaml` has 473 of public repositories, with names, hosts, Secrets and addresses replaced. `findings.txt` has all that is said of
//! them; `make reference` rewrites it.

mod migrate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use testbed::reference::checked_in;

/// Of so many in a hundred nothing is lost.
const LEAST_ACCEPTED_PERCENT: usize = 96;

/// The Secret for entries of `spec.tls` that name none: ingress-nginx has such a certificate, too.
const DEFAULT_CERTIFICATE: &str = "default-certificate";

/// The Service of `--default-backend`: who has `custom-http-errors` without `default-backend` has one there (`--default-backend-service`),
/// since each of those errors is a bare 404 without. All Ingresses are judged with it, and it changes nothing for the others.
const DEFAULT_BACKEND: &str = "infra/default-backend";

const INGRESSES: &str = include_str!("ingresses.yaml");

/// All that an Ingress leads to: its Services, and Secrets for its certificates and for its annotations.
struct Surroundings {
    namespace: String,
    /// Ports by the Service's name.
    services: BTreeMap<String, BTreeSet<String>>,
    /// Hosts by the Secret's name.
    certificates: BTreeMap<String, Vec<String>>,
    /// Those that annotations name.
    secrets: BTreeSet<String>,
    /// The Service that is asked whether requests may pass: its namespace, name and port.
    auth_server: Option<(String, String, u16)>,
}

impl Surroundings {
    fn of(ingress: &Value) -> Self {
        let namespace = ingress["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let mut all = Self {
            namespace,
            services: BTreeMap::new(),
            certificates: BTreeMap::new(),
            secrets: BTreeSet::new(),
            auth_server: None,
        };
        let spec = &ingress["spec"];
        let paths = list(&spec["rules"]).iter().flat_map(|rule| list(&rule["http"]["paths"]));
        for backend in paths.map(|path| &path["backend"]).chain([&spec["defaultBackend"]]) {
            all.add_service(&backend["service"]);
        }
        let of_rules: Vec<_> = list(&spec["rules"]).iter().map(|rule| rule["host"].clone()).collect();
        for tls in list(&spec["tls"]) {
            let hosts = tls["hosts"].as_array().unwrap_or(&of_rules);
            let hosts = hosts.iter().filter_map(Value::as_str).map(str::to_owned);
            let name = tls["secretName"].as_str().unwrap_or(DEFAULT_CERTIFICATE);
            all.certificates.entry(name.to_owned()).or_default().extend(hosts);
        }
        for (name, value) in ingress["metadata"]["annotations"].as_object().into_iter().flatten() {
            let is_secret =
                ["/auth-secret", "/auth-tls-secret", "/proxy-ssl-secret"].iter().any(|end| name.ends_with(end));
            let value = value.as_str().unwrap_or_default();
            if is_secret {
                all.secrets.insert(value.rsplit('/').next().unwrap_or_default().to_owned());
            }
            if name.ends_with("/auth-url") {
                all.auth_server = named_service(value);
            }
        }
        all
    }

    fn add_service(&mut self, service: &Value) {
        let Some(name) = service["name"].as_str() else { return };
        let port = &service["port"];
        let port = port["name"].as_str().map_or_else(|| port["number"].to_string(), str::to_owned);
        self.services.entry(name.to_owned()).or_default().insert(port);
    }

    /// Their manifests.
    fn objects(&self) -> Vec<Value> {
        let service = |(name, ports): (&String, &BTreeSet<String>)| {
            let port = |(index, port): (usize, &String)| match port.parse::<u16>() {
                Ok(number) => json!({"name": format!("p{index}"), "port": number}),
                Err(_) => json!({"name": port, "port": 20_000 + index}),
            };
            let ports: Vec<_> = ports.iter().enumerate().map(port).collect();
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": self.meta(name),
                "spec": {"clusterIP": "10.96.0.10", "ports": ports},
            })
        };
        let certificate = |(name, hosts): (&String, &Vec<String>)| {
            let key = KeyPair::generate().expect("a key");
            let made =
                CertificateParams::new(hosts.clone()).and_then(|asked| asked.self_signed(&key)).expect("a certificate");
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": self.meta(name),
                "stringData": {"tls.crt": made.pem(), "tls.key": key.serialize_pem()},
            })
        };
        let secret = |name: &String| {
            let made = rcgen::generate_simple_self_signed(["authority.example".to_owned()]).expect("a certificate");
            let users = "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": self.meta(name),
                "stringData": {"auth": users, "ca.crt": made.cert.pem()},
            })
        };
        let auth_server = self.auth_server.iter().map(|(namespace, name, port)| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
                "spec": {"clusterIP": "10.96.0.11", "ports": [{"port": port}]},
            })
        });
        let services = self.services.iter().map(service).chain(auth_server);
        let named = self.secrets.iter().filter(|name| !self.certificates.contains_key(*name));
        services.chain(self.certificates.iter().map(certificate)).chain(named.map(secret)).collect()
    }

    fn meta(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.namespace})
    }
}

/// The Service of a URL whose host is a name of one in the cluster.
fn named_service(url: &str) -> Option<(String, String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    let (host, port) = host.split_once(':').unwrap_or((host, if scheme == "https" { "443" } else { "80" }));
    let (name, rest) = host.split_once('.')?;
    let namespace = rest.strip_suffix(".svc.cluster.local").or_else(|| rest.strip_suffix(".svc"))?;
    Some((namespace.to_owned(), name.to_owned(), port.parse().ok()?))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What is said of an Ingress among what it leads to: its acceptance, and a line for each finding.
fn judge(ingress: &Value, directory: &Path) -> (String, Vec<String>) {
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": "nginx", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "sparrow/entry"},
    });
    let mut ingress = ingress.clone();
    // Of whatever class it is, it is judged as one of ours.
    ingress["spec"]["ingressClassName"] = json!("nginx");
    let mut objects = Surroundings::of(&ingress).objects();
    let namespace = ingress["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
    let name = format!("Ingress {namespace}/{}", ingress["metadata"]["name"].as_str().expect("a name"));
    let (infra, default_backend) = DEFAULT_BACKEND.split_once('/').expect("two names");
    let default_backend = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": default_backend, "namespace": infra},
        "spec": {"clusterIP": "10.96.0.12", "ports": [{"port": 80}]},
    });
    objects.extend([class, ingress, default_backend]);
    let manifests = objects.iter().map(|object| format!("---\n{object}\n"));
    std::fs::write(directory.join("objects.yaml"), manifests.collect::<String>()).expect("write manifests");
    let nginx = testbed::nginx::debian();
    let mut check = Command::new(env!("CARGO_BIN_EXE_sparrow-entry"));
    check
        .env_clear()
        .args(["check", "--json", "--https", "0.0.0.0:443"])
        .arg(format!("--default-certificate={namespace}/{DEFAULT_CERTIFICATE}"))
        .arg(format!("--default-backend={DEFAULT_BACKEND}"))
        .arg("--from")
        .arg(directory)
        .arg("--nginx")
        .arg(nginx);
    let output = check.output().expect("run sparrow-entry");
    let verdicts: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    let verdict = &verdicts[&name];
    let finding = |finding: &Value| {
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        format!("{}: {}: {}", text("field"), text("reason"), text("message"))
    };
    let findings = list(&verdict["findings"]).iter().map(finding).collect();
    (verdict["outcome"].as_str().unwrap_or("no verdict").to_owned(), findings)
}

#[test]
fn ingresses_of_ingress_nginx_are_served_as_they_are() {
    let all: Vec<Value> = serde_saphyr::from_multiple(INGRESSES).expect("Ingresses");
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let directory = tempfile::tempdir().expect("a directory");
                while let Some(ingress) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = ingress["metadata"]["name"].as_str().expect("a name").to_owned();
                    let verdict = judge(ingress, directory.path());
                    judged.lock().expect("no thread has panicked").insert(name, verdict);
                }
            });
        }
    });
    let judged = judged.into_inner().expect("no thread has panicked");
    let is_unbiased = |name: &str| {
        let label = all.iter().find(|ingress| ingress["metadata"]["name"] == name);
        label.is_some_and(|ingress| ingress["metadata"]["labels"]["found"] == "unbiased")
    };
    let count = |is_counted: &dyn Fn(&str) -> bool| {
        let counted = judged.iter().filter(|(name, _)| is_counted(name));
        let accepted = counted.clone().filter(|(_, (acceptance, _))| acceptance == "Accepted").count();
        (accepted, counted.count())
    };
    let ((accepted, of), (unbiased, of_unbiased)) = (count(&|_| true), count(&is_unbiased));
    let mut text = format!(
        "{accepted} of {of} are accepted; of those that were found without a look at their annotations {unbiased} of {of_unbiased}. \
         What is said of them:\n\n"
    );
    for (name, (acceptance, findings)) in &judged {
        for finding in findings {
            writeln!(text, "{name} {acceptance}: {finding}").expect("writing to a text");
        }
    }
    checked_in("crates/entry/tests/ingress_nginx/findings.txt", &text);
    assert!(unbiased * 100 >= of_unbiased * LEAST_ACCEPTED_PERCENT, "{unbiased} of {of_unbiased}");
}
