//! Callers as Kubernetes knows them: a `TokenReview` says who has a bearer token, a `SubjectAccessReview` what they may.
//!
//! What is asked about are resources of the API group [`GROUP`], which no API server serves; its rules are only ever read
//! by this service. Resources are the endpoints' tags, verbs are `get`, `list`, `create`, `update`, `delete`. A rule's
//! `resourceNames` are places: `POOL` for a pool as a whole, `POOL/NAMESPACE` for one namespace, `POOL/` for the default
//! one. Without them a rule is for all pools, and for what has no pool.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/>

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rbd_api::problem::{Kind, RequestFault};
use rbd_model::fault::Fault;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::permission::{Permission, Reach};
use crate::metrics::{Metrics, ReviewLabels};

/// The API group of the rules. Nobody can own a name under `.internal`, so no other product's rules are met by chance.
pub const GROUP: &str = "rbd.sparrow.internal";

/// How long a review may take.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(3);
/// Reviews that run at once; others wait for them.
const REVIEWS_AT_ONCE: usize = 64;
/// Reviews that run at once to find the pools that one caller may see.
const POOL_REVIEWS_AT_ONCE: usize = 16;
/// How long a yes is believed: what a deleted service account can go on for.
const YES_FOR: Duration = Duration::from_secs(10);
/// How long a no is believed: what a new binding takes to work.
const NO_FOR: Duration = Duration::from_secs(2);
/// How many answers of each sort are kept.
const KEPT_ANSWERS: usize = 4096;

/// How to ask.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The way to the API server; without it that of a pod.
    pub kubeconfig: Option<PathBuf>,
    /// What tokens must be meant for.
    pub audience: String,
    /// How long a yes is believed while the API server does not answer, if that is longer than it is believed otherwise.
    pub outage: Duration,
}

/// A user as the API server described them.
#[derive(Debug, Clone)]
pub(super) struct ReviewedUser {
    pub(super) name: String,
    uid: Option<String>,
    pub(super) groups: Vec<String>,
    extra: Option<BTreeMap<String, Vec<String>>>,
    /// Of all of the above, so that answers for one user are never given to another.
    digest: [u8; 32],
}

/// Asks the API server.
pub struct Kubernetes {
    client: Client,
    audience: String,
    reviews: prometheus_client::metrics::family::Family<ReviewLabels, prometheus_client::metrics::counter::Counter>,
    running: Semaphore,
    known: ReviewCache<[u8; 32], ReviewedUser>,
    unknown: ReviewCache<[u8; 32], RequestFault>,
    allowed: ReviewCache<AccessQuestion, ()>,
    rejected: ReviewCache<AccessQuestion, ()>,
}

/// What a `SubjectAccessReview` is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AccessQuestion {
    user: [u8; 32],
    resource: String,
    verb: String,
    name: Option<String>,
}

impl Kubernetes {
    /// Finds the way to the API server, which is not asked yet: it may come later.
    ///
    /// # Errors
    /// The kubeconfig cannot be used; without one, this is not a pod.
    pub(super) async fn start(settings: &Settings, metrics: &Metrics) -> anyhow::Result<Self> {
        let mut config = match &settings.kubeconfig {
            Some(path) => {
                let shown = path.display();
                let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {shown}"))?;
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                    .await
                    .with_context(|| format!("--kubeconfig {shown}"))?
            }
            None => Config::incluster().context(
                "--auth kubernetes finds no service account of a pod; outside of a cluster it takes --kubeconfig FILE",
            )?,
        };
        config.connect_timeout = Some(REVIEW_TIMEOUT);
        // A review that fails is not worth more of the caller's time.
        config.default_retry = false;
        Ok(Self {
            client: Client::try_from(config).context("make a client of the Kubernetes API")?,
            audience: settings.audience.clone(),
            reviews: metrics.reviews.clone(),
            running: Semaphore::new(REVIEWS_AT_ONCE),
            known: ReviewCache::new(YES_FOR, settings.outage),
            // A no is no reason to keep anybody out when it cannot be asked again: the answer is then 503.
            unknown: ReviewCache::new(NO_FOR, NO_FOR),
            allowed: ReviewCache::new(YES_FOR, settings.outage),
            rejected: ReviewCache::new(NO_FOR, NO_FOR),
        })
    }

