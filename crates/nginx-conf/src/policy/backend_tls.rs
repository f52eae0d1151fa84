//! How a backend is known, and what it is shown.

use std::collections::BTreeMap;

use entry_model::BackendTls;

use super::PolicySet;
use super::content_file::ContentFile;
use crate::proxy_module::ProxyModule;
use crate::revision::LineOrigin;
use crate::token::Token;
use crate::writer::Writer;

/// Directives of both modules.
struct Names {
    verify: &'static str,
    depth: &'static str,
    authorities: &'static str,
    certificate: &'static str,
    key: &'static str,
    name: &'static str,
    server_name: &'static str,
    ciphers: &'static str,
    protocols: &'static str,
}

const PROXY: Names = Names {
    verify: "proxy_ssl_verify",
    depth: "proxy_ssl_verify_depth",
    authorities: "proxy_ssl_trusted_certificate",
    certificate: "proxy_ssl_certificate",
    key: "proxy_ssl_certificate_key",
    name: "proxy_ssl_name",
    server_name: "proxy_ssl_server_name",
    ciphers: "proxy_ssl_ciphers",
    protocols: "proxy_ssl_protocols",
};

const GRPC: Names = Names {
    verify: "grpc_ssl_verify",
    depth: "grpc_ssl_verify_depth",
    authorities: "grpc_ssl_trusted_certificate",
    certificate: "grpc_ssl_certificate",
    key: "grpc_ssl_certificate_key",
    name: "grpc_ssl_name",
    server_name: "grpc_ssl_server_name",
    ciphers: "grpc_ssl_ciphers",
    protocols: "grpc_ssl_protocols",
};

/// Writes it.
pub fn write(writer: &mut Writer<'_>, tls: &BackendTls, module: ProxyModule) -> Option<()> {
    let names = if module == ProxyModule::Grpc { GRPC } else { PROXY };
    let BackendTls { verification, certificate, name, hides_name, ciphers, protocols, origin: _ } = tls;
    if let Some(verification) = verification {
        writer.line(names.verify).words(["on"]).end()?;
        writer.line(names.depth).token(&Token::number(verification.depth)).end()?;
        writer
            .line(names.authorities)
            .text(|text| ContentFile::of_backend(&verification.authorities.0).path(text))
            .end()?;
    }
    if let Some(certificate) = certificate {
        for directive in [names.certificate, names.key] {
            writer.line(directive).text(|text| ContentFile::of_backend(&certificate.0).path(text)).end()?;
        }
    }
    if let Some(name) = name {
        writer.line(names.name).token(&Token::constant(name)?).end()?;
    }
    if *hides_name {
        writer.line(names.server_name).words(["off"]).end()?;
    }
    if let Some(ciphers) = ciphers {
        writer.line(names.ciphers).token(&Token::constant(ciphers)?).end()?;
    }
    if !protocols.is_empty() {
        let line = writer.line(names.protocols);
        protocols.iter().fold(line, |line, version| line.words([version.as_str()])).end()?;
    }
    Some(())
}

/// Adds the files of policies, and whose they are.
pub fn write_files(policies: &PolicySet<'_>, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
    for tls in policies.iter().map(|policy| &policy.backend_tls) {
        let authorities = tls.verification.iter().map(|verification| &verification.authorities);
        for pem in authorities.chain(&tls.certificate) {
            ContentFile::of_backend(&pem.0).add(tls.origin.as_ref(), files, origins);
        }
    }
}
