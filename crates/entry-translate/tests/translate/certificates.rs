//! TLS of Ingresses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use entry_model::{Acceptance, Ingress, Kind, Listener, Reason, Request, Routes, RoutingDecision, Scheme, Secret};
use entry_translate::{LastGoodSecret, TranslateSettings, Translation};

use crate::support::{
    NOW, Objects, assert_routes, assert_verdict, backend, exposed, ingress, left_out, meta, object, prefix, rule,
    secret, service, settings, signed, tls, with_rule,
};

fn web(hosts: &[&str], secret: &str) -> Ingress {
    Ingress { tls: vec![tls(hosts, secret)], ..with_rule("web", Some("a.example.com"), vec![prefix("/")]) }
}

fn find<'a>(routes: &'a Routes, scheme: Scheme, host: &'a str) -> RoutingDecision<'a> {
    routes.find(&Request { scheme, host, path: "/", ..Request::default() })
}

const PLAIN: &str = "a.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/web)";
const REDIRECTED: &str = "a.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/web)";
const SECRET: &str = "spec.tls[0].secretName";

#[test]
fn host_with_a_certificate_redirects_to_https() {
    let secret = secret("tls", &["a.example.com"]);
    let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls")).secret(secret.clone());
    let built = objects.translate();
    assert_routes(&built, &[REDIRECTED, "a.example.com certificate (Secret shop/tls)"]);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    assert_eq!(built.verdicts.len(), 1);
    let routes = &built.routes;
    let rule = &routes.hosts.values().next().unwrap().rules[0];
    assert_eq!(find(routes, Scheme::Http, "a.example.com"), RoutingDecision::RedirectToHttps(rule));
    assert_eq!(find(routes, Scheme::Https, "a.example.com"), RoutingDecision::Rule(rule));
    assert_eq!(find(routes, Scheme::Https, "b.example.com"), RoutingDecision::NoCertificate);
    assert_eq!(find(routes, Scheme::Http, "b.example.com"), RoutingDecision::NotFound);

    let (id, certificate) = routes.certificates.iter().next().unwrap();
    assert_eq!(id.0.len(), 64);
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    assert_eq!(text(&certificate.chain), text(&secret.certificate).replace("\r\n", "\n"));
    assert_eq!(text(&certificate.key), text(&secret.key).replace("\r\n", "\n"));
}

#[test]
fn only_certificates_and_one_key_reach_the_pem() {
    let mut secret = secret("tls", &["a.example.com"]);
    let clean = Objects::new().service(service("web")).ingress(web(&[], "tls")).secret(secret.clone()).translate();
    for part in [&mut secret.certificate, &mut secret.key] {
        part.splice(..0, *b"subject=evil\r\n");
        part.extend(b"}\ntrailing $text\n");
    }
    let built = Objects::new().service(service("web")).ingress(web(&[], "tls")).secret(secret).translate();
    assert_routes(&built, &[REDIRECTED, "a.example.com certificate (Secret shop/tls)"]);
    assert_eq!((built.routes, built.verdicts), (clean.routes, clean.verdicts));
}

/// The key of a Secret in the older form that `openssl ecparam` writes, which PKCS #8 wraps (RFC 5915).
fn sec1(secret: &Secret) -> String {
    let text = String::from_utf8(secret.key.clone()).expect("PEM");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let pkcs8 = STANDARD.decode(body).expect("base64");
    // Version 1 and a private key of 32 bytes, in a sequence. The curve is named around it; here it stands between them.
    let at = pkcs8.windows(5).position(|bytes| bytes == [2, 1, 1, 4, 32]).expect("a P-256 key");
    let curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let parts = [&pkcs8[at..at + 37], &curve, &pkcs8[at + 37..]].concat();
    let length = u8::try_from(parts.len()).expect("short");
    let text = STANDARD.encode([&[0x30, length][..], &parts].concat());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let label = |text: &str| format!("-----{text} EC PRIVATE KEY-----\n");
    format!("{}{}\n{}", label("BEGIN"), lines.join("\n"), label("END"))
}

#[test]
fn private_key_keeps_its_encoding() {
    let mut secret = secret("tls", &["a.example.com"]);
    let key = sec1(&secret);
    secret.key = key.clone().into_bytes();
    let built = Objects::new().service(service("web")).ingress(web(&[], "tls")).secret(secret).translate();
    let certificate = built.routes.certificates.values().next().unwrap();
    assert_eq!(String::from_utf8(certificate.key.clone()).unwrap(), key);
}

