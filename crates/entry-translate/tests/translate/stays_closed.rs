//! What an object closed stays closed, whatever becomes of the object.

use entry_model::{Acceptance, Action, Ingress, Kind, Reason, Request, RoutingDecision};
use entry_translate::{Bound, HostOwnership, Quarantine, TranslateSettings, Translation};

use crate::support::{
    Objects, assert_verdict, exact, left_out, object, prefix, secret, service, settings, texts, tls, with_rule,
};

const HOST: &str = "a.example";
const SERVER_SNIPPET: &str = "nginx.ingress.kubernetes.io/server-snippet";

fn with<const N: usize>(mut ingress: Ingress, annotations: [(&str, &str); N]) -> Ingress {
    ingress.meta.annotations = texts(annotations);
    ingress
}

fn at(name: &str, path: &str) -> Ingress {
    with_rule(name, Some(HOST), vec![prefix(path)])
}

fn of(namespace: &str, mut ingress: Ingress) -> Ingress {
    namespace.clone_into(&mut ingress.meta.namespace);
    ingress
}

fn objects(ingresses: impl IntoIterator<Item = Ingress>) -> Objects {
    let mut other = service("web");
    "other".clone_into(&mut other.meta.namespace);
    ingresses.into_iter().fold(Objects::new().service(service("web")).service(other), Objects::ingress)
}

/// The status that is answered without a backend; 200 if a backend is asked.
fn status(built: &Translation, path: &str) -> u16 {
    match built.routes.find(&Request { host: HOST, path, ..Request::default() }) {
        RoutingDecision::Rule(rule) => match &rule.action {
            Action::Forward(_) => 200,
            Action::Redirect(redirect) => redirect.status,
            Action::Respond(status) => *status,
            Action::Answer(answer) => answer.status(),
        },
        _ => 404,
    }
}

#[track_caller]
fn assert_statuses(built: &Translation, expected: &[(&str, u16)]) {
    for (path, expected) in expected {
        assert_eq!(status(built, path), *expected, "{path}\n{}", built.routes);
    }
}

#[test]
fn main_that_may_be_a_canary_keeps_its_paths_closed() {
    let admin = |value| with(at("admin", "/admin"), [("sparrow/canary", value), ("sparrow/backends", "cluster-ip")]);
    for value in ["falsee", "False", "", "no"] {
        let built = objects([at("web", "/"), admin(value)]).translate();
        assert_statuses(&built, &[("/", 200), ("/x", 200), ("/admin", 503), ("/admin/users", 503)]);
        let told = ("metadata.annotations[sparrow/canary]", Reason::Invalid, "answered 503");
        assert_verdict(&built, &object(Kind::Ingress, "admin"), Acceptance::Partial, &[told]);
    }
    assert_statuses(&objects([at("web", "/"), admin("false")]).translate(), &[("/admin", 200)]);
}

#[test]
fn main_of_what_may_be_a_canary_keeps_its_path() {
    // The one of which it is not known is older.
    let unknown = with(at("canary", "/"), [("sparrow/canary", "True")]);
    let mut main = with(at("main", "/"), [("sparrow/allow-source-ranges", "10.0.0.0/8")]);
    main.meta.created = 5;
    let built = objects([unknown, main]).translate();
    assert_statuses(&built, &[("/", 200)]);
    assert_verdict(&built, &object(Kind::Ingress, "main"), Acceptance::Accepted, &[]);
    let rule = built.routes.rules().next().unwrap();
    assert!(built.routes.policy(rule).is_restricted() && built.routes.rules().count() == 1);
    let told = ("metadata.annotations[sparrow/canary]", Reason::Invalid, "unless another Ingress has them");
    assert_verdict(&built, &object(Kind::Ingress, "canary"), Acceptance::Rejected, &[told]);
}

