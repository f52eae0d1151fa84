//! Secrets that annotations name: what is made of them follows them.

use entry_model::{Action, Kind, ObjectRef, Reason, Secret, Snapshot};
use entry_translate::{TranslateSettings, Translator, translate};

use crate::support::{Objects, key, left_out, meta, object, prefix, secret, service, settings, texts, with_rule};

const HASH: &str = "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0";

fn users(user: &str) -> Secret {
    Secret { meta: meta("users"), passwords: format!("{user}:{HASH}").into(), ..Secret::default() }
}

fn authority() -> Secret {
    let authorities = secret("clients", &["any"]).certificate;
    Secret { meta: meta("clients"), authorities, ..Secret::default() }
}

/// An Ingress that names both Secrets, and a Service.
fn named() -> Objects {
    let mut web = with_rule("web", Some("a.example"), vec![prefix("/")]);
    web.meta.annotations = texts([
        ("nginx.ingress.kubernetes.io/auth-type", "basic"),
        ("nginx.ingress.kubernetes.io/auth-secret", "users"),
        ("nginx.ingress.kubernetes.io/auth-tls-secret", "shop/clients"),
    ]);
    Objects::new().service(service("web")).ingress(web)
}

fn put(snapshot: &mut Snapshot, secret: Secret) {
    snapshot.put(secret);
}

/// A change, the settings, whether the rule is open then, and what is said.
type Step<'a> = (&'a dyn Fn(&mut Snapshot), &'a TranslateSettings, bool, &'a str);

#[test]
fn rules_follow_the_secrets_that_annotations_name() {
    let mut translator = Translator::default();
    let mut snapshot = named().0;
    let settings = settings();
    let aside = TranslateSettings {
        quarantine: [(object(Kind::Secret, "clients"), left_out(Reason::Invalid, "for a test"))].into(),
        ..settings.clone()
    };
    let unreadable = |snapshot: &mut Snapshot| {
        snapshot.remove(&object(Kind::Secret, "users"));
        snapshot.unreadable.insert(ObjectRef::new(Kind::Secret, key("shop", "users")), "no right".to_owned());
    };
    let readable = |snapshot: &mut Snapshot| {
        snapshot.unreadable.clear();
        put(snapshot, users("c"));
    };
    let steps: [Step<'_>; 8] = [
        (&|_| {}, &settings, false, "There is no Secret shop/users"),
        (&|snapshot| put(snapshot, users("a")), &settings, false, "There is no Secret shop/clients"),
        (&|snapshot| put(snapshot, authority()), &settings, true, ""),
        (&|snapshot| put(snapshot, users("b")), &settings, true, ""),
        (&|_| {}, &aside, false, "for a test"),
        (&|_| {}, &settings, true, ""),
        (&unreadable, &settings, false, "no right"),
        (&readable, &settings, true, ""),
    ];
    for (number, (change, settings, is_open, message)) in steps.into_iter().enumerate() {
        change(&mut snapshot);
        let translation = translator.translate(&snapshot, settings);
        assert_eq!(translation, translate(&snapshot, settings), "{number}");
        let rule = translation.routes.rules().next().expect("a rule");
        assert_eq!(rule.action != Action::UNAVAILABLE, is_open, "{number}");
        let verdict = format!("{:?}", translation.verdicts);
        assert!(verdict.contains(message), "{number}: {verdict}");
        let access = &translation.routes.policy(rule).access;
        let passwords = access.basic_auth.as_ref().map(|auth| auth.passwords.0.clone());
        assert!(!is_open || passwords.is_some_and(|text| text.contains(HASH)), "{number}");
    }
}

#[test]
fn certificates_of_clients_are_asked_for_where_another_object_has_the_path() {
    let mut asking = with_rule("asking", Some("a.example"), vec![prefix("/")]);
    asking.meta.annotations = texts([("nginx.ingress.kubernetes.io/auth-tls-secret", "shop/clients")]);
    asking.meta.created = 2;
    for path in ["/", "/(?!x)"] {
        let mut asking = asking.clone();
        asking.rules[0].paths[0] = prefix(path);
        asking.meta.annotations.extend(texts([("nginx.ingress.kubernetes.io/use-regex", "true")]));
        let first = with_rule("first", Some("a.example"), vec![prefix("/")]);
        let mut objects = Objects::new().service(service("web")).ingress(first).ingress(asking);
        put(&mut objects.0, authority());
        let built = objects.translate();
        let rules: Vec<_> = built.routes.hosts.values().flat_map(|host| &host.rules).collect();
        assert!(!rules.is_empty());
        for rule in rules {
            assert!(built.routes.policy(rule).client_certificates.is_some(), "{path}: {rule:?}");
        }
    }
}
