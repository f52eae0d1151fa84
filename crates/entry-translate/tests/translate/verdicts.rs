//! Verdicts on objects of which nothing is served, and how much messages quote.

use entry_model::{Acceptance, ClientCertificates, Ingress, Kind, ObjectRef, Reason, Routes, Snapshot};
use entry_translate::Quarantine;

use crate::support::{
    Objects, assert_routes, assert_verdict, exposed, key, left_out, object, prefix, service, settings, texts, with_rule,
};

#[test]
fn quarantined_object_without_its_paths_contributes_nothing() {
    let mut first = with_rule("first", None, vec![prefix("/same"), prefix("/first")]);
    first.meta.created = -1;
    let second = with_rule("second", None, vec![prefix("/same")]);
    let mut settings = settings();
    let rejected = |words: &str| left_out(Reason::RejectedByNginx, words);
    // Its reason is at the end, as nginx puts it.
    let long = format!("{}: unknown \"directive\"\nin x.conf", "x".repeat(200));
    settings.quarantine.insert(object(Kind::Ingress, "first"), rejected(&long));
    settings.quarantine.insert(object(Kind::Service, "web"), left_out(Reason::Unsupported, "no reason"));
    let objects = Objects::new().service(exposed("web", [])).ingress(first).ingress(second);
    let built = objects.translate_with(&settings);
    assert_routes(&built, &["* prefix /same -> 10.0.0.1:80 http (Ingress shop/second)"]);
    let words = (
        "",
        Reason::RejectedByNginx,
        "xxx: unknown \"directive\"\\nin x.conf. Nothing of it is served, all else is; correct it",
    );
    assert_verdict(&built, &object(Kind::Ingress, "first"), Acceptance::Rejected, &[words]);
    assert_eq!(built.verdicts[&object(Kind::Ingress, "first")].observed_generation, 3);
    // Its own rule is gone; others' rules may still lead to it.
    let words = ("", Reason::Unsupported, "no reason");
    assert_verdict(&built, &object(Kind::Service, "web"), Acceptance::Rejected, &[words]);
    assert_verdict(&built, &object(Kind::Ingress, "second"), Acceptance::Accepted, &[]);
}

#[test]
fn quarantined_object_keeps_its_paths_from_shorter_ones() {
    let annotate = |mut ingress: Ingress, name: &str, value: &str| {
        ingress.meta.annotations.insert(name.to_owned(), value.to_owned());
        ingress
    };
    let host = Some("a.example");
    let closed = with_rule("closed", host, vec![prefix("/admin")]);
    let closed = annotate(closed, "sparrow/allow-source-ranges", "192.0.2.0/24");
    let mut default = with_rule("default", Some("b.example"), vec![prefix("/")]);
    default.default_backend = Some(prefix("/").backend);
    let open = with_rule("open", host, vec![prefix("/")]);
    let mut settings = settings();
    for name in ["closed", "default"] {
        let aside = Quarantine { keeps_paths: true, ..left_out(Reason::RejectedByNginx, "no") };
        settings.quarantine.insert(object(Kind::Ingress, name), aside);
    }
    let objects = Objects::new().service(service("web")).ingress(closed).ingress(default).ingress(open);
    let built = objects.translate_with(&settings);
    assert_routes(
        &built,
        &[
            "a.example prefix /admin -> unavailable (Ingress shop/closed)",
            "a.example prefix / -> 10.0.0.1:80 http (Ingress shop/open)",
            "b.example prefix / -> unavailable (Ingress shop/default)",
        ],
    );
    let words =
        ("", Reason::RejectedByNginx, "no. Requests for its paths are answered 503, all else is served; correct it");
    assert_verdict(&built, &object(Kind::Ingress, "closed"), Acceptance::Rejected, &[words]);
    assert_verdict(&built, &object(Kind::Ingress, "open"), Acceptance::Accepted, &[]);
}

