//! A directory of manifests, on a real file system.

#![allow(clippy::unwrap_used, reason = "these are tests, also where clippy sees only their helpers")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use entry_kube::DirectorySource;
use entry_model::{EndpointState, IpFamily, Key, Kind, Meta, ObjectRef, PathType, PortRef, ServiceKind, Snapshot};
use tempfile::TempDir;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: 127.0.0.1\n  ports: [{{port: 80}}]\n"
    )
}

fn ingress(name: &str, path_type: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  rules:\n  - http:\n      paths:\n      - path: /\n        {path_type}\n        backend: {{service: {{name: a, port: {{number: 80}}}}}}\n"
    )
}

fn key(name: &str) -> Key {
    Key { namespace: "default".into(), name: name.into() }
}

fn manifest(name: &str) -> ObjectRef {
    ObjectRef::new(Kind::Manifest, Key { namespace: String::new(), name: name.into() })
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn read(files: &[(&str, &str)]) -> Snapshot {
    DirectorySource::read(directory(files).path()).unwrap()
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.services.keys().map(|key| key.name.as_str()).collect()
}

#[track_caller]
fn unreadable(snapshot: &Snapshot, part: &str) {
    assert_eq!(snapshot.unreadable.len(), 1, "{:?}", snapshot.unreadable);
    let (object, message) = snapshot.unreadable.first_key_value().unwrap();
    let line = format!("{object}: {message}");
    assert!(line.contains(part), "{line}");
    assert!(!line.contains('\n') && line.len() < 2500, "{line}");
}

#[test]
fn manifests_of_every_kind_are_read() {
    let text = r#"
# A comment alone
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop, labels: {sparrow/expose: "true"}, annotations: {sparrow/path: /x, other: "y"}}, spec: {clusterIPs: ["10.0.0.1", "fd00::1"], ports: [{name: web, port: 80, appProtocol: kubernetes.io/h2c}]}}
- {apiVersion: v1, kind: Service, metadata: {name: b}, spec: {clusterIP: None, ports: [{port: 53, protocol: UDP}]}}
- {apiVersion: v1, kind: Service, metadata: {name: c}, spec: {type: ExternalName, externalName: example.com}}
--- {apiVersion: v1, kind: Pod, metadata: {name: "Not looked at"}}
--- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {keep-alive: "75", lines: "a\nb"}, binaryData: {c: YQ==}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  creationTimestamp: "1970-01-01T00:01:00Z"
  annotations: {kubernetes.io/ingress.class: old, nginx.ingress.kubernetes.io/x: "y"}
spec:
  defaultBackend: {resource: {kind: Bucket, name: b}}
  tls: [{hosts: [a.example], secretName: cert}]
  rules:
  - host: a.example
    http: {paths: [{path: /a, pathType: Exact, backend: {service: {name: a, port: {name: web}}}}]}
...
---
{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "cert"}, "data": {"tls.crt": "YQ=="}, "stringData": {"tls.key": "b"}}
---
apiVersion: v1
kind: Secret
metadata: {name: other}
stringData: {tls.key: b}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: sparrow, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}
spec: {controller: sparrow/entry}
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {role: entry}}
status:
  addresses: [{type: InternalIP, address: 10.0.0.9}, {type: Hostname, address: n1}, {type: ExternalIP, address: 192.0.2.9}]
  conditions: [{type: Ready, status: "True"}]
