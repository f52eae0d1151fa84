//! The objects.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

/// A Service that is exposed below `/NAME`. Without an address, the API server gives it one.
pub fn service(name: &str, address: Option<&str>, port: u16) -> Value {
    let mut service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name, "labels": { "sparrow/expose": "true" } },
        "spec": { "ports": [{ "port": port }] },
    });
    if let Some(address) = address {
        service["spec"]["clusterIP"] = address.into();
    }
    service
}

/// An Ingress with a host of its own, all of which leads to the Service.
pub fn ingress(name: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": name },
        "spec": {
            "ingressClassName": "sparrow",
            "rules": [{
                "host": format!("{name}.example.com"),
                "http": { "paths": [{
                    "path": "/",
                    "pathType": "Prefix",
                    "backend": { "service": { "name": service, "port": { "number": 80 } } },
                }] },
            }],
        },
    })
}

/// An Ingress as [`ingress`], over TLS with the certificate of a Secret.
pub fn ingress_with_tls(name: &str, service: &str, secret: &str) -> Value {
    let mut ingress = ingress(name, service);
    ingress["spec"]["tls"] = json!([{ "hosts": [format!("{name}.example.com")], "secretName": secret }]);
    ingress
}

/// A Secret with a certificate and its key, in PEM.
pub fn tls_secret(name: &str, certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "name": name },
        "stringData": { "tls.crt": certificate, "tls.key": key },
    })
}

/// The class of the Ingresses.
pub fn class() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": { "name": "sparrow" },
        "spec": { "controller": "sparrow/entry" },
    })
}

/// Writes a manifest as `kubectl` users do it right: beside, then renamed.
///
/// # Errors
/// The directory cannot be written to.
pub fn write(directory: &Path, name: &str, object: &Value) -> Result<()> {
    let draft = directory.join(format!(".{name}"));
    fs::write(&draft, object.to_string())?;
    fs::rename(draft, directory.join(format!("{name}.json")))?;
    Ok(())
}

/// Takes a manifest away.
///
/// # Errors
/// It is not there.
pub fn remove(directory: &Path, name: &str) -> Result<()> {
    Ok(fs::remove_file(directory.join(format!("{name}.json")))?)
}

/// Writes a manifest for each of many Services that nobody asks for, each with an address of its own on which nobody
/// listens.
///
/// # Errors
/// The directory cannot be written to.
pub fn write_others(directory: &Path, count: u16) -> Result<()> {
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        let name = format!("other-{number}");
        write(directory, &name, &service(&name, Some(&format!("127.65.{high}.{low}")), 80))?;
    }
    Ok(())
}

/// Writes manifests for many Ingresses, each with a host of its own, a thousand of a namespace in each file. All lead to one backend.
///
/// # Errors
/// The directory cannot be written to.
pub fn write_hosts(directory: &Path, count: u16, backend: SocketAddr) -> Result<()> {
    let other = || service("other", Some(&backend.ip().to_string()), backend.port());
    write_ingresses(
        directory,
        count,
        |_| vec![other()],
        |number| to_port(ingress(&host(number), "other"), backend.port()),
    )
}

/// The same on all hosts, each with a path of its own.
///
/// # Errors
/// As [`write_hosts`].
pub fn write_paths(directory: &Path, count: u16, backend: SocketAddr) -> Result<()> {
    let other = || service("other", Some(&backend.ip().to_string()), backend.port());
    let path = |number: u16| {
        let mut ingress = to_port(ingress(&host(number), "other"), backend.port());
        let rule = &mut ingress["spec"]["rules"][0];
        *rule = json!({ "http": rule["http"] });
        rule["http"]["paths"][0]["path"] = format!("/{}", host(number)).into();
        ingress
    };
    write_ingresses(directory, count, |_| vec![other()], path)
}

/// As [`write_hosts`], with a backend for each: at a port of the address 127.66.0.0 and those that follow.
///
/// # Errors
/// As [`write_hosts`].
pub fn write_backends(directory: &Path, count: u16, port: u16) -> Result<()> {
    let backend = |number: u16| {
        let [high, low] = number.to_be_bytes();
        service(&host(number), Some(&format!("127.66.{high}.{low}")), port)
    };
    let backends = |numbers: &[u16]| numbers.iter().map(|number| backend(*number)).collect();
    write_ingresses(directory, count, backends, |number| to_port(ingress(&host(number), &host(number)), port))
}

/// The same of hosts with `*`: all below `host-0.example.com`, and so on.
///
/// # Errors
/// As [`write_hosts`].
pub fn write_wildcards(directory: &Path, count: u16, backend: SocketAddr) -> Result<()> {
    let other = || service("other", Some(&backend.ip().to_string()), backend.port());
    let wildcard = |number: u16| {
        let mut ingress = to_port(ingress(&host(number), "other"), backend.port());
        ingress["spec"]["rules"][0]["host"] = format!("*.{}.example.com", host(number)).into();
        ingress
    };
    write_ingresses(directory, count, |_| vec![other()], wildcard)
}

/// The name of an Ingress of many, and the first label of its host.
fn host(number: u16) -> String {
    format!("host-{number}")
}

/// An Ingress that leads to another port.
fn to_port(mut ingress: Value, port: u16) -> Value {
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"]["number"] = port.into();
    ingress
}

/// Writes their class, and many Ingresses, a thousand of a namespace in each file, with the Services to which these lead.
fn write_ingresses(
    directory: &Path,
    count: u16,
    services: impl Fn(&[u16]) -> Vec<Value>,
    ingress: impl Fn(u16) -> Value,
) -> Result<()> {
    write(directory, "class", &class())?;
    for (file, numbers) in (0..count).collect::<Vec<_>>().chunks(1000).enumerate() {
        let mut items: Vec<_> = numbers.iter().map(|number| ingress(*number)).chain(services(numbers)).collect();
        for item in &mut items {
            item["metadata"]["namespace"] = format!("others-{file}").into();
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        write(directory, &format!("others-{file}"), &list)?;
    }
    Ok(())
}
