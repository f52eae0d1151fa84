//! How bodies and headers are buffered.

use std::ops::RangeInclusive;

use entry_model::{Buffers, Reason, ResponseBuffers};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic, UnusableValue};
use super::value::{parse_boolean, parse_integer, parse_on_off, parse_size};

pub const TOPIC: Topic = Topic {
    title: "Buffers",
    own: &[
        OwnAnnotation {
            name: "response-buffer-size",
            objects: Objects::ServicesAndIngresses,
            value: "a size from `1k` to `1m`: the largest head of an answer; with a larger one the answer is 502",
            default: "a page of memory, `4k`",
            example: "16k",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "response-buffering",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether an answer is read faster than its client takes it, as far as there are buffers",
            default: "`false`",
            example: "true",
            unusable: UnusableValue::Ignored,
        },
        OwnAnnotation {
            name: "request-buffering",
            objects: Objects::ServicesAndIngresses,
            value: "`true`, `false`: whether the body of a request is read to its end, into a file if it is large, before the request is \
                    sent on. The largest is then 1 GiB",
            default: "`false`",
            example: "true",
            unusable: UnusableValue::Ignored,
        },
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::same(
            "client-body-buffer-size",
            Scope::Rule,
            "Memory for the body of a request, from 1 KiB to 1 MiB; what is over that is in a file, as there",
        ),
        IngressNginxAnnotation::same(
            "proxy-buffer-size",
            Scope::Rule,
            "The largest head of an answer, from 1 KiB to 1 MiB, and the size of each buffer for what follows. Of gRPC, too",
        ),
        IngressNginxAnnotation::differs(
            "proxy-buffering",
            Scope::Rule,
            "`on`: an answer is read faster than its client takes it, as far as there is memory for it. No file holds the rest, as there, \
             unless `proxy-max-temp-file-size` says so",
        )
        .unchanged_by(&["off"]),
        IngressNginxAnnotation::same(
            "proxy-buffers-number",
            Scope::Rule,
            "How many buffers an answer has, if `proxy-buffering` is `on`; 4 without it. At least 2, and at most 4 MiB in all",
        ),
        IngressNginxAnnotation::same(
            "proxy-busy-buffers-size",
            Scope::Rule,
            "How much of them may wait for the client. A value that does not go with their size and number, which stops nginx there, is \
             put right",
        ),
        IngressNginxAnnotation::same(
            "proxy-max-temp-file-size",
            Scope::Rule,
            "Most of an answer that a file holds, if `proxy-buffering` is `on`, up to 1 GiB. Without it none here, and 1 GiB there",
        )
        .unchanged_by(&["0"]),
        IngressNginxAnnotation::differs(
            "proxy-request-buffering",
            Scope::Rule,
            "`on`: the body of a request is read to its end, into a file if it is large, before the request is sent on; the largest is then \
             1 GiB. Without it, bodies are sent on as they come, which is `off` there",
        )
        .unchanged_by(&["off"]),
    ],
};

/// What one connection may take of memory for the head of an answer, and for each buffer.
const RESPONSE_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 20;

/// What one connection may take of memory for all buffers of an answer.
const ALL_RESPONSE_BYTES: u32 = 4 << 20;

/// What one connection may take of memory for the body of a request.
const REQUEST_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 20;

/// What one request may take of the disk.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The buffers of ingress-nginx, where one of its annotations asks for others.
const SIZE_BYTES: u32 = 4 << 10;
const NUMBER: u32 = 4;

/// Reads them. The limit of bodies was read before: where they are held, it has a bound.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let mut switch = |own, theirs| reader.either_of((own, parse_boolean), (theirs, parse_on_off));
    let holds_response = switch("response-buffering", "proxy-buffering");
    let holds_request = switch("request-buffering", "proxy-request-buffering");
    annotations.policy.buffers = Buffers {
        response: read_response_buffers(reader),
        // What is so for all needs no directive.
        holds_response: holds_response.filter(|holds| *holds),
        max_file_bytes: read_size(reader, "proxy-max-temp-file-size", 0..=MAX_FILE_BYTES).filter(|bytes| *bytes > 0),
        holds_request: holds_request.filter(|holds| *holds),
        request_bytes: read_request_bytes(reader),
    };
}

/// Bounds the bodies of requests that are held in files before they are sent on: with HTTP/1.0 nginx holds those whose length is not
/// known, and those of which there are copies.
pub fn bound_held_bodies(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let policy = &mut annotations.policy;
    let limit = policy.max_body_bytes.unwrap_or(reader.context.defaults.max_body_bytes);
    let copies = policy.mirror.as_ref().is_some_and(|mirror| mirror.with_body);
    let holds = policy.buffers.holds_request == Some(true) || policy.speaks_http_1_0 || copies;
    if holds && (limit == 0 || limit > MAX_FILE_BYTES) {
        policy.max_body_bytes = Some(MAX_FILE_BYTES);
    }
}