"#;
    let snapshot = read(&[("all.yaml", text), ("README.md", "{"), (".hidden.yaml", "{")]);
    assert_eq!(snapshot.unreadable.len(), 0, "{:?}", snapshot.unreadable);
    let shop = &snapshot.services[&Key { namespace: "shop".into(), name: "a".into() }];
    assert_eq!(shop.cluster_ips, ["10.0.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
    assert_eq!(shop.meta.annotations.keys().collect::<Vec<_>>(), ["other", "sparrow/path"]);
    assert_eq!(shop.meta.labels["sparrow/expose"], "true");
    assert_eq!(shop.ports[0].app_protocol.as_deref(), Some("kubernetes.io/h2c"));
    assert_eq!(snapshot.services[&key("b")].kind, ServiceKind::Headless);
    assert_eq!(snapshot.services[&key("b")].ports[0].protocol, "UDP");
    assert_eq!(snapshot.services[&key("c")].kind, ServiceKind::ExternalName("example.com".into()));
    let web = &snapshot.ingresses[&key("web")];
    assert_eq!((web.meta.created, web.class.as_deref()), (60, Some("old")));
    assert_eq!(web.rules[0].paths[0].path_type, PathType::Exact);
    assert!(format!("{:?}", web.rules[0].paths[0].backend).contains(&format!("{:?}", PortRef::Name("web".into()))));
    assert_eq!(web.tls[0].secret.as_deref(), Some("cert"));
    // Of any type, since annotations may name it.
    assert_eq!(snapshot.secrets.keys().map(|key| &*key.name).collect::<Vec<_>>(), ["cert", "other"]);
    let secret = &snapshot.secrets[&key("cert")];
    assert_eq!((secret.certificate.as_slice(), secret.key.as_slice()), (&b"a"[..], &b"b"[..]));
    let settings = &snapshot.config_maps[&key("settings")];
    assert_eq!(
        settings.data.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>(),
        [("keep-alive", "75"), ("lines", "a\nb")]
    );
    let class = snapshot.classes.values().next().unwrap();
    assert_eq!((class.controller.as_str(), class.default, class.meta.namespace.as_str()), ("sparrow/entry", true, ""));
    let node = snapshot.nodes.values().next().unwrap();
    assert_eq!((node.external.len(), node.internal.len(), node.ready), (1, 1, true));
}

/// An `EndpointSlice` of the Service `web`.
fn slice(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: \
         {{kubernetes.io/service-name: web}}, annotations: {{a: b}}, generation: 7}}\n{rest}\n---\n"
    )
}

#[test]
fn slice_keeps_the_endpoints_that_may_get_requests() {
    let conditions = "addressType: IPv4
endpoints:
  - {addresses: [10.1.0.1]}
  - {addresses: [10.1.0.2, 10.1.0.99], conditions: {ready: true}}
  - {addresses: [10.1.0.3], conditions: {ready: false, serving: true, terminating: true}}
  - {addresses: [10.1.0.4], conditions: {ready: false, terminating: true}}
  - {addresses: [10.1.0.5], conditions: {ready: false, serving: true}}
  - {addresses: [10.1.0.6], conditions: {ready: false, serving: false, terminating: true}}
  - {addresses: [10.1.0.7], conditions: {ready: true, serving: true, terminating: true}}
ports:
  - {name: http, port: 8080}
  - {name: dns, port: 53, protocol: UDP}
  - {name: any}
  - {port: 9090, protocol: TCP}";
    let names = "addressType: FQDN\nendpoints: [{addresses: [a.example]}]";
    let v6 = "addressType: IPv6\nendpoints: [{addresses: ['fd01::1']}]\nports: [{port: 80}]";
    let nobodys = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: d}\naddressType: IPv4\n";
    let text = [slice("a", conditions), slice("b", names), slice("c", v6), nobodys.to_owned()].concat();
    let snapshot = read(&[("all.yaml", &text)]);
    assert_eq!(snapshot.unreadable.len(), 0, "{:?}", snapshot.unreadable);
    let slices: Vec<_> = snapshot.endpoint_slices.keys().map(|key| key.name.as_str()).collect();
    assert_eq!(slices, ["a", "c"], "names are not followed, nor is what belongs to no Service");
    let a = &snapshot.endpoint_slices[&key("a")];
    let meta = Meta { namespace: "default".to_owned(), name: "a".to_owned(), ..Meta::default() };
    assert_eq!((&a.meta, a.service.as_str()), (&meta, "web"), "nothing is kept that changes without need");
    let endpoints: Vec<_> = a.endpoints.iter().map(|of| (of.address.to_string(), of.state)).collect();
    let expected = [
        ("10.1.0.1", EndpointState::Ready),
        ("10.1.0.2", EndpointState::Ready),
        ("10.1.0.3", EndpointState::Draining),
        ("10.1.0.4", EndpointState::Draining),
        ("10.1.0.7", EndpointState::Ready),
    ];
    assert_eq!(endpoints, expected.map(|(address, state)| (address.to_owned(), state)));
    let ports: Vec<_> = a.ports.iter().map(|port| (port.name.as_str(), port.port)).collect();
    assert_eq!(ports, [("http", 8080), ("", 9090)]);
}

