//! What was a hole of ingress-nginx, by its number: each text that left its place there stays in its place here.
//!
//! Each text has a directive that no nginx knows, so nginx rejects a configuration in which it is more than a part of a token.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use entry_translate::Objects;
use serde_json::{Value, json};

use super::{run, sparrow_entry, test_configuration, text};

/// What leaves a word, a text in quotes, a line, a comment, a block, a pattern or a condition.
const WAYS_OUT: [&str; 10] = [
    "; sparrow_injected;",
    "\"; sparrow_injected; #",
    "'; sparrow_injected; #",
    "\\\"; sparrow_injected; #",
    "\n sparrow_injected;\n",
    "\r sparrow_injected;\r",
    "} } sparrow_injected; {",
    ") { sparrow_injected; } #",
    " { sparrow_injected; } location /y",
    "$request_uri; sparrow_injected; $",
];

/// Manifests, and what is made of them.
struct Tenants {
    directory: tempfile::TempDir,
    objects: Vec<Value>,
}

impl Tenants {
    fn new() -> Self {
        let class = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
            "spec": {"controller": "sparrow/entry"},
        });
        let mut new = Self { directory: tempfile::tempdir().expect("a directory"), objects: vec![class] };
        new.add_surroundings("shop");
        new
    }

    /// A namespace's Service, and Secrets and a `ConfigMap` that annotations name.
    fn add_surroundings(&mut self, namespace: &str) {
        let meta = |name: &str| json!({"name": name, "namespace": namespace});
        let made = rcgen::generate_simple_self_signed(["*.example".to_owned()]).expect("a certificate");
        self.objects.extend([
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": meta("web"),
                "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]},
            }),
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta("tls"),
                "stringData": {
                    "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem(), "ca.crt": made.cert.pem(),
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("headers"), "data": {"X-Good": "good"},
            }),
        ]);
        self.add_passwords(namespace, "users", "user:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=");
    }

    fn add_passwords(&mut self, namespace: &str, name: &str, users: &str) {
        self.objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"auth": users},
        }));
    }

    /// An Ingress of a host of its own.
    fn add(&mut self, namespace: &str, path: &str, annotations: &BTreeMap<String, String>) {
        let name = format!("i{}", self.objects.len());
        let host = format!("{name}.{namespace}.example");
        self.objects.push(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {"ingressClassName": "nginx", "tls": [{"hosts": [host], "secretName": "tls"}], "rules": [{
                "host": host, "http": {"paths": [{
                    "path": path, "pathType": "ImplementationSpecific",
                    "backend": {"service": {"name": "web", "port": {"number": 80}}},
                }]},
            }]},
        }));
    }

    fn write(&self) -> &Path {
        let manifests = self.objects.iter().map(|object| format!("---\n{object}\n"));
        std::fs::write(self.directory.path().join("objects.yaml"), manifests.collect::<String>())
            .expect("write manifests");
        std::fs::write(self.directory.path().join("flags"), "--https\n0.0.0.0:443\n--tls-passthrough\nall\n")
            .expect("write flags");
        self.directory.path()
    }

    /// The frame for the oldest nginx, and behind it the routes.
    fn configuration(&self) -> String {
        let render = || sparrow_entry("render", self.write(), &testbed::nginx::debian());
        text(run(&mut render()).stdout) + &text(run(render().arg("--routes")).stdout)
    }

    fn are_accepted_by_nginx(&self) {
        let _ = test_configuration(self.write(), &testbed::nginx::debian_program());
    }
}

/// Annotations of ingress-nginx, by what follows their prefix.
fn annotations<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let prefixed = |(name, value): (&str, &str)| (format!("nginx.ingress.kubernetes.io/{name}"), value.to_owned());
    all.into_iter().map(prefixed).collect()
}

/// Holds that a value of an annotation stays in its place, on whatever way it means to leave, beside those without which it is not read.
/// `written` is what the configuration has because of the value as it should be.
fn value_stays_in_its_place(name: &str, value: &str, beside: &[(&str, &str)], written: &str) {
    let mut good = Tenants::new();
    good.add("shop", "/x", &annotations(beside.iter().copied().chain([(name, value)])));
    let configuration = good.configuration();
    assert!(configuration.contains(written), "{written}: {configuration}");
    let mut hostile = Tenants::new();
    for way_out in WAYS_OUT {
        for value in [format!("{value}{way_out}"), way_out.to_owned()] {
            hostile.add("shop", "/x", &annotations(beside.iter().copied().chain([(name, &*value)])));
        }
    }
    hostile.are_accepted_by_nginx();
}

