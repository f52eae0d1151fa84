//! Which keys are taken: each that nginx serves and common clients know, and none with which nginx would refuse everything.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::tls::{Certificate, secret};
use crate::common::{Bench, CLASS, backend, eventually, ingress, programs, service};

/// Runs openssl in a directory.
fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(dir: &Path, key: &str) -> Certificate {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    Certificate { pem: read("a.crt"), key: read(key) }
}

const NAMES: &str = "-subj /CN=a.example -addext subjectAltName=DNS:a.example -days 30 -out a.crt";

/// A certificate that signs itself, with a key of a kind.
fn made(dir: &Path, kind: &str) -> Certificate {
    openssl(dir, &format!("req -x509 -nodes -newkey {kind} -keyout a.key {NAMES}"));
    read(dir, "a.key")
}

/// The same key in another form.
fn rewritten(dir: &Path, certificate: &Certificate, command: &str) -> Certificate {
    fs::write(dir.join("a.crt"), &certificate.pem).unwrap();
    fs::write(dir.join("a.key"), &certificate.key).unwrap();
    openssl(dir, &format!("{command} -in a.key -out b.key"));
    read(dir, "b.key")
}

/// A certificate for `a.example` that is signed by another one's key.
fn signed(dir: &Path, authority: &str, how: &str) -> Certificate {
    openssl(dir, &format!("req -x509 -nodes -newkey {authority} -keyout ca.key -out ca.crt -subj /CN=ca -days 30"));
    openssl(
        dir,
        &format!("req -nodes -newkey rsa:2048 -keyout a.key {}", NAMES.replace("-days 30 -out a.crt", "-out a.csr")),
    );
    openssl(
        dir,
        &format!("x509 -req -in a.csr -CA ca.crt -CAkey ca.key {how} -copy_extensions copy -days 30 -out a.crt"),
    );
    let Certificate { pem, key } = read(dir, "a.key");
    Certificate { pem: pem + &fs::read_to_string(dir.join("ca.crt")).unwrap(), key }
}

