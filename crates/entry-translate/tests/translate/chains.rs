//! Chains of certificates: what can be read is read, what cannot is told, and each is issued by the next.

use std::sync::LazyLock;

use entry_model::{Acceptance, Ingress, Kind, Reason, Secret};
use entry_translate::{TranslateSettings, Translation};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::{
    Objects, assert_verdict, left_out, meta, object, prefix, secret, service, settings, tls, with_rule,
};

const SECRET: &str = "spec.tls[0].secretName";

/// A certificate for `a.example`, that of its issuer, and that of the issuer's issuer, in PEM.
struct Chain {
    leaf: String,
    middle: String,
    root: String,
    key: String,
}

fn parameters(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).expect("names of hosts");
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2040, 1, 1);
    parameters.distinguished_name.push(DnType::CommonName, name);
    if parameters.subject_alt_names.is_empty() {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

impl Chain {
    fn new() -> Self {
        let keys = [(); 3].map(|()| KeyPair::generate().expect("a key"));
        let [root_key, middle_key, leaf_key] = keys;
        let root = parameters("root", &[]);
        let root_pem = root.self_signed(&root_key).expect("a certificate").pem();
        let root = Issuer::new(root, root_key);
        let middle = parameters("middle", &[]);
        let middle_pem = middle.signed_by(&middle_key, &root).expect("a certificate").pem();
        let middle = Issuer::new(middle, middle_key);
        let leaf = parameters("leaf", &["a.example"]).signed_by(&leaf_key, &middle).expect("a certificate");
        Self { leaf: leaf.pem(), middle: middle_pem, root: root_pem, key: leaf_key.serialize_pem() }
    }
}

static CHAIN: LazyLock<Chain> = LazyLock::new(Chain::new);

fn with(certificate: impl Into<Vec<u8>>, key: &str) -> Secret {
    Secret { meta: meta("tls"), is_tls: true, certificate: certificate.into(), key: key.into(), ..Secret::default() }
}

fn objects(secret: Secret) -> Objects {
    let web =
        Ingress { tls: vec![tls(&["a.example"], "tls")], ..with_rule("web", Some("a.example"), vec![prefix("/")]) };
    Objects::new().service(service("web")).ingress(web).secret(secret)
}

/// The chain that is served, in PEM.
fn served(built: &Translation) -> String {
    let chain = built.routes.certificates.values().next().map(|certificate| certificate.chain.clone());
    String::from_utf8(chain.unwrap_or_default()).expect("PEM")
}

fn plain(pem: &[&str]) -> String {
    pem.concat().replace("\r\n", "\n")
}

#[track_caller]
fn assert_chain(
    text: impl Into<Vec<u8>>,
    expected: &[&str],
    acceptance: Acceptance,
    findings: &[(&str, Reason, &str)],
) {
    let text = text.into();
    let built = objects(with(text.clone(), &CHAIN.key)).translate();
    assert_eq!(served(&built), plain(expected), "{}", String::from_utf8_lossy(&text));
    assert_verdict(&built, &object(Kind::Ingress, "web"), acceptance, findings);
}

#[test]
fn readable_certificates_of_a_chain_are_served() {
    let Chain { leaf, middle, root, .. } = &*CHAIN;
    let both = plain(&[leaf, middle]);
    let (leaf_lines, middle_lines) = (plain(&[leaf]), plain(&[middle]));
    let without_first = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    let without_last = |text: &str| text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(both.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    for text in [
        both.clone(),
        both.replace('\n', "\r\n"),
        both.replace('\n', "\r"),
        both.replace('\n', "\n\n"),
        both.replace('\n', " \n  "),
        both.replace('\n', "\\n"),
        both.replace('\n', "\\r\\n"),
        both.replace('\n', " "),
        both.replace('\n', ""),
        both.replace("-----\n-----", "----------"),
        both.replace("-----\n-----", "---------- "),
        both.replace("-----", "----"),
        both.replace("-----", "—"),
        both.replace(" CERTIFICATE", " X509 CERTIFICATE"),
        both.replace(" CERTIFICATE", " TRUSTED CERTIFICATE"),
        both.replace(" CERTIFICATE", " CERTIFICATE "),
        both.replace("BEGIN CERTIFICATE", "BEGIN CERTIFIKAT"),
        both.replace("BEGIN", "BEGN"),
        both.replace("BEGIN ", "BEGIN-"),
        both.replace("END", "FIN"),
        both.replace("END CERTIFICATE", "END CERTIFIKAT"),
        both.replace(" CERTIFICATE", " CERT"),
        format!("\u{feff}{both}"),
        format!("{leaf_lines}\u{feff}{middle_lines}"),
        format!("{leaf_lines}  {middle_lines}"),
        format!("subject=CN = leaf\nissuer=CN = middle\n{leaf_lines}\nsubject=CN = middle\n{middle_lines}\n"),
        format!("{leaf_lines}{}", without_first(&middle_lines)),
        format!("{}{middle_lines}", without_first(&leaf_lines)),
        format!("{leaf_lines}subject=CN = middle\n{}", without_first(&middle_lines)),
        format!("{leaf_lines}{}", without_last(&middle_lines)),
        format!("{}{middle_lines}", without_last(&leaf_lines)),
        format!("{leaf_lines}{}", without_last(&without_first(&middle_lines))),
        format!("{}{}", without_last(&leaf_lines), without_first(&middle_lines)),
        format!("{}{both}", CHAIN.key),
    ] {
        assert_chain(text, &[leaf, middle], Acceptance::Accepted, &[]);
    }
    assert_chain(utf16, &[leaf, middle], Acceptance::Accepted, &[]);
    assert_chain(format!("{both}{root}"), &[leaf, middle, root], Acceptance::Accepted, &[]);
}

#[test]
fn unreadable_certificates_of_a_chain_are_reported() {
    let Chain { leaf, middle, .. } = &*CHAIN;
    let cut = &middle[..middle.len() / 2];
    let block = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let lines: Vec<_> = middle.lines().collect();
    let body = lines[1..lines.len() - 1].join("\n");
    for second in [
        cut.to_owned(),
        block("AAAA"),
        block(""),
        block("not base64!"),
        block(&body[20..]),
        block(&body.replacen('\n', "", 1)[1..]),
        block(&format!("> {body}")),
        middle.replace("CERTIFICATE", "PKCS7").replacen("MII", "MIJ", 1),
        middle.replacen("\nM", "\n", 1),
    ] {
        let told = (SECRET, Reason::InvalidRef, "Block 2 of tls.crt is no certificate that can be read");
        assert_chain(format!("{leaf}{second}"), &[leaf], Acceptance::Partial, &[told]);
    }
}

#[test]
fn each_certificate_of_a_chain_is_issued_by_the_next() {
    let Chain { leaf, middle, root, .. } = &*CHAIN;
    // Of the same names, with other keys.
    let other = Chain::new();
    let unrelated = String::from_utf8(secret("x", &["x.example"]).certificate).unwrap();
    let note = |words: &'static str| [(SECRET, Reason::InvalidRef, words)];
    let after = note("Certificate 1 of the chain in tls.crt is not issued by certificate 2");
    for second in [&unrelated, root, &other.middle] {
        assert_chain(format!("{leaf}{second}"), &[leaf, second], Acceptance::Accepted, &after);
    }
    let last = note("Certificate 2 of the chain in tls.crt is not issued by certificate 3");
    assert_chain(format!("{leaf}{middle}{}", other.root), &[leaf, middle, &other.root], Acceptance::Accepted, &last);
    let twice = note("Certificate 2 of tls.crt is there twice");
    assert_chain(format!("{leaf}{leaf}{middle}"), &[leaf, middle], Acceptance::Accepted, &twice);
}

#[test]
fn first_certificate_of_a_chain_is_that_of_the_key() {
    let Chain { leaf, middle, root, key } = &*CHAIN;
    let built = objects(with(format!("{root}{middle}{leaf}"), key)).translate();
    let told = (SECRET, Reason::InvalidRef, "tls.key is the key of certificate 3 in tls.crt, not of the first");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[told]);
}

#[test]
fn chain_length_is_bounded() {
    let Chain { leaf, middle, key, .. } = &*CHAIN;
    let most: Vec<_> = (0..9).map(|_| Chain::new().root).collect();
    let rejected = |text: String, words| {
        let built = objects(with(text, key)).translate();
        assert!(built.routes.certificates.is_empty());
        assert_verdict(
            &built,
            &object(Kind::Ingress, "web"),
            Acceptance::Partial,
            &[(SECRET, Reason::InvalidRef, words)],
        );
    };
    let ten = format!("{leaf}{}", most.concat());
    assert!(!objects(with(ten.clone(), key)).translate().routes.certificates.is_empty());
    rejected(format!("{ten}{middle}"), "more than 10 certificates");
    rejected(
        format!("{leaf}{}", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(20_000)),
        "more than 10",
    );
    let mut large = parameters("large", &[]);
    large.distinguished_name.push(DnType::OrganizationName, "x".repeat(30_000));
    let large = large.self_signed(&KeyPair::generate().expect("a key")).unwrap().pem();
    rejected(format!("{leaf}{large}"), "longer than 32 KiB");
}

#[test]
fn truncated_renewal_keeps_the_former_chain() {
    let Chain { leaf, middle, key, .. } = &*CHAIN;
    let first = objects(with(format!("{leaf}{middle}"), key)).translate();
    let renewed = Chain::new();
    let cut = with(format!("{}{}", renewed.leaf, &renewed.middle[..300]), &renewed.key);
    let last =
        objects(cut.clone()).translate_with(&TranslateSettings { last_good: first.last_good.clone(), ..settings() });
    assert_eq!(last.routes, first.routes);
    let told = (SECRET, Reason::InvalidRef, "Block 2 of tls.crt is no certificate that can be read");
    assert_verdict(&last, &object(Kind::Ingress, "web"), Acceptance::Partial, &[told]);
    // Who knows of none before serves what there is.
    assert_eq!(served(&objects(cut).translate()), plain(&[&renewed.leaf]));
}

#[test]
fn subject_name_counts_without_a_subject_alt_name() {
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters("a.example", &[]).self_signed(&key).unwrap().pem();
    let built = objects(with(certificate.clone(), &key.serialize_pem())).translate();
    assert_eq!(served(&built), plain(&[&certificate]));
    let told = (SECRET, Reason::InvalidRef, "names its hosts in its subject only");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Accepted, &[told]);
}

