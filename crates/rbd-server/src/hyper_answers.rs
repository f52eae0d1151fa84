//! What hyper answers by itself, before there is a request: a head that is not HTTP, or too large for it. It sends no body, and
//! cannot be told to. Its answers are told from all others by that: those of this service have a media type.

use rbd_api::problem::{Kind, Problem, RequestFault};
use rbd_model::fault::{self, Fault};

/// An answer of hyper's own with a problem document in it; `None` for any other bytes.
pub fn with_document(answer: &[u8]) -> Option<Vec<u8>> {
    // Most of what is written is data.
    if answer.len() > MOST_BYTES || !answer.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let text = std::str::from_utf8(answer).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let empty = |line: &str| line.eq_ignore_ascii_case("content-length: 0");
    let typed = |line: &str| line.to_ascii_lowercase().starts_with("content-type:");
    if !text.split("\r\n").any(empty) || text.split("\r\n").any(typed) {
        return None;
    }
    let problem = problem(status)?;
    let body = serde_json::to_vec(&problem.document(None)).ok()?;
    let status = problem.kind().status();
    let reason = status.canonical_reason().unwrap_or_default();
    let date = lines.find(|line| line.to_ascii_lowercase().starts_with("date:"));
    let date = date.map(|date| format!("{date}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n{date}\r\n",
        status.as_u16(),
        MEDIA_TYPE,
        body.len(),
    );
    Some([head.into_bytes(), body].concat())
}

const MEDIA_TYPE: &str = "application/problem+json; charset=utf-8";
/// More than hyper's own answers have.
const MOST_BYTES: usize = 512;

fn problem(status: &str) -> Option<Problem> {
    let rejection: RequestFault = match status {
        "400" => Fault::new(fault::Kind::BadRequest.into(), "The head of the request is not HTTP.").correction(
            "Send a target of ASCII, percent-encoded, and one Content-Length of digits; RFC 9112 has the rest.",
        ),
        "414" | "431" => {
            Fault::new(Kind::HeadTooLarge, "The request's target is too long, or it has more than 100 headers.")
                .correction("Send a shorter target and fewer headers.")
        }
        _ => return None,
    };
    Some(rejection.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_hyper_get_a_problem_document() {
        let bare = "HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\ndate: Fri, 27 Nov 2026 09:00:00 GMT\r\n\r\n";
        let text = String::from_utf8(with_document(bare.as_bytes()).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 ") && head.contains("date: Fri"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains("urn:sparrow:problem:head-too-large"), "{body}");
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "{\"status\":400}",
        ] {
            assert_eq!(with_document(other.as_bytes()), None, "{other}");
        }
    }
}
