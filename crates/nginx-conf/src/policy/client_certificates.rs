//! Who may ask, by certificate: when a connection is made, which is the server's part, and in the locations of rules.

use std::collections::BTreeMap;

use entry_model::{ClientCertificateRule, ClientCertificates, ClientVerification, VerificationMode};
use pattern_engine::BoundedPattern;

use super::content_file::ContentFile;
use crate::error_page;
use crate::location_headers::LocationHeaders;
use crate::revision::LineOrigin;
use crate::token::Token;
use crate::writer::{Directive, Writer, constant, directive};

static FORBIDDEN_ARGUMENTS: [Token; 1] = [Token::word("403")];
static FORBIDDEN: Directive<'static> = constant("return", &FORBIDDEN_ARGUMENTS);

/// Writes what is asked in a location.
pub fn write(writer: &mut Writer<'_>, asked: Option<&ClientCertificates>) -> Option<()> {
    let rule = match asked {
        None => return Some(()),
        Some(ClientCertificates::Unusable) => return writer.line("return").words(["503", "$sparrow_503"]).end(),
        Some(ClientCertificates::Usable(rule)) => rule,
    };
    if rule.verification.mode == VerificationMode::Required {
        // Over plain HTTP nobody has one.
        writer.line("if").words(["($ssl_client_verify", "!=", "SUCCESS)"]).open(None)?;
        writer.write(&FORBIDDEN);
        writer.close();
    }
    if let Some(subject) = &rule.subject {
        let pattern = BoundedPattern::parse(subject).ok()?;
        let condition = writer.line("if").words(["($ssl_client_s_dn", "!~"]);
        condition.pattern(|out| out.bounded(&pattern)).words([")"]).open(None)?;
        writer.write(&FORBIDDEN);
        writer.close();
    }
    Some(())
}

/// Adds what backends are told.
pub fn add_headers(asked: &ClientCertificates, headers: &mut LocationHeaders) {
    let ClientCertificates::Usable(ClientCertificateRule { passes_certificate, .. }) = asked else { return };
    let certificate = passes_certificate.then_some(("Ssl-Client-Cert", "$ssl_client_escaped_cert"));
    let told = [
        ("Ssl-Client-Verify", "$ssl_client_verify"),
        ("Ssl-Client-Subject-DN", "$ssl_client_s_dn"),
        ("Ssl-Client-Issuer-DN", "$ssl_client_i_dn"),
    ];
    for (name, value) in told.into_iter().chain(certificate) {
        headers.tell_backend(Token::word(name), Token::word(value));
    }
}

/// Writes it into the server of a host that is served over TLS.
pub fn write_server(writer: &mut Writer<'_>, verification: &ClientVerification) {
    let ClientVerification { mode, depth, authorities, revoked, error_page, origin: _ } = verification;
    let mode = match mode {
        VerificationMode::Required => "on",
        VerificationMode::Optional => "optional",
        VerificationMode::OptionalOfAnyone => "optional_no_ca",
    };
    // Of words of this program and digests: nginx can read them.
    let _ = writer.line("ssl_client_certificate").text(|text| ContentFile::authorities(authorities).path(text)).end();
    writer.write(&directive("ssl_verify_client").words([mode]));
    writer.write(&directive("ssl_verify_depth").token(Token::number(u64::from(*depth).max(1))));
    if !revoked.is_empty() {
        let _ = writer.line("ssl_crl").text(|text| ContentFile::revoked(revoked).path(text)).end();
    }
    if let Some(url) = error_page.as_deref().and_then(Token::constant) {
        writer.write(&directive("error_page").words(["495", "496"]).token(url));
        // A server that has one of its own does not have that of all.
        writer.write(&error_page::failure_pages());
    }
}

/// Adds the files by which clients are verified, and whose they are.
pub fn write_files(
    verification: &ClientVerification,
    files: &mut BTreeMap<String, Vec<u8>>,
    origins: &mut Vec<LineOrigin>,
) {
    let ClientVerification { authorities, revoked, origin, .. } = verification;
    ContentFile::authorities(authorities).add(Some(origin), files, origins);
    // Without a list of revoked ones, none is named.
    if !revoked.is_empty() {
        ContentFile::revoked(revoked).add(Some(origin), files, origins);
    }
}