#[test]
fn default_certificate_serves_tls_entries_without_a_secret() {
    let Chain { leaf, middle, key, .. } = &*CHAIN;
    let mut objects = objects(with(format!("{leaf}{middle}"), key));
    let mut web = with_rule("web", Some("a.example"), vec![prefix("/")]);
    web.tls = vec![tls(&["a.example"], "")];
    web.tls[0].secret = None;
    web.meta.namespace = "other".to_owned();
    objects = objects.ingress(web);
    objects.0.ingresses.remove(&crate::support::key("shop", "web"));
    let settings =
        |name: &str| TranslateSettings { default_certificate: Some(crate::support::key("shop", name)), ..settings() };
    assert_eq!(served(&objects.translate_with(&settings("tls"))), plain(&[leaf, middle]));
    let web = entry_model::ObjectRef::new(Kind::Ingress, crate::support::key("other", "web"));
    let built = objects.translate_with(&settings("none"));
    let service = ("spec.rules[0].http.paths[0].backend.service.name", Reason::RefNotFound, "There is no Service");
    assert_verdict(
        &built,
        &web,
        Acceptance::Partial,
        &[service, (SECRET, Reason::RefNotFound, "There is no Secret shop/none")],
    );
    let built = objects.translate();
    assert_verdict(
        &built,
        &web,
        Acceptance::Partial,
        &[service, (SECRET, Reason::Unsupported, "has no default certificate")],
    );
}