fn read_response_buffers(reader: &mut AnnotationReader<'_, '_>) -> Option<ResponseBuffers> {
    let size = if reader.own_counts("response-buffer-size", &["proxy-buffer-size"]) {
        reader.own("response-buffer-size", parse_response_size)
    } else {
        read_size(reader, "proxy-buffer-size", RESPONSE_BYTES)
    };
    let number = reader.ingress_nginx("proxy-buffers-number", parse_integer);
    let busy = reader.ingress_nginx("proxy-busy-buffers-size", |text| parse_size(text.trim()));
    if size.is_none() && number.is_none() && busy.is_none() {
        return None;
    }
    let size = size.unwrap_or(SIZE_BYTES);
    let most = most_buffers(size);
    let chosen = u32::try_from(number.unwrap_or(NUMBER.into())).unwrap_or(u32::MAX).clamp(2, most);
    if let Some(number) = number.filter(|number| *number != u64::from(chosen)) {
        let message = format!(
            "{number} buffers of {size} bytes are not from 2 to {most}, which is what one connection may take; {chosen} are in force. \
             Correct the number, or remove it"
        );
        reader.report_loss("proxy-buffers-number", Reason::Invalid, message);
    }
    let asked = busy.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
    let buffers = ResponseBuffers::new(size, chosen, asked);
    if asked.is_some_and(|asked| asked != buffers.busy_bytes()) {
        let message = format!(
            "The size does not go with {chosen} buffers of {size} bytes, of which at least one is busy and one is free; {} bytes are in \
             force. Correct or remove it",
            buffers.busy_bytes()
        );
        reader.report_note("proxy-busy-buffers-size", Reason::Invalid, message);
    }
    Some(buffers)
}

/// The memory for the body of a request. With less than is asked for, the rest is in a file, and nothing is lost.
fn read_request_bytes(reader: &mut AnnotationReader<'_, '_>) -> Option<u32> {
    const NAME: &str = "client-body-buffer-size";
    let size = reader.ingress_nginx(NAME, |text| parse_size(text.trim()))?;
    let bounded = bound_request_bytes(size);
    if u64::from(bounded) != size {
        let message = format!(
            "A request has from {} to {} bytes of memory for its body; {bounded} are in force, and the rest is in a file. Correct or remove it",
            REQUEST_BYTES.start(),
            REQUEST_BYTES.end()
        );
        reader.report_note(NAME, Reason::Invalid, message);
    }
    Some(bounded)
}

/// A size of memory for the body of a request, within bounds.
pub fn bound_request_bytes(bytes: u64) -> u32 {
    u32::try_from(bytes.clamp(*REQUEST_BYTES.start(), *REQUEST_BYTES.end())).unwrap_or(u32::MAX)
}

/// Buffers for answers of sizes within bounds.
pub fn bound_response_buffers(size: Option<u64>, number: Option<u32>, busy: Option<u64>) -> ResponseBuffers {
    let size = size.unwrap_or(SIZE_BYTES.into()).clamp(*RESPONSE_BYTES.start(), *RESPONSE_BYTES.end());
    let size = u32::try_from(size).unwrap_or(SIZE_BYTES);
    let number = number.unwrap_or(NUMBER).clamp(2, most_buffers(size));
    ResponseBuffers::new(size, number, busy.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX)))
}

/// How many buffers of a size one connection may have.
fn most_buffers(size: u32) -> u32 {
    (ALL_RESPONSE_BYTES / size).clamp(2, 256)
}

/// A size of ours for the head of an answer.
fn parse_response_size(text: &str) -> Result<u32, &'static str> {
    let size = parse_size(text).ok().filter(|bytes| RESPONSE_BYTES.contains(bytes));
    size.and_then(|bytes| u32::try_from(bytes).ok()).ok_or("write a size from `1k` to `1m`, such as `16k`")
}

/// A size of ingress-nginx, in bytes; one that is out of bounds is put within, and its owner is told.
fn read_size(reader: &mut AnnotationReader<'_, '_>, name: &str, bounds: RangeInclusive<u64>) -> Option<u32> {
    let size = reader.ingress_nginx(name, |text| parse_size(text.trim()))?;
    let bounded = size.clamp(*bounds.start(), *bounds.end());
    if bounded != size {
        let message = format!(
            "The size is not from {} to {} bytes, which is what one connection may take; {bounded} bytes are in force. Correct or remove it",
            bounds.start(),
            bounds.end()
        );
        reader.report_loss(name, Reason::Invalid, message);
    }
    u32::try_from(bounded).ok()
}
