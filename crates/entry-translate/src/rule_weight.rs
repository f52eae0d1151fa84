//! What rules cost: the bytes of configuration and of files that they have nginx read, in rules.
//!
//! How many bytes that is follows from the values themselves, by what they feed to a hash: so no text of theirs can be forgotten.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use entry_model::{Access, Action, BackendTls, ClientCertificates, Limits, Match, Policy};

/// A path of so many bytes counts as one rule more: it stands in the configuration more than once.
const BYTES_OF_PATH: usize = 256;

/// An action and a policy that ask for so many bytes of configuration count as one rule more: a rule has a kilobyte of it anyway.
const BYTES_OF_POLICY: usize = 1 << 10;

/// So many bytes of users and certificates, in files, count as one rule more.
const BYTES_OF_FILES: usize = 4 << 10;

/// A range of addresses in a list, in the configuration, beside what it feeds to a hash.
const MORE_BYTES_OF_RANGE: usize = 20;

/// A rate of requests: whether it is of seconds, and the number.
pub type Rate = (bool, u32);

/// The rates that nginx has to count for.
pub fn rates_of(limits: &Limits) -> impl Iterator<Item = Rate> {
    let second = limits.requests_per_second.map(|limit| (true, limit.rate));
    second.into_iter().chain(limits.requests_per_minute.map(|limit| (false, limit.rate)))
}

/// What a policy has nginx read, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicySize {
    /// In a location, beside what each has.
    configuration: usize,
    /// In files.
    files: usize,
}

impl PolicySize {
    /// What this one has.
    pub fn of(policy: &Policy) -> Self {
        static OF_EACH: LazyLock<usize> = LazyLock::new(|| hashed_bytes(&Policy::default()));
        let Access { allowed, denied, .. } = &policy.access;
        let ranges = allowed.as_ref().map_or(0, |ranges| ranges.len()) + denied.len() + policy.limits.exempt.len();
        let (written, files) = (hashed_bytes(policy) + ranges * MORE_BYTES_OF_RANGE, file_bytes(policy));
        Self { configuration: written.saturating_sub(*OF_EACH + files), files }
    }
}

