//! Who calls, and what they may do.
//!
//! [`Authenticator::authenticate`] and [`Authenticator::authorize`] are asked before every handler, with what the
//! [list of endpoints](rbd_api::endpoints) says: the role, the tag and verb, and how far the call [reaches](permission::Reach). Two
//! things only a handler can know, and asks about through its [`Call`](crate::call::Call):
//!
//! - a pool or namespace that is *not in the path* (the target of a clone or copy, the pool of an operation):
//!   `call.authorize_place(&place, Role::Operator).await?`, before it is touched;
//! - which of several pools the caller may see: `call.visible_pools(names).await?`. An endpoint that asks this, or
//!   calls `authorize_place` for whatever it shows, says so in the list with
//!   [`Endpoint::filtered`](rbd_api::endpoint::Endpoint::filtered), and is then open to callers with a scope.

pub mod kubernetes;
pub mod permission;
pub mod tokens;

use std::path::PathBuf;
use std::time::Instant;

use axum::http::{HeaderMap, header};
use rbd_api::problem::{Kind, RequestFault};
use rbd_api::role::Role;
use rbd_model::fault::Fault;
use serde::Serialize;

use self::kubernetes::{Kubernetes, ReviewedUser};
use self::permission::Permission;
use self::tokens::{Scope, Token, Tokens};
use crate::metrics::{Metrics, ReasonLabels};

/// How somebody was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationMethod {
    /// Not at all.
    None,
    /// By a token of the tokens file.
    Token,
    /// By a review of the Kubernetes API.
    Kubernetes,
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The name for the audit log and the records of operations.
    pub name: String,
    /// Groups, as Kubernetes gives them.
    pub groups: Vec<String>,
    /// How they were known.
    pub method: AuthenticationMethod,
    grant: Grant,
}

/// What decides about a principal's calls.
#[derive(Debug, Clone)]
enum Grant {
    Everything,
    Token { role: Role, scope: Scope },
    Kubernetes(ReviewedUser),
}

impl Principal {
    fn anonymous() -> Self {
        Self {
            name: "anonymous".to_owned(),
            groups: Vec::new(),
            method: AuthenticationMethod::None,
            grant: Grant::Everything,
        }
    }
}

impl From<Token> for Principal {
    fn from(token: Token) -> Self {
        Self {
            name: token.name,
            groups: Vec::new(),
            method: AuthenticationMethod::Token,
            grant: Grant::Token { role: token.role, scope: token.scope },
        }
    }
}

impl From<ReviewedUser> for Principal {
    fn from(user: ReviewedUser) -> Self {
        Self {
            name: user.name.clone(),
            groups: user.groups.clone(),
            method: AuthenticationMethod::Kubernetes,
            grant: Grant::Kubernetes(user),
        }
    }
}

/// How callers are to be known.
#[derive(Debug, Clone)]
pub enum Settings {
    /// Not at all; everybody may do everything.
    None,
    /// By tokens from a file.
    Tokens {
        /// The file; see [`tokens`] for its form.
        file: PathBuf,
    },
    /// By the Kubernetes API.
    Kubernetes(kubernetes::Settings),
}

/// Knows callers.
pub struct Authenticator {
    method: CallerSource,
    failures: prometheus_client::metrics::family::Family<ReasonLabels, prometheus_client::metrics::counter::Counter>,
}

enum CallerSource {
    None,
    Tokens(Tokens),
    Kubernetes(Box<Kubernetes>),
}

impl Authenticator {
    /// Reads what the method needs: the tokens file, or the way to the API server, which is not yet asked.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub async fn start(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let method = match settings {
            Settings::None => CallerSource::None,
            Settings::Tokens { file } => CallerSource::Tokens(Tokens::start(file, metrics)?),
            Settings::Kubernetes(settings) => {
                CallerSource::Kubernetes(Box::new(Kubernetes::start(settings, metrics).await?))
            }
        };
        Ok(Self { method, failures: metrics.authentication_failures.clone() })
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// `not-authenticated` without credentials, `invalid-token` with wrong ones, `authentication-unavailable` when who
    /// would know does not answer before the deadline.
    pub async fn authenticate(&self, headers: &HeaderMap, deadline: Instant) -> Result<Principal, RequestFault> {
        let known = match &self.method {
            CallerSource::None => Ok(Principal::anonymous()),
            CallerSource::Tokens(tokens) => {
                bearer(headers).and_then(|secret| tokens.authenticate(secret)).map(Principal::from)
            }
            CallerSource::Kubernetes(kubernetes) => match bearer(headers) {
                Ok(token) => kubernetes.authenticate(token, deadline).await.map(Principal::from),
                Err(rejection) => Err(rejection),
            },
        };
        known.inspect_err(|rejection| {
            self.failures.get_or_create(&ReasonLabels { reason: rejection.kind().slug().to_owned() }).inc();
        })
    }

    /// Whether the caller may.
    ///
    /// # Errors
    /// `forbidden`; `authentication-unavailable` when who would know does not answer before the deadline.
    pub async fn authorize(
        &self,
        principal: &Principal,
        permission: Permission<'_>,
        deadline: Instant,
    ) -> Result<(), RequestFault> {
        match (&self.method, &principal.grant) {
            (_, Grant::Everything) => Ok(()),
            (_, Grant::Token { role, scope }) => tokens::authorize(&principal.name, *role, scope, permission),
            (CallerSource::Kubernetes(kubernetes), Grant::Kubernetes(user)) => {
                kubernetes.authorize(user, permission, deadline).await
            }
            (_, Grant::Kubernetes(_)) => Err(Fault::new(Kind::Forbidden, "It is not known what this caller may do.")),
        }
    }

    /// Those of the pools that the caller may see.
    ///
    /// # Errors
    /// As [`Authenticator::authorize`]; `forbidden` for a user of Kubernetes who may see none of them.
    pub async fn visible_pools(
        &self,
        principal: &Principal,
        permission: Permission<'_>,
        pools: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<String>, RequestFault> {
        match (&self.method, &principal.grant) {
            (_, Grant::Everything) => Ok(pools),
            (_, Grant::Token { scope, .. }) => Ok(pools.into_iter().filter(|pool| scope.reaches_into(pool)).collect()),
            (CallerSource::Kubernetes(kubernetes), Grant::Kubernetes(user)) => {
                kubernetes.visible_pools(user, permission, pools, deadline).await
            }
            (_, Grant::Kubernetes(_)) => Ok(Vec::new()),
        }
    }
}

/// The bearer token of a request (RFC 6750, section 2.1). The other places that the RFC allows, body and query, end up
/// in logs.
fn bearer(headers: &HeaderMap) -> Result<&str, RequestFault> {
    let unknown = || {
        Fault::new(Kind::NotAuthenticated, "The request carries no bearer token.")
            .correction("Send the header `Authorization: Bearer TOKEN`.")
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(unknown)?;
    if values.next().is_some() {
        return Err(unknown().cause("There is more than one Authorization header."));
    }
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(unknown)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(unknown());
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn request_must_have_exactly_one_bearer_token() {
        assert_eq!(bearer(&headers(&["Bearer abc"])).unwrap(), "abc");
        assert_eq!(bearer(&headers(&["bearer  abc"])).unwrap(), "abc");
        for wrong in [&[][..], &["abc"], &["Bearer "], &["Basic abc"], &["Bearer"], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&headers(wrong)).unwrap_err().kind(), Kind::NotAuthenticated, "{wrong:?}");
        }
    }
}
