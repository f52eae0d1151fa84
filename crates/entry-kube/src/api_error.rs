//! What an answer of the API server means, without what is in it.

use entry_model::{Key, Kind};

use crate::kinds::KindInfo;

/// An error with its causes, of which kube's name little by themselves.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What an error means for the reading of a kind: for a missing right, which rule is missing.
pub(crate) fn explain_read_error(kind: Kind, verbs: &str, error: &kube::Error) -> String {
    match (error, KindInfo::of(kind)) {
        (kube::Error::Api(status), Some(info)) if status.code == 403 => {
            let (group, resource) = (info.group, info.resource);
            format!(
                "the API server rejects it (403): its role needs the rule apiGroups [{group:?}], \
                 resources [{resource:?}], verbs [{verbs}]"
            )
        }
        _ => describe_error(error),
    }
}

/// The same of a missing right to read one object, from what is told of its kind.
pub(crate) fn name_object_of_rule(message: &str, key: &Key) -> String {
    format!("{message}, resourceNames [{:?}], in the namespace {}", key.name, key.namespace)
}

/// What went wrong when the API server was asked. An answer that cannot be read is not quoted: Secrets may be in it.
pub(crate) fn describe_error(error: &kube::Error) -> String {
    match error {
        kube::Error::SerdeError(error) => {
            format!("its answer cannot be read, from line {}, column {} of it on", error.line(), error.column())
        }
        kube::Error::FromUtf8(_) => "its answer is no UTF-8".to_owned(),
        error => with_causes(error),
    }
}