#[test]
fn slice_that_no_api_server_takes_is_reported() {
    for (rest, expected) in [
        ("addressType: DNS", "addressType: `DNS` is not known"),
        ("addressType: IPv4\nendpoints: [{addresses: [x]}]", "endpoints[0].addresses[0]: `x` is no IPv4 address"),
        ("addressType: IPv4\nendpoints: [{addresses: ['fd01::1']}]", "`fd01::1` is no IPv4 address"),
        ("addressType: IPv4\nendpoints: [{addresses: [0.0.0.0]}]", "`0.0.0.0` is no IPv4 address of an endpoint"),
        ("addressType: IPv4\nendpoints: [{addresses: []}]", "endpoints[0].addresses[0]: it is missing"),
        ("addressType: IPv4\nports: [{port: 70000}]", "ports[0].port: 70000 is no port"),
    ] {
        let snapshot = read(&[("all.yaml", &slice("a", rest))]);
        let told: Vec<_> = snapshot.unreadable.values().collect();
        assert!(told.len() == 1 && told[0].contains(expected), "{rest}: {told:?}");
        assert!(snapshot.endpoint_slices.is_empty());
    }
}

#[test]
fn service_has_the_family_of_its_first_address() {
    let service = |name: &str, spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n")
    };
    let text = [
        service("a", "{clusterIPs: ['fd00::1', 10.0.0.1], clusterIP: 'fd00::1', ipFamilies: [IPv6, IPv4]}"),
        service("b", "{clusterIP: None, ipFamilies: [IPv6]}"),
        service("c", "{clusterIP: None}"),
    ]
    .concat();
    let snapshot = read(&[("all.yaml", &text)]);
    let families = ["a", "b", "c"].map(|name| snapshot.services[&key(name)].family);
    assert_eq!(families, [IpFamily::V6, IpFamily::V6, IpFamily::V4]);
}

#[test]
fn broken_document_does_not_affect_others() {
    let text = format!("{}---\na: [\n---\n{}", service("a"), service("b"));
    let snapshot = read(&[("x.yaml", &text)]);
    assert_eq!(names(&snapshot), ["a", "b"]);
    unreadable(&snapshot, "Manifest x.yaml:");
    let line: usize = snapshot.unreadable.keys().next().unwrap().key.name.rsplit(':').next().unwrap().parse().unwrap();
    assert!((7..=9).contains(&line), "{line}");
}

#[test]
fn file_extension_is_case_insensitive() {
    let json = |name: &str| format!(r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "{name}"}}}}"#);
    let snapshot = read(&[
        ("a.YAML", &service("a")),
        ("b.Yml", &service("b")),
        ("c.JSON", &(json("c") + &json("d"))),
        ("e.yaml.bak", &service("e")),
        ("YAML", &service("f")),
    ]);
    let names: Vec<_> = snapshot.services.keys().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"], "{:?}", snapshot.unreadable);
    assert!(snapshot.unreadable.is_empty(), "{:?}", snapshot.unreadable);
}

#[test]
fn unreadable_manifest_names_file_and_line() {
    let cases: &[(&str, &str)] = &[
        ("a: 1", "apiVersion or kind is missing"),
        ("- a", "apiVersion or kind is missing"),
        ("{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: a}}", "networking.k8s.io/v1 only"),
        ("{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}", "Ingress default/a: x.yaml:1: "),
        ("{apiVersion: v2, kind: Service, metadata: {name: a}}", "Service default/a: x.yaml:1: "),
        ("{apiVersion: v1, kind: Service}", "metadata is missing"),
        ("{apiVersion: v1, kind: Service, metadata: {}}", "metadata.name"),
        ("{apiVersion: v1, kind: Service, metadata: {name: \"a\\nb\"}}", "metadata.name"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a, namespace: ../b}}", "metadata.namespace"),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 0}]}}",
            "spec.ports[0].port: 0 is",
        ),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: a}]}}", "spec.ports[0].port"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 99999}]}}", "99999"),
        ("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: here}}", "`here` is no IP address"),
        ("{apiVersion: v1, kind: List, items: 1}", "items is not a list"),
        ("{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: []}]}", "a list within a list"),
        ("{apiVersion: v1, kind: Service, kind: Service, metadata: {name: a}}", "a key is there twice"),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 1}, {port: 2, prot: UDP}]}}",
            "spec.ports[1].prot: there is no such field",
        ),
        ("{apiVersion: v1, kind: Service, metadata: {name: a, label: {}}}", "metadata.label: there is"),
    ];
    for (text, part) in cases {
        let snapshot = read(&[("x.yaml", text)]);
        assert!(snapshot.services.is_empty() && snapshot.ingresses.is_empty(), "{text}");
        unreadable(&snapshot, part);
    }
    unreadable(
        &read(&[("x.yaml", &ingress("a", ""))]),
        "Ingress default/a: x.yaml:1: spec.rules[0].http.paths[0].pathType",
    );
    // A type that does not exist is the routes' matter.
    let snapshot = read(&[("x.yaml", &ingress("a", "pathType: Regex"))]);
    assert_eq!(snapshot.ingresses[&key("a")].rules[0].paths[0].path_type, PathType::Unknown("Regex".into()));
    // Others of the same name are not ours.
    let foreign = "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}}";
    assert_eq!(read(&[("x.yaml", foreign)]), Snapshot::default());
}

