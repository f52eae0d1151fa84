//! What becomes of the path of a request.

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::parse_boolean;

const REWRITE: &str = "`sparrow/strip-prefix: \"true\"` takes the path of the rule off; there is no other rewriting";

pub const TOPIC: Topic = Topic {
    title: "Paths and rewriting",
    own: &[OwnAnnotation {
        name: "strip-prefix",
        objects: Objects::ServicesAndIngresses,
        value: "`true`, `false`: whether the path that matched is taken off before forwarding",
        default: "Services: `true`; Ingresses: `false`",
        example: "false",
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "rewrite-target",
            Scope::Rule,
            "Only a target that is the path itself has its effect, which is none",
        ),
        IngressNginxAnnotation::never("use-regex", Scope::Host, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("preserve-trailing-slash", Scope::Rule, super::NO_EQUAL).unchanged_by(&["false"]),
        IngressNginxAnnotation::never("x-forwarded-prefix", Scope::Rule, super::NO_EQUAL),
    ],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    annotations.strip_prefix = reader.own("strip-prefix", parse_boolean);
    let paths = reader.context.paths;
    // A target that is the path itself changes nothing.
    let keeps = |target: &str| !paths.is_empty() && paths.iter().all(|path| *path == target);
    if let Some(target) = reader.ingress_nginx_text("rewrite-target")
        && !keeps(target.trim())
    {
        let message =
            format!("The annotation is one of ingress-nginx and has no effect: {REWRITE}. Replace or remove it");
        reader.report_loss("rewrite-target", entry_model::Reason::Unsupported, message);
    }
}
