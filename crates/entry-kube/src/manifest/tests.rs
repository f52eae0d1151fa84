//! Whatever a manifest holds, reading it ends well.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Manifest, is_name, read, read_json, split_documents};
use crate::read_bounds::ReadBounds;

/// An object of each kind with all that is looked at.
fn samples() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "c", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": { "d": "e" }, "annotations": { "sparrow/path": "/" },
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "externalName": "f",
                "ports": [{ "name": "g", "port": 80, "protocol": "TCP", "appProtocol": "http", "targetPort": "h" }],
            },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "a" },
            "spec": {
                "ingressClassName": "b",
                "defaultBackend": { "service": { "name": "c", "port": { "number": 80 } } },
                "tls": [{ "hosts": ["d"], "secretName": "e" }],
                "rules": [{ "host": "f", "http": { "paths": [
                    { "path": "/", "pathType": "Exact", "backend": { "service": { "name": "g", "port": { "name": "h" } } } },
                    { "pathType": "Prefix", "backend": { "resource": { "apiGroup": "i", "kind": "j", "name": "k" } } },
                ]}}],
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.1" }, { "hostname": "l" }] } },
        }),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": { "name": "a", "annotations": { "ingressclass.kubernetes.io/is-default-class": "true" } },
            "spec": { "controller": "b", "parameters": { "kind": "c", "name": "d" } },
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": "a" },
            "data": { "tls.crt": "YQ==" }, "stringData": { "tls.key": "b" },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": "a", "labels": { "kubernetes.io/service-name": "b" } },
            "endpoints": [
                { "addresses": ["10.0.0.1"] },
                { "addresses": ["10.0.0.2"], "conditions": { "ready": false, "serving": true, "terminating": true } },
            ],
            "ports": [{ "name": "c", "port": 80, "protocol": "TCP" }],
        }),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": "a" },
            "status": {
                "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(0), Just(-1), Just(65_535), Just(65_536), Just(4_294_967_296_i64)].prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop_oneof![Just("None"), Just("::"), Just("ExternalName"), Just("v1"), Just("default")].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// All places in a value, the outermost first.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| places(value, &format!("{at}/{}", escape(name)), found));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn check(manifest: &Manifest) {
    for reference in manifest.objects.keys() {
        assert!(is_name(&reference.key.name), "{reference}");
        assert!(reference.key.namespace.is_empty() || is_name(&reference.key.namespace), "{reference}");
    }
    for fault in &manifest.faults {
        assert!(!fault.message.is_empty() && !fault.message.contains(char::is_control), "{fault:?}");
    }
}

#[test]
fn sample_manifests_are_valid() {
    for sample in samples() {
        let manifest = read(&sample.to_string(), &ReadBounds::FOLLOWED);
        assert_eq!((manifest.objects.len(), manifest.faults.len()), (1, 0), "{manifest:?}");
        assert_eq!(read_json(&sample.to_string()), manifest);
    }
}

#[test]
fn documents_are_split_at_markers() {
    let lines =
        |text: &str| split_documents(text).into_iter().map(|(line, text)| (line, text.to_owned())).collect::<Vec<_>>();
    let doc = |line: usize, text: &str| (line, text.to_owned());
    assert_eq!(lines("a: 1\n---\nb: 2"), [doc(1, "a: 1\n"), doc(2, "---\nb: 2")]);
    assert_eq!(lines("---\r\na\r\n---\r\n"), [doc(1, "---\r\na\r\n")]);
    assert_eq!(lines("# x\n---\n\n--- a\n...\nb\n"), [doc(4, "--- a\n"), doc(6, "b\n")]);
    assert_eq!(lines("a: |\n  ---\n----\n--- \n"), [doc(1, "a: |\n  ---\n----\n")]);
    assert_eq!(lines("%YAML 1.2\n---\na"), [doc(2, "---\na")]);
    assert_eq!(lines(""), []);
}

#[test]
fn json_with_a_key_twice_in_one_map_is_not_read() {
    let service = |metadata: &str, spec: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Service","metadata":{{{metadata}}},"spec":{{{spec}}}}}"#)
    };
    let (metadata, spec) = (r#""name":"a""#, r#""clusterIP":"10.0.0.1","ports":[{"port":80}]"#);
    assert_eq!(read_json(&service(metadata, spec)).objects.len(), 1);
    for text in [
        service(r#""name":"a","name":"b""#, spec),
        // The same key, written otherwise.
        service(r#""name":"a","n\u0061me":"b""#, spec),
        service(metadata, r#""clusterIP":"10.0.0.1","ports":[{"port":80,"port":81}]"#),
        service(r#""name":"a","annotations":{"sparrow/hosts":"a.example","sparrow/hosts":"b.example"}"#, spec),
        service(metadata, spec).replacen('{', r#"{"kind":"Service","#, 1),
    ] {
        for manifest in [read_json(&text), read(&text, &ReadBounds::FOLLOWED)] {
            assert!(manifest.objects.is_empty(), "{text}: {manifest:?}");
            let messages: Vec<_> = manifest.faults.iter().map(|fault| fault.message.as_str()).collect();
            assert_eq!(messages, ["a key is there twice in one map: remove one of them"], "{text}");
        }
    }
    // In different maps it is another key.
    let list = format!(
        r#"{{"apiVersion":"v1","kind":"List","items":[{0},{1}]}}"#,
        service(metadata, spec),
        service(r#""name":"b""#, spec)
    );
    assert_eq!(read_json(&list).objects.len(), 2);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "(?s).{0,200}") {
        check(&read(&text, &ReadBounds::FOLLOWED));
        check(&read_json(&text));
    }

    #[test]
    fn any_yaml_is_read_without_panic(parts in prop::collection::vec(prop_oneof![
        Just("---\n"), Just("...\n"), Just("a: "), Just("- "), Just("\n"), Just("  "), Just("&a "), Just("*a "), Just("{"),
        Just("}"), Just("["), Just("]"), Just(", "), Just("|\n"), Just("'"), Just("\""), Just("? "), Just("<<: "), Just("!!x "),
        Just("%YAML 1.2\n"), Just("kind: Service\n"), Just("apiVersion: v1\n"), Just("metadata: {name: a}\n"), Just("\t"), Just("é"),
    ], 0..40)) {
        check(&read(&parts.concat(), &ReadBounds::FOLLOWED));
    }

    #[test]
    fn object_with_any_value_in_one_field_is_read_without_panic(kind in 0..5_usize, place in any::<prop::sample::Index>(), value in any_value()) {
        let mut object = samples().swap_remove(kind);
        let mut all = Vec::new();
        places(&object, "", &mut all);
        let place = &all[place.index(all.len())];
        *object.pointer_mut(place).unwrap() = value;
        let manifest = read_json(&object.to_string());
        check(&manifest);
        // It is either read, or told, or of no interest; never more than one of these.
        prop_assert!(manifest.objects.len() + manifest.faults.len() <= 1, "{manifest:?}");
    }
}
