//! TLS of the API port.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testbed::service::RbdService;

use crate::support::{eventually, metric, replace, serve};

/// An authority and what it signs, in a directory.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = directory.join(format!("{name}.crt"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A certificate for 127.0.0.1 and its key.
    fn sign(&self) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The same in files.
    fn sign_into(&self, directory: &Path, name: &str) -> [PathBuf; 2] {
        let (cert, key) = self.sign();
        let files = ["crt", "key"].map(|end| directory.join(format!("{name}.{end}")));
        std::fs::write(&files[0], cert).unwrap();
        std::fs::write(&files[1], key).unwrap();
        files
    }
}

/// What curl says: `STATUS HTTP-VERSION`, or why it failed.
fn curl(service: &RbdService, ca: &Path, more: &[&str]) -> Result<String, String> {
    let url = format!("https://{}/openapi.json", service.api());
    let output = Command::new("curl")
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null"])
        .args(["-w", "%{http_code} %{http_version}", "--cacert", ca.to_str().unwrap()])
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn api_speaks_tls_1_2_and_1_3_with_http_1_1_and_2() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let [cert, key] = authority.sign_into(directory.path(), "server");
    let service = serve(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
    let curl = |more: &[&str]| curl(&service, &authority.file, more);
    assert_eq!(curl(&["--tlsv1.3"]).unwrap(), "200 2");
    assert_eq!(curl(&["--tlsv1.2", "--tls-max", "1.2"]).unwrap(), "200 2");
    assert_eq!(curl(&["--http1.1"]).unwrap(), "200 1.1");
    // Plain HTTP is not spoken, on the admin port nothing else.
    assert!(service.client.get("/openapi.json").is_err());
    service.admin_client().get("/healthz").unwrap().expect(200);
    let other = Authority::new(directory.path(), "other");
    assert!(super::tls::curl(&service, &other.file, &[]).unwrap_err().contains("certificate"));
    assert!(metric(&service, "sparrow_rbd_tls_handshake_failures_total") >= 1);
}

#[test]
fn certificates_are_read_anew_and_broken_ones_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| Authority::new(directory.path(), name));
    let [cert, key] = old.sign_into(directory.path(), "server");
    let service = serve(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
    let works = |authority: &Authority| curl(&service, &authority.file, &[]).is_ok();
    assert!(works(&old) && !works(&new));
    let failures = || metric(&service, "sparrow_rbd_reload_failures_total{file=\"tls\"}");
    let soon = Duration::from_secs(5);
    // The certificate alone does not go with the key.
    let (new_cert, new_key) = new.sign();
    replace(&cert, &new_cert);
    eventually(soon, "a mismatch is seen", || failures() >= 1);
    assert!(works(&old) && !works(&new));
    assert!(service.log().contains("do not go together"), "{}", service.log());
    replace(&cert, "no PEM");
    eventually(soon, "a broken file is seen", || failures() >= 2);
    std::fs::remove_file(&key).unwrap();
    eventually(soon, "a missing file is seen", || failures() >= 3);
    assert!(works(&old));
    replace(&key, &new_key);
    replace(&cert, &new_cert);
    eventually(soon, "the new one is in force", || works(&new));
    assert!(!works(&old));
    assert_eq!(metric(&service, "sparrow_rbd_file_broken{file=\"tls\"}"), 0);
}

#[test]
fn client_authority_admits_its_own_certificates_only() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let clients = Authority::new(directory.path(), "clients");
    let [cert, key] = authority.sign_into(directory.path(), "server");
    let [mine, my_key] = clients.sign_into(directory.path(), "mine");
    let [foreign, foreign_key] = authority.sign_into(directory.path(), "foreign");
    let service = serve(&["--tls-cert", text(&cert), "--tls-key", text(&key), "--tls-client-ca", text(&clients.file)]);
    for version in ["1.2", "1.3"] {
        let curl = |more: &[&str]| {
            let mut all = vec!["--tls-max", version];
            all.extend(more);
            curl(&service, &authority.file, &all)
        };
        assert_eq!(curl(&["--cert", text(&mine), "--key", text(&my_key)]).unwrap(), "200 2");
        assert!(curl(&[]).is_err());
        assert!(curl(&["--cert", text(&foreign), "--key", text(&foreign_key)]).is_err());
    }
}

#[test]
fn slow_tls_handshake_delays_no_other_client() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let [cert, key] = authority.sign_into(directory.path(), "server");
    let service = serve(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
    let mut silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(service.api()).unwrap()).collect();
    let started = Instant::now();
    assert_eq!(curl(&service, &authority.file, &[]).unwrap(), "200 2");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // Nor the end of the service.
    let mut ending = serve(&["--tls-cert", text(&cert), "--tls-key", text(&key)]);
    let waiting = TcpStream::connect(ending.api()).unwrap();
    assert!(ending.terminate(Duration::from_secs(5)).unwrap().success());
    drop(waiting);
    // And are ended.
    let mut one = silent.pop().unwrap();
    one.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    assert_eq!(one.read(&mut [0; 16]).unwrap(), 0);
}
