//! The API server's keys and certificates, made anew for each one.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::{ForNodes, write_private};

/// Writes into `dir`, all PEM, all with P-256 keys: `ca.crt`; `server.{crt,key}` for loopback and the names by which pods
/// reach the API server; `admin.{crt,key}`, a member of `system:masters`; `service-account.{key,pub}`, which sign and
/// verify tokens; and for nodes `node-NAME.{crt,key}`.
///
/// Which usages and names: <https://kubernetes.io/docs/setup/best-practices/certificates/>.
pub fn write(dir: &Path, nodes: Option<&ForNodes>) -> Result<()> {
    let write = |name: &str, pem: &str| write_private(&dir.join(name), pem);

    let mut params = CertificateParams::default();
    params.distinguished_name = subject("testbed", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, key()?).context("make the certificate authority")?;
    write("ca.crt", &ca.pem())?;

    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.extend(nodes.iter().flat_map(|nodes| [nodes.address.to_string(), nodes.first_service.to_string()]));
    let mut server = leaf(subject("kube-apiserver", None), names, ExtendedKeyUsagePurpose::ServerAuth)?;
    server.use_authority_key_identifier_extension = true;
    let client = |name: &str, group| leaf(subject(name, Some(group)), Vec::new(), ExtendedKeyUsagePurpose::ClientAuth);
    let mut all = vec![("server".to_owned(), server), ("admin".to_owned(), client("admin", "system:masters")?)];
    for name in nodes.iter().flat_map(|nodes| &nodes.names) {
        // What the API server's Node authorizer takes a kubelet by.
        all.push((format!("node-{name}"), client(&format!("system:node:{name}"), "system:nodes")?));
    }
    for (name, params) in all {
        let key = key()?;
        let certificate = params.signed_by(&key, &ca).with_context(|| format!("sign the certificate of {name}"))?;
        write(&format!("{name}.crt"), &certificate.pem())?;
        write(&format!("{name}.key"), &key.serialize_pem())?;
    }

    let key = key()?;
    write("service-account.key", &key.serialize_pem())?;
    write("service-account.pub", &key.public_key_pem())
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("make a key")
}

/// The API server takes the common name for the user, the organization for the group.
fn subject(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn leaf(subject: DistinguishedName, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names).context("name the certificate")?;
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}