    /// Who has this token.
    ///
    /// # Errors
    /// `invalid-token`, `authentication-unavailable`.
    pub(super) async fn authenticate(&self, token: &str, deadline: Instant) -> Result<ReviewedUser, RequestFault> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(problem) = self.unknown.get(&key) {
            return Err(problem);
        }
        if let Some(user) = self.known.get(&key) {
            return Ok(user);
        }
        match self.review_token(token, deadline).await {
            Ok(Ok(user)) => {
                self.known.put(key, user.clone());
                Ok(user)
            }
            Ok(Err(rejection)) => {
                // Also for the next outage.
                self.known.forget(&key);
                self.unknown.put(key, rejection.clone());
                Err(rejection)
            }
            Err(unavailable) => self.known.get_in_outage(&key).ok_or(unavailable),
        }
    }

    /// The API server's word on a token, good or bad; or none.
    async fn review_token(
        &self,
        token: &str,
        deadline: Instant,
    ) -> Result<Result<ReviewedUser, RequestFault>, RequestFault> {
        let spec = TokenReviewSpec { audiences: Some(vec![self.audience.clone()]), token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = self.ask("token", deadline, review).await?.status.unwrap_or_default();
        // An authenticator that knows no audiences answers without any, and then accepts tokens that are meant for others.
        let meant = status.audiences.unwrap_or_default().contains(&self.audience);
        let user = status.user.filter(|_| status.authenticated == Some(true) && meant).and_then(ReviewedUser::new);
        self.count("token", if user.is_some() { "allowed" } else { "denied" });
        Ok(user.ok_or_else(|| {
            let rejection =
                Fault::new(Kind::InvalidToken, "The Kubernetes API does not know this token, or not for this service.")
                    .correction(format!(
                        "Send a token of a service account that has not expired and whose audience is {:?}: \
                         `kubectl create token NAME --audience {}`, or a projected volume.",
                        self.audience, self.audience
                    ));
            match status.error {
                Some(error) => rejection.cause(error),
                None => rejection,
            }
        }))
    }

    /// Whether the user may.
    ///
    /// # Errors
    /// `forbidden`, `authentication-unavailable`.
    pub(super) async fn authorize(
        &self,
        user: &ReviewedUser,
        permission: Permission<'_>,
        deadline: Instant,
    ) -> Result<(), RequestFault> {
        let names: [Option<String>; 2] = match permission.reach {
            // The handler asks for what it touches.
            Reach::Filtered => return Ok(()),
            Reach::Cluster => [None, None],
            // Ceph lets a pool be called `a/b`, which must not pass for a namespace of `a`.
            Reach::Pool(pool) | Reach::Namespace { pool, .. } if pool.contains('/') => [None, None],
            Reach::Pool(pool) => [Some(pool.to_owned()), None],
            Reach::Namespace { pool, namespace } => [Some(pool.to_owned()), Some(format!("{pool}/{namespace}"))],
        };
        let [first, second] = names;
        if self.allows(user, permission, first.clone(), deadline).await? {
            return Ok(());
        }
        if second.is_some() && self.allows(user, permission, second.clone(), deadline).await? {
            return Ok(());
        }
        Err(forbidden(user, permission, second.or(first)))
    }

    /// Those of the pools that the user may see.
    ///
    /// # Errors
    /// `forbidden` when there are pools and none may be seen; `authentication-unavailable`.
    pub(super) async fn visible_pools(
        &self,
        user: &ReviewedUser,
        permission: Permission<'_>,
        pools: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<String>, RequestFault> {
        if self.allows(user, permission, None, deadline).await? {
            return Ok(pools);
        }
        let some = !pools.is_empty();
        let visible: Vec<Option<String>> = stream::iter(pools)
            .map(|pool| async move {
                // See `authorize`.
                let allowed =
                    !pool.contains('/') && self.allows(user, permission, Some(pool.clone()), deadline).await?;
                Ok::<_, RequestFault>(allowed.then_some(pool))
            })
            .buffered(POOL_REVIEWS_AT_ONCE)
            .try_collect()
            .await?;
        let visible: Vec<String> = visible.into_iter().flatten().collect();
        if some && visible.is_empty() { Err(forbidden(user, permission, None)) } else { Ok(visible) }
    }

    async fn allows(
        &self,
        user: &ReviewedUser,
        permission: Permission<'_>,
        name: Option<String>,
        deadline: Instant,
    ) -> Result<bool, RequestFault> {
        let question = AccessQuestion {
            user: user.digest,
            resource: permission.resource.to_owned(),
            verb: permission.verb.to_owned(),
            name: name.clone(),
        };
        if self.allowed.get(&question).is_some() {
            return Ok(true);
        }
        if self.rejected.get(&question).is_some() {
            return Ok(false);
        }
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some(question.resource.clone()),
            verb: Some(question.verb.clone()),
            name,
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(user.name.clone()),
            uid: user.uid.clone(),
            groups: Some(user.groups.clone()),
            extra: user.extra.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = match self.ask("access", deadline, review).await {
            Ok(answer) => answer,
            Err(unavailable) => {
                return self.allowed.get_in_outage(&question).map(|()| true).ok_or(unavailable);
            }
        };
        let allowed = answer.status.is_some_and(|status| status.allowed);
        self.count("access", if allowed { "allowed" } else { "denied" });
        if allowed {
            self.allowed.put(question, ());
        } else {
            self.allowed.forget(&question);
            self.rejected.put(question, ());
        }
        Ok(allowed)
    }

    /// Sends a review. Whatever stands in the way is not a yes; only an earlier one can be.
    async fn ask<R>(&self, kind: &'static str, deadline: Instant, review: R) -> Result<R, RequestFault>
    where
        R: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let end = deadline.min(Instant::now() + REVIEW_TIMEOUT);
        let asked = async {
            let _running = self.running.acquire().await;
            Api::<R>::all(self.client.clone()).create(&PostParams::default(), &review).await
        };
        let unavailable = Fault::new(
            Kind::AuthenticationUnavailable,
            "The Kubernetes API, which knows who may do what, has not answered.",
        );
        let rejection = match tokio::time::timeout_at(end.into(), asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(kube::Error::Api(status))) => {
                unavailable.cause(format!("It rejected the review of this service: {}", status.message)).correction(
                    "Bind the ClusterRole system:auth-delegator to the service account of this service, which must exist.",
                )
            }
            Ok(Err(error)) => unavailable
                .cause(chain(&error))
                .correction("Look at the API server, and at the way to it from this service."),
            Err(_) => unavailable
                .cause("The time of the request is over.")
                .correction("Look at the API server, and at the way to it from this service."),
        };
        self.count(kind, "error");
        tracing::warn!(review = kind, problem = rejection.detail(), cause = rejection.why(), "a review failed");
        Err(rejection.retry_after(1))
    }

    fn count(&self, review: &'static str, outcome: &'static str) {
        self.reviews.get_or_create(&ReviewLabels { review: review.into(), outcome: outcome.into() }).inc();
    }
}

