//! Where copies of requests go.

use entry_model::{Action, Mirror, Service, Snapshot};
use entry_translate::{TranslateSettings, Translator};

use super::support::{Objects, ingress, prefix, rule, service, settings, texts};

const OF_OTHERS: &str = "http://shadow.other.svc.cluster.local/copies";

/// A Service of another namespace, whose owner says from where requests may come, if anything.
fn shadow(consent: Option<&str>) -> Service {
    let mut shadow = service("shadow");
    "other".clone_into(&mut shadow.meta.namespace);
    shadow.cluster_ips = vec![[10, 0, 1, 1].into()];
    shadow.meta.annotations =
        consent.map(|names| ("sparrow/requests-from".to_owned(), names.to_owned())).into_iter().collect();
    shadow
}

fn objects(annotation: &str, target: &str, shadow: Option<Service>) -> Snapshot {
    let mut copied = ingress("web");
    copied.rules = vec![rule(Some("a.example.com"), vec![prefix("/")])];
    copied.meta.annotations = texts([(annotation, target)]);
    let mut snapshot = Objects::new().service(service("web")).ingress(copied).0;
    if let Some(shadow) = shadow {
        snapshot.put(shadow);
    }
    snapshot
}

/// Where copies go, if anywhere, and what is told. The requests themselves are served in any case.
fn copies(translator: &mut Translator, snapshot: &Snapshot, settings: &TranslateSettings) -> (Option<String>, String) {
    let translation = translator.translate(snapshot, settings);
    let served = translation.routes.rules().next().expect("a rule");
    assert!(matches!(served.action, Action::Forward(_)), "{served:?}");
    let mirror = translation.routes.policy(served).mirror.as_ref();
    let told = translation.verdicts.values().flat_map(entry_model::Verdict::findings);
    let told = told.map(|finding| finding.message.clone()).collect();
    (mirror.map(|Mirror { server, .. }| server.to_string()), told)
}

fn once(annotation: &str, target: &str, shadow: Option<Service>) -> (Option<String>, String) {
    copies(&mut Translator::default(), &objects(annotation, target, shadow), &settings())
}

#[test]
fn service_of_another_namespace_gets_copies_only_if_its_owner_agrees() {
    for annotation in ["sparrow/mirror-target", "nginx.ingress.kubernetes.io/mirror-target"] {
        for consent in ["shop", "*", "blog, shop"] {
            let (server, told) = once(annotation, OF_OTHERS, Some(shadow(Some(consent))));
            assert_eq!((server.as_deref(), &*told), (Some("10.0.1.1:80"), ""), "{consent}");
        }
        let (none, unknown) = once(annotation, OF_OTHERS, None);
        assert_eq!(none, None);
        assert!(unknown.ends_with("Until then, requests are served and not copied"), "{unknown}");
        for consent in [None, Some(""), Some("blog"), Some("shop2, sho"), Some("shop/web")] {
            let (server, told) = once(annotation, OF_OTHERS, Some(shadow(consent)));
            assert_eq!((server, &told), (None, &unknown), "{consent:?}: nobody learns what others have");
        }
    }
}

#[test]
fn consent_that_comes_or_goes_is_followed() {
    let mut translator = Translator::default();
    for consent in [None, Some("shop"), None, Some("*"), Some("blog")] {
        let snapshot = objects("sparrow/mirror-target", OF_OTHERS, Some(shadow(consent)));
        let (server, _) = copies(&mut translator, &snapshot, &settings());
        assert_eq!(server.is_some(), consent.is_some_and(|names| names != "blog"), "{consent:?}");
    }
}

#[test]
fn copies_go_to_no_address_that_may_be_anyones() {
    let is_copied = |target: &str| once("sparrow/mirror-target", target, Some(shadow(Some("shop")))).0.is_some();
    for target in [
        "http://10.0.1.1/",
        "http://192.168.1.1/",
        "http://[fd00::1]/",
        "http://127.0.0.1:10254/",
        "http://169.254.169.254/latest",
        "https://kubernetes.default.svc/",
        "http://10-0-1-1.other.pod.cluster.local/",
        "http://localhost/",
    ] {
        assert!(!is_copied(target), "{target}");
    }
    assert!(is_copied("http://192.0.2.1:8080/copies"));
}

#[test]
fn name_outside_the_cluster_gets_copies_where_names_are_looked_up() {
    let snapshot = objects("sparrow/mirror-target", "https://shadow.example.com", None);
    let mut settings = settings();
    for resolves_names in [false, true] {
        settings.defaults.resolves_names = resolves_names;
        let (server, told) = copies(&mut Translator::default(), &snapshot, &settings);
        assert_eq!((server.is_some(), told.is_empty()), (resolves_names, resolves_names), "{told}");
    }
}
