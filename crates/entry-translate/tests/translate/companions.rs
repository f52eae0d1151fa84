//! Annotations that say something only beside another one of their topic.

use entry_model::{Acceptance, Action, BackendTls, ClientCertificates, Kind, Protocol, Rule, Secret, Verdict};
use entry_translate::{Translation, translate};

use crate::support::{Objects, meta, object, port, prefix, secret, service, settings, texts, tls, with_rule};

/// What an Ingress with these annotations comes to.
struct Served(Translation);

impl Served {
    fn of(annotations: &[(&str, &str)]) -> Self {
        let mut web = with_rule("web", Some("a.example"), vec![prefix("/")]);
        web.tls = vec![tls(&["a.example"], "cert")];
        web.meta.annotations =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut ca = secret("ca", &["any"]);
        ca.authorities.clone_from(&ca.certificate);
        let without_authorities = Secret { meta: meta("shown"), ..secret("shown", &["any"]) };
        let mut plain = service("web");
        plain.ports = vec![port("http", 80)];
        let objects = Objects::new().service(plain).ingress(web).secret(ca).secret(without_authorities);
        Self(translate(&objects.secret(secret("cert", &["a.example"])).0, &settings()))
    }

    fn rule(&self) -> &Rule {
        self.0.routes.rules().next().expect("a rule")
    }

    fn is_closed(&self) -> bool {
        self.rule().action == Action::UNAVAILABLE
    }

    fn backend_tls(&self) -> &BackendTls {
        &self.0.routes.policy(self.rule()).backend_tls
    }

    fn verdict(&self) -> &Verdict {
        &self.0.verdicts[&object(Kind::Ingress, "web")]
    }

    /// The names of the annotations that findings are on.
    fn told(&self) -> Vec<String> {
        let name = |field: &str| field.strip_prefix("metadata.annotations[")?.strip_suffix(']').map(str::to_owned);
        self.verdict().findings().iter().filter_map(|finding| name(&finding.field)).collect()
    }
}

#[test]
fn condition_for_certificates_without_a_secret_closes_the_host() {
    let secret = ("sparrow/client-certificate-secret", "ca");
    for asked in [
        &[("sparrow/client-certificate-subject", "CN=a")][..],
        &[("sparrow/client-certificate-verify", "on")],
        &[("sparrow/client-certificate-verify", "yes")],
        &[secret, ("sparrow/client-certificate-subject", "")],
        &[secret, ("sparrow/client-certificate-subject", " ")],
    ] {
        let served = Served::of(asked);
        let asked_name = asked.last().expect("an annotation").0;
        assert!(served.is_closed() && served.told().contains(&asked_name.to_owned()), "{asked:?}: {:?}", served.told());
        let unusable = &served.0.routes.policy(served.rule()).client_certificates;
        assert_eq!(*unusable, Some(ClientCertificates::Unusable), "{asked:?}");
    }
    assert!(!Served::of(&[("sparrow/client-certificate-verify", "off")]).is_closed());
    // As in ingress-nginx, where nobody is asked then.
    let theirs = [("nginx.ingress.kubernetes.io/auth-tls-verify-client", "on")];
    let served = Served::of(&theirs);
    assert!(!served.is_closed());
    assert_eq!(served.told(), [theirs[0].0]);
}

#[test]
fn backend_that_cannot_be_verified_as_asked_for_is_not_reached() {
    let https = ("sparrow/backend-protocol", "https");
    let of = |annotations: &[(&str, &str)]| Served::of(&[&[https], annotations].concat());
    for asked in [
        &[("sparrow/backend-tls-secret", "")][..],
        &[("sparrow/backend-tls-secret", "  ")],
        &[("sparrow/backend-tls-secret", "shown")],
        &[("sparrow/backend-tls-secret", "shown"), ("sparrow/backend-tls-verify", "no")],
        &[("sparrow/backend-tls-verify", "on")],
        &[
            ("nginx.ingress.kubernetes.io/proxy-ssl-secret", "shop/shown"),
            ("nginx.ingress.kubernetes.io/proxy-ssl-verify", "on"),
        ],
    ] {
        let served = of(asked);
        assert!(served.is_closed(), "{asked:?}");
        assert_eq!(served.verdict().acceptance(), Acceptance::Partial, "{asked:?}");
    }
    let served = of(&[("sparrow/backend-tls-secret", "ca")]);
    assert!(!served.is_closed() && served.backend_tls().verification.is_some());
    let served = of(&[("sparrow/backend-tls-secret", "shown"), ("sparrow/backend-tls-verify", "off")]);
    assert!(!served.is_closed() && served.backend_tls().verification.is_none());
    assert!(served.backend_tls().certificate.is_some());
    assert_eq!(served.verdict().findings().len(), 0);
}