fn forbidden(user: &ReviewedUser, permission: Permission<'_>, name: Option<String>) -> RequestFault {
    let Permission { resource, verb, reach, .. } = permission;
    let names = name.map(|name| format!(", resourceNames [{name:?}] or none")).unwrap_or_default();
    Fault::new(Kind::Forbidden, format!("The user {:?} may not {verb} {resource} in {reach}.", user.name)).correction(
        format!(
            "Bind a ClusterRole to the user that has a rule with apiGroups [{GROUP:?}], resources [{resource:?}], verbs \
             [{verb:?}]{names}."
        ),
    )
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

impl ReviewedUser {
    /// None without a name: nobody could be asked about.
    fn new(info: k8s_openapi::api::authentication::v1::UserInfo) -> Option<Self> {
        let name = info.username.clone().filter(|name| !name.is_empty())?;
        let digest = Sha256::digest(serde_json::to_vec(&info).ok()?).into();
        Some(Self { name, uid: info.uid, groups: info.groups.unwrap_or_default(), extra: info.extra, digest })
    }
}

/// Answers that are believed for a while; so many and no more.
struct ReviewCache<K, V> {
    believed: Duration,
    in_outage: Duration,
    entries: Mutex<HashMap<K, CachedReview<V>>>,
}

/// An answer of the API server.
struct CachedReview<V> {
    value: V,
    /// Until when it is believed without another question.
    fresh_until: Instant,
    /// Until when it is believed if the question is not answered.
    kept_until: Instant,
}

impl<K: Eq + Hash, V: Clone> ReviewCache<K, V> {
    fn new(believed: Duration, in_outage: Duration) -> Self {
        Self { believed, in_outage: in_outage.max(believed), entries: Mutex::new(HashMap::new()) }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, CachedReview<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &K) -> Option<V> {
        self.entries().get(key).filter(|answer| answer.fresh_until > Instant::now()).map(|answer| answer.value.clone())
    }

    /// What was answered before, when the question was just asked again in vain. It is believed for the usual time again, since
    /// callers would else all wait for reviews that fail.
    fn get_in_outage(&self, key: &K) -> Option<V> {
        let now = Instant::now();
        let mut entries = self.entries();
        let answer = entries.get_mut(key).filter(|answer| answer.kept_until > now)?;
        answer.fresh_until = (now + self.believed).min(answer.kept_until);
        Some(answer.value.clone())
    }

    fn put(&self, key: K, value: V) {
        let now = Instant::now();
        let mut entries = self.entries();
        if entries.len() >= KEPT_ANSWERS {
            entries.retain(|_, answer| answer.kept_until > now);
        }
        if entries.len() >= KEPT_ANSWERS {
            entries.retain(|_, answer| answer.fresh_until > now);
        }
        // One that finds no room is asked for again.
        if entries.len() < KEPT_ANSWERS {
            let (fresh_until, kept_until) = (now + self.believed, now + self.in_outage);
            entries.insert(key, CachedReview { value, fresh_until, kept_until });
        }
    }

    fn forget(&self, key: &K) {
        self.entries().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn review_answers_are_cached_for_their_time_and_bounded() {
        let answers = ReviewCache::new(Duration::from_millis(500), Duration::ZERO);
        for number in 0..KEPT_ANSWERS + 10 {
            answers.put(number, ());
        }
        assert!(answers.get(&0).is_some());
        assert_eq!(answers.get(&KEPT_ANSWERS), None);
        assert_eq!(answers.entries().len(), KEPT_ANSWERS);
        std::thread::sleep(Duration::from_millis(510));
        assert_eq!(answers.get(&0), None);
        assert_eq!(answers.get_in_outage(&0), None);
        answers.put(KEPT_ANSWERS, ());
        assert_eq!(answers.entries().len(), 1);
    }

    #[test]
    fn outage_prolongs_cached_answers_up_to_its_limit() {
        let answers = ReviewCache::new(Duration::from_millis(100), Duration::from_millis(1000));
        answers.put(1, "yes");
        answers.put(2, "yes");
        std::thread::sleep(Duration::from_millis(110));
        assert_eq!(answers.get(&1), None);
        assert_eq!(answers.get_in_outage(&1), Some("yes"));
        // The next caller does not wait for another question.
        assert_eq!(answers.get(&1), Some("yes"));
        answers.forget(&2);
        assert_eq!(answers.get_in_outage(&2), None);
        assert_eq!(answers.get_in_outage(&3), None);
        std::thread::sleep(Duration::from_millis(900));
        assert_eq!(answers.get(&1), None);
        assert_eq!(answers.get_in_outage(&1), None);
    }

    #[test]
    fn stale_answers_make_room_for_fresh_ones() {
        let answers = ReviewCache::new(Duration::from_millis(300), Duration::from_mins(1));
        for number in 0..KEPT_ANSWERS {
            answers.put(number, ());
        }
        std::thread::sleep(Duration::from_millis(310));
        answers.put(KEPT_ANSWERS, ());
        assert!(answers.get(&KEPT_ANSWERS).is_some());
    }
}
