//! Who is asked whether requests may pass, as Services and `ConfigMaps` change.

use entry_model::{ConfigMap, OutsideServer, Policy, Service, ServiceKind, Snapshot};
use entry_translate::{TranslateSettings, Translator};

use super::support::{Objects, ingress, meta, prefix, rule, service, settings, texts};

/// An auth server of another namespace, at this last octet.
fn auth_service(octet: u8) -> Service {
    let mut auth = service("auth");
    "other".clone_into(&mut auth.meta.namespace);
    auth.cluster_ips = vec![[10, 0, 1, octet].into()];
    auth.meta.annotations = texts([("sparrow/requests-from", "blog, shop")]);
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

/// The server that is asked, if any, and what is told.
fn asked_of_others(service: Option<Service>, annotations: &[(&str, &str)]) -> (String, Vec<String>) {
    let mut protected = ingress("web");
    protected.rules = vec![rule(Some("a.example.com"), vec![prefix("/")])];
    protected.meta.annotations =
        annotations.iter().map(|(name, value)| (format!("sparrow/{name}"), (*value).to_owned())).collect();
    let mut snapshot = Objects::new().service(super::support::service("web")).ingress(protected).0;
    snapshot.put(headers("gold"));
    if let Some(service) = service {
        snapshot.put(service);
    }
    let translation = Translator::default().translate(&snapshot, &settings());
    let routes = &translation.routes;
    let policy = routes.policy(routes.rules().next().expect("a rule"));
    let verdicts = translation.verdicts.values().flat_map(entry_model::Verdict::findings);
    let told = verdicts.map(|finding| finding.message.clone()).collect();
    (policy.external_auth.as_ref().expect("external authentication").server.to_string(), told)
}

const URL: (&str, &str) = ("auth-url", "http://auth.other.svc.cluster.local/admin/delete?id=1");

#[test]
fn service_of_another_namespace_gets_more_than_questions_only_if_it_agrees() {
    let service = |consent: Option<&str>| {
        let mut service = auth_service(1);
        service.meta.annotations.clear();
        let consent = consent.map(|names| ("sparrow/requests-from".to_owned(), names.to_owned()));
        service.meta.annotations.extend(consent);
        Some(service)
    };
    let is_asked =
        |consent, annotations: &[(&str, &str)]| asked_of_others(service(consent), annotations).0 == "10.0.1.1:80";
    let questions: [&[_]; 3] =
        [&[URL], &[URL, ("auth-method", "HEAD")], &[URL, ("auth-response-headers", "Remote-User")]];
    let requests: [&[_]; 3] = [
        &[URL, ("auth-method", "DELETE")],
        &[URL, ("auth-method", "POST")],
        &[URL, ("auth-proxy-set-headers", "headers")],
    ];
    for (consent, for_questions, for_requests) in [
        (None, true, false),
        (Some("blog,shop"), true, true),
        (Some("*"), true, true),
        (Some("blog"), false, false),
        (Some(""), false, false),
        (Some("shops"), false, false),
    ] {
        for question in questions {
            assert_eq!(is_asked(consent, question), for_questions, "{consent:?} {question:?}");
        }
        for request in requests {
            assert_eq!(is_asked(consent, request), for_requests, "{consent:?} {request:?}");
        }
    }
}

#[test]
fn address_of_the_cluster_gets_questions_only() {
    let is_asked = |url, method| asked_of_others(None, &[("auth-url", url), ("auth-method", method)]).0 != "unknown";
    assert!(is_asked("http://10.244.1.7:8080/", "GET") && is_asked("http://192.0.2.1/", "POST"));
    for url in ["http://10.244.1.7:8080/", "http://[fd00::7]/", "http://[::ffff:10.0.1.1]/", "http://[64:ff9b::a00:1]/"]
    {
        assert!(!is_asked(url, "POST"), "{url}");
    }
}

#[test]
fn nothing_is_told_of_services_of_other_namespaces() {
    let with = |change: fn(&mut Service)| {
        let mut service = auth_service(1);
        service.meta.annotations.clear();
        change(&mut service);
        Some(service)
    };
    let faults = [
        None,
        with(|service| service.ports[0].port = 9090),
        with(|service| service.ports[0].protocol = "UDP".to_owned()),
        with(|service| service.cluster_ips.clear()),
        with(|service| service.kind = ServiceKind::ExternalName("evil.example".to_owned())),
        with(|service| service.kind = ServiceKind::Headless),
        with(|service| service.meta.annotations = texts([("sparrow/requests-from", "blog")])),
    ];
    for annotations in [&[URL][..], &[URL, ("auth-method", "DELETE")]] {
        let told: Vec<_> = faults.iter().map(|service| asked_of_others(service.clone(), annotations)).collect();
        assert_eq!(told[0].1.len(), 1);
        assert!(told.iter().all(|other| *other == told[0]), "{told:#?}");
    }
}

#[test]
fn header_that_the_entry_says_of_clients_is_said_by_no_config_map() {
    for name in ["X-Forwarded-For", "x-real-ip", "Forwarded", "X-Request-ID", "Host"] {
        let mut protected = ingress("web");
        protected.rules = vec![rule(Some("a.example.com"), vec![prefix("/")])];
        protected.meta.annotations =
            texts([("sparrow/auth-url", "http://web.shop.svc/"), ("sparrow/auth-proxy-set-headers", "headers")]);
        let mut snapshot = Objects::new().service(service("web")).ingress(protected).0;
        snapshot.put(ConfigMap { meta: meta("headers"), data: texts([(name, "10.0.0.1")]) });
        let policy = policy(&mut Translator::default(), &snapshot, &settings());
        assert_eq!(policy.external_auth.unwrap().server, OutsideServer::Unknown, "{name}");
    }
}