#[test]
fn tls_settings_of_a_backend_that_speaks_no_tls_are_reported() {
    let own = ("sparrow/backend-tls-secret", "ca");
    let secret = ("nginx.ingress.kubernetes.io/proxy-ssl-secret", "shop/ca");
    let verify = ("nginx.ingress.kubernetes.io/proxy-ssl-verify", "on");
    for (annotations, acceptance, told) in [
        (&[own][..], Acceptance::Partial, &[own.0][..]),
        (&[own, ("sparrow/backend-protocol", "h2c")], Acceptance::Partial, &[own.0]),
        (&[own, ("sparrow/backend-protocol", "https")], Acceptance::Accepted, &[]),
        (&[own, ("sparrow/backend-protocol", "grpcs")], Acceptance::Accepted, &[]),
        (&[secret, verify], Acceptance::Accepted, &[secret.0]),
        (&[secret], Acceptance::Accepted, &[]),
    ] {
        let served = Served::of(annotations);
        assert!(!served.is_closed());
        assert_eq!(served.verdict().acceptance(), acceptance, "{annotations:?}");
        assert_eq!(served.told(), told, "{annotations:?}");
    }
    let served = Served::of(&[("sparrow/backend-protocol", "https")]);
    let Action::Forward(forward) = &served.rule().action else { panic!("no backend") };
    assert_eq!(forward.only_backend().map(|backend| backend.protocol), Some(Protocol::Https));
}

#[test]
fn annotation_without_its_principal_is_worth_knowing() {
    for (alone, principal) in [
        (("sparrow/auth-signin", "https://auth.example"), ("sparrow/auth-url", "http://203.0.113.1/")),
        (("sparrow/basic-auth-realm", "Shop"), ("sparrow/basic-auth-secret", "ca")),
        (("sparrow/client-certificate-depth", "2"), ("sparrow/client-certificate-secret", "ca")),
        (("sparrow/session-cookie-name", "a"), ("sparrow/affinity", "cookie")),
        (("sparrow/cors-max-age", "5"), ("sparrow/cors", "true")),
        (("sparrow/limit-burst-multiplier", "3"), ("sparrow/limit-rps", "5")),
        (("sparrow/redirect-status", "301"), ("sparrow/redirect", "https://b.example")),
        (("nginx.ingress.kubernetes.io/auth-realm", "Shop"), ("nginx.ingress.kubernetes.io/auth-type", "basic")),
        (("nginx.ingress.kubernetes.io/cors-max-age", "5"), ("nginx.ingress.kubernetes.io/enable-cors", "true")),
        (("nginx.ingress.kubernetes.io/session-cookie-name", "a"), ("nginx.ingress.kubernetes.io/affinity", "cookie")),
    ] {
        let served = Served::of(&[alone]);
        assert_eq!((served.told(), served.verdict().acceptance()), (vec![alone.0.to_owned()], Acceptance::Accepted));
        assert!(!Served::of(&[alone, principal]).told().contains(&alone.0.to_owned()), "{alone:?}");
    }
    // One of ours may say how the principal of ingress-nginx does it.
    let mixed = [("sparrow/cors-max-age", "5"), ("nginx.ingress.kubernetes.io/enable-cors", "true")];
    assert_eq!(Served::of(&mixed).verdict().findings().len(), 0);
}

#[test]
fn canary_is_told_which_annotations_of_ours_its_main_decides() {
    let mut canary = with_rule("canary", Some("a.example"), vec![prefix("/")]);
    canary.meta.annotations = texts([
        ("sparrow/canary", "true"),
        ("sparrow/canary-weight", "10"),
        ("sparrow/allow-source-ranges", "10.0.0.0/8"),
        ("sparrow/basic-auth-secret", "users"),
    ]);
    let main = with_rule("web", Some("a.example"), vec![prefix("/")]);
    let translation = translate(&Objects::new().service(service("web")).ingress(canary).ingress(main).0, &settings());
    let verdict = &translation.verdicts[&object(Kind::Ingress, "canary")];
    let findings = verdict.findings();
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert!(finding.message.contains("sparrow/allow-source-ranges, sparrow/basic-auth-secret;"), "{}", finding.message);
    assert_eq!(verdict.acceptance(), Acceptance::Accepted);
}

#[test]
fn redirect_to_https_that_is_asked_for_by_name_needs_no_certificate() {
    let redirects = |annotations: &[(&str, &str)], secret_name: &str, names_tls: bool| {
        let mut web = with_rule("web", Some("a.example"), vec![prefix("/")]);
        web.meta.annotations =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        web.tls = if names_tls { vec![tls(&["a.example"], secret_name)] } else { Vec::new() };
        let objects = Objects::new().service(service("web")).ingress(web).secret(secret("other", &["b.example"]));
        let translation = translate(&objects.0, &settings());
        let rule = translation.routes.rules().next().expect("a rule");
        translation.routes.policy(rule).redirect_to_https
    };
    for asked in [("sparrow/ssl-redirect", "true"), ("nginx.ingress.kubernetes.io/ssl-redirect", "true")] {
        assert!(redirects(&[asked], "missing", true), "{asked:?}");
        assert!(redirects(&[asked], "other", true), "{asked:?}: a certificate that is not for the host");
        assert!(!redirects(&[asked], "missing", false), "{asked:?}: no TLS is declared");
    }
    // Without an annotation the host is served over HTTP until the certificate is there.
    assert!(!redirects(&[], "missing", true) && !redirects(&[], "other", true));
    assert!(!redirects(&[("sparrow/ssl-redirect", "false")], "missing", true));
}
