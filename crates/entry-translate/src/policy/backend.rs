//! What is spoken to a backend, and where it is reached.

use entry_model::{BackendMode, Protocol};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_go_boolean, parse_protocol};

pub const TOPIC: Topic = Topic {
    title: "Backends",
    own: &[
        OwnAnnotation {
            name: "backend-protocol",
            objects: Objects::ServicesAndIngresses,
            value: "`http`, `https`, `h2c`, `grpc`, `grpcs`, in any case",
            default: "the `appProtocol` of the port, else `http`",
            example: "grpc",
            unusable: UnusableValue::Closes,
        },
        OwnAnnotation {
            name: "backends",
            objects: Objects::ServicesAndIngresses,
            value: "`cluster-ip`, `endpoints`: to what of a Service requests are sent, see [below](#cluster-ip-or-endpoints)",
            default: "`--backends`, `cluster-ip`",
            example: "endpoints",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "keep-alive",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether connections to the backend are kept and used again, for whichever client comes next",
            default: "`true`",
            example: "false",
            unusable: UnusableValue::CountsAs("false"),
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "backend-protocol",
            Scope::Backend,
            "`HTTP`, `HTTPS`, `GRPC` and `GRPCS`, in any case; `AUTO_HTTP` and `FCGI` have no equal, and a finding says so",
        ),
        IngressNginxAnnotation::same(
            "service-upstream",
            Scope::Backend,
            "`true`: requests go to the cluster IP, which is the default here; `false`: to the endpoints",
        ),
        IngressNginxAnnotation::same(
            "proxy-http-version",
            Scope::Backend,
            "`1.0`: the backend is spoken to with HTTP/1.0, and each request opens a connection; `1.1` is the default",
        )
        .unchanged_by(&["1.1"]),
    ],
};

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let protocol = reader.either_of(
        ("backend-protocol", |text| parse_protocol(text).map(Some)),
        ("backend-protocol", parse_ingress_nginx_protocol),
    );
    annotations.protocol = protocol.flatten();
    if protocol == Some(None) {
        let message = "The backend is spoken to with HTTP/1.1: `AUTO_HTTP` and `FCGI` have no equal; write `HTTP` or `HTTPS`, or put a \
                       server that speaks HTTP before it";
        reader.report_loss("backend-protocol", entry_model::Reason::Unsupported, message.to_owned());
    }
    let parse_service_upstream = |text: &str| {
        let is_upstream = parse_go_boolean(text)?;
        Ok(if is_upstream { BackendMode::ClusterIp } else { BackendMode::Endpoints })
    };
    annotations.backends = reader.either_of(("backends", str::parse), ("service-upstream", parse_service_upstream));
    annotations.keep_alive = reader.own("keep-alive", parse_boolean);
    let version_1_0 = reader.ingress_nginx("proxy-http-version", |text| match text.trim() {
        "1.0" => Ok(true),
        "1.1" => Ok(false),
        _ => Err("it is `1.0` or `1.1`"),
    });
    annotations.policy.speaks_http_1_0 = version_1_0 == Some(true);
}

/// What ingress-nginx speaks; none of what it speaks and we do not.
fn parse_ingress_nginx_protocol(text: &str) -> Result<Option<Protocol>, &'static str> {
    match text.trim().to_ascii_uppercase().as_str() {
        "HTTP" => Ok(Some(Protocol::Http)),
        "HTTPS" => Ok(Some(Protocol::Https)),
        "GRPC" => Ok(Some(Protocol::Http2)),
        "GRPCS" => Ok(Some(Protocol::Http2Tls)),
        "AUTO_HTTP" | "FCGI" => Ok(None),
        _ => Err("it is `HTTP`, `HTTPS`, `GRPC` or `GRPCS`"),
    }
}