/// What `openssl s_client` says of the host, with all curves. TLS 1.3 knows fewer of them than TLS 1.2.
fn handshake(bench: &Bench) -> String {
    let output = Command::new("timeout")
        .args(["20", "openssl", "s_client", "-connect", &bench.https.to_string(), "-servername", "a.example"])
        .args(["-tls1_2", "-groups", "X25519:P-256:P-384:P-521:secp224r1:secp256k1"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn keys_that_nginx_can_use_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ec = |curve: &str| made(dir, &format!("ec -pkeyopt ec_paramgen_curve:{curve}"));
    let mut taken: Vec<_> = ["P-224", "P-256", "P-384", "P-521", "secp256k1"].map(ec).into();
    for kind in ["rsa:2048", "rsa:2560", "rsa:8192", "rsa:2048 -pkeyopt rsa_keygen_pubexp:3", "ed25519"] {
        taken.push(made(dir, kind));
    }
    // Other forms of the same: PKCS #1, SEC 1, with the curve before the key, without the public part, compressed.
    let rsa = made(dir, "rsa:2048");
    taken.push(rewritten(dir, &rsa, "rsa -traditional"));
    let curve = made(dir, "ec -pkeyopt ec_paramgen_curve:P-256");
    let forms = ["ec", "ec -no_public", "ec -conv_form compressed", "pkcs8 -topk8 -nocrypt"];
    taken.extend(forms.map(|command| rewritten(dir, &curve, command)));
    openssl(dir, "ecparam -name prime256v1 -genkey -out a.key");
    openssl(dir, &format!("req -x509 -key a.key {NAMES}"));
    taken.push(read(dir, "a.key"));
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        let web = ingress("a", "a.example", "one", port, Some("tls"));
        bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
        bench.write("tls.yaml", &secret("tls", &taken[0]));
        let entry = bench.start(&["run"]);
        for certificate in &taken {
            bench.write("tls.yaml", &secret("tls", certificate));
            let (out, _) = bench.ends(0, &["check", "--strict"]);
            assert_eq!(out, "2 objects, 0 not served as asked for\n", "{}", certificate.pem);
            let served = certificate.pem.replace('\r', "");
            eventually("served", || handshake(&bench).contains(served.trim()));
        }
        assert_eq!(entry.count("nginx_refused"), 0);
        entry.terminate();
    }
}

#[test]
fn other_keys_are_reported_and_never_reach_nginx() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let rsa = made(dir, "rsa:2048");
    let curve = made(dir, "ec -pkeyopt ec_paramgen_curve:P-521");
    let encrypted = "tls.key is encrypted";
    let unsupported = "tls.key is of a kind that is not supported";
    let curve_of_few_bits = "has a key on a curve of less than 224 bits, which nginx rejects";
    let small = "has an RSA key of less than 2048 bits, which nginx rejects";
    let digest = "is signed with SHA-1 or MD5, which nginx rejects";
    let damaged = |certificate: &Certificate| {
        let at = certificate.key.len() / 2;
        let other = if certificate.key[at..].starts_with('A') { "B" } else { "A" };
        let mut key = certificate.key.clone();
        key.replace_range(at..=at, other);
        Certificate { pem: certificate.pem.clone(), key }
    };
    let cases = [
        (rewritten(dir, &rsa, "pkcs8 -topk8 -passout pass:secret"), encrypted),
        (rewritten(dir, &rsa, "rsa -traditional -aes256 -passout pass:secret"), encrypted),
        (rewritten(dir, &curve, "ec -aes256 -passout pass:secret"), encrypted),
        (made(dir, "ed448"), unsupported),
        (made(dir, "ec -pkeyopt ec_paramgen_curve:prime192v1"), curve_of_few_bits),
        (made(dir, "ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit"), unsupported),
        (made(dir, "rsa:1024"), small),
        (made(dir, "rsa:512"), small),
        (signed(dir, "rsa:2048", "-sha1"), digest),
        (signed(dir, "rsa:2048", "-md5"), digest),
        (signed(dir, "ec -pkeyopt ec_paramgen_curve:P-256", "-sha1"), digest),
        (damaged(&rsa), "tls.key"),
        (damaged(&curve), "tls.key"),
    ];
    let port = backend("one");
    for program in programs() {
        let bench = Bench::new(&program).with_https();
        let web = ingress("a", "a.example", "one", port, Some("tls"));
        bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
        let entry = bench.start(&["run"]);
        for (certificate, why) in &cases {
            bench.write("tls.yaml", &secret("tls", certificate));
            let (out, _) = bench.ends(1, &["check"]);
            assert!(out.contains("Secret default/tls cannot be used: ") && out.contains(why), "{why}: {out}");
            entry.says(why);
        }
        assert_eq!(bench.asks("a.example", "/"), (200, "one".to_owned()));
        assert_eq!(entry.count("nginx_refused"), 0);
        entry.terminate();
    }
}

#[test]
fn issuer_that_nginx_rejects_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let kinds = [
        ("rsa:1024", "an RSA key of less than 2048"),
        ("ec -pkeyopt ec_paramgen_curve:prime192v1", "a key on a curve of less than 224"),
    ];
    let port = backend("one");
    for (program, (kind, why)) in programs().into_iter().flat_map(|program| kinds.map(|kind| (program.clone(), kind))) {
        let weak = signed(dir.path(), kind, "-sha256");
        let bench = Bench::new(&program).with_https();
        let web = ingress("a", "a.example", "one", port, Some("tls"));
        bench.write("all.yaml", &format!("{CLASS}---\n{}---\n{web}", service("one", port)));
        bench.write("tls.yaml", &secret("tls", &weak));
        let entry = bench.start(&["run"]);
        let (out, _) = bench.ends(1, &["check"]);
        assert!(out.contains(&format!("Certificate 2 of tls.crt has {why} bits, which nginx rejects")), "{out}");
        let first = weak.pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
        eventually("served", || handshake(&bench).contains(first));
        assert_eq!(entry.count("nginx_refused"), 0);
        entry.terminate();
    }
}
