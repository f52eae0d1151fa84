//! Annotations of both dialects on one object: ours count, and one of ours that cannot be used leaves nothing weaker in force.

use entry_model::{Acceptance, Action, ClientCertificates, Kind, Policy, Rule, Verdict, VerificationMode};
use entry_translate::{Translation, translate};

use crate::support::{Objects, object, prefix, secret, service, settings, texts, tls, with_rule};

const THEIRS: &str = "nginx.ingress.kubernetes.io/";

/// What an Ingress with these annotations of ours and of ingress-nginx, without their prefixes, comes to.
struct Served(Translation);

impl Served {
    fn of(own: &[(&str, &str)], ingress_nginx: &[(&str, &str)]) -> Self {
        let mut web = with_rule("web", Some("a.example"), vec![prefix("/")]);
        web.tls = vec![tls(&["a.example"], "cert")];
        let own = own.iter().map(|(name, value)| (format!("sparrow/{name}"), (*value).to_owned()));
        let theirs = ingress_nginx.iter().map(|(name, value)| (format!("{THEIRS}{name}"), (*value).to_owned()));
        web.meta.annotations = own.chain(theirs).collect();
        let mut ca = secret("ca", &["any"]);
        ca.authorities.clone_from(&ca.certificate);
        let objects = Objects::new().service(service("web")).ingress(web).secret(ca);
        let objects = objects.secret(secret("cert", &["a.example"]));
        Self(translate(&objects.0, &settings()))
    }

    fn rule(&self) -> &Rule {
        self.0.routes.rules().next().expect("a rule")
    }

    fn policy(&self) -> &Policy {
        self.0.routes.policy(self.rule())
    }

    fn is_closed(&self) -> bool {
        self.rule().action == Action::UNAVAILABLE
    }

    fn verdict(&self) -> &Verdict {
        &self.0.verdicts[&object(Kind::Ingress, "web")]
    }

    /// Whether a finding is on the annotation with this full name.
    fn is_told_of(&self, annotation: &str) -> bool {
        let field = format!("metadata.annotations[{annotation}]");
        self.verdict().findings().iter().any(|finding| finding.field == field)
    }

    /// How clients are verified, and how deep.
    fn verification(&self) -> Option<(VerificationMode, u8)> {
        match &self.policy().client_certificates {
            Some(ClientCertificates::Usable(rule)) => Some((rule.verification.mode, rule.verification.depth)),
            Some(ClientCertificates::Unusable) | None => None,
        }
    }
}

#[test]
fn secret_of_ours_asks_for_certificates_whatever_ingress_nginx_annotations_say() {
    let ca = ("client-certificate-secret", "ca");
    let required = Some((VerificationMode::Required, 1));
    for own in
        [&[ca][..], &[ca, ("client-certificate-verify", "Required")], &[ca, ("client-certificate-depth", "deep")]]
    {
        for theirs in [
            ("auth-tls-verify-client", "off"),
            ("auth-tls-verify-client", "optional_no_ca"),
            ("auth-tls-verify-depth", "99"),
        ] {
            let served = Served::of(own, &[theirs]);
            assert_eq!(served.verification(), required, "{own:?} {theirs:?}");
            assert!(served.is_told_of(&format!("{THEIRS}{}", theirs.0)), "{own:?} {theirs:?}");
        }
    }
    // Without a Secret of ours, the settings of ours count for that of ingress-nginx.
    let theirs = [("auth-tls-secret", "ca"), ("auth-tls-verify-client", "off"), ("auth-tls-verify-depth", "9")];
    assert_eq!(Served::of(&[], &theirs).verification(), None);
    for mode in ["on", "Required"] {
        let own = [("client-certificate-verify", mode), ("client-certificate-depth", "-")];
        assert_eq!(Served::of(&own, &theirs).verification(), required, "{mode}");
    }
}

#[test]
fn condition_of_ours_that_cannot_be_used_is_not_that_of_ingress_nginx() {
    let range = ("allow-source-ranges", "10.0.0.0/8");
    let theirs = [("satisfy", "any"), ("whitelist-source-range", "10.0.0.0/8")];
    assert!(Served::of(&[], &theirs).policy().access.satisfy_any);
    for own in [&[("satisfy", "All")][..], &[range], &[range, ("satisfy", "All")]] {
        assert!(!Served::of(own, &theirs).policy().access.satisfy_any, "{own:?}");
    }
    assert!(Served::of(&[range, ("satisfy", "any")], &[]).policy().access.satisfy_any);
}

#[test]
fn redirect_to_https_of_ours_that_cannot_be_used_stays() {
    for (own, theirs, redirects) in [
        (&[][..], "false", false),
        (&[("ssl-redirect", "True")], "false", true),
        (&[("ssl-redirect", "false")], "true", false),
        (&[("ssl-redirect", "true")], "false", true),
    ] {
        let served = Served::of(own, &[("ssl-redirect", theirs)]);
        assert_eq!(served.policy().redirect_to_https, redirects, "{own:?} {theirs}");
    }
}

#[test]
fn target_of_ours_that_cannot_be_used_leads_nowhere() {
    for (own, theirs) in [
        (("rewrite", "x"), ("rewrite-target", "/public")),
        (("replace-prefix", "x"), ("rewrite-target", "/public")),
        (("redirect", "x"), ("permanent-redirect", "https://b.example")),
    ] {
        assert!(Served::of(&[own], &[theirs]).is_closed(), "{own:?}");
        assert!(Served::of(&[own], &[]).is_closed(), "{own:?}");
        assert!(!Served::of(&[], &[theirs]).is_closed(), "{theirs:?}");
    }
}

