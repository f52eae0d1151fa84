//! When a request goes to another endpoint.

use std::collections::BTreeSet;
use std::time::Duration;

use entry_model::{BackendMode, Reason, Retries, RetryCondition};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{MAX_DURATION, parse_integer};

pub const TOPIC: Topic = Topic {
    title: "Retries",
    own: &[
        OwnAnnotation {
            name: "retry-on",
            objects: Objects::ServicesAndIngresses,
            value: "`off`, or of `error`, `timeout`, `invalid_header`, `http_403`, `http_404`, `http_429`, `http_500`, `http_502`, `http_503`, \
                    `http_504`, `non_idempotent`: after what another endpoint is tried; with `backends: endpoints`",
            default: "`error timeout`",
            example: "error timeout http_502",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "retry-tries",
            objects: Objects::ServicesAndIngresses,
            value: "how many endpoints are tried in all, from 1 to 100",
            default: "3",
            example: "2",
            unusable: UnusableValue::Ignored,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs("proxy-next-upstream", Scope::Backend, WITH_ENDPOINTS),
        IngressNginxAnnotation::differs(
            "proxy-next-upstream-timeout",
            Scope::Backend,
            "Whole seconds in which other endpoints are tried; `0` is without limit. Without it 15 s here, and without limit there",
        ),
        IngressNginxAnnotation::same(
            "proxy-next-upstream-tries",
            Scope::Backend,
            "How many endpoints are tried in all; `0` is without limit. 3 without it",
        ),
    ],
};

const WITH_ENDPOINTS: &str = "After which answers or failures another endpoint is tried, `off` for none. There are others only with \
    `service-upstream: false` or `sparrow/backends: endpoints`: by default requests go to the cluster IP, behind which the cluster chooses";

/// Most endpoints that are tried.
const MOST_TRIES: u64 = 100;

/// Reads them. To what of a Service requests are sent was read before.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let is_own = reader.own_counts("retry-on", &["proxy-next-upstream"]);
    let conditions = reader.either_of(("retry-on", parse_conditions), ("proxy-next-upstream", parse_conditions));
    if !is_own
        && conditions.as_ref().is_some_and(|conditions| !conditions.is_empty())
        && annotations.backends.unwrap_or(reader.context.defaults.backends) == BackendMode::ClusterIp
    {
        let message = "No other endpoint is tried where requests go to the cluster IP of the Service, as they do by default: nginx knows one \
                       address. Write `sparrow/backends: endpoints` to have it know all";
        reader.report_note("proxy-next-upstream", Reason::Unsupported, message.to_owned());
    }
    let seconds = reader.ingress_nginx("proxy-next-upstream-timeout", parse_integer);
    let parse_most =
        |text: &str| parse_integer(text).map(|tries| u32::try_from(tries.min(MOST_TRIES)).unwrap_or(u32::MAX));
    annotations.policy.retries = Retries {
        conditions,
        tries: reader.either_of(("retry-tries", parse_tries), ("proxy-next-upstream-tries", parse_most)),
        time: seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_DURATION)),
    };
}

/// None for `off`.
fn parse_conditions(text: &str) -> Result<BTreeSet<RetryCondition>, &'static str> {
    const HINT: &str = "it is `off`, or of `error`, `timeout`, `invalid_header`, `http_500`, `http_502`, `http_503`, `http_504`, `http_403`, \
                        `http_404`, `http_429` and `non_idempotent`";
    let find = |word: &str| RetryCondition::ALL.into_iter().find(|condition| condition.as_str() == word).ok_or(HINT);
    match text.trim() {
        "off" => Ok(BTreeSet::new()),
        "" => Err(HINT),
        words => words.split_whitespace().map(find).collect(),
    }
}

fn parse_tries(text: &str) -> Result<u32, &'static str> {
    text.parse().ok().filter(|tries| (1..=100).contains(tries)).ok_or("write a whole number from 1 to 100")
}