#[test]
fn https_redirect_can_be_off_and_needs_a_certificate() {
    let annotated = |value: &str, hosts: &[&str]| {
        let mut web = web(hosts, "tls");
        web.meta.annotations.insert("sparrow/ssl-redirect".to_owned(), value.to_owned());
        Objects::new().service(service("web")).ingress(web).secret(secret("tls", &["a.example.com"]))
    };
    let built = annotated("false", &["a.example.com"]).translate();
    assert_routes(&built, &[PLAIN, "a.example.com certificate (Secret shop/tls)"]);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);

    let built = annotated("true", &["b.example.com"]).translate();
    assert_routes(&built, &[PLAIN]);
    let annotation = "metadata.annotations[sparrow/ssl-redirect]";
    assert_verdict(
        &built,
        &object(Kind::Ingress, "web"),
        Acceptance::Partial,
        &[
            (
                annotation,
                Reason::RefNotFound,
                "has no certificate, or one that is not for it, so requests for it are not",
            ),
            ("spec.tls[0].hosts[0]", Reason::RefNotFound, "No rule is for the host \"b.example.com\""),
        ],
    );
    assert!(built.routes.certificates.is_empty(), "what no host uses is not passed on");
}

#[test]
fn missing_or_invalid_secret_leaves_plain_http() {
    let good = secret("tls", &["a.example.com"]);
    let foreign = Secret { key: secret("x", &["x"]).key, ..good.clone() };
    let without_key = Secret { key: Vec::new(), ..good.clone() };
    let no_pem = Secret { certificate: b"\xff not PEM".to_vec(), ..good.clone() };
    let label = |text: &str| format!("-----{text} CERTIFICATE-----");
    let pem = format!("{}\nAAAA\n{}\n", label("BEGIN"), label("END"));
    let no_certificate = Secret { certificate: pem.into_bytes(), ..good.clone() };
    let empty = Secret { meta: meta("tls"), is_tls: true, ..Secret::default() };
    let unfinished = Secret { certificate: good.certificate[..200].to_vec(), ..good.clone() };
    let cases = [
        (None, Reason::RefNotFound, "There is no Secret shop/tls of the type kubernetes.io/tls"),
        (Some(foreign), Reason::InvalidRef, "Secret shop/tls cannot be used: tls.key is not the key of the first"),
        (Some(without_key), Reason::InvalidRef, "tls.key holds no private key"),
        (Some(no_pem), Reason::InvalidRef, "tls.crt holds no certificate"),
        (Some(no_certificate), Reason::InvalidRef, "tls.crt holds no certificate that can be read"),
        (Some(empty), Reason::InvalidRef, "tls.crt holds no certificate"),
        (Some(unfinished), Reason::InvalidRef, "tls.crt holds no certificate that can be read"),
    ];
    for (secret, reason, part) in cases {
        let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
        let built = secret.into_iter().fold(objects, Objects::secret).translate();
        assert_routes(&built, &[PLAIN]);
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[(SECRET, reason, part)]);
        let message = &built.verdicts[&object(Kind::Ingress, "web")].findings()[0].message;
        assert!(message.ends_with("Until then, the hosts are served over HTTP only, without redirect"), "{message}");
    }

    let mut nameless = web(&["a.example.com"], "");
    nameless.tls[0].secret = None;
    let built = Objects::new().service(service("web")).ingress(nameless).translate();
    let finding = (SECRET, Reason::Unsupported, "No Secret is named");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn failed_renewal_keeps_the_former_certificate() {
    let serving = "a.example.com certificate (Secret shop/tls)";
    let with = |secret: Option<Secret>, last: &Translation| {
        let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
        let settings = TranslateSettings { last_good: last.last_good.clone(), ..settings() };
        secret.into_iter().fold(objects, Objects::secret).translate_with(&settings)
    };
    let old = signed("tls", &["a.example.com"], (2020, 2025));
    let first = with(Some(old.clone()), &Translation::default());
    assert_eq!(first.last_good.values().map(LastGoodSecret::secret).collect::<Vec<_>>(), [&old]);
    let broken = Secret { certificate: b"-".to_vec(), ..old.clone() };
    let mut last = first.clone();
    // However often it is looked at.
    for _ in 0..2 {
        last = with(Some(broken.clone()), &last);
        assert_eq!((&last.routes, &last.last_good), (&first.routes, &first.last_good));
        assert_routes(&last, &[REDIRECTED, serving]);
        let told = [
            (
                SECRET,
                Reason::InvalidRef,
                "tls.crt holds no certificate in PEM. Until it can, the certificate that it held",
            ),
            (SECRET, Reason::InvalidRef, "has expired"),
        ];
        assert_verdict(&last, &object(Kind::Ingress, "web"), Acceptance::Partial, &told);
    }
    // The next one that is right is taken, and then it is what is kept.
    let renewed = secret("tls", &["a.example.com"]);
    let next = with(Some(renewed.clone()), &last);
    assert_ne!(next.routes, first.routes);
    assert_verdict(&next, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);
    assert_eq!(with(Some(broken.clone()), &next).routes, next.routes);
    // A Secret that is gone is taken back by its owner, and nothing of it is kept; nor if nobody asks for it any more.
    let gone = with(None, &next);
    assert_routes(&gone, &[PLAIN]);
    assert_routes(&with(Some(broken), &gone), &[PLAIN]);
    let alone = Objects::new().secret(renewed);
    assert!(alone.translate_with(&TranslateSettings { last_good: next.last_good, ..settings() }).last_good.is_empty());
}

