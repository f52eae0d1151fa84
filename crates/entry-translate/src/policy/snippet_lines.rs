//! What lines of snippets do.

use std::borrow::Cow;
use std::time::Duration;

use entry_model::{Action, HeaderField, PathRewrite, Policy, Redirect, RenamedHeader, RequestHeaders, Scheme};

use super::annotations::Annotations;
use super::auth_answer::is_second_cookie;
use super::buffers;
use super::headers::{
    add_answer_header, clear_request_header, hide_answer_header, parse_line, set_answer_header, set_request_header,
};
use super::snippet_harmless::is_harmless;
use super::snippet_locations::{Location, read_location, refusal};
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

/// Most paths that an object may deny.
const MOST_DENIED_PATHS: usize = 16;

const NOT_KNOWN: &str = "it is not in the list of lines that are read";
const NOT_FIXED: &str = "it is not of fixed values";

/// Reads one.
pub fn read_statement(statement: &Statement, annotations: &mut Annotations<'_>) -> Outcome {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    if let Some(block) = &statement.block {
        return match statement.name.as_str() {
            "location" => deny_location(&arguments, block, annotations),
            "if" => read_condition(&arguments, block, &mut annotations.policy),
            _ => Outcome::Closes,
        };
    }
    match (statement.name.as_str(), arguments.as_slice()) {
        ("return", [status @ ("301" | "302" | "303" | "307" | "308"), url]) => match read_returned(status, url) {
            Some(redirect) => act(annotations, Action::Redirect(redirect)),
            None => Outcome::Closes,
        },
        ("auth_request_set", [variable, _]) if annotations.auth_answer.has(variable) => Outcome::Served,
        ("add_header", ["Set-Cookie", value, rest @ ..])
            if matches!(rest, [] | ["always"]) && annotations.auth_answer.is_cookie(value) =>
        {
            Outcome::Served
        }
        ("access_by_lua_block", [code]) if is_second_cookie(code) => Outcome::Served,
        ("proxy_set_header" | "grpc_set_header", [name, value])
            if let Some(renamed) = annotations.auth_answer.renamed(name, value) =>
        {
            tell_answer(renamed, annotations)
        }
        _ if let Some(status) = refusal(statement) => act(annotations, Action::Respond(status)),
        (name, arguments) => read_treatment(name, arguments, &mut annotations.policy),
    }
}

/// Does this with all requests, unless something is done with them already.
fn act(annotations: &mut Annotations<'_>, action: Action) -> Outcome {
    annotations.action.get_or_insert(action);
    Outcome::Served
}

fn deny_location(arguments: &[&str], block: &[Statement], annotations: &mut Annotations<'_>) -> Outcome {
    let (denied, outcome) = match read_location(arguments, block) {
        // Nobody asks for it.
        Location::Named => return Outcome::Lost(NOT_KNOWN),
        Location::Refused(path, status) => ((path, status), Outcome::Served),
        Location::OfPath(path) => ((path, 503), Outcome::ClosesPath),
        Location::Other => return Outcome::Closes,
    };
    if annotations.denied_paths.len() == MOST_DENIED_PATHS {
        return Outcome::Closes;
    }
    annotations.denied_paths.push(denied);
    outcome
}

/// Lines for some requests only, none of which is followed. What browsers ask before a request may be answered by the backend.
fn read_condition(condition: &[&str], block: &[Statement], policy: &mut Policy) -> Outcome {
    let is_preflight = condition.concat() == "($request_method=OPTIONS)";
    let mut unfollowed = Policy::default();
    for one in block {
        let arguments: Vec<&str> = one.arguments.iter().map(String::as_str).collect();
        if is_preflight && one.name == "return" && matches!(arguments.first(), Some(&("200" | "204"))) {
            continue;
        }
        if one.block.is_some() || read_treatment(&one.name, &arguments, &mut unfollowed) == Outcome::Closes {
            return Outcome::Closes;
        }
    }
    let set = &unfollowed.request_headers.set;
    let cleared = set.iter().map(|field| take_out(field.name(), NOT_FIXED, policy));
    cleared.max().unwrap_or(Outcome::Lost(NOT_KNOWN))
}

/// What a line does with requests that are forwarded.
fn read_treatment(name: &str, arguments: &[&str], policy: &mut Policy) -> Outcome {
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

/// Has the backend told a header of the answer of who is asked, and never what the client says in it.
fn tell_answer(renamed: RenamedHeader, annotations: &mut Annotations<'_>) -> Outcome {
    let field = HeaderField::new(&renamed.name, "x");
    if let Err(why) = field.and_then(|field| set_request_header(&mut RequestHeaders::default(), field)) {
        return take_out(&renamed.name, why, &mut annotations.policy);
    }
    match clear_request_header(&mut annotations.policy.request_headers, &renamed.name) {
        Ok(()) => {
            annotations.auth_answer.renamed.push(renamed);
            Outcome::Served
        }
        Err(_) => Outcome::Closes,
    }
}

/// Has the backend not told what the client says in a header.
fn take_out(name: &str, why: &'static str, policy: &mut Policy) -> Outcome {
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

/// A redirect by `return`, which may name a path of the same host, and tells the query of the request only as a part of the target.
pub fn read_returned(status: &str, url: &str) -> Option<Redirect> {
    let is_path = url.starts_with('/') && !url.starts_with("//");
    let whole = if is_path { Cow::Owned(["$scheme://$host", url].concat()) } else { Cow::Borrowed(url) };
    let redirect = read_redirect(status, &whole)?;
    let path = match redirect.path {
        PathRewrite::ReplaceFull(path) => PathRewrite::ReplaceTarget(path),
        path => path,
    };
    Some(Redirect { path, ..redirect })
}

/// A redirect to an address that is fixed, or fixed but for the path, which is then the one that was asked for.
pub fn read_redirect(status: &str, url: &str) -> Option<Redirect> {
    let status = status.parse().ok()?;
    let (scheme, rest) = match url.split_once("://")? {
        ("http", rest) => (Some(Scheme::Http), rest),
        ("https", rest) => (Some(Scheme::Https), rest),
        ("$scheme", rest) => (None, rest),
        _ => return None,
    };
    let (authority, path) = match rest.strip_suffix("$request_uri") {
        Some(authority) => (authority, PathRewrite::Keep),
        None => match rest.split_once('/') {
            Some((authority, path)) => (authority, PathRewrite::ReplaceFull(format!("/{path}"))),
            None => (rest, PathRewrite::ReplaceFull("/".to_owned())),
        },
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port != 0)?)),
        None => (authority, None),
    };
    let is_host = |host: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        (1..=253).contains(&host.len()) && host.bytes().all(is_plain)
    };
    let host = match host {
        "$host" | "$http_host" => None,
        host => Some(is_host(host).then(|| host.to_owned())?),
    };
    let is_fixed = |path: &PathRewrite| match path {
        // A query would have to stand behind that of the request.
        PathRewrite::ReplaceFull(path) => {
            path.len() <= 1000 && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"$?#\"\\".contains(&byte))
        }
        _ => true,
    };
    // One to the same address would never end.
    let is_elsewhere = host.is_some() || path != PathRewrite::Keep;
    (is_elsewhere && is_fixed(&path)).then_some(Redirect { status, scheme, host, port, path })
}
