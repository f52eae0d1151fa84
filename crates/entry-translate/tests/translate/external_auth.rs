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

/// What comes of an Ingress with these hosts that asks this URL, where names are looked up: whether somebody is asked.
fn asks(url: &str, hosts: &[Option<&str>], annotations: &[(&str, &str)]) -> bool {
    let mut protected = ingress("web");
    protected.rules = hosts.iter().map(|host| rule(*host, vec![prefix("/")])).collect();
    protected.meta.annotations = texts([("sparrow/auth-url", url)]);
    protected
        .meta
        .annotations
        .extend(annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let snapshot = Objects::new().service(service("web")).service(auth_service(1)).ingress(protected).0;
    let mut settings = settings();
    settings.defaults.resolves_names = true;
    let policy = policy(&mut Translator::default(), &snapshot, &settings);
    policy.external_auth.expect("external authentication").server != OutsideServer::Unknown
}

#[test]
fn address_that_is_spelt_otherwise_is_no_name() {
    let host = [Some("a.example.com")];
    for name in
        ["127.0.0.01", "169.254.169.0254", "0x7f.1", "2130706433", "127.1", "[64:ff9b::a9fe:a9fe]", "[::127.0.0.1]"]
    {
        assert!(!asks(&format!("http://{name}:10254/"), &host, &[]), "{name}");
    }
    assert!(asks("http://auth.example.com/", &host, &[]));
}

#[test]
fn client_cannot_choose_whom_a_url_with_its_host_asks() {
    let url = "http://$host/auth";
    assert!(asks(url, &[Some("a.example.com"), Some("b.example.com")], &[("sparrow/aliases", "c.example.com")]));
    for hosts in [&[None][..], &[Some("*.example.com")], &[Some("a.example.com"), Some("*.b.example.com")]] {
        assert!(!asks(url, hosts, &[]), "{hosts:?}");
    }
    for alias in ["sparrow/aliases", "nginx.ingress.kubernetes.io/server-alias"] {
        assert!(!asks(url, &[Some("a.example.com")], &[(alias, "b.example.com, *.c.example.com")]), "{alias}");
    }
}

#[test]
fn host_that_is_called_like_a_service_asks_none() {
    for host in
        ["auth.other.svc.cluster.local", "kubernetes.default.svc.cluster.local", "10-0-0-1.other.pod.cluster.local"]
    {
        assert!(!asks("http://$host/", &[Some(host)], &[]), "{host}");
    }
    assert!(!asks("http://auth.$host/", &[Some("other.svc.cluster.local")], &[]));
    assert!(!asks("http://0$host/", &[Some("x7f")], &[]));
}
