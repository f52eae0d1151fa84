//! Times of forwarding.

use std::time::Duration;

use entry_model::Timeouts;

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{MAX_DURATION, parse_duration};

pub const TOPIC: Topic = Topic {
    title: "Times",
    own: &[
        own("connect-timeout", "a time, see below: to connect to the backend", "`--connect-timeout`, 5 s", "500ms"),
        own("read-timeout", "a time: between two reads of the answer", "`--read-timeout`, 60 s", "10m"),
        own("send-timeout", "a time: between two writes of the request", "`--send-timeout`, 60 s", "30s"),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "proxy-connect-timeout",
            Scope::Rule,
            "Whole seconds to connect to the backend; as there, a value with a unit has no effect",
        ),
        IngressNginxAnnotation::same(
            "proxy-read-timeout",
            Scope::Rule,
            "Whole seconds between two reads of the answer",
        ),
        IngressNginxAnnotation::same(
            "proxy-send-timeout",
            Scope::Rule,
            "Whole seconds between two writes of the request",
        ),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let mut time = |own, ingress_nginx| reader.either_of((own, parse_duration), (ingress_nginx, parse_seconds));
    annotations.policy.timeouts = Timeouts {
        connect: time("connect-timeout", "proxy-connect-timeout"),
        read: time("read-timeout", "proxy-read-timeout"),
        send: time("send-timeout", "proxy-send-timeout"),
    };
}

/// A whole number of seconds.
fn parse_seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().map(Duration::from_secs);
    let is_time = |time: &Duration| !time.is_zero() && *time <= MAX_DURATION;
    seconds.ok().filter(is_time).ok_or("it is a whole number of seconds without a unit, from 1 to 86400")
}