fn path_stays_in_its_place(path: &str, pattern: bool) {
    let beside = annotations(pattern.then_some(("use-regex", "true")));
    let mut hostile = Tenants::new();
    hostile.add("shop", path, &beside);
    for way_out in WAYS_OUT {
        hostile.add("shop", &format!("/x{way_out}"), &beside);
        hostile.add("shop", &format!("{path}{way_out}"), &beside);
    }
    hostile.are_accepted_by_nginx();
}

#[test]
fn nginx_rejects_what_leaves_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let main = directory.path().join("nginx.conf");
    std::fs::write(&main, "events {} http { server { sparrow_injected; } }").expect("write the configuration");
    let mut nginx = std::process::Command::new(testbed::nginx::debian());
    let output = nginx.args(["-t", "-q", "-e", "stderr", "-c"]).arg(&main).output();
    let stderr = text(output.expect("run nginx").stderr);
    assert!(stderr.contains("unknown directive \"sparrow_injected\""), "{stderr}");
}

/// Files of passwords were named after namespace and name, joined: those of another namespace could have the same name.
#[test]
fn cve_2020_8553_passwords_of_one_namespace_are_not_those_of_another() {
    let mut tenants = Tenants::new();
    let basic = |secret: &str| annotations([("auth-type", "basic"), ("auth-secret", secret)]);
    for (namespace, name, user) in [("team-a", "b", "alice"), ("team", "a-b", "mallory")] {
        tenants.add_surroundings(namespace);
        tenants.add_passwords(namespace, name, &format!("{user}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ="));
        tenants.add(namespace, "/x", &basic(name));
    }
    let volume = test_configuration(tenants.write(), &testbed::nginx::debian_program());
    let generation = std::fs::read_dir(volume.path().join("volume/generations")).expect("read the volume").next();
    let generation = generation.expect("a generation").expect("an entry").path();
    let configuration = std::fs::read_to_string(generation.join("nginx.conf")).expect("read the configuration");
    // Each has a location of its own, with a file of its own.
    let locations = configuration.split("location = \"sparrow-http-").skip(1);
    let users: BTreeSet<String> = locations
        .filter_map(|location| {
            let (_, file) = location.split_once("auth_basic_user_file ")?;
            let (file, _) = file.split_once(';')?;
            let users = std::fs::read_to_string(generation.join(file.trim_matches('"'))).expect("read passwords");
            assert_eq!(users.lines().count(), 1, "{users}");
            Some(users.split(':').next()?.to_owned())
        })
        .collect();
    assert_eq!(users, ["alice", "mallory"].map(str::to_owned).into());
}

/// Snippets were nginx's language, with which the controller's own token could be read.
#[test]
fn cve_2021_25742_snippet_reads_no_file() {
    let mut tenants = Tenants::new();
    for snippet in [
        "alias /var/run/secrets/kubernetes.io/serviceaccount/;",
        "location /steal { root /; autoindex on; }",
        "content_by_lua_block { ngx.say(io.open('/etc/passwd'):read('*a')) }",
        "proxy_set_header X-Token $ssl_client_raw_cert; root /;",
        "return 200 \"$http_authorization\"; include /etc/passwd;",
    ] {
        for name in ["configuration-snippet", "server-snippet", "auth-snippet", "stream-snippet", "modsecurity-snippet"]
        {
            tenants.add("shop", "/x", &annotations([(name, snippet)]));
        }
    }
    let configuration = tenants.configuration();
    for text in ["serviceaccount", "autoindex", "_by_lua", "ssl_client_raw_cert", "/etc/passwd", "root "] {
        assert!(!configuration.contains(text), "{text}: {configuration}");
    }
    tenants.are_accepted_by_nginx();
}

/// A path could name files of the controller.
#[test]
fn cve_2021_25745_path_reads_no_file() {
    path_stays_in_its_place("/x/ { alias /var/run/secrets/kubernetes.io/serviceaccount/; } location /y", false);
    path_stays_in_its_place("/x/(.*){alias/var/run/secrets/;}#", true);
}

/// Any annotation was a way into the configuration.
#[test]
fn cve_2021_25746_no_annotation_leaves_its_place() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/ingress-nginx-annotations.md");
    let reference = std::fs::read_to_string(reference).expect("read the reference");
    let names = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<_> = names.map(|(name, _)| name).collect();
    assert!(names.len() >= 138, "{names:?}");
    let mut hostile = Tenants::new();
    for name in names {
        for way_out in WAYS_OUT {
            let others = companions(name).iter().copied().filter(|(other, _)| *other != name);
            hostile.add("shop", "/x", &annotations(others.chain([(name, way_out)])));
        }
    }
    hostile.are_accepted_by_nginx();
}

