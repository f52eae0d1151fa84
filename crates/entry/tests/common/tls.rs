//! Certificates, and requests over TLS.

use std::fs;
use std::process::Command;

use super::Bench;

/// A certificate that signs itself, and its key, in PEM.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

impl Certificate {
    /// For a host.
    pub fn new(host: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        Certificate { pem: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// For a host, from the year 1975 until a year.
    pub fn until(host: &str, year: i32) -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut asked = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        asked.not_after = rcgen::date_time_ymd(year, 1, 1);
        Certificate { pem: asked.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The manifest of a Secret with a certificate.
pub fn secret(name: &str, certificate: &Certificate) -> String {
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{ name: {name} }}\nstringData:\n  \
         tls.crt: |\n{}  tls.key: |\n{}",
        block(&certificate.pem),
        block(&certificate.key)
    )
}

/// What curl says of a host over TLS, trusting one certificate only: which backend answers, or why there is no answer.
pub fn curl(bench: &Bench, host: &str, certificate: &Certificate) -> Result<String, String> {
    let trusted = bench.path("trusted");
    fs::write(&trusted, &certificate.pem).unwrap();
    let port = bench.https.port();
    let output = Command::new("curl")
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", "-w", "%header{backend}"])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1"), "--cacert"])
        .arg(trusted)
        .arg(format!("https://{host}:{port}/"))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