#[test]
fn what_would_get_requests_of_a_closed_path_that_is_left_out_is_closed() {
    let ranges = ("sparrow/allow-source-ranges", "10.0.0.0/8");
    let without = |admin: Ingress, others: Vec<Ingress>, keeps_paths| {
        let aside = Quarantine { keeps_paths, ..left_out(Reason::RejectedByNginx, "no") };
        let quarantine = [(object(Kind::Ingress, "admin"), aside)].into();
        let settings = TranslateSettings { quarantine, ownership: HostOwnership::None, ..settings() };
        objects(others.into_iter().chain([admin])).translate_with(&settings)
    };
    let others = || vec![at("web", "/"), at("api", "/api")];
    let closed = with(at("admin", "/admin"), [ranges]);
    assert_statuses(&without(closed.clone(), others(), true), &[("/", 200), ("/admin", 503), ("/api", 200)]);
    let built = without(closed.clone(), others(), false);
    assert_statuses(&built, &[("/", 503), ("/admin", 503), ("/api", 200)]);
    let told = ("spec.rules[0].http.paths[0].path", Reason::Conflicted, "Ingress shop/admin takes part in nothing");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[told]);
    // What everybody could ask for is nobody's secret.
    assert_statuses(&without(at("admin", "/admin"), others(), false), &[("/", 200), ("/admin", 200)]);
    // Nobody gets in by a rule that asks too, and no other namespace is closed.
    let asking = vec![with(at("web", "/"), [ranges])];
    assert_statuses(&without(closed.clone(), asking, false), &[("/admin", 200)]);
    assert_statuses(&without(closed, vec![of("other", at("web", "/"))], false), &[("/admin", 200)]);
    // Where nobody else has the host, its requests come out at the wildcard above it, or at all hosts.
    for host in [Some("*.example"), None] {
        let wide = with_rule("wide", host, vec![prefix("/"), prefix("/api")]);
        let closed = with(at("admin", "/admin"), [ranges]);
        assert_statuses(&without(closed, vec![wide], false), &[("/", 503), ("/admin", 503), ("/api", 200)]);
    }
    let pattern = with(at("admin", "/adm[a-z]+"), [ranges, ("sparrow/path-regex", "true")]);
    assert_statuses(&without(pattern, others(), false), &[("/", 503), ("/api", 503)]);
}

#[test]
fn guard_of_a_host_holds_though_no_path_of_its_ingress_can_be_used() {
    let mut no_paths = at("guard", "/");
    no_paths.rules[0].paths.clear();
    for guard in [at("guard", "no-slash"), no_paths] {
        let guarded = |text| objects([at("web", "/"), with(guard.clone(), [(SERVER_SNIPPET, text)])]).translate();
        assert_statuses(&guarded("deny all;"), &[("/", 403), ("/x", 403)]);
        assert_statuses(&guarded("deny 10.0.0.0/8;"), &[("/", 503), ("/x", 503)]);
        assert_statuses(&guarded("location /x { deny all; }"), &[("/", 200), ("/x", 403), ("/x/y", 403)]);
        assert_statuses(&guarded("more_set_headers \"X: y\";"), &[("/", 200)]);
        // So it does where nobody else has the host.
        let wide = with_rule("wide", Some("*.example"), vec![prefix("/")]);
        let alone = |text| objects([wide.clone(), with(guard.clone(), [(SERVER_SNIPPET, text)])]).translate();
        assert_statuses(&alone("deny all;"), &[("/", 403), ("/x", 403)]);
        assert_statuses(&alone("deny 10.0.0.0/8;"), &[("/", 503)]);
        let mut other = of("other", with(guard.clone(), [(SERVER_SNIPPET, "deny all;")]));
        other.meta.created = 5;
        for ownership in [HostOwnership::None, HostOwnership::Namespace] {
            let settings = TranslateSettings { ownership, ..settings() };
            assert_statuses(&objects([at("web", "/"), other.clone()]).translate_with(&settings), &[("/", 200)]);
        }
    }
}

#[test]
fn guards_of_namespaces_that_share_a_host_hold_side_by_side() {
    let guarded = |ingress, text| with(ingress, [(SERVER_SNIPPET, text)]);
    let web = guarded(at("web", "/"), "deny all;");
    let other = of("other", guarded(at("web", "/other"), "auth_basic x;"));
    let settings = TranslateSettings { ownership: HostOwnership::None, ..settings() };
    let built = objects([web, other]).translate_with(&settings);
    assert_statuses(&built, &[("/", 403), ("/other", 503)]);
}

#[test]
fn host_whose_certificate_has_no_room_goes_on_being_redirected() {
    let mut web = at("web", "/");
    web.rules[0].paths.push(exact("/.well-known/acme-challenge/x"));
    web.tls = vec![tls(&[HOST], "tls")];
    let over = |asked: Option<&str>, room: bool| {
        let mut web = web.clone();
        web.meta.annotations =
            asked.map(|value| ("sparrow/ssl-redirect".to_owned(), value.to_owned())).into_iter().collect();
        let mut settings = settings();
        if room {
            let aside = left_out(Reason::BoundExceeded, "there is no room");
            settings.quarantine.insert(object(Kind::Secret, "tls"), aside);
        } else {
            settings.bounds.certificates = Bound { namespace: 0, all: 0 };
        }
        objects([web]).secret(secret("tls", &[HOST])).translate_with(&settings)
    };
    let redirects = |built: &Translation, path| {
        let rule = built.routes.rules().find(|rule| rule.matches.path.text() == path).unwrap();
        built.routes.policy(rule).redirect_to_https
    };
    for room in [false, true] {
        let built = over(None, room);
        assert!(built.routes.certificates.is_empty() && redirects(&built, "/"));
        assert!(!redirects(&built, "/.well-known/acme-challenge/x"));
        assert!(!redirects(&over(Some("false"), room), "/"));
        let told = ("spec.tls[0].secretName", Reason::BoundExceeded, "rather than served in the clear");
        assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[told]);
    }
}
