//! What is in force where the value of an annotation of ours cannot be used: what its row says, of each row of the table.

use entry_model::{
    Acceptance, Action, CorsOrigins, ExternalAuth, Ingress, Kind, Match, ObjectRef, PathMatch, Routes, Rule, Secret,
};
use entry_translate::{OWN_PREFIX, Objects as RowObjects, OwnAnnotation, TOPICS, Translation, UnusableValue};

use crate::support::{Objects, exposed, object, prefix, secret, service, tls, to, with_rule};

const HOST: &str = "a.example";

/// What nothing takes.
const GARBAGE: &str = "\u{1} no value";

/// Annotations beside which one says something.
fn beside(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "client-certificate-secret"
        | "basic-auth-secret"
        | "auth-url"
        | "backend-tls-secret"
        | "redirect"
        | "cors"
        | "canary"
        | "mirror-target"
        | "limit-rps"
        | "limit-rpm"
        | "limit-connections"
        | "limit-rate" => &[],
        "canary-by-header-value" | "canary-by-header-pattern" => &[("canary", "true"), ("canary-by-header", "X-Beta")],
        "canary-weight-total" => &[("canary", "true"), ("canary-weight", "50")],
        "redirect-status" => &[("redirect", "https://b.example/")],
        "limit-rate-after" => &[("limit-rate", "100k")],
        "satisfy" => &[("allow-source-ranges", "10.0.0.0/8"), ("basic-auth-secret", "users")],
        name if name.starts_with("client-certificate-") => &[("client-certificate-secret", "ca")],
        name if name.starts_with("basic-auth-") => &[("basic-auth-secret", "users")],
        name if name.starts_with("auth-") => &[("auth-url", "http://198.51.100.7/")],
        name if name.starts_with("backend-tls-") => &[("backend-tls-secret", "ca"), ("backend-protocol", "https")],
        name if name == "affinity-mode" || name.starts_with("session-cookie-") => &[("affinity", "cookie")],
        name if name.starts_with("limit-") => &[("limit-rps", "5")],
        name if name.starts_with("cors-") => &[("cors", "true")],
        name if name.starts_with("canary-") => &[("canary", "true")],
        name if name.starts_with("mirror-") => &[("mirror-target", "http://198.51.100.7/")],
        _ => &[],
    }
}

fn annotate<'a>(annotations: impl Iterator<Item = &'a (&'a str, &'a str)>) -> impl Iterator<Item = (String, String)> {
    annotations.map(|(name, value)| ([OWN_PREFIX, name].concat(), (*value).to_owned()))
}

fn secrets() -> [Secret; 3] {
    let mut ca = secret("ca", &["any"]);
    ca.authorities.clone_from(&ca.certificate);
    let mut users = secret("users", &["any"]);
    users.is_tls = false;
    users.passwords = b"a:$apr1$1$d8jm4xE7AbUcqyqvXpgyn/".to_vec();
    [ca, users, secret("cert", &[HOST])]
}

/// Objects of a kind, and what is made of them.
struct Bench {
    kind: Kind,
    secrets: [Secret; 3],
}

impl Bench {
    fn new(kind: Kind) -> Self {
        Self { kind, secrets: secrets() }
    }

    /// What comes of an object with these annotations; of a canary, beside its main.
    fn served(&self, annotations: &[(&str, &str)]) -> Translation {
        let is_canary = annotations.contains(&("canary", "true"));
        let mut main: Ingress = with_rule("web", Some(HOST), vec![prefix("/"), prefix("/a/b")]);
        main.tls = vec![tls(&[HOST], "cert")];
        let mut tested = service("api");
        if self.kind == Kind::Service {
            tested = exposed("api", []);
            let host = ("host", HOST);
            let all =
                annotations.iter().chain(Some(&host).filter(|_| annotations.iter().all(|(name, _)| *name != "host")));
            tested.meta.annotations = annotate(all).collect();
        } else if !is_canary {
            main.meta.annotations = annotate(annotations.iter()).collect();
        }
        let objects = Objects::new().service(service("web")).service(tested).ingress(main);
        let mut canary = with_rule("canary", Some(HOST), vec![to(prefix("/"), "api")]);
        canary.meta.annotations = annotate(annotations.iter()).collect();
        let objects = if is_canary { objects.ingress(canary) } else { objects };
        self.secrets.iter().cloned().fold(objects, Objects::secret).translate()
    }

    fn tested(&self, annotations: &[(&str, &str)]) -> ObjectRef {
        match self.kind {
            Kind::Service => object(Kind::Service, "api"),
            _ if annotations.contains(&("canary", "true")) => object(Kind::Ingress, "canary"),
            _ => object(Kind::Ingress, "web"),
        }
    }
}