#[test]
fn host_of_a_quarantined_object_that_asks_for_certificates_lets_nobody_in() {
    let mut closed = with_rule("closed", Some("a.example"), vec![prefix("/x")]);
    closed.meta.annotations.insert("sparrow/client-certificate-secret".to_owned(), "missing".to_owned());
    let open = with_rule("open", Some("a.example"), vec![prefix("/")]);
    let mut settings = settings();
    let aside = Quarantine { keeps_paths: true, ..left_out(Reason::RejectedByNginx, "no") };
    settings.quarantine.insert(object(Kind::Ingress, "closed"), aside);
    let objects = Objects::new().service(service("web")).ingress(closed).ingress(open);
    let built = objects.translate_with(&settings);
    let rules = built.routes.hosts.values().flat_map(|host| &host.rules);
    let policies: Vec<_> = rules.map(|rule| &built.routes.policy(rule).client_certificates).collect();
    assert_eq!(policies.len(), 2);
    assert!(policies.iter().all(|asked| **asked == Some(ClientCertificates::Unusable)), "{policies:?}");
}

#[test]
fn unreadable_object_is_rejected() {
    let mut objects = Objects::new().service(exposed("web", []));
    objects.0.unreadable.insert(object(Kind::Ingress, "torn"), "line 3: mapping values are not allowed".to_owned());
    // Of what a source still has of it nothing is served: half an object is none.
    let objects = objects.ingress(with_rule("torn", None, vec![prefix("/torn")]));
    let built = objects.translate();
    assert_routes(&built, &["* prefix /web -> 10.0.0.1:80 http strip (Service shop/web)"]);
    let finding = ("", Reason::Invalid, "The object cannot be read: line 3");
    assert_verdict(&built, &object(Kind::Ingress, "torn"), Acceptance::Rejected, &[finding]);
}

#[test]
fn unreadable_manifest_leaves_its_last_good_objects_served() {
    let mut objects = Objects::new();
    let file = object(Kind::Manifest, "web.yaml:3");
    objects.0.unreadable.insert(file.clone(), "what the file said before stays in force: torn".to_owned());
    let verdict = &objects.translate().verdicts[&file];
    let message =
        "The manifest cannot be read: what the file said before stays in force: torn. All else is served; correct it";
    assert_eq!((verdict.acceptance(), verdict.findings()[0].message.as_str()), (Acceptance::Rejected, message));
}

#[test]
fn messages_quote_little_of_an_object() {
    let long = "x".repeat(5_000);
    let path = format!("no\nslash{long}");
    let annotations = [("sparrow/path", path.as_str()), ("sparrow/read-timeout", &long)];
    let mut named = with_rule(&long, None, vec![prefix("/x"), prefix("/x")]);
    named.meta.annotations = texts([(&*format!("sparrow/{long}"), "")]);
    let mut twin = named.clone();
    twin.meta.namespace.clone_from(&long);
    let built = Objects::new().service(exposed("web", annotations)).ingress(named).ingress(twin).translate();
    let findings: Vec<_> = built.verdicts.values().flat_map(|verdict| verdict.findings()).collect();
    assert!(findings.len() > 5, "{findings:#?}");
    for finding in findings {
        assert!(finding.message.len() < 600 && finding.field.len() < 200, "{finding:?}");
        assert!(!finding.message.contains('\n'), "{finding:?}");
    }
    let message = &built.verdicts[&object(Kind::Service, "web")].findings()[0].message;
    assert!(message.starts_with(r#"The path "no\nslash"#), "{message}");
    assert!(message.contains("xxx…\" cannot be used"), "{message}");
}

#[test]
fn only_the_first_findings_are_reported() {
    for (all, told) in [(20, 20), (21, 21), (10_000, 21)] {
        let paths = (0..all).map(|number| prefix(&format!("no-slash{number}")));
        let built = Objects::new().ingress(with_rule("many", None, paths.collect())).translate();
        let verdict = &built.verdicts[&object(Kind::Ingress, "many")];
        assert_eq!((verdict.acceptance(), verdict.findings().len()), (Acceptance::Rejected, told));
        assert_eq!(verdict.findings()[19].field, "spec.rules[0].http.paths[19].path");
        let last = *verdict.findings().last().expect("some");
        assert_eq!(last.message.starts_with(&format!("And {} more findings", all - 20)), all > 20, "{last:?}");
    }
}

#[test]
fn empty_snapshot_gives_no_routes() {
    let built = Objects(Snapshot::default()).translate();
    let routes = Routes { listeners: settings().listeners, ..Routes::default() };
    assert_eq!(built, entry_translate::Translation { routes, ..entry_translate::Translation::default() });
    let object = ObjectRef::new(Kind::Node, key("", "a"));
    assert_eq!(object.to_string(), "Node a");
}
