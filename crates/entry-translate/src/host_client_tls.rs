//! How TLS is spoken with the clients of a host. It is decided when a connection is made, before it is known for which path: so all rules of
//! a host have the same, and of each thing the oldest object that says something says what.

use std::collections::BTreeSet;

use entry_model::{ClientTls, HostName, Reason};

use crate::attach::AttachedObject;
use crate::attached_claims::AttachedClaim;
use crate::claim_site::ClaimSite;
use crate::verdict_draft::{object_name, quoted};

/// A thing that is said of TLS: the annotations for it, ours and that of ingress-nginx, and what it says.
struct Saying {
    own: &'static str,
    ingress_nginx: &'static str,
    what: &'static str,
}

const CIPHERS: Saying = Saying {
    own: "sparrow/ssl-ciphers",
    ingress_nginx: "nginx.ingress.kubernetes.io/ssl-ciphers",
    what: "which ciphers of TLS there are",
};

const ORDER: Saying = Saying {
    own: "sparrow/ssl-prefer-server-ciphers",
    ingress_nginx: "nginx.ingress.kubernetes.io/ssl-prefer-server-ciphers",
    what: "whose order of ciphers counts",
};

/// How TLS is spoken with the clients of a host. Objects whose wish is not followed are told.
pub fn select_client_tls(
    host: &HostName,
    rules: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) -> ClientTls {
    if rules.iter().all(|rule| rule.claim.policy.client_tls.is_default()) {
        return ClientTls::default();
    }
    let ciphers = |tls: &ClientTls| Some(tls.ciphers.clone()).filter(|ciphers| !ciphers.is_empty());
    ClientTls {
        ciphers: select(&CIPHERS, ciphers, host, rules, attached).unwrap_or_default(),
        prefers_own_order: select(&ORDER, |tls| tls.prefers_own_order, host, rules, attached),
    }
}

/// What the oldest object says of a thing.
fn select<T: PartialEq>(
    saying: &Saying,
    said: impl Fn(&ClientTls) -> Option<T>,
    host: &HostName,
    rules: &[AttachedClaim<'_>],
    attached: &mut [AttachedObject<'_>],
) -> Option<T> {
    let said_by = |rule: &AttachedClaim<'_>| said(&rule.claim.policy.client_tls);
    let first = rules.iter().filter(|rule| said_by(rule).is_some()).min_by_key(|rule| rule.owner)?;
    let chosen = said_by(first).filter(|_| *host != HostName::Any);
    let mut told = BTreeSet::new();
    for rule in rules {
        let owner = rule.owner.1;
        let own = said_by(rule);
        if own.is_none() || own == chosen || !told.insert(owner) {
            continue;
        }
        let message = match &chosen {
            None => format!(
                "Only of a host that a rule names can be said {}, so it is as for all hosts; name a host",
                saying.what
            ),
            Some(_) => format!(
                "{} was first to say of the host {} {}, and says something else, which stays in force; say the same, or use another host",
                object_name(&attached[first.owner.1].object),
                quoted(&host.to_string()),
                saying.what
            ),
        };
        let is_own = attached[owner].source.meta().annotations.contains_key(saying.own);
        let site = ClaimSite::Annotation(if is_own { saying.own } else { saying.ingress_nginx });
        let reason = if chosen.is_some() { Reason::Conflicted } else { Reason::Unsupported };
        attached[owner].draft.report_loss(&site, reason, message);
    }
    chosen
}