#[test]
fn json_manifests_are_read() {
    let text = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"a\", \"annotations\": {\"sparrow/x\": \"\\ud83d\\udc26\"}}\n}\n";
    let snapshot = read(&[("x.json", text)]);
    assert_eq!(snapshot.unreadable.len(), 0, "{:?}", snapshot.unreadable);
    assert_eq!(snapshot.services[&key("a")].meta.annotations["sparrow/x"], "🐦");
    // As a stream, the end of which is broken.
    let snapshot = read(&[("x.json", &format!("{text}{}{{\n1", text.replace("\"a\"", "\"b\"")))]);
    assert_eq!(names(&snapshot), ["a", "b"]);
    unreadable(&snapshot, "Manifest x.json:10: ");
    unreadable(&read(&[("x.json", &"[".repeat(1_000_000))]), "Manifest x.json:1: recursion limit");
}

#[test]
fn byte_order_mark_and_crlf_are_accepted() {
    let text = format!("\u{feff}{}---\n{}", service("a"), service("b")).replace('\n', "\r\n");
    let json = "\u{feff}{\"apiVersion\": \"v1\",\r\n\"kind\": \"Service\", \"metadata\": {\"name\": \"c\"}}";
    let snapshot = read(&[("x.yaml", &text), ("y.json", json)]);
    assert_eq!(names(&snapshot), ["a", "b", "c"], "{:?}", snapshot.unreadable);
    assert_eq!(snapshot.unreadable.len(), 0);
}

/// What is read of a cluster can be given to a directory.
#[test]
fn output_of_kubectl_get_is_read() {
    let text = r#"
apiVersion: v1
kind: Service
metadata:
  creationTimestamp: "2026-01-02T03:04:05Z"
  managedFields: [{manager: kubectl, operation: Apply, apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}]
  name: a
  namespace: default
  resourceVersion: "12"
  uid: 6d6c3a1e-5d9e-4f7f-9a8e-000000000000
  labels: null
spec:
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1]
  internalTrafficPolicy: Cluster
  ipFamilies: [IPv4]
  ipFamilyPolicy: SingleStack
  ports: [{name: http, nodePort: 30080, port: 80, protocol: TCP, targetPort: web}]
  selector: {app: a}
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}
  type: NodePort
status:
  loadBalancer: {}
  fromTheFuture: 1
"#;
    let snapshot = read(&[("x.yaml", text)]);
    assert_eq!(snapshot.unreadable.len(), 0, "{:?}", snapshot.unreadable);
    assert_eq!(snapshot.services[&key("a")].meta.created, 1_767_323_045);
}

#[test]
fn message_about_a_secret_quotes_nothing_of_it() {
    for text in [
        "{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: a}, data: {tls.key: hidden!}}",
        "{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: a}, stringData: hidden}",
        "apiVersion: v1\nkind: Secret\nstringData:\n  tls.key: |\n    hidden\n   hidden: [\n  hidden",
        "apiVersion: v1\nkind: Secret\nstringData: {tls.key: \"hidden\nmetadata: hidden",
    ] {
        let snapshot = read(&[("x.yaml", text)]);
        assert_eq!(snapshot.unreadable.len(), 1, "{text}");
        assert!(!format!("{snapshot:?}").contains("hidden"), "{snapshot:?}");
    }
}

