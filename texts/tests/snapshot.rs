//! The words of both services are in `entry.txt` and `rbd.txt`: they change only together with the sources that say them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Set by `make reference`: the files are written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The service that a crate is a part of.
fn service_of(name: &str) -> Option<&'static str> {
    match name {
        // Parts of the tests, and bindings.
        "ceph-sys" | "testbed" => None,
        name if name.starts_with("entry") || name.starts_with("nginx") || name.contains("table") => Some("entry"),
        _ => Some("rbd"),
    }
}

/// The sources below a directory by their paths.
fn sources(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(directory).expect("read sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("read a source");
            found.insert(path, source);
        }
    }
}

/// Leaves out files that are modules of tests.
fn without_tests(sources: &mut BTreeMap<PathBuf, String>) {
    let declared: BTreeSet<String> = sources
        .values()
        .flat_map(|source| source.split("#[cfg(test)]\nmod ").skip(1))
        .filter_map(|rest| Some(rest.split_once(';')?.0.to_owned()))
        .collect();
    sources.retain(|path, _| path.file_stem().is_none_or(|stem| !declared.contains(&*stem.to_string_lossy())));
}

/// Sorted by their words, so that code can be moved without a change.
fn paragraphs_of_crates(wanted: impl Fn(&str) -> bool) -> BTreeSet<texts::Paragraph> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("read crates") {
        let entry = entry.expect("an entry");
        if wanted(&entry.file_name().to_string_lossy()) {
            let mut of_crate = BTreeMap::new();
            sources(&entry.path().join("src"), &mut of_crate);
            without_tests(&mut of_crate);
            found.append(&mut of_crate);
        }
    }
    assert!(!found.is_empty(), "no sources");
    let read = |(path, source): (&PathBuf, &String)| {
        texts::paragraphs(source).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    found.iter().flat_map(read).collect()
}

#[test]
fn what_users_are_told_is_as_checked_in() {
    let mut stale = Vec::new();
    for service in ["entry", "rbd"] {
        let said: Vec<String> = paragraphs_of_crates(|name| service_of(name) == Some(service))
            .iter()
            .map(|lines| lines.join("\n"))
            .collect();
        let said = said.join("\n\n") + "\n";
        let file = root().join("texts").join(service).with_extension("txt");
        if std::env::var_os(WRITE_VARIABLE).is_some() {
            std::fs::write(&file, said).expect("write a snapshot");
        } else if std::fs::read_to_string(&file).unwrap_or_default() != said {
            stale.push(file);
        }
    }
    assert!(stale.is_empty(), "not as checked in; run `make reference` and read the difference: {stale:#?}");
}

/// What of the findings no golden case shows.
const NOT_IN_CASES: &[&str] = &[
    // For nobody to read.
    "-----BEGIN {label}-----\\n",
    "PRIVATE KEY",
    "EC PRIVATE KEY",
    "RSA PRIVATE KEY",
    "PUBLIC KEY",
    "X509 CRL",
    // No kind of object asks for it yet.
    "it is for Ingresses. Remove it",
    // nginx has to reject something, or a Secret to change while it is served.
    "{what}. Nothing of it is served, all else is; correct it, and it is tried again",
    "{what}. Requests for its paths are answered 503, all else is served; correct it, and it is tried again",
    "{words}. Until it can, the certificate that it held before is served, which a restart of the entry forgets",
    "RejectedByNginx: nginx cannot listen at the port {number}: {why}; take another, and it is tried again",
    "{left_out.object} takes part in nothing, and this path would get requests for what not everybody may ask for there, so its requests are answered 503 until that object is corrected or removed",
    // A flag says otherwise in the case of all findings.
    "No TLS connection is made for the hosts that it is for, and requests over HTTP are redirected as with it, rather than served in the clear",
    "the {what} of all namespaces",
    "the rules of all namespaces, {what}",
    // Many or large objects.
    "Not everybody may ask for another path of this host, which is over a bound, so what is open to all there is not served either: it would get its requests; remove rules, or ask the operator of the entry for more",
    "Of the rows of a ConfigMap {MAX_ROWS} are read, and the others are not served; remove some",
    "And {more} more findings, which are told when there are fewer; correct these first",
    "the chain in tls.crt is longer than {MAX_CHAIN_BYTES/1024} KiB; keep what clients need",
    "The host {quoted(&name.to_string())} serves ACME challenges only. {message}",
    "with those that a host for ACME challenges has from the wildcard above it or from all hosts,",
    "the rules of one namespace, {what}",
    "it has more than 32 headers; keep fewer in it",
    "The Secret has more than {MAX_USERS} users; keep fewer in it",
    "The key `ca.crt` has more than {MAX_AUTHORITIES} certificates; keep fewer",
    "The key `ca.crl` is longer than {MAX_REVOCATION_BYTES/1024} KiB; keep less in it",
    "has more than {MAX_RANGES} ranges",
    // Parts of what is said of an auth server and of a mirror, of which a case shows others.
    "It has no cluster IP",
    "Unsupported: It has no cluster IP",
    "it is a URL of at most 2048 bytes",
    "a port is a number from 1 to 65535",
    "of variables the host takes $host alone",
    "no resolver is known for it; name a Service, or start the entry with `--resolver`",
    "The name {quoted(&name)} is not looked up: {hint}",
    // A flag has it, or a key of settings.
    "write `NAMESPACE/SERVICE`, or `NAMESPACE/SERVICE:PORT` with the number or the name of its port",
    "write paths such as `/healthz` with commas between them, at most 100, and not `/`, which is for all",
    // By a key of the ConfigMap of settings alone: with a flag the entry does not start.
    "Invalid: Its settings cannot be used; ask the operator of the entry",
    // Of hosts below a wildcard that was held before the object came.
    "{what} is below a wildcard that belongs to the namespace {owner}, which had it first and keeps it, so nothing of this object is served there; {use_another}",
    // What reads an object rejects it before.
    "The port 0 cannot be reached; write one from 1 to 65535",
    "the first certificate of tls.crt cannot be read",
];

#[test]
fn every_finding_is_in_a_golden_case() {
    // The rows of annotations are in these pages.
    let pages =
        ["annotations", "ingress-nginx-annotations"].map(|page| root().join(format!("docs/reference/{page}.md")));
    let mut golden: String = pages.iter().map(|page| std::fs::read_to_string(page).expect("read a page")).collect();
    for case in std::fs::read_dir(root().join("cases")).expect("read cases") {
        let path = case.expect("a case").path();
        for name in ["verdicts.txt", "routes.txt"] {
            golden += &std::fs::read_to_string(path.join(name)).unwrap_or_default();
        }
    }
    let lacking: Vec<String> = paragraphs_of_crates(|name| ["entry-model", "entry-translate"].contains(&name))
        .into_iter()
        .flatten()
        .filter(|text| !golden.lines().any(|line| texts::is_in(text, line)))
        .collect();
    let new: Vec<_> = lacking.iter().filter(|text| !NOT_IN_CASES.contains(&text.as_str())).collect();
    assert!(new.is_empty(), "add an object to cases/findings for each: {new:#?}");
    let shown: Vec<_> = NOT_IN_CASES.iter().filter(|text| !lacking.iter().any(|lacking| lacking == *text)).collect();
    assert!(shown.is_empty(), "these are shown by now, or gone: {shown:#?}");
}