#[test]
fn certificates_over_the_bound_are_the_newest() {
    let web = |name: &str, created: i64| {
        let host = format!("{name}.example");
        let mut web = with_rule(name, Some(&host), vec![prefix("/")]);
        web.tls = vec![tls(&[&host], name)];
        web.meta.created = created;
        web
    };
    let names = ["a", "b", "c", "d"];
    let objects = (0_i64..).zip(names).fold(Objects::new().service(service("web")), |objects, (n, name)| {
        objects.ingress(web(name, 10 - n)).secret(secret(name, &[&format!("{name}.example")]))
    });
    for (namespace, all, flag) in
        [(2, 9, "--max-certificates-per-namespace"), (9, 2, "--max-certificates)"), (2, 2, "--max-certificates")]
    {
        let mut settings = settings();
        settings.bounds.certificates = entry_translate::Bound { namespace, all };
        let built = objects.translate_with(&settings);
        assert_eq!(built.routes.certificates.len(), 2);
        for (name, served) in [("d", true), ("c", true), ("b", false), ("a", false)] {
            let acceptance = if served { Acceptance::Accepted } else { Acceptance::Partial };
            let told = [(SECRET, Reason::BoundExceeded, flag)];
            assert_verdict(&built, &object(Kind::Ingress, name), acceptance, if served { &[] } else { &told });
        }
    }
}

#[test]
fn quarantined_renewal_keeps_the_former_certificate() {
    let Chain { leaf, middle, key, .. } = &*CHAIN;
    let first = objects(with(format!("{leaf}{middle}"), key)).translate();
    let renewed = Chain::new();
    let mut settings = TranslateSettings { last_good: first.last_good.clone(), ..settings() };
    settings.quarantine.insert(object(Kind::Secret, "tls"), left_out(Reason::BoundExceeded, "there is no room"));
    let built = objects(with(renewed.leaf, &renewed.key)).translate_with(&settings);
    assert_eq!(built.routes, first.routes);
    let told =
        (SECRET, Reason::InvalidRef, "there is no room. Until it can, the certificate that it held before is served");
    assert_verdict(&built, &object(Kind::Ingress, "web"), Acceptance::Partial, &[told]);
}

#[test]
fn unused_certificate_does_not_count() {
    let mut fills = with_rule("old", Some("old.example"), vec![prefix("/")]);
    fills.tls = vec![tls(&["x.example"], "x"), tls(&["y.example"], "y"), tls(&["old.example"], "old")];
    fills.meta.created = 1;
    let mut web = with_rule("new", Some("new.example"), vec![prefix("/")]);
    web.tls = vec![tls(&["new.example"], "new")];
    web.meta.created = 2;
    let objects = ["x", "y", "old", "new"].iter().fold(Objects::new().service(service("web")), |objects, name| {
        objects.secret(secret(name, &[&format!("{name}.example")]))
    });
    let mut settings = settings();
    settings.bounds.certificates = entry_translate::Bound { namespace: 2, all: 2 };
    let built = objects.ingress(fills).ingress(web).translate_with(&settings);
    assert_eq!(built.routes.certificates.len(), 2);
    assert_verdict(&built, &object(Kind::Ingress, "new"), Acceptance::Accepted, &[]);
}
