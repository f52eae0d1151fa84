//! What is written down of requests.

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean};

pub const TOPIC: Topic = Topic {
    title: "Logs and traces",
    own: &[OwnAnnotation {
        name: "access-log",
        objects: Objects::ServicesAndIngresses,
        value: "`true`, `false`: whether requests that are forwarded are in the access log; failures of the backend stay in it",
        default: "`true`",
        example: "false",
        unusable: UnusableValue::Ignored,
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "enable-access-log",
            Scope::Rule,
            "`false`: requests that are forwarded are not in the access log; failures of the backend stay in it",
        )
        .unchanged_by(&["true"]),
        IngressNginxAnnotation::never(
            "enable-rewrite-log",
            Scope::Rule,
            "nothing is written about rewrites; the access log has what was asked for, and by which object it was served",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::never("enable-opentelemetry", Scope::Rule, NO_TRACES).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("opentelemetry-operation-name", Scope::Rule, NO_TRACES),
        IngressNginxAnnotation::never("opentelemetry-trust-incoming-span", Scope::Rule, NO_TRACES),
    ],
};

const NO_TRACES: &str = "this nginx has no module for traces, and sends no spans; `traceparent` of a client passes through, and `X-Request-ID` is \
    in the access log and goes to the backend";

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let is_logged = reader.either_of(("access-log", parse_boolean), ("enable-access-log", parse_go_boolean));
    annotations.policy.without_access_log = is_logged == Some(false);
}