/// What a rule counts whose policy has this size.
pub fn rule_weight(matches: &Match, action: &Action, policy: PolicySize) -> usize {
    1 + matches.path.text().len() / BYTES_OF_PATH
        + (hashed_bytes(action) + policy.configuration) / BYTES_OF_POLICY
        + policy.files / BYTES_OF_FILES
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

/// How many bytes a value feeds to a hash: all of its texts, with a few bytes for each other part.
fn hashed_bytes(value: &impl Hash) -> usize {
    let mut counter = ByteCounter(0);
    value.hash(&mut counter);
    counter.0
}

/// Counts what it is fed.
struct ByteCounter(usize);

impl Hasher for ByteCounter {
    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use entry_model::{
        AddedHeader, AddressRange, Backend, BackendAddress, Balancing, BasicAuth, Cors, CorsOrigins, ExternalAuth,
        Forward, HashPart, HeaderField, Mirror, OutsideServer, PasswordFile, PathMatch, PathRewrite, Protocol,
        Redirect, UrlPart, UrlText,
    };

    use super::*;

    fn weight(policy: &Policy) -> usize {
        rule_weight(&Match::path(PathMatch::Prefix("/".to_owned())), &Action::UNAVAILABLE, PolicySize::of(policy))
    }

    #[test]
    fn rule_counts_what_its_policy_has_nginx_read() {
        assert_eq!(weight(&Policy::default()), 1);
        let ranges: Arc<[AddressRange]> = vec![AddressRange::ALL_V4; 1000].into();
        let mut policy = Policy::default();
        policy.access.allowed = Some(Arc::clone(&ranges));
        let one_list = weight(&policy);
        assert!((25..50).contains(&one_list), "{one_list}");
        policy.access.denied = Arc::clone(&ranges);
        policy.limits.exempt = ranges;
        let three_lists = weight(&policy);
        assert!((3 * one_list - 3..=3 * one_list).contains(&three_lists), "{three_lists}");
        let passwords = Arc::new(PasswordFile("x".repeat(1 << 20)));
        policy.access.basic_auth = Some(BasicAuth { realm: String::new(), passwords });
        assert_eq!(weight(&policy), three_lists + 256);
    }

    /// Policies, each with 100 KiB of text in another place.
    fn long_policies() -> Vec<Policy> {
        let long = "x".repeat(100 << 10);
        let url = || UrlText(vec![UrlPart::Text(long.clone())]);
        let headers: Vec<_> = (0..40).map(|_| HeaderField::new("X-A", &"x".repeat(2_600)).unwrap()).collect();
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            all.push(policy);
        };
        let mirror = || Mirror {
            server: OutsideServer::Unknown,
            tls: false,
            host: UrlText::default(),
            target: UrlText::default(),
            with_body: false,
        };
        add(&|policy| policy.mirror = Some(Mirror { target: url(), ..mirror() }));
        add(&|policy| policy.mirror = Some(Mirror { host: url(), ..mirror() }));
        add(&|policy| {
            policy.mirror = Some(Mirror { server: OutsideServer::Name { name: url(), port: 80 }, ..mirror() });
        });
        add(&|policy| policy.external_auth = Some(ExternalAuth { sign_in: Some(url()), ..ExternalAuth::closed() }));
        add(&|policy| {
            policy.external_auth = Some(ExternalAuth { request_redirect: Some(url()), ..ExternalAuth::closed() });
        });
        add(&|policy| {
            let response_headers = vec![long.clone()];
            policy.external_auth = Some(ExternalAuth { response_headers, ..ExternalAuth::closed() });
        });
        add(&|policy| policy.answer_headers.hidden = vec![long.clone()]);
        add(&|policy| {
            policy.answer_headers.added =
                headers.iter().map(|field| AddedHeader { field: field.clone(), always: true }).collect();
        });
        add(&|policy| policy.request_headers.set.clone_from(&headers));
        add(&|policy| policy.balancing = Balancing::Hash(vec![HashPart::Text(long.clone())]));
        add(&|policy| policy.session_path.clone_from(&long));
        add(&|policy| policy.backend_tls.name = Some(long.clone()));
        add(&|policy| policy.backend_tls.ciphers = Some(long.clone()));
        add(&|policy| {
            let (origins, methods) = (CorsOrigins::Any, long.clone());
            let (headers, exposed_headers) = (String::new(), String::new());
            let cors = Cors { origins, methods, headers, exposed_headers, credentials: false, max_age_seconds: 0 };
            policy.cors = Some(cors);
        });
        all
    }

    #[test]
    fn every_text_of_a_policy_counts() {
        for policy in long_policies() {
            assert!((100..=108).contains(&weight(&policy)), "{}: {policy:?}", weight(&policy));
        }
    }

    #[test]
    fn every_text_of_an_action_counts() {
        let long = format!("/{}", "x".repeat(100 << 10));
        let to = |host: Option<String>, path| {
            Action::Redirect(Redirect { status: 301, scheme: None, host, port: None, path })
        };
        let backend = Backend {
            address: BackendAddress::ClusterIp(([10, 0, 0, 1], 80).into()),
            protocol: Protocol::Http,
            keep_alive: true,
        };
        let matches = Match::any();
        for action in [
            to(Some(long.clone()), PathRewrite::Keep),
            to(None, PathRewrite::ReplaceTarget(UrlText::from_text(long.clone()))),
            Action::Forward(Forward::to(backend, PathRewrite::ReplaceFull(long.clone()))),
        ] {
            let weight = rule_weight(&matches, &action, PolicySize::default());
            assert!((100..=104).contains(&weight), "{weight}");
        }
        assert_eq!(rule_weight(&matches, &to(None, PathRewrite::Keep), PolicySize::default()), 1);
    }
}
