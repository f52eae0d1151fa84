//! Lines of nginx's language, read as data: those of a closed list become values of policies, all others are told to their owner, and none of
//! their text reaches nginx.

use std::collections::BTreeSet;
use std::time::Duration;

use entry_model::{Action, HeaderField, PathMatch, PathRewrite, Policy, Reason, Redirect, Scheme};

use super::annotations::Annotations;
use super::buffers;
use super::headers::{add_answer_header, hide_answer_header, parse_line, set_answer_header, set_request_header};
use super::reader::AnnotationReader;
use super::snippet_text::{Statement, read_statements};
use super::table::{IngressNginxAnnotation, Scope, Topic};
use super::value::{MAX_DURATION, parse_on_off, parse_size};
use crate::path::{into_prefix, parse_path};
use crate::verdict_draft::quoted;

pub const TOPIC: Topic = Topic {
    title: "Snippets",
    own: &[],
    ingress_nginx: &[
        IngressNginxAnnotation::differs("configuration-snippet", Scope::Rule, READ_AS_DATA),
        IngressNginxAnnotation::differs("server-snippet", Scope::Host, READ_AS_DATA),
        IngressNginxAnnotation::never(
            "stream-snippet",
            Scope::Host,
            "no text of an object becomes configuration of nginx; a port of TCP has a flag of its own",
        ),
    ],
};

const READ_AS_DATA: &str = "Its lines are read one by one, and never given to nginx. Fixed headers (`more_set_headers`, \
    `more_clear_headers`, `add_header`, `proxy_hide_header`, `proxy_set_header`, `more_set_input_headers`, `more_clear_input_headers`), times \
    and sizes (`proxy_…_timeout`, `client_max_body_size`, `client_body_buffer_size`, `proxy_buffer_size`, `proxy_buffers`, \
    `proxy_busy_buffers_size`, `proxy_buffering`, `proxy_request_buffering`), a redirect of all (`return 301 URL`), `deny all` and `location PATH { deny all; }` \
    do what they did, for the paths of this Ingress. Each other line is named, and has no effect; where it would keep someone out, requests are answered \
    503";

/// What became of a statement.
enum Outcome {
    /// It does what it did, or what it asks for is done anyway.
    Served,
    /// It changes nothing here, which may be worth knowing.
    WithoutEffect,
    /// It does nothing here, for this reason.
    Lost(&'static str),
    /// It would keep someone out, and cannot: nobody may ask.
    Closes,
}

/// Most paths that an object may deny.
const MOST_DENIED_PATHS: usize = 16;

const NOT_KNOWN: &str = "it is not in the list of lines that are read";
const NOT_FIXED: &str = "it is not of fixed values";

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    for name in ["server-snippet", "configuration-snippet"] {
        let Some(text) = reader.ingress_nginx_text(name) else { continue };
        match read_statements(text) {
            Ok(statements) => read_snippet(reader, annotations, name, &statements),
            Err(why) if GUARDS.iter().any(|guard| text.contains(guard)) => {
                annotations.unavailable = true;
                let message = format!(
                    "Requests are answered 503: the snippet would keep someone out and cannot be read: {why}. Correct it, or write what it \
                     does with annotations"
                );
                reader.report_loss(name, Reason::Invalid, message);
            }
            Err(why) => {
                let message = format!("No line of the snippet has an effect: {why}. Correct or remove it");
                reader.report_loss(name, Reason::Invalid, message);
            }
        }
    }
}

fn read_snippet(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    name: &str,
    statements: &[Statement],
) {
    let (mut lost, mut without_effect, mut closing) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for statement in statements {
        let line = || quoted(&statement.name);
        match read_statement(statement, annotations) {
            Outcome::Served => {}
            Outcome::WithoutEffect => drop(without_effect.insert(line())),
            Outcome::Lost(why) => drop(lost.insert(format!("{} ({why})", line()))),
            Outcome::Closes => drop(closing.insert(line())),
        }
    }
    read_buffers(statements, &mut annotations.policy);
    if !closing.is_empty() {
        annotations.unavailable = true;
        let message = format!(
            "Requests are answered 503: lines of the snippet would keep someone out and are not followed: {}. Write what they do with \
             annotations, and remove them",
            list(&closing)
        );
        reader.report_loss(name, Reason::Unsupported, message);
    }
    if !lost.is_empty() {
        let message = format!(
            "Lines of the snippet have no effect: {}. The others stay in force; write these with annotations, or remove them",
            list(&lost)
        );
        reader.report_loss(name, Reason::Unsupported, message);
    }
    if !without_effect.is_empty() {
        let message =
            format!("Lines of the snippet change nothing here, and can be removed: {}", list(&without_effect));
        reader.report_note(name, Reason::Unsupported, message);
    }
}

/// Some of them in a line.
fn list(lines: &BTreeSet<String>) -> String {
    const MOST: usize = 8;
    let shown: Vec<&str> = lines.iter().take(MOST).map(String::as_str).collect();
    let more = if lines.len() > MOST { " and others" } else { "" };
    shown.join(", ") + more
}

