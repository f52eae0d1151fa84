//! Replays the corpus of the fuzz targets, then damages it: what fuzzing finds stays found, without a fuzzer.

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/entry.rs"]
mod targets;

use std::collections::BTreeSet;

use replay::write_seed;
use serde_json::Value;

/// Per target; all of them take about ten seconds without optimization.
const MUTATIONS: usize = 300;

#[test]
fn every_seed_is_well_formed() {
    replay::every_seed_is_well_formed(targets::TARGETS);
}

#[test]
fn damaged_seeds_do_no_harm() {
    replay::damaged_seeds_do_no_harm(targets::TARGETS, MUTATIONS);
}

/// `cargo test -p entry --test corpus -- --ignored` writes the seeds anew.
#[test]
#[ignore = "writes fuzz/corpus"]
fn write_corpus() {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    for case in [
        "conflicts",
        "cve-2023-5044-redirect",
        "cve-2024-7646-carriage-return",
        "cve-2026-4342-path",
        "default-backend",
        "hosts",
        "ingress-nginx-further-hosts",
        "ingress-nginx-redirects",
        "external-names",
        "ingress-nginx-fixed-answers",
        "ingress-nginx-rewrite-not-usable",
        "ingress-nginx-rewrite-target",
        "ingress-nginx-snippet-redirects",
        "ingress-nginx-use-regex",
        "ingress-paths",
        "ingress-tls",
        "migration",
        "path-regex",
        "protocols",
    ] {
        let objects = std::fs::read(cases.join(case).join("objects.yaml")).expect("a case");
        write_seed("entry_manifests", case, &objects);
    }
    for (name, seed) in annotations(&cases) {
        write_seed("entry_annotations", &name, seed.as_bytes());
    }
    let made = rcgen::generate_simple_self_signed(["any.example".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    write_seed("entry_certificate", "one", format!("{chain}\0{key}").as_bytes());
    write_seed("entry_certificate", "with-words", format!("Issuer: nobody\n{chain}\n\0words before\n{key}").as_bytes());

    // A rule: choices, address, host, path, namespace, name, certificate.
    let rule = |choices: u8, texts: [&str; 5]| {
        let mut input = vec![choices, 127, 0, 0, 1];
        for text in texts {
            input.extend(u16::try_from(text.len()).expect("a short text").to_le_bytes());
            input.extend(text.as_bytes());
        }
        input
    };
    let plain = rule(4, ["any.example", "/a", "default", "web", ""]);
    let secure = rule(0x55, ["b.example", "/", "default", "web", "0123abcd"]);
    let wildcard = rule(0x0e, ["example", "/\u{9ebb}\u{96c0}", "default", "web", ""]);
    let exact = rule(0x23, ["", "/a\";{} #'\\", "default", "web", ""]);
    let default = rule(0xc0, ["", "/", "default", "web", ""]);
    write_seed("nginx_conf_values", "plain", &plain);
    write_seed("nginx_conf_values", "wildcard", &wildcard);
    write_seed("nginx_conf_values", "several", &[plain, secure, wildcard, exact, default].concat());

    for (name, template) in [
        ("least", "events {} http { {{ control_server }} }"),
        (
            "loop",
            "events {} http { {{ control_server }} {{ upstreams }}{% for h in hosts %}server { server_name {{ h.name }};\n\
             {% for r in h.routes if r.match == \"Prefix\" %}location {{ r.path }} { proxy_pass \
             http://{{ r.cluster_ip }}:{{ r.port }}/; }\n{% endfor %}}\n{% endfor %} }",
        ),
        (
            "filters",
            "{{ control_server }}{% set n = routes | length %}a {{ n }};{% if n > 1 %}b '{{ n | string | upper }}';{% endif %}",
        ),
    ] {
        write_seed("entry_template", name, template.as_bytes());
    }
    for (name, words) in [
        ("line", "2026/01/01 00:00:00 [emerg] 1#1: unknown directive \"x\" in /var/lib/sparrow/nginx.conf:12\n"),
        (
            "certificate",
            "nginx: [emerg] cannot load certificate \"/var/lib/sparrow/certs/abc.pem\": PEM_read_bio_X509_AUX() failed\n",
        ),
    ] {
        write_seed("nginx_words", name, words.as_bytes());
    }
}

/// Annotations of the Ingresses of the golden cases, as a seed: of those that have one that none before has.
fn annotations(cases: &std::path::Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(cases).expect("cases").map(|case| case.expect("a case").path()).collect();
    files.sort();
    let (mut seen, mut seeds) = (BTreeSet::new(), Vec::new());
    for file in files.into_iter().filter(|file| file.is_dir()) {
        let text = std::fs::read_to_string(file.join("objects.yaml")).expect("a case");
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
        for object in objects.iter().filter(|object| object["kind"] == "Ingress") {
            let Some(all) = object["metadata"]["annotations"].as_object() else { continue };
            let is_known = |name: &str| {
                let theirs = |name| entry_translate::find_ingress_nginx_annotation(name).is_some();
                let ours = |name| entry_translate::find_own_annotation(name).is_some();
                name.strip_prefix(entry_translate::INGRESS_NGINX_PREFIX).is_some_and(theirs)
                    || name.strip_prefix(entry_translate::OWN_PREFIX).is_some_and(ours)
            };
            if !all.keys().all(|name| is_known(name)) || all.keys().all(|name| seen.contains(name)) {
                continue;
            }
            seen.extend(all.keys().cloned());
            let path = object["spec"]["rules"][0]["http"]["paths"][0]["path"].as_str().unwrap_or("/");
            let lines = all.iter().filter_map(|(name, value)| Some(format!("{name}={}\0", value.as_str()?)));
            let case = file.file_name().and_then(|name| name.to_str()).expect("a name");
            let name = object["metadata"]["name"].as_str().expect("a name");
            seeds.push((format!("{case}-{name}"), format!("path={path}\0{}", lines.collect::<String>())));
        }
    }
    seeds
}