#[test]
fn certificate_outside_its_validity_is_served_and_reported() {
    for (years, part) in [((2020, 2025), "has expired"), ((2030, 2040), "is not valid yet")] {
        let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
        let built = objects.secret(signed("tls", &["a.example.com"], years)).translate();
        assert_routes(&built, &[REDIRECTED, "a.example.com certificate (Secret shop/tls)"]);
        let finding = (SECRET, Reason::InvalidRef, part);
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[finding]);
    }
}

#[test]
fn time_changes_no_route() {
    let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
    let objects = objects.secret(secret("tls", &["a.example.com"]));
    let at = |now| objects.translate_with(&TranslateSettings { now, ..TranslateSettings::default() }).routes;
    for now in [i64::MIN, 0, i64::MAX] {
        assert_eq!(at(now), at(NOW));
    }
}

#[test]
fn certificate_of_the_host_comes_before_a_wildcard() {
    let mut wild = with_rule("wild", Some("*.example.com"), vec![prefix("/")]);
    wild.tls = vec![tls(&["*.example.com"], "wild")];
    let mut own = with_rule("own", Some("a.example.com"), vec![prefix("/")]);
    own.tls = vec![tls(&["a.example.com"], "own")];
    own.meta.created = 100;
    let other = with_rule("other", Some("b.example.com"), vec![prefix("/")]);
    let deep = with_rule("deep", Some("c.b.example.com"), vec![prefix("/")]);
    let built = Objects::new()
        .service(service("web"))
        .service(exposed("s", [("sparrow/host", "b.example.com")]))
        .ingress(wild)
        .ingress(own)
        .ingress(other)
        .ingress(deep)
        .secret(secret("wild", &["*.example.com"]))
        .secret(secret("own", &["a.example.com"]))
        .translate();
    assert_routes(
        &built,
        &[
            "a.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/own)",
            "b.example.com prefix /s -> 10.0.0.1:80 http strip redirect (Service shop/s)",
            "b.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/other)",
            "c.b.example.com prefix / -> 10.0.0.1:80 http (Ingress shop/deep)",
            "*.example.com prefix / -> 10.0.0.1:80 http redirect (Ingress shop/wild)",
            "a.example.com certificate (Secret shop/own)",
            "b.example.com certificate (Secret shop/wild)",
            "*.example.com certificate (Secret shop/wild)",
        ],
    );
    assert!(built.verdicts.values().all(|verdict| verdict.findings().is_empty()), "{:#?}", built.verdicts);
}

#[test]
fn certificate_of_the_older_ingress_is_served() {
    let mut old = web(&["a.example.com"], "old");
    old.rules[0].paths[0].path = Some("/old".to_owned());
    old.meta.name = "z-old".to_owned();
    let mut young = web(&["a.example.com"], "young");
    young.meta.created = 100;
    let mut same = web(&["a.example.com"], "old");
    same.meta.name = "same".to_owned();
    same.meta.created = 200;
    same.rules[0].paths[0].path = Some("/same".to_owned());
    let built = Objects::new()
        .service(service("web"))
        .ingress(old)
        .ingress(young)
        .ingress(same)
        .secret(secret("old", &["a.example.com"]))
        .secret(secret("young", &["a.example.com"]))
        .translate();
    assert!(built.routes.to_string().ends_with("(Secret shop/old)\n"), "{}", built.routes);
    assert_eq!(built.routes.certificates.len(), 1);
    let part = "Ingress shop/z-old has another certificate for \"a.example.com\", which stays in force";
    let finding = ("spec.tls[0].hosts[0]", Reason::Conflicted, part);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
    assert_verdict(&built, &object(Kind::Ingress, "same"), Acceptance::Accepted, &[]);
}