fn read_statement(statement: &Statement, annotations: &mut Annotations<'_>) -> Outcome {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    if let Some(block) = &statement.block {
        if let Some(denied) = read_denied_path(statement, block)
            && annotations.denied_paths.len() < MOST_DENIED_PATHS
        {
            annotations.denied_paths.push(denied);
            return Outcome::Served;
        }
        return if keeps_out(statement) || block.iter().any(keeps_out) {
            Outcome::Closes
        } else {
            Outcome::Lost(NOT_KNOWN)
        };
    }
    match (statement.name.as_str(), arguments.as_slice()) {
        ("return", [status @ ("301" | "302" | "303" | "307" | "308"), url]) => {
            read_redirect(status, url).map_or(Outcome::Lost(NOT_FIXED), |redirect| {
                annotations.action = Some(Action::Redirect(redirect));
                Outcome::Served
            })
        }
        _ if let Some(status) = refusal(statement) => {
            annotations.action = Some(Action::Respond(status));
            Outcome::Served
        }
        _ if keeps_out(statement) => Outcome::Closes,
        (name, arguments) => read_treatment(name, arguments, &mut annotations.policy),
    }
}

/// The status of a statement that lets no request pass. 444, to which nginx answers nothing, is 403 here.
fn refusal(statement: &Statement) -> Option<u16> {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    match (statement.name.as_str(), arguments.as_slice()) {
        ("deny", ["all"]) | ("return", ["403" | "444"]) => Some(403),
        ("return", ["404"]) => Some(404),
        ("return", ["410"]) => Some(410),
        _ => None,
    }
}

/// A location of a fixed path in which nothing is served, and the status of that.
fn read_denied_path(statement: &Statement, block: &[Statement]) -> Option<(PathMatch, u16)> {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    let (is_exact, text) = match (statement.name.as_str(), arguments.as_slice()) {
        ("location", ["=", path]) => (true, *path),
        ("location", ["^~", path] | [path]) => (false, *path),
        _ => return None,
    };
    let path = text.starts_with('/').then(|| parse_path(text).ok())??;
    let is_quiet = |one: &Statement| matches!(one.name.as_str(), "access_log" | "log_not_found" | "server_tokens");
    let rest: Vec<_> = block.iter().filter(|one| !is_quiet(one)).collect();
    let all: Vec<u16> = rest.iter().map_while(|one| refusal(one)).collect();
    // `return` comes before `deny`, wherever it stands.
    let status = rest.iter().find(|one| one.name == "return").and_then(|one| refusal(one));
    let status = status.or_else(|| all.first().copied()).filter(|_| all.len() == rest.len())?;
    Some((if is_exact { PathMatch::Exact(path) } else { PathMatch::Prefix(into_prefix(path)) }, status))
}

/// Words of lines that keep someone out, for a text that is not of nginx's language.
const GUARDS: [&str; 9] =
    ["access_by_lua", "allow", "auth_", "deny", "internal", "limit_except", "return", "satisfy", "ssl_verify_client"];

/// Whether a statement lets only some requests pass.
fn keeps_out(statement: &Statement) -> bool {
    let Statement { name, arguments, block } = statement;
    let is_guard = matches!(
        name.as_str(),
        "allow"
            | "deny"
            | "internal"
            | "limit_except"
            | "satisfy"
            | "secure_link"
            | "ssl_client_certificate"
            | "ssl_verify_client"
            | "valid_referers"
    ) || ["auth_", "access_by_lua", "modsecurity"].iter().any(|start| name.starts_with(start));
    let is_refusal = name == "return"
        && arguments.first().is_some_and(|status| matches!(status.as_str(), "401" | "403" | "404" | "444"));
    is_guard || is_refusal || block.iter().flatten().any(keeps_out)
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
        ("proxy_hide_header", [name]) => served(hide_answer_header(&mut policy.answer_headers, name)),
        ("proxy_set_header", [name, value]) if is_told_anyway(name, value) => Outcome::Served,
        ("proxy_set_header", [name, value]) => served(
            HeaderField::new(name, value).and_then(|field| set_request_header(&mut policy.request_headers, field)),
        ),
        ("more_set_input_headers", lines) => {
            each(lines, |line| set_request_header(&mut policy.request_headers, parse_line(line)?))
        }
        ("more_clear_input_headers", names) => {
            each(names, |name| set_request_header(&mut policy.request_headers, HeaderField::new(name, "")?))
        }
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

/// Lines that ask for what is done anyway, and lines that are for something that is not there.
fn read_without_effect(name: &str, arguments: &[&str]) -> Outcome {
    match (name, arguments) {
        ("proxy_http_version", ["1.1"])
        | ("proxy_ssl_verify" | "server_tokens", ["off"])
        | ("proxy_ssl_server_name", ["on"]) => Outcome::Served,
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
            | "proxy_pass_request_headers"
            | "chunked_transfer_encoding",
            _,
        ) => Outcome::WithoutEffect,
        ("real_ip_header" | "set_real_ip_from" | "real_ip_recursive", _) => {
            Outcome::Lost("whom to believe about clients is said by `--trusted-proxies`")
        }
        _ => Outcome::Lost(NOT_KNOWN),
    }
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
    told.contains(&value)
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
fn read_buffers(statements: &[Statement], policy: &mut Policy) {
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

/// A redirect to an address that is fixed, or fixed but for the path, which is then the one that was asked for.
fn read_redirect(status: &str, url: &str) -> Option<Redirect> {
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