/// The same of ours, each with its example in front, too.
#[test]
fn cve_2021_25746_no_annotation_of_ours_leaves_its_place() {
    let all = entry_translate::TOPICS.iter().flat_map(|topic| topic.own);
    let mut hostile = Tenants::new();
    let mut count = 0;
    for row in all.filter(|row| row.objects != Objects::Services) {
        for way_out in WAYS_OUT {
            for value in [way_out.to_owned(), [row.example, way_out].concat()] {
                let others = companions_of_ours(row.name).iter().copied().filter(|(other, _)| *other != row.name);
                let all = others.chain([(row.name, &*value)]);
                let all = all.map(|(name, value)| ([entry_translate::OWN_PREFIX, name].concat(), value.to_owned()));
                hostile.add("shop", "/x", &all.collect());
            }
        }
        count += 1;
    }
    assert!(count >= 90, "{count}");
    hostile.are_accepted_by_nginx();
}

/// Without which annotations one of ours is not read.
fn companions_of_ours(name: &str) -> &'static [(&'static str, &'static str)] {
    const ALL: [(&str, &[(&str, &str)]); 9] = [
        ("auth-", &[("auth-url", "http://auth.example.com/check")]),
        ("basic-auth-", &[("basic-auth-secret", "users")]),
        ("backend-tls-", &[("backend-tls-secret", "tls"), ("backend-protocol", "https")]),
        ("canary-", &[("canary", "true"), ("canary-weight", "10"), ("canary-by-header", "X-Canary")]),
        ("client-certificate-", &[("client-certificate-secret", "tls")]),
        ("cors-", &[("cors", "true")]),
        ("session-cookie-", &[("affinity", "cookie")]),
        ("mirror-", &[("mirror-target", "http://mirror.example.com/")]),
        ("rewrite", &[("path-regex", "true")]),
    ];
    ALL.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(&[], |(_, companions)| companions)
}

/// Without which annotations one is not read.
fn companions(name: &str) -> &'static [(&'static str, &'static str)] {
    const ALL: [(&str, &[(&str, &str)]); 10] = [
        ("auth-tls-", &[("auth-tls-secret", "shop/tls")]),
        ("auth-realm", &[("auth-type", "basic"), ("auth-secret", "users")]),
        ("auth-", &[("auth-url", "http://auth.example.com/check"), ("auth-type", "basic"), ("auth-secret", "users")]),
        ("canary-", &[("canary", "true"), ("canary-weight", "10"), ("canary-by-header", "X-Canary")]),
        ("cors-", &[("enable-cors", "true")]),
        ("session-cookie-", &[("affinity", "cookie")]),
        ("proxy-ssl-", &[("proxy-ssl-secret", "shop/tls"), ("backend-protocol", "HTTPS"), ("proxy-ssl-verify", "on")]),
        ("mirror-", &[("mirror-target", "http://mirror.example.com/")]),
        ("limit-", &[("limit-rps", "10"), ("limit-connections", "10")]),
        ("rewrite-target", &[("use-regex", "true")]),
    ];
    ALL.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(&[], |(_, companions)| companions)
}

/// Endpoints that a tenant wrote led the entry to those of others.
#[test]
fn cve_2021_25740_written_endpoints_are_not_asked() {
    let mut tenants = Tenants::new();
    tenants.objects.push(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.244.9.9"], "conditions": {"ready": true}}], "ports": [{"port": 80}],
    }));
    tenants.add("shop", "/x", &annotations([]));
    let configuration = tenants.configuration();
    assert!(configuration.contains("10.96.0.10:80") && !configuration.contains("10.244.9.9"), "{configuration}");
}

/// What paths were cleaned of was found by lines.
#[test]
fn cve_2021_25748_newline_in_a_path_hides_nothing() {
    path_stays_in_its_place("/x\n{\nalias /etc/;\n}\nlocation /y", false);
    path_stays_in_its_place("/x\n(.*)\n", true);
}

/// `log_format` was not among the words that paths were cleaned of.
#[test]
fn cve_2022_4886_path_has_no_log_format() {
    path_stays_in_its_place("/x { } } log_format x escape=none $http_authorization; server { location /y", false);
}

#[test]
fn cve_2023_5043_lines_of_a_snippet_are_data() {
    let mut hostile = Tenants::new();
    for name in ["configuration-snippet", "server-snippet"] {
        for line in [
            "add_header X-Good \"good\"",
            "more_set_headers \"X-Good: good\"",
            "proxy_set_header X-Good good",
            "deny 192.0.2.1",
        ] {
            for way_out in WAYS_OUT {
                hostile.add("shop", "/x", &annotations([(name, &*format!("{line}{way_out}"))]));
            }
        }
    }
    hostile.are_accepted_by_nginx();
}