/// What `kubectl kustomize` writes for a generated Secret, and what editors make of it.
#[test]
fn base64_of_a_secret_may_have_line_breaks() {
    let head = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: cert}\n";
    let secret = |data: &str| {
        let snapshot = read(&[("x.yaml", &format!("{head}{data}"))]);
        let found = snapshot.secrets.get(&key("cert"));
        let secret = found.unwrap_or_else(|| panic!("{data}: {:?}", snapshot.unreadable));
        (secret.certificate.clone(), secret.key.clone())
    };
    let expected = (b"certificate".to_vec(), b"private key".to_vec());
    for data in [
        "data:\n  tls.crt: |\n    Y2Vy\n    dGlmaWNhdGU=\n  tls.key: |\n    cHJpdmF0\n    ZSBrZXk=\n",
        "data:\r\n  tls.crt: |\r\n    Y2Vy\r\n    dGlmaWNhdGU=\r\n  tls.key: |-\r\n    cHJpdmF0\r\n    ZSBrZXk=\r\n",
        "data:\n  tls.crt: >-\n    Y2Vy\n    dGlmaWNhdGU=\n  tls.key: >\n    cHJpdmF0\n    ZSBrZXk=\n",
        "data:\n  tls.crt: \"Y2Vy\\n  dGlmaWNhdGU=\\r\\n\"\n  tls.key: ' cHJpdmF0 ZSBrZXk= '\n",
        "data:\n  tls.crt: Y2Vy\n    dGlmaWNhdGU=\n  tls.key: \"cHJpdmF0\\tZSBrZXk=\"\n",
        "data: {tls.crt: Y2VydGlmaWNhdGU=, tls.key: b2xk}\nstringData: {tls.key: private key}\n",
    ] {
        assert_eq!(secret(data), expected, "{data}");
    }
    for data in ["data: {tls.key: 'a!b='}", "data: {tls.key: abc}"] {
        unreadable(&read(&[("x.yaml", &format!("{head}{data}"))]), "data.tls.key: it cannot be read");
    }
}

#[test]
fn first_file_wins_when_an_object_is_in_two() {
    let snapshot = read(&[("b.yaml", &service("a").replace("80", "81")), ("a.yaml", &service("a"))]);
    assert_eq!(snapshot.services[&key("a")].ports[0].port, 80);
    unreadable(&snapshot, "Manifest b.yaml:1: Service default/a: Service default/a is already in a.yaml:1");
}

#[test]
fn hostile_yaml_is_rejected_quickly() {
    use std::fmt::Write as _;
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let deep_block: String = (0..3000).map(|depth| format!("{}a:\n", " ".repeat(depth % 300))).collect();
    let indented: String = (0..600).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let texts = [
        bomb,
        "[".repeat(500_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        deep_block,
        indented,
        "a: b\n".repeat(200_000),
        "&a ".repeat(100_000),
        "!".repeat(500_000),
        "[a,".to_owned() + &"1,".repeat(400_000) + "]",
        "\u{0}\u{1}\u{feff}".to_owned(),
        "a: \"\\ud800\"".to_owned(),
        "x".repeat(2 << 20),
    ];
    for text in texts {
        let begun = std::time::Instant::now();
        let snapshot = read(&[("a.yaml", &service("a")), ("x.yaml", &text)]);
        assert_eq!(names(&snapshot), ["a"]);
        unreadable(&snapshot, "Manifest x.yaml");
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", text.get(..20));
    }
    // Thousands of documents.
    let snapshot = read(&[("a.yaml", &service("a")), ("x.yaml", &"---\na\n".repeat(170_000))]);
    assert_eq!(names(&snapshot), ["a"]);
}

#[test]
fn links_out_of_the_directory_and_special_files_are_rejected() {
    let outside = directory(&[("secret.yaml", &service("outside"))]);
    let dir = directory(&[("a.yaml", &service("a"))]);
    symlink(outside.path().join("secret.yaml"), dir.path().join("b.yaml")).unwrap();
    symlink("a.yaml", dir.path().join("c.yaml")).unwrap();
    symlink("nothing.yaml", dir.path().join("d.yaml")).unwrap();
    fs::create_dir(dir.path().join("e.yaml")).unwrap();
    let pipe = dir.path().join("f.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(dir.path().join("g.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    let snapshot = DirectorySource::read(dir.path()).unwrap();
    assert_eq!(names(&snapshot), ["a"]);
    let found: Vec<String> = snapshot.unreadable.keys().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["Manifest b.yaml", "Manifest c.yaml:1", "Manifest d.yaml", "Manifest f.yaml", "Manifest g.yaml"]
    );
    assert!(snapshot.unreadable[&manifest("b.yaml")].contains("leads out of the directory"));
    assert!(DirectorySource::read(&dir.path().join("nothing")).unwrap_err().to_string().contains("nothing"));
}

/// Waits until a snapshot is as wanted.
async fn until(receiver: &mut Receiver<Arc<Snapshot>>, what: &str, wanted: impl Fn(&Snapshot) -> bool) {
    let found = timeout(Duration::from_secs(20), receiver.wait_for(|snapshot| wanted(snapshot))).await.is_ok();
    assert!(found, "{what}: {:?}", receiver.borrow());
}

async fn unchanged(receiver: &mut Receiver<Arc<Snapshot>>, for_ms: u64) {
    receiver.mark_unchanged();
    let changed = timeout(Duration::from_millis(for_ms), receiver.changed()).await;
    assert!(changed.is_err(), "{:?}", receiver.borrow());
}

fn replace(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(".draft"), text).unwrap();
    fs::rename(dir.join(".draft"), dir.join(name)).unwrap();
}

