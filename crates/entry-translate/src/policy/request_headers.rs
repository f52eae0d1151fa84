//! What a backend is told beside what the client sent.

use entry_model::{ConnectionHeader, HeaderField, Reason};

use super::annotations::Annotations;
use super::headers::{parse_lines, set_request_header};
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::upstream_vhost::UpstreamVhost;

pub const TOPIC: Topic = Topic {
    title: "Headers of requests",
    own: &[OwnAnnotation {
        name: "request-headers",
        objects: Objects::ServicesAndIngresses,
        value: "`Name: value`, up to 32, one in a line: the backend is told this, whatever the client says; without a value, the header is \
                taken out. `Host`, `X-Forwarded-…` and those of the connection are said by this entry. Values take [variables](#variables-in-headers)",
        default: "what the client sent",
        example: "X-Tenant: shop",
        unusable: UnusableValue::Closes,
    }],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "upstream-vhost",
            Scope::Rule,
            "The `Host` that the backend is told: a name or an address, maybe with a port. Of variables, `$service_name`, `$service_port` and \
             `$namespace` are put in; `$host` and `$http_host` alone are what happens without it; with others it is not followed",
        ),
        IngressNginxAnnotation::same(
            "connection-proxy-header",
            Scope::Rule,
            "`close` or `keep-alive`: the `Connection` that a backend of HTTP/1.1 is told. No WebSocket passes then, as there",
        ),
    ],
};

/// Reads them.
pub fn read<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>) {
    let connection = reader.ingress_nginx("connection-proxy-header", |text| match text.trim() {
        "close" => Ok(ConnectionHeader::Close),
        "keep-alive" => Ok(ConnectionHeader::KeepAlive),
        _ => Err("it is `close` or `keep-alive`"),
    });
    annotations.policy.request_headers.connection = connection;
    if let Some(text) = reader.ingress_nginx_text("upstream-vhost") {
        read_upstream_vhost(reader, annotations, text.trim());
    }
    for field in reader.own("request-headers", parse_lines).unwrap_or_default() {
        set_own_request_header(reader, annotations, field);
    }
}

fn set_own_request_header(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    field: HeaderField,
) {
    let name = field.name().to_owned();
    if let Err(why) = set_request_header(&mut annotations.policy.request_headers, field) {
        let message = format!("The header `{name}` is not set, the others are: {why}. Remove it");
        reader.report_own_loss("request-headers", Reason::Unsupported, message);
    }
}

fn read_upstream_vhost<'a>(reader: &mut AnnotationReader<'a, '_>, annotations: &mut Annotations<'a>, text: &'a str) {
    // There, an empty value is none.
    if matches!(text, "" | "$host" | "$http_host" | "$best_http_host") {
        return;
    }
    match UpstreamVhost::parse(text) {
        Ok(vhost) => annotations.upstream_vhost = Some(vhost),
        Err(why) => {
            let message =
                format!("The backend is told the host that the client asked for: {why}. Correct or remove it");
            reader.report_loss("upstream-vhost", Reason::Unsupported, message);
        }
    }
}
