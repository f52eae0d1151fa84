//! Bodies and buffers.

use super::connections::set;
use super::{ConfigKey, not_followed_unless, read};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{size, small_number, switch};

/// Largest buffer, in bytes: each request may have several.
const MAX_BUFFER: u32 = 4 << 20;

fn buffer(text: &str) -> Result<u64, String> {
    size(text, 1024, MAX_BUFFER.into())
}

fn answer_buffer(text: &str) -> Result<u32, String> {
    u32::try_from(buffer(text)?).map_err(|error| error.to_string())
}

pub const KEYS: &[ConfigKey] = &[
    read(
        "proxy-body-size",
        set!(|text| size(text, 0, i64::MAX.unsigned_abs()), |s, bytes| {
            s.nginx.max_body_bytes = bytes;
            s.defaults.max_body_bytes = bytes;
        }),
        "Largest body of a request, where no annotation says another; `0` is without limit, and so it is without this key. As `--max-body-bytes`",
    ),
    read(
        "proxy-buffering",
        set!(switch, |s, on| s.nginx.buffering.answers = on),
        "Whether answers are read from backends as fast as they send them; off without this key",
    ),
    read(
        "proxy-request-buffering",
        set!(switch, |s, on| s.nginx.buffering.requests = on),
        "Whether a request is sent on only when its whole body is here; off without this key, while it is on in ingress-nginx",
    ),
    read(
        "proxy-buffer-size",
        set!(answer_buffer, |s, bytes| s.nginx.buffering.answer_buffer_bytes = Some(bytes)),
        "One buffer of an answer, such as `16k`; the head of an answer must fit into one",
    ),
    read(
        "proxy-buffers-number",
        set!(|text| small_number(text, 2, 256), |s, buffers| s.nginx.buffering.answer_buffers = Some(buffers)),
        "How many such buffers a request has",
    ),
    read(
        "proxy-busy-buffers-size",
        set!(answer_buffer, |s, bytes| s.nginx.buffering.busy_bytes = Some(bytes)),
        "How much of them may be on its way to the client; at least one buffer, and at most all but one",
    ),
    read(
        "client-body-buffer-size",
        set!(buffer, |s, bytes| s.nginx.buffering.request_body_bytes = Some(bytes)),
        "How much of a request's body is kept in memory",
    ),
    read(
        "client-header-buffer-size",
        set!(|text| size(text, 256, 1 << 20), |s, bytes| s.nginx.buffering.request_head_bytes = Some(bytes)),
        "The first buffer for a request's head",
    ),
    read(
        "large-client-header-buffers",
        head_buffers,
        "How many long lines the head of a request can have, and how long one is, such as `4 16k`. As `--max-header-bytes`",
    ),
    not_followed_unless("proxy-max-temp-file-size", &["0"], "bodies are never written to a disk"),
    not_followed_unless("grpc-buffer-size-kb", &["0"], "`proxy-buffer-size` is for gRPC too"),
];

fn head_buffers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let hint = || "write a number and a size, such as `4 16k`".to_owned();
    let mut words = context.value.split_whitespace();
    let (Some(lines), Some(bytes), None) = (words.next(), words.next(), words.next()) else { return Err(hint()) };
    settings.nginx.max_header_lines = small_number(lines, 1, 64)?;
    settings.nginx.max_header_bytes = u32::try_from(size(bytes, 1024, 1 << 20)?).map_err(|_| hint())?;
    Ok(Remark::None)
}