#[test]
fn details_of_ingress_nginx_do_not_count_beside_a_principal_of_ours() {
    // What ingress-nginx says changes nothing of what ours asks for, be it usable or not.
    for (own, theirs) in [
        (&[("cors", "true")][..], ("cors-allow-origin", "https://their.example")),
        (&[("cors", "true"), ("cors-allow-methods", "GET")], ("cors-allow-methods", "PUT")),
        (&[("cors", "true")], ("cors-allow-credentials", "false")),
        (&[("affinity", "cookie")], ("session-cookie-name", "their")),
        (&[("affinity", "cookie")], ("session-cookie-expires", "60")),
        (&[("limit-rps", "5")], ("limit-whitelist", "0.0.0.0/0")),
        (&[("limit-rps", "5")], ("limit-burst-multiplier", "1")),
        (&[("limit-rate", "10k")], ("limit-rate-after", "10")),
        (&[("redirect", "https://b.example/")], ("permanent-redirect-code", "308")),
    ] {
        let (alone, beside) = (Served::of(own, &[]), Served::of(own, &[theirs]));
        assert_eq!((beside.rule(), beside.policy()), (alone.rule(), alone.policy()), "{own:?} {theirs:?}");
        assert!(beside.is_told_of(&format!("{THEIRS}{}", theirs.0)), "{own:?} {theirs:?}");
    }
    // Beside one of ingress-nginx, ours count, each before that of ingress-nginx that says the same, and the others of ingress-nginx stay.
    let theirs = [
        ("enable-cors", "true"),
        ("cors-allow-methods", "PUT"),
        ("cors-allow-headers", "X-Their"),
        ("limit-rps", "5"),
        ("limit-burst-multiplier", "7"),
    ];
    let served = Served::of(&[("cors-allow-methods", "GET"), ("limit-status", "429")], &theirs);
    let cors = served.policy().cors.as_ref().expect("CORS");
    assert_eq!((&*cors.methods, &*cors.headers), ("GET", "X-Their"));
    let limits = &served.policy().limits;
    assert_eq!((limits.requests_per_second.map(|limit| limit.burst), limits.status), (Some(35), Some(429)));
}

#[test]
fn details_of_a_canary_are_of_the_dialect_that_makes_it_one() {
    let rules = |annotations: &[(&str, &str)]| {
        let mut canary = with_rule("canary", Some("a.example"), vec![prefix("/")]);
        canary.meta.annotations =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let shop = with_rule("shop", Some("a.example"), vec![prefix("/")]);
        let objects = Objects::new().service(service("web")).ingress(canary).ingress(shop);
        translate(&objects.0, &settings()).routes.to_string()
    };
    let (own, theirs) = ("sparrow/canary", "nginx.ingress.kubernetes.io/canary");
    let [own_weight, their_weight] = [own, theirs].map(|prefix| format!("{prefix}-weight"));
    let none = rules(&[(own, "true")]);
    assert_eq!(rules(&[(own, "true"), (&*their_weight, "50")]), none);
    assert_eq!(rules(&[(own, "true"), (theirs, "true"), (&*their_weight, "50")]), none);
    let half = rules(&[(theirs, "true"), (&*their_weight, "50")]);
    assert_ne!(half, none);
    assert_eq!(rules(&[(theirs, "true"), (&*own_weight, "50"), (&*their_weight, "10")]), half);
}

#[test]
fn limit_of_ours_that_cannot_be_used_leaves_that_of_ingress_nginx() {
    let rate = |own: &[(&str, &str)]| {
        let served = Served::of(own, &[("limit-rps", "5")]);
        served.policy().limits.requests_per_second.map(|limit| limit.rate)
    };
    assert_eq!(rate(&[("limit-rps", "ten")]), Some(5));
    assert_eq!(rate(&[("limit-rps", "10")]), Some(10));
    assert_eq!(rate(&[]), Some(5));
}

#[test]
fn annotation_of_ingress_nginx_beside_one_of_ours_is_worth_knowing() {
    let theirs = [("proxy-read-timeout", "60")];
    let served = Served::of(&[("read-timeout", "5s")], &theirs);
    assert_eq!(served.verdict().acceptance(), Acceptance::Accepted);
    assert!(served.is_told_of(&format!("{THEIRS}proxy-read-timeout")));
    assert!(served.verdict().findings()[0].message.contains("sparrow/read-timeout"));
    // Who says the same twice is told nothing.
    let served = Served::of(&[("cors", "true")], &[("enable-cors", "true")]);
    assert_eq!(served.verdict().findings().len(), 0);
}

#[test]
fn canary_that_cannot_be_read_takes_nothing_from_its_main() {
    for value in ["True", "yes", ""] {
        let mut canary = with_rule("canary", Some("a.example"), vec![prefix("/")]);
        canary.meta.annotations = texts([("sparrow/canary", value), ("nginx.ingress.kubernetes.io/canary", "true")]);
        let mut shop = with_rule("shop", Some("a.example"), vec![prefix("/")]);
        shop.meta.annotations = texts([("sparrow/allow-source-ranges", "10.0.0.0/8")]);
        let objects = Objects::new().service(service("web")).ingress(canary).ingress(shop);
        let translation = translate(&objects.0, &settings());
        let rules: Vec<_> = translation.routes.rules().map(|rule| &rule.origin).collect();
        assert_eq!(rules, [&object(Kind::Ingress, "shop")], "{value}");
        let acceptance = |name| translation.verdicts[&object(Kind::Ingress, name)].acceptance();
        assert_eq!((acceptance("canary"), acceptance("shop")), (Acceptance::Rejected, Acceptance::Accepted));
    }
}
