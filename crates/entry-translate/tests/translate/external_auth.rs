//! Who is asked whether requests may pass, as Services and `ConfigMaps` change.

use entry_model::{ConfigMap, OutsideServer, Policy, Service, Snapshot};
use entry_translate::{TranslateSettings, Translator};

use super::support::{Objects, ingress, meta, prefix, rule, service, settings, texts};

/// An auth server of another namespace, at this last octet.
fn auth_service(octet: u8) -> Service {
    let mut auth = service("auth");
    "other".clone_into(&mut auth.meta.namespace);
    auth.cluster_ips = vec![[10, 0, 1, octet].into()];
    auth
}

fn headers(value: &str) -> ConfigMap {
    ConfigMap { meta: meta("headers"), data: texts([("X-Tier", value)]) }
}

/// The policy of the only rule, and whether it lets anything pass.
fn policy(translator: &mut Translator, snapshot: &Snapshot, settings: &TranslateSettings) -> Policy {
    let routes = translator.translate(snapshot, settings).routes;
    let rule = routes.rules().next().expect("a rule");
    routes.policy(rule).clone()
}

fn asked(policy: &Policy) -> (String, Vec<(String, String)>) {
    let auth = policy.external_auth.as_ref().expect("external authentication");
    (auth.server.to_string(), auth.request_headers.clone())
}

#[test]
fn changes_of_whoever_is_asked_are_followed() {
    let mut protected = ingress("web");
    protected.rules = vec![rule(Some("a.example.com"), vec![prefix("/")])];
    protected.meta.annotations = texts([
        ("nginx.ingress.kubernetes.io/auth-url", "http://auth.other.svc.cluster.local/verify"),
        ("nginx.ingress.kubernetes.io/auth-proxy-set-headers", "headers"),
    ]);
    let mut snapshot = Objects::new().service(service("web")).ingress(protected).0;
    let (mut translator, mut settings) = (Translator::default(), settings());
    let translation = translator.translate(&snapshot, &settings);
    settings.host_owners = vec![translation.host_owners];
    settings.last_good = translation.last_good;
    let mut now = |snapshot: &Snapshot| policy(&mut translator, snapshot, &settings);
    let closed = |policy: &Policy| policy.external_auth.as_ref().unwrap().server == OutsideServer::Unknown;
    assert!(closed(&now(&snapshot)));
    snapshot.put(auth_service(1));
    assert!(closed(&now(&snapshot)), "a ConfigMap is missing");
    snapshot.put(headers("gold"));
    let gold = vec![("X-Tier".to_owned(), "gold".to_owned())];
    assert_eq!(asked(&now(&snapshot)), ("10.0.1.1:80".to_owned(), gold.clone()));
    snapshot.put(auth_service(2));
    assert_eq!(asked(&now(&snapshot)), ("10.0.1.2:80".to_owned(), gold));
    snapshot.put(headers("silver"));
    assert_eq!(asked(&now(&snapshot)).1, [("X-Tier".to_owned(), "silver".to_owned())]);
    let mut without_address = auth_service(2);
    without_address.cluster_ips.clear();
    snapshot.put(without_address);
    assert!(closed(&now(&snapshot)));
}