#[test]
fn cve_2023_5044_permanent_redirect_stays_in_its_place() {
    let to = "https://x.example/";
    value_stays_in_its_place("permanent-redirect", to, &[], "x.example");
    value_stays_in_its_place("temporal-redirect", to, &[], "x.example");
}

/// A carriage return ended the line in which values were looked at.
#[test]
fn cve_2024_7646_carriage_return_ends_no_check() {
    let mut hostile = Tenants::new();
    for (name, value) in
        [("rewrite-target", "/y"), ("server-alias", "y.shop.example"), ("app-root", "/y"), ("upstream-vhost", "y")]
    {
        for text in [
            "\rsparrow_injected;",
            "\r\n; sparrow_injected; #",
            "\u{85}sparrow_injected;",
            "\u{2028}; sparrow_injected;",
        ] {
            hostile.add("shop", "/x", &annotations([(name, &*format!("{value}{text}"))]));
        }
    }
    hostile.are_accepted_by_nginx();
}

#[test]
fn cve_2025_1098_mirror_stays_in_its_place() {
    let target = ("mirror-target", "http://198.51.100.7/copies");
    value_stays_in_its_place(target.0, target.1, &[], "http://198.51.100.7:80$sparrow_mirror_target");
    value_stays_in_its_place("mirror-host", "mirror.example.com", &[target], "Host \"mirror.example.com\"");
}

#[test]
fn cve_2025_24514_auth_url_stays_in_its_place() {
    value_stays_in_its_place("auth-url", "http://198.51.100.7/check", &[], "198.51.100.7");
    let url = [("auth-url", "http://198.51.100.7/check")];
    value_stays_in_its_place("auth-signin", "https://sign-in.example/", &url, "https://sign-in.example/");
}

/// Keys and values of a `ConfigMap` became header lines.
#[test]
fn cve_2025_15566_headers_for_an_auth_server_stay_in_their_place() {
    let mut hostile = Tenants::new();
    for (index, way_out) in WAYS_OUT.iter().enumerate() {
        for (part, data) in [
            ("value", json!({"X-Good": format!("good{way_out}")})),
            ("key", json!({format!("X-Good{way_out}"): "good"})),
        ] {
            let name = format!("headers-{part}-{index}");
            hostile.objects.push(json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": data,
            }));
            let url = ("auth-url", "http://198.51.100.7/check");
            hostile.add("shop", "/x", &annotations([url, ("auth-proxy-set-headers", &*format!("shop/{name}"))]));
            hostile.add("shop", "/x", &annotations([("custom-headers", &*format!("shop/{name}"))]));
        }
    }
    hostile.are_accepted_by_nginx();
}

#[test]
fn cve_2026_1580_auth_method_stays_in_its_place() {
    value_stays_in_its_place(
        "auth-method",
        "PUT",
        &[("auth-url", "http://198.51.100.7/check")],
        "proxy_method \"PUT\"",
    );
}

#[test]
fn cve_2026_24512_path_stays_in_its_place() {
    path_stays_in_its_place("/x", false);
    path_stays_in_its_place("/x(/|$)(.*)", true);
}

#[test]
fn cve_2026_3288_rewrite_target_stays_in_its_place() {
    let mut hostile = Tenants::new();
    for way_out in WAYS_OUT {
        for target in [format!("/$1{way_out}"), format!("https://y.example/$1{way_out}")] {
            for path in ["/x", "/x(/|$)(.*)"] {
                hostile.add("shop", path, &annotations([("rewrite-target", &*target), ("use-regex", "true")]));
            }
        }
    }
    hostile.are_accepted_by_nginx();
}

/// A path was printed in a comment.
#[test]
fn cve_2026_4342_no_text_of_an_object_is_in_a_comment() {
    let mut tenants = Tenants::new();
    tenants.add("shop", "/looked-for", &annotations([("upstream-vhost", "looked-for.example"), ("use-regex", "true")]));
    tenants.add("shop", "/looked-for/", &annotations([("rewrite-target", "/looked-for")]));
    let configuration = tenants.configuration();
    assert!(configuration.contains("looked-for"), "{configuration}");
    let comments = configuration.lines().filter(|line| line.trim_start().starts_with('#'));
    assert!(comments.into_iter().all(|line| !line.contains("looked-for")), "{configuration}");
}
