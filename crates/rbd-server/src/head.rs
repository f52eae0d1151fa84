//! What the head of a request may ask for, whichever endpoint it is for. What this service does not do must be rejected: a change
//! that was asked for under a condition is otherwise made without it, and bytes are taken for others than they are.

use axum::http::{HeaderMap, HeaderName, Method, Request, header};

use rbd_api::problem::{Kind, Problem, RequestFault};
use rbd_model::fault::{self, Fault};

/// The conditions under which a change may be asked for (RFC 9110, section 13.1). Nothing that can be changed has a validator.
const CONDITIONS: [HeaderName; 3] = [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];

/// Rejects what no endpoint does.
///
/// # Errors
/// `bad-request`, `media-type`, `precondition-failed`, `expectation-failed`.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    one_length(headers)?;
    one_range(headers)?;
    not_encoded(headers)?;
    if !request.method().is_safe() {
        without_condition(request.method(), headers)?;
    }
    Ok(only_to_continue(headers)?)
}

/// A body has one length: of two, a proxy before this service may go by the other one, and take a part of the body for the next
/// request (RFC 9112, section 6.3).
fn one_length(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Fault::new(fault::Kind::BadRequest, "The request has a Content-Length and a Transfer-Encoding.")
            .correction("Send one of the two."));
    }
    Ok(())
}

fn one_range(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.get_all(header::RANGE).iter().count() > 1 {
        return Err(Fault::new(fault::Kind::BadRequest, "The request has the header Range more than once.")
            .correction("Send it once."));
    }
    Ok(())
}

/// Bytes are taken as they come.
fn not_encoded(headers: &HeaderMap) -> Result<(), RequestFault> {
    let identity = |coding: &str| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    for value in headers.get_all(header::CONTENT_ENCODING) {
        if !value.to_str().is_ok_and(|codings| codings.split(',').all(identity)) {
            return Err(Fault::new(Kind::MediaType, format!("The body has the Content-Encoding {value:?}."))
                .correction("Send the body as it is, without Content-Encoding."));
        }
    }
    Ok(())
}

fn without_condition(method: &Method, headers: &HeaderMap) -> Result<(), RequestFault> {
    match CONDITIONS.into_iter().find(|name| headers.contains_key(name)) {
        None => Ok(()),
        Some(name) => Err(Fault::new(
            Kind::PreconditionFailed,
            format!("{method} was asked for under the condition {name}, which cannot be told."),
        )
        .cause("Nothing that can be changed here has an entity tag or a time of its last change.")
        .correction(format!("Leave out the header {name}; GET the thing first to see whether it is as expected."))),
    }
}

fn only_to_continue(headers: &HeaderMap) -> Result<(), RequestFault> {
    for value in headers.get_all(header::EXPECT) {
        if !value.to_str().is_ok_and(|text| text.trim().eq_ignore_ascii_case("100-continue")) {
            return Err(Fault::new(Kind::ExpectationFailed, format!("The request expects {value:?}."))
                .correction("Send Expect: 100-continue, or none."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, headers: &[(&str, &str)]) -> Option<Kind> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|problem| problem.kind())
    }

    #[test]
    fn unsupported_request_head_is_rejected() {
        for (method, headers, kind) in [
            ("POST", &[("content-length", "3"), ("transfer-encoding", "chunked")][..], fault::Kind::BadRequest.into()),
            ("GET", &[("range", "bytes=0-1"), ("range", "bytes=2-3")], fault::Kind::BadRequest.into()),
            ("PUT", &[("content-encoding", "gzip")], Kind::MediaType),
            ("PUT", &[("content-encoding", "identity, gzip")], Kind::MediaType),
            ("PUT", &[("content-encoding", "identity"), ("content-encoding", "br")], Kind::MediaType),
            ("POST", &[("if-match", "\"a\"")], Kind::PreconditionFailed),
            ("PUT", &[("if-none-match", "*")], Kind::PreconditionFailed),
            ("DELETE", &[("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT")], Kind::PreconditionFailed),
            ("POST", &[("expect", "foo")], Kind::ExpectationFailed),
        ] {
            assert_eq!(checked(method, headers), Some(kind), "{method} {headers:?}");
        }
    }

    #[test]
    fn supported_request_head_is_accepted() {
        for (method, headers) in [
            ("POST", &[("content-length", "3"), ("content-encoding", "Identity")][..]),
            ("PUT", &[("transfer-encoding", "chunked"), ("expect", "100-Continue")]),
            ("GET", &[("if-none-match", "\"a\""), ("if-match", "\"a\""), ("range", "bytes=0-1")]),
        ] {
            assert_eq!(checked(method, headers), None, "{method} {headers:?}");
        }
    }
}