#[tokio::test]
async fn changes_of_files_lead_to_new_snapshots() {
    let dir = directory(&[("a.yaml", &service("a"))]);
    let mut receiver = DirectorySource::watch(dir.path()).await.unwrap();
    assert_eq!(names(&receiver.borrow()), ["a"]);
    fs::write(dir.path().join("b.yaml"), service("b")).unwrap();
    until(&mut receiver, "a new file", |snapshot| names(snapshot) == ["a", "b"]).await;
    replace(dir.path(), "b.yaml", &service("c"));
    until(&mut receiver, "a rename over it", |snapshot| names(snapshot) == ["a", "c"]).await;
    fs::rename(dir.path().join("b.yaml"), dir.path().join("b.yaml.off")).unwrap();
    until(&mut receiver, "a rename away", |snapshot| names(snapshot) == ["a"]).await;
    // The same length, at once.
    for name in ["d", "e", "f"] {
        fs::write(dir.path().join("a.yaml"), service(name)).unwrap();
        until(&mut receiver, name, |snapshot| names(snapshot) == [name]).await;
    }
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    until(&mut receiver, "a removal", |snapshot| names(snapshot).is_empty()).await;
    unchanged(&mut receiver, 300).await;
}

#[tokio::test]
async fn broken_file_keeps_its_last_good_objects() {
    let both = format!("{}---\n{}", service("a"), service("b"));
    let dir = directory(&[("x.yaml", &both)]);
    let file = dir.path().join("x.yaml");
    let mut receiver = DirectorySource::watch(dir.path()).await.unwrap();
    // `b` is broken, `a` changes, `c` is new.
    let broken = format!("{}---\n{}\n---\n{}", service("a").replace("80", "81"), "a: [", service("c"));
    replace(dir.path(), "x.yaml", &broken);
    until(&mut receiver, "broken", |snapshot| !snapshot.unreadable.is_empty()).await;
    let snapshot = receiver.borrow().clone();
    assert_eq!(names(&snapshot), ["a", "b", "c"]);
    assert_eq!(snapshot.services[&key("a")].ports[0].port, 81);
    unreadable(&snapshot, "stays in force");
    // An object that is named and wrong: it is in force, so that the manifest is named.
    replace(dir.path(), "x.yaml", &service("a").replace("80", "0"));
    until(&mut receiver, "wrong", |snapshot| snapshot.unreadable.contains_key(&manifest("x.yaml:1"))).await;
    assert!(receiver.borrow().services.contains_key(&key("a")));
    // Mended, and what is not in it any more is gone.
    replace(dir.path(), "x.yaml", &service("a").replace("80", "82"));
    until(&mut receiver, "mended", |snapshot| snapshot.unreadable.is_empty()).await;
    assert_eq!(names(&receiver.borrow()), ["a"]);
    assert_eq!(receiver.borrow().services[&key("a")].ports[0].port, 82);
    // Too long.
    replace(dir.path(), "x.yaml", &"#".repeat(2 << 20));
    until(&mut receiver, "long", |snapshot| snapshot.unreadable.contains_key(&manifest("x.yaml"))).await;
    assert_eq!(names(&receiver.borrow()), ["a"]);
    fs::remove_file(&file).unwrap();
    until(&mut receiver, "removed", |snapshot| *snapshot == Snapshot::default()).await;
}

