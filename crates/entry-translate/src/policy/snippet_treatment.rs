//! What lines of snippets do with requests that are forwarded, and which keep nobody out.

use std::time::Duration;

use entry_model::{HeaderField, Policy, RequestHeaders};

use super::buffers;
use super::headers::{
    add_answer_header, clear_request_header, hide_answer_header, parse_line, set_answer_header, set_request_header,
};
use super::snippet_harmless::is_harmless;
use super::snippet_text::Statement;
use super::value::{MAX_DURATION, parse_on_off, parse_size};

/// What became of a statement, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It does what it did, or what it asks for is done anyway.
    Served,
    /// It changes nothing here, which may be worth knowing.
    WithoutEffect,
    /// It does nothing here, for this reason.
    Lost(&'static str),
    /// The same of a header of requests, which is taken out: what a client says in it was never believed.
    TakenOut(&'static str),
    /// Nobody may ask for the location that it is.
    ClosesPath,
    /// It may keep someone out, and is not followed: nobody may ask.
    Closes,
}

/// Why a line does nothing: it is not known.
pub const NOT_KNOWN: &str = "it is not in the list of lines that are read";
/// Why a line does nothing: what it says depends on something.
pub const NOT_FIXED: &str = "it is not of fixed values";

/// What a line does with requests that are forwarded.
pub fn read_treatment(name: &str, arguments: &[&str], policy: &mut Policy) -> Outcome {
    match (name, arguments) {
        ("more_set_headers", lines) => {
            each(lines, |line| set_answer_header(&mut policy.answer_headers, parse_line(line)?))
        }
        ("more_clear_headers", names) => {
            each(names, |name| set_answer_header(&mut policy.answer_headers, HeaderField::new(name, "")?))
        }
        ("add_header", [name, value, rest @ ..]) if matches!(rest, [] | ["always"]) => served(
            HeaderField::new(name, value)
                .and_then(|field| add_answer_header(&mut policy.answer_headers, field, !rest.is_empty())),
        ),
        ("proxy_hide_header" | "grpc_hide_header", [name]) => {
            served(hide_answer_header(&mut policy.answer_headers, name))
        }
        ("proxy_set_header" | "grpc_set_header", [name, value]) => tell_backend(name, value, policy),
        ("more_set_input_headers", lines) => set_input_headers(lines, policy, |line| {
            line.split_once(':').map_or((line, ""), |(name, value)| (name, value))
        }),
        ("more_clear_input_headers", names) => set_input_headers(names, policy, |name| (name, "")),
        ("proxy_connect_timeout", [time]) => set(&mut policy.timeouts.connect, parse_time(time)),
        ("proxy_read_timeout", [time]) => set(&mut policy.timeouts.read, parse_time(time)),
        ("proxy_send_timeout", [time]) => set(&mut policy.timeouts.send, parse_time(time)),
        ("client_max_body_size", [size]) => set(&mut policy.max_body_bytes, parse_size(size)),
        ("client_body_buffer_size", [size]) => {
            set(&mut policy.buffers.request_bytes, parse_size(size).map(buffers::bound_request_bytes))
        }
        ("proxy_buffering", [switch]) => set_switch(&mut policy.buffers.holds_response, switch),
        ("proxy_request_buffering", [switch]) => set_switch(&mut policy.buffers.holds_request, switch),
        ("proxy_buffer_size" | "proxy_busy_buffers_size", [size]) => served(parse_size(size).map(drop)),
        ("proxy_buffers", [number, size]) => {
            served(number.parse().map_err(|_| NOT_FIXED).and_then(|_: u32| parse_size(size)).map(drop))
        }
        _ => read_without_effect(name, arguments),
    }
}

/// Lines that ask for what is done anyway, lines that are for something that is not there, and lines that keep nobody out.
fn read_without_effect(name: &str, arguments: &[&str]) -> Outcome {
    match (name, arguments) {
        ("proxy_http_version", ["1.1"])
        | ("proxy_ssl_verify" | "grpc_ssl_verify" | "server_tokens", ["off"])
        | ("proxy_ssl_server_name" | "proxy_pass_request_headers" | "proxy_pass_request_body", ["on"]) => {
            Outcome::Served
        }
        ("ssl_protocols", versions) if !versions.contains(&"TLSv1.2") => {
            Outcome::Lost("which versions of TLS are spoken is said for all hosts")
        }
        (
            "ssl_stapling"
            | "ssl_stapling_verify"
            | "ssl_protocols"
            | "ssl_ciphers"
            | "ssl_prefer_server_ciphers"
            | "ssl_session_cache"
            | "ssl_session_timeout"
            | "underscores_in_headers"
            | "ignore_invalid_headers"
            | "server_tokens"
            | "large_client_header_buffers"
            | "client_header_buffer_size"
            | "proxy_headers_hash_max_size"
            | "proxy_headers_hash_bucket_size"
            | "chunked_transfer_encoding",
            _,
        ) => Outcome::WithoutEffect,
        ("real_ip_header" | "set_real_ip_from" | "real_ip_recursive", _) => {
            Outcome::Lost("whom to believe about clients is said by `--trusted-proxies`")
        }
        _ if is_harmless(name, arguments) => Outcome::Lost(NOT_KNOWN),
        _ => Outcome::Closes,
    }
}

/// Has the backend told a header. Where that cannot be, it is not told what the client says in it either.
fn tell_backend(name: &str, value: &str, policy: &mut Policy) -> Outcome {
    if is_told_anyway(name, value) {
        return Outcome::Served;
    }
    let field = HeaderField::new(name, value);
    match field.and_then(|field| set_request_header(&mut policy.request_headers, field)) {
        Ok(()) => Outcome::Served,
        Err(why) => take_out(name, why, policy),
    }
}

/// Has the backend not told what the client says in a header.
pub fn take_out(name: &str, why: &'static str, policy: &mut Policy) -> Outcome {
    let headers = &mut policy.request_headers;
    let is_set = |headers: &RequestHeaders| headers.set.iter().any(|field| field.is_named(name));
    match clear_request_header(headers, name) {
        Ok(()) if is_set(headers) => Outcome::TakenOut(why),
        Ok(()) => Outcome::Lost(why),
        Err(_) => Outcome::Closes,
    }
}

/// Has the backend told headers, each in an argument. Options make that depend on something.
fn set_input_headers<'a>(
    arguments: &[&'a str],
    policy: &mut Policy,
    read: impl Fn(&'a str) -> (&'a str, &'a str),
) -> Outcome {
    let has_options = arguments.iter().any(|argument| argument.starts_with('-'));
    let mut outcome = if arguments.is_empty() { Outcome::Lost(NOT_FIXED) } else { Outcome::Served };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument.starts_with('-') {
            // These have a value.
            if matches!(*argument, "-s" | "-t") {
                arguments.next();
            }
            continue;
        }
        let (name, value) = read(argument);
        let (name, value) = (name.trim(), value.trim());
        let one = if has_options { take_out(name, NOT_FIXED, policy) } else { tell_backend(name, value, policy) };
        outcome = outcome.max(one);
    }
    outcome
}

/// Whether a header is what each backend is told.
fn is_told_anyway(name: &str, value: &str) -> bool {
    let told: &[&str] = match name.to_ascii_lowercase().as_str() {
        "host" | "x-forwarded-host" => &["$host", "$http_host", "$best_http_host"],
        "x-real-ip" => &["$remote_addr", "$the_real_ip"],
        "x-forwarded-for" => &["$remote_addr", "$proxy_add_x_forwarded_for", "$the_real_ip"],
        "x-forwarded-proto" => &["$scheme", "$pass_access_scheme", "$http_x_forwarded_proto"],
        "x-forwarded-port" => &["$server_port", "$pass_port", "$pass_server_port"],
        "x-request-id" => &["$req_id", "$request_id"],
        "upgrade" => &["$http_upgrade"],
        "connection" => &["$connection_upgrade", "upgrade", "Upgrade"],
        _ => &[],
    };
    let own = ["$http_", &name.to_ascii_lowercase().replace('-', "_")].concat();
    // What the client says in it comes anyway.
    told.contains(&value) || value == own
}

fn served(result: Result<(), &'static str>) -> Outcome {
    result.map_or_else(Outcome::Lost, |()| Outcome::Served)
}

/// Does something with each argument; options, which begin with `-`, are none.
fn each(arguments: &[&str], mut set: impl FnMut(&str) -> Result<(), &'static str>) -> Outcome {
    if arguments.is_empty() || arguments.iter().any(|argument| argument.starts_with('-')) {
        return Outcome::Lost(NOT_FIXED);
    }
    served(arguments.iter().try_for_each(|argument| set(argument)))
}

/// Sets what no annotation has set.
fn set<T>(place: &mut Option<T>, value: Result<T, &'static str>) -> Outcome {
    served(value.map(|value| {
        place.get_or_insert(value);
    }))
}

fn set_switch(place: &mut Option<bool>, text: &str) -> Outcome {
    match parse_on_off(text) {
        Ok(true) => set(place, Ok(true)),
        // It is so for all.
        Ok(false) => Outcome::Served,
        Err(why) => Outcome::Lost(why),
    }
}

/// A time of nginx: of one unit, or of seconds without one.
fn parse_time(text: &str) -> Result<Duration, &'static str> {
    const HINT: &str = "it is no time from 1 ms to 24 h";
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(HINT),
    };
    let number: u64 = number.parse().map_err(|_| HINT)?;
    let time = number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(HINT)?;
    if time.is_zero() || time > MAX_DURATION { Err(HINT) } else { Ok(time) }
}

/// What is said of the buffers of answers, in several lines.
pub fn read_buffers(statements: &[Statement], policy: &mut Policy) {
    let argument = |name: &str, index: usize| {
        let found = statements.iter().find(|statement| statement.name == name && statement.block.is_none());
        found.and_then(|statement| statement.arguments.get(index))
    };
    let size = |name: &str, index: usize| argument(name, index).and_then(|text| parse_size(text).ok());
    let own_size = size("proxy_buffer_size", 0).max(size("proxy_buffers", 1));
    let number = argument("proxy_buffers", 0).and_then(|text| text.parse().ok());
    let busy = size("proxy_busy_buffers_size", 0);
    if policy.buffers.response.is_none() && (own_size.is_some() || number.is_some() || busy.is_some()) {
        policy.buffers.response = Some(buffers::bound_response_buffers(own_size, number, busy));
    }
}