#[test]
fn invalid_tls_host_leaves_others_their_certificate() {
    let web = web(&["a_b.example.com", "a.example.com"], "tls");
    let objects = Objects::new().service(service("web")).ingress(web).secret(secret("tls", &["a.example.com"]));
    let built = objects.translate();
    assert_routes(&built, &[REDIRECTED, "a.example.com certificate (Secret shop/tls)"]);
    let finding = ("spec.tls[0].hosts[0]", Reason::Invalid, "It gets no certificate, the other hosts do");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn default_backend_is_served_over_tls_for_named_hosts() {
    let mut global = Ingress { default_backend: Some(backend("web")), ..ingress("web") };
    global.tls = vec![tls(&["a.example.com"], "tls")];
    let objects = Objects::new().service(service("web")).secret(secret("tls", &["a.example.com"]));
    let built = objects.ingress(global.clone()).translate();
    let default = "default -> 10.0.0.1:80 http (Ingress shop/web)";
    assert_routes(&built, &[REDIRECTED, default, "a.example.com certificate (Secret shop/tls)"]);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[]);

    global.tls[0].hosts.clear();
    let objects = Objects::new().service(service("web")).secret(secret("tls", &["a.example.com"]));
    let built = objects.ingress(global).translate();
    let any = "* prefix / -> 10.0.0.1:80 http (Ingress shop/web)";
    assert_routes(&built, &[any, default, "* certificate (Secret shop/tls)"]);
}

#[test]
fn tls_is_left_out_without_an_https_listener() {
    let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
    let objects = objects.secret(secret("tls", &["a.example.com"]));
    let built = objects.translate_with(&TranslateSettings {
        listeners: Listener::built_in(&[([127, 0, 0, 1], 80).into()], &[]),
        ..settings()
    });
    assert_routes(&built, &[PLAIN]);
    let finding = ("spec.tls", Reason::Unsupported, "There is no HTTPS listener here");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn secret_rejected_by_nginx_is_not_used() {
    let objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
    let objects = objects.secret(secret("tls", &["a.example.com"]));
    let mut settings = settings();
    settings.quarantine.insert(object(Kind::Secret, "tls"), left_out(Reason::RejectedByNginx, "ee key too small"));
    let built = objects.translate_with(&settings);
    assert_routes(&built, &[PLAIN]);
    let words = "ee key too small";
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[(SECRET, Reason::InvalidRef, words)]);
    let finding = ("", Reason::RejectedByNginx, words);
    assert_verdict(&built, &object(Kind::Secret, "tls"), Acceptance::Rejected, &[finding]);
}

#[test]
fn unreadable_secret_is_not_used() {
    let mut objects = Objects::new().service(service("web")).ingress(web(&["a.example.com"], "tls"));
    objects.0.unreadable.insert(object(Kind::Secret, "tls"), "line 2: not base64".to_owned());
    let built = objects.translate();
    assert_routes(&built, &[PLAIN]);
    let finding = (SECRET, Reason::InvalidRef, "Secret shop/tls cannot be used: line 2: not base64");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}

#[test]
fn repeated_certificate_of_an_object_is_reported_once() {
    let hosts: Vec<_> = (0..10).map(|number| format!("h{number}.example")).collect();
    let names: Vec<_> = hosts.iter().map(String::as_str).collect();
    let rules = names.iter().map(|&host| rule(Some(host), vec![prefix("/")])).collect();
    let tls = (0..40).map(|entry| tls(&[], if entry % 2 == 0 { "one" } else { "other" })).collect();
    let objects = Objects::new().service(service("web")).ingress(Ingress { rules, tls, ..ingress("web") });
    let built = objects.secret(secret("one", &names)).secret(secret("other", &names)).translate();
    assert_eq!(built.routes.certificates.len(), 1);
    let part = "Ingress shop/web has another certificate for \"h0.example\", which stays in force";
    let finding = ("spec.tls[1].hosts", Reason::Conflicted, part);
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[finding]);
}