#[tokio::test]
async fn file_is_not_read_while_it_is_written() {
    let text = format!("{}---\n{}", service("a"), service("b"));
    let dir = directory(&[("x.yaml", &text)]);
    let mut receiver = DirectorySource::watch(dir.path()).await.unwrap();
    let new = text.replace("80", "81");
    let mut file = File::create(dir.path().join("x.yaml")).unwrap();
    // Half of it is a good manifest, in which `b` is missing.
    file.write_all(&new.as_bytes()[..service("a").len()]).unwrap();
    unchanged(&mut receiver, 400).await;
    assert_eq!(names(&receiver.borrow()), ["a", "b"]);
    file.write_all(&new.as_bytes()[service("a").len()..]).unwrap();
    drop(file);
    until(&mut receiver, "written", |snapshot| snapshot.services[&key("b")].ports[0].port == 81).await;
    // A writer that died is not waited for.
    let mut file = File::create(dir.path().join("x.yaml")).unwrap();
    file.write_all(service("c").as_bytes()).unwrap();
    until(&mut receiver, "not closed", |snapshot| names(snapshot) == ["c"]).await;
    drop(file);
}

#[tokio::test]
async fn config_map_volume_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("web.yaml"), text).unwrap();
        symlink(name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    version("..1", &service("a"));
    symlink("..data/web.yaml", at("web.yaml")).unwrap();
    let mut receiver = DirectorySource::watch(dir.path()).await.unwrap();
    assert_eq!(names(&receiver.borrow()), ["a"]);
    version("..2", &service("b"));
    fs::remove_dir_all(at("..1")).unwrap();
    until(&mut receiver, "swapped", |snapshot| names(snapshot) == ["b"]).await;
    assert_eq!(receiver.borrow().unreadable.len(), 0);
}

#[tokio::test]
async fn last_snapshot_stays_while_the_directory_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("manifests");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.yaml"), service("a")).unwrap();
    let mut receiver = DirectorySource::watch(&dir).await.unwrap();
    fs::rename(&dir, parent.path().join("away")).unwrap();
    unchanged(&mut receiver, 500).await;
    assert_eq!(names(&receiver.borrow()), ["a"]);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("b.yaml"), service("b")).unwrap();
    until(&mut receiver, "back", |snapshot| names(snapshot) == ["b"]).await;
    // It is watched, not only looked at now and then.
    fs::write(dir.join("c.yaml"), service("c")).unwrap();
    until(&mut receiver, "new", |snapshot| names(snapshot) == ["b", "c"]).await;
}

#[test]
fn only_what_is_needed_of_a_secret_is_kept() {
    let hash = "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0";
    let text = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: users}}, stringData: {{auth: 'a:b', token: hidden}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: map}}, stringData: {{me: {hash:?}, token: hidden}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: ca}}, stringData: {{ca.crt: c, ca.crl: r, token: hidden}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, metadata: {{name: none}}, stringData: {{token: hidden, password: hidden}}}}\n---\n\
         {{apiVersion: v1, kind: Secret, type: kubernetes.io/basic-auth, metadata: {{name: plain}}, stringData: {{username: a, password: hidden}}}}\n"
    );
    let snapshot = read(&[("x.yaml", &text)]);
    assert_eq!(snapshot.secrets.len(), 3, "{:?}", snapshot.unreadable);
    let secret = |name: &str| &snapshot.secrets[&key(name)];
    assert_eq!((secret("users").passwords.as_slice(), secret("users").password_hashes.len()), (&b"a:b"[..], 0));
    let map: Vec<_> = secret("map").password_hashes.iter().collect();
    assert_eq!(map, [(&"me".to_owned(), &hash.to_owned())]);
    assert_eq!((secret("ca").authorities.as_slice(), secret("ca").revoked.as_slice()), (&b"c"[..], &b"r"[..]));
    assert!(snapshot.secrets.values().all(|secret| !secret.is_tls));
}
