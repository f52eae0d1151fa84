//! What rules cost: the bytes of configuration and of files that they have nginx read, in rules.

use entry_model::{
    Access, BackendTls, ClientCertificates, Cors, CorsOrigins, ExternalAuth, Limits, Match, Policy, UrlPart, UrlText,
};

/// A path of so many bytes counts as one rule more: it stands in the configuration more than once.
const BYTES_OF_PATH: usize = 256;

/// A policy that asks for so many bytes of configuration counts as one rule more: a rule has a kilobyte of it anyway.
const BYTES_OF_POLICY: usize = 1 << 10;

/// So many bytes of users and certificates, in files, count as one rule more.
const BYTES_OF_FILES: usize = 4 << 10;

/// A range of addresses in a list, in the configuration.
const BYTES_OF_RANGE: usize = 32;

/// A rate of requests: whether it is of seconds, and the number.
pub type Rate = (bool, u32);

/// The rates that nginx has to count for.
pub fn rates_of(limits: &Limits) -> impl Iterator<Item = Rate> {
    let second = limits.requests_per_second.map(|limit| (true, limit.rate));
    second.into_iter().chain(limits.requests_per_minute.map(|limit| (false, limit.rate)))
}

/// What a rule counts.
pub fn rule_weight(matches: &Match, policy: &Policy) -> usize {
    1 + matches.path.text().len() / BYTES_OF_PATH
        + configuration_bytes(policy) / BYTES_OF_POLICY
        + file_bytes(policy) / BYTES_OF_FILES
}

/// About how many bytes a policy has in a location, of those that annotations make many.
fn configuration_bytes(policy: &Policy) -> usize {
    let Access { allowed, denied, .. } = &policy.access;
    let ranges = allowed.as_ref().map_or(0, |ranges| ranges.len()) + denied.len() + policy.limits.exempt.len();
    let told = policy.request_headers.set.iter();
    let answered = policy.answer_headers.added.iter().map(|header| &header.field);
    let headers = told.chain(answered).map(|field| field.name().len() + field.value().len());
    ranges * BYTES_OF_RANGE
        + headers.sum::<usize>()
        + policy.cors.as_ref().map_or(0, cors_bytes)
        + policy.external_auth.as_ref().map_or(0, auth_bytes)
}

fn cors_bytes(cors: &Cors) -> usize {
    // A name has at most as much, and most have less.
    const ORIGIN: usize = 64;
    let origins = match &cors.origins {
        CorsOrigins::Any => 0,
        CorsOrigins::Listed(origins) => origins.len() * ORIGIN,
    };
    origins + cors.methods.len() + cors.headers.len() + cors.exposed_headers.len()
}

fn auth_bytes(auth: &ExternalAuth) -> usize {
    let urls = [&auth.host, &auth.target].into_iter().chain(&auth.sign_in).chain(&auth.request_redirect);
    let names = auth.response_headers.iter().map(String::len);
    let told = auth.request_headers.iter().map(|(name, value)| name.len() + value.len());
    urls.map(url_bytes).chain(names).chain(told).sum()
}

fn url_bytes(url: &UrlText) -> usize {
    let part = |part: &UrlPart| match part {
        UrlPart::Text(text) => text.len(),
        UrlPart::Variable(_) => 24,
    };
    url.0.iter().map(part).sum()
}

/// How many bytes a policy has in files.
fn file_bytes(policy: &Policy) -> usize {
    let passwords = policy.access.basic_auth.as_ref().map_or(0, |auth| auth.passwords.0.len());
    let verification = policy.client_certificates.as_ref().and_then(ClientCertificates::verification);
    let authorities = verification.map_or(0, |asked| asked.authorities.len() + asked.revoked.len());
    let BackendTls { verification, certificate, .. } = &policy.backend_tls;
    let backend = verification.iter().map(|verification| &verification.authorities).chain(certificate);
    passwords + authorities + backend.map(|pem| pem.0.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use entry_model::{AddressRange, BasicAuth, PasswordFile, PathMatch};

    use super::*;

    fn weight(policy: &Policy) -> usize {
        rule_weight(&Match::path(PathMatch::Prefix("/".to_owned())), policy)
    }

    #[test]
    fn rule_counts_what_its_policy_has_nginx_read() {
        assert_eq!(weight(&Policy::default()), 1);
        let ranges: Arc<[AddressRange]> = vec![AddressRange::ALL_V4; 1000].into();
        let mut policy = Policy::default();
        policy.access.allowed = Some(Arc::clone(&ranges));
        assert_eq!(weight(&policy), 32);
        policy.access.denied = Arc::clone(&ranges);
        policy.limits.exempt = ranges;
        assert_eq!(weight(&policy), 94);
        let passwords = Arc::new(PasswordFile("x".repeat(1 << 20)));
        policy.access.basic_auth = Some(BasicAuth { realm: String::new(), passwords });
        assert_eq!(weight(&policy), 94 + 256);
    }
}
