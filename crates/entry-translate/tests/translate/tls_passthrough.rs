//! Hosts whose TLS connections go to a backend as they come.

use entry_model::{Acceptance, Ingress, Kind, Listener, Reason};
use entry_translate::{TlsPassthroughAnnotations, TranslateSettings, Translator};

use super::support::{
    Objects, assert_routes, assert_verdict, exposed, object, prefix, rule, secret, service, settings, texts, tls, to,
    with_rule,
};

const OWN: &str = "sparrow/tls-passthrough";
const THEIRS: &str = "nginx.ingress.kubernetes.io/ssl-passthrough";
const OWN_FIELD: &str = "metadata.annotations[sparrow/tls-passthrough]";

/// An Ingress with a path `/` at a host, and an annotation.
fn annotated(name: &str, host: &str, annotation: &str) -> Ingress {
    let mut ingress = with_rule(name, Some(host), vec![prefix("/")]);
    ingress.meta.annotations = texts([(annotation, "true")]);
    ingress
}

fn all() -> TranslateSettings {
    TranslateSettings { tls_passthrough: TlsPassthroughAnnotations::All, ..settings() }
}

fn objects() -> Objects {
    Objects::new().service(service("web"))
}

#[test]
fn tls_connections_go_to_the_backend_of_the_root_and_http_is_redirected() {
    let mut ingress = annotated("a", "a.example", OWN);
    ingress.tls = vec![tls(&["a.example"], "tls")];
    // The Secret is there, and is not asked for.
    let built = objects().ingress(ingress).secret(secret("tls", &["a.example"])).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix / -> 10.0.0.1:80 http redirect (Ingress shop/a)",
            "a.example tls passthrough -> 10.0.0.1:80 (Ingress shop/a)",
        ],
    );
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Accepted, &[]);
    let mut plain = annotated("a", "a.example", OWN);
    plain.meta.annotations.extend(texts([("sparrow/ssl-redirect", "false")]));
    let built = objects().ingress(plain).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix / -> 10.0.0.1:80 http (Ingress shop/a)",
            "a.example tls passthrough -> 10.0.0.1:80 (Ingress shop/a)",
        ],
    );
}

#[test]
fn annotation_of_ingress_nginx_has_effect_where_the_operator_says_so() {
    let of = |annotation| objects().ingress(annotated("a", "a.example", annotation));
    let field = "metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]";
    let ended = ["a.example prefix / -> 10.0.0.1:80 http (Ingress shop/a)"];
    let built = of(THEIRS).translate();
    assert_routes(&built, &ended);
    let note = (field, Reason::Unsupported, "as in ingress-nginx without its flag --enable-ssl-passthrough");
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Accepted, &[note]);
    let built = of(THEIRS).translate_with(&all());
    assert_eq!(built.routes.tls_passthrough.len(), 1);
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Accepted, &[]);
    // Ours wins.
    let mut both = annotated("a", "a.example", THEIRS);
    both.meta.annotations.extend(texts([(OWN, "false")]));
    assert_routes(&objects().ingress(both).translate_with(&all()), &ended);
    let none = TranslateSettings { tls_passthrough: TlsPassthroughAnnotations::None, ..settings() };
    let built = of(OWN).translate_with(&none);
    assert_routes(&built, &ended);
    let loss = (OWN_FIELD, Reason::Unsupported, "allows no TLS passthrough");
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Partial, &[loss]);
}

#[test]
fn oldest_object_of_a_host_decides_and_the_others_are_told() {
    let older = |mut ingress: Ingress| {
        ingress.meta.created = -1;
        ingress
    };
    // It asks for nothing: TLS is ended here for all.
    let built = objects()
        .ingress(older(with_rule("old", Some("a.example"), vec![prefix("/old")])))
        .ingress(annotated("a", "a.example", OWN))
        .translate();
    assert!(built.routes.tls_passthrough.is_empty());
    let told = (OWN_FIELD, Reason::Conflicted, "Ingress shop/old, which was first, does not ask for it");
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Partial, &[told]);
    // It asks for it: no path of another is reached over TLS.
    let built = objects()
        .service(service("other"))
        .ingress(older(annotated("a", "a.example", OWN)))
        .ingress(with_rule("new", Some("a.example"), vec![to(prefix("/new"), "gone")]))
        .translate();
    assert_eq!(built.routes.tls_passthrough.len(), 1);
    let verdict = &built.verdicts[&object(Kind::Ingress, "new")];
    let unreached =
        "is not reached over TLS: Ingress shop/a has TLS connections for the host \"a.example\" passed through";
    assert!(verdict.findings().iter().any(|finding| finding.message.contains(unreached)), "{verdict:#?}");
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Accepted, &[]);
}