fn rules<'a>(routes: &'a Routes, origin: &ObjectRef) -> Vec<&'a Rule> {
    routes.rules().filter(|rule| rule.origin == *origin).collect()
}

/// Whether all requests are answered 503: by a rule, or since nobody can be asked whether they may pass.
fn is_closed(routes: &Routes, rules: &[&Rule]) -> bool {
    let asks_nobody = |rule: &Rule| routes.policy(rule).external_auth == Some(ExternalAuth::closed());
    !rules.is_empty() && rules.iter().all(|rule| rule.action == Action::UNAVAILABLE || asks_nobody(rule))
}

/// Whether it is as the words of a row say.
fn is_narrowed(name: &str, built: &Translation, rules: &[&Rule]) -> bool {
    let nobody = CorsOrigins::Listed(Vec::new());
    match name {
        "path" | "host" => rules.is_empty(),
        "port" | "canary" => is_closed(&built.routes, rules),
        "app-root" => {
            let is_root = |rule: &&&Rule| rule.matches == Match::path(PathMatch::Exact("/".to_owned()));
            rules.iter().find(is_root).is_some_and(|rule| rule.action == Action::UNAVAILABLE)
                && rules.iter().any(|rule| rule.action != Action::UNAVAILABLE)
        }
        // No other host is served, and this one as before.
        "aliases" => built.routes.hosts.len() == 1 && !is_closed(&built.routes, rules),
        "cors-allow-origin" | "cors-allow-methods" | "cors-allow-headers" => {
            let cors = rules.iter().map(|rule| &built.routes.policy(rule).cors);
            cors.into_iter().all(|cors| cors.as_ref().is_some_and(|cors| cors.origins == nobody))
        }
        "canary-by-header-value" | "canary-by-header-pattern" | "canary-weight-total" => rules.is_empty(),
        _ => panic!("it is not known what is expected of {name}"),
    }
}

fn assert_row(row: &OwnAnnotation, bench: &Bench) {
    let name = row.name;
    let with = |value| [beside(name), &[(name, value)]].concat();
    let (broken, tested) = (bench.served(&with(GARBAGE)), bench.tested(&with(GARBAGE)));
    let found = rules(&broken.routes, &tested);
    let is_as_it_says = match row.unusable {
        UnusableValue::Ignored => broken.routes == bench.served(beside(name)).routes,
        UnusableValue::Closes => is_closed(&broken.routes, &found),
        UnusableValue::CountsAs(value) => broken.routes == bench.served(&with(value)).routes,
        UnusableValue::Narrows(_) => is_narrowed(name, &broken, &found),
    };
    assert!(is_as_it_says, "{name} of a {:?}\n{}", bench.kind, broken.routes);
    let verdict = &broken.verdicts[&tested];
    let field = format!("metadata.annotations[{OWN_PREFIX}{name}]");
    let is_told = verdict.findings().iter().any(|finding| finding.field == field && finding.is_loss);
    assert!(is_told && verdict.acceptance() != Acceptance::Accepted, "{name} of a {:?}: {verdict:#?}", bench.kind);
}

#[test]
fn each_annotation_of_ours_is_as_its_row_says_where_its_value_cannot_be_used() {
    let (ingress, service) = (Bench::new(Kind::Ingress), Bench::new(Kind::Service));
    for row in TOPICS.iter().flat_map(|topic| topic.own).filter(|row| row.name != "requests-from") {
        if row.objects != RowObjects::Services {
            assert_row(row, &ingress);
        }
        if row.objects != RowObjects::Ingresses {
            assert_row(row, &service);
        }
    }
}

#[test]
fn example_of_each_annotation_of_ours_closes_nothing() {
    let ingress = Bench::new(Kind::Ingress);
    for row in TOPICS.iter().flat_map(|topic| topic.own).filter(|row| row.objects != RowObjects::Services) {
        // They name objects that are not there, or keys that these do not have.
        let names_objects = [
            "auth-url",
            "basic-auth-secret",
            "basic-auth-format",
            "client-certificate-secret",
            "backend-tls-secret",
            "auth-proxy-set-headers",
        ];
        if names_objects.contains(&row.name) {
            continue;
        }
        let annotations = [beside(row.name), &[(row.name, row.example)]].concat();
        let built = ingress.served(&annotations);
        let found = rules(&built.routes, &object(Kind::Ingress, "web"));
        assert!(!is_closed(&built.routes, &found), "{}\n{}", row.name, built.routes);
    }
}