#[test]
fn object_without_path_root_or_without_host_is_told() {
    let told = |path: &str, host: Option<&str>, part: &str| {
        let mut ingress = with_rule("a", host, vec![prefix(path)]);
        ingress.meta.annotations = texts([(OWN, "true")]);
        let built = objects().ingress(ingress).translate();
        assert!(built.routes.tls_passthrough.is_empty(), "{}", built.routes);
        assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Partial, &[(OWN_FIELD, Reason::Invalid, part)]);
    };
    told("/api", Some("a.example"), "no such rule of this object is in force at the host \"a.example\"");
    told("/", None, "a rule here has none");
}

#[test]
fn passthrough_without_backend_rejects_tls_and_without_listener_is_told() {
    let built = Objects::new().ingress(annotated("a", "a.example", OWN)).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix / -> unavailable redirect (Ingress shop/a)",
            "a.example tls passthrough -> unavailable (Ingress shop/a)",
        ],
    );
    let http_only = TranslateSettings { listeners: Listener::built_in(&[([0; 4], 80).into()], &[]), ..settings() };
    let built = objects().ingress(annotated("a", "a.example", OWN)).translate_with(&http_only);
    assert_routes(&built, &["a.example prefix / -> 10.0.0.1:80 http (Ingress shop/a)"]);
    let told = (OWN_FIELD, Reason::Unsupported, "There is no HTTPS listener here");
    assert_verdict(&built, &object(Kind::Ingress, "a"), Acceptance::Partial, &[told]);
}

#[test]
fn exposed_service_with_a_host_can_be_passed_through() {
    let annotations = [("sparrow/host", "a.example"), ("sparrow/path", "/"), (OWN, "true")];
    let built = Objects::new().service(exposed("web", annotations)).translate();
    assert_routes(
        &built,
        &[
            "a.example prefix / -> 10.0.0.1:80 http strip redirect (Service shop/web)",
            "a.example tls passthrough -> 10.0.0.1:80 (Service shop/web)",
        ],
    );
}

#[test]
fn solver_below_a_wildcard_that_is_passed_through_takes_nothing_away() {
    let mut solver = with_rule("solver", Some("a.wild.example"), vec![prefix("/.well-known/acme-challenge/x")]);
    solver.meta.created = 1;
    let built = objects().ingress(annotated("a", "*.wild.example", OWN)).ingress(solver).translate();
    assert_routes(
        &built,
        &[
            "a.wild.example prefix /.well-known/acme-challenge/x -> 10.0.0.1:80 http (Ingress shop/solver)",
            "a.wild.example prefix / -> 10.0.0.1:80 http redirect (Ingress shop/a)",
            "*.wild.example prefix / -> 10.0.0.1:80 http redirect (Ingress shop/a)",
            "a.wild.example tls passthrough -> 10.0.0.1:80 (Ingress shop/a)",
            "*.wild.example tls passthrough -> 10.0.0.1:80 (Ingress shop/a)",
        ],
    );
}

#[test]
fn passthrough_follows_its_service_on_the_short_way_too() {
    let mut objects = objects().ingress(annotated("a", "a.example", OWN));
    let mut translator = Translator::default();
    let mut settings = settings();
    for port in [80, 81, 82] {
        let mut moved = service("web");
        moved.cluster_ips = vec![[10, 0, 0, u8::try_from(port).unwrap_or(0)].into()];
        objects = objects.service(moved);
        let built = translator.translate(&objects.0, &settings);
        let text = built.routes.to_string();
        assert!(text.contains(&format!("tls passthrough -> 10.0.0.{port}:80")), "{text}");
        assert_eq!(built.routes, entry_translate::translate(&objects.0, &settings).routes);
        settings.host_owners = vec![built.host_owners];
        settings.last_good = built.last_good;
    }
}

#[test]
fn certificates_of_other_hosts_are_not_given_to_one_that_is_passed_through() {
    let mut other = with_rule("other", Some("*.wild.example"), vec![prefix("/")]);
    other.tls = vec![tls(&["*.wild.example"], "tls")];
    let mut passed = annotated("a", "a.wild.example", OWN);
    passed.rules.push(rule(Some("b.wild.example"), vec![prefix("/")]));
    let built = objects().ingress(other).ingress(passed).secret(secret("tls", &["*.wild.example"])).translate();
    let with = built.routes.hosts.iter().filter(|(_, host)| host.certificate.is_some());
    assert_eq!(with.map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["*.wild.example"]);
    assert_eq!(built.routes.tls_passthrough.len(), 2);
}
