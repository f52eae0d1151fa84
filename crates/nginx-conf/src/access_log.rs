//! The access log: one JSON object a line, whatever clients send; or a format of the operator's.
//!
//! nginx escapes what JSON wants escaped, and passes bytes from 0x80 on as they are: clients may send any, and a line with
//! bytes that are not UTF-8 is no JSON. So a line with such a value is written in another format, in which each of these
//! values has the characters of ASCII as they were, and one U+FFFD for what was between them.

use crate::Settings;
use crate::log_format::{FieldText, LogEscape, LogField, LogFormat};
use crate::token::{Pattern, Text, Token, path_token};
use crate::value_template::{self, ValueTemplate};
use crate::writer::{Directive, case, directive, entry, map};

/// What is logged of a client's choice: the field, the variable, and the variable that has it in UTF-8.
const VALUES: [(&str, &str); 4] = [
    ("$host", "$sparrow_log_host"),
    ("$request_uri", "$sparrow_log_uri"),
    ("$http_referer", "$sparrow_log_referer"),
    ("$http_user_agent", "$sparrow_log_user_agent"),
];

/// All of them; a blank ends what another one has begun.
const ALL: &str = "\"$host $request_uri $http_referer $http_user_agent\"";

/// UTF-8, as Unicode's table 3-7 has it.
const UTF8: &str = concat!(
    r#""~^(?:[\\x00-\\x7f]++|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]|"#,
    r#"[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|"#,
    r#"[\\xf1-\\xf3][\\x80-\\xbf]{3}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2})*+$""#
);

/// The object that asked for a route, as the module has it: its namespace and its name.
const ROUTE: &str = r#""~^[A-Za-z]+ (?<sparrow_namespace_of_route>[^/]+)/(?<sparrow_name_of_route>.+)$""#;

/// How many pieces of ASCII a mended value has at most. What is behind them is left out, and the mark stands for it.
const PIECES: usize = 6;

/// A line of JSON, with the variables that clients choose or with what is made of them.
fn json_line(fields: &[LogField], mended: bool) -> Token {
    let variable = |value: &'static str| {
        let mended = VALUES.iter().find(|(plain, _)| mended && *plain == value).map(|(_, mended)| *mended);
        mended.unwrap_or(value)
    };
    let of = |(index, field): (usize, &LogField)| {
        let separator = if index == 0 { "" } else { "," };
        match field.json() {
            FieldText::Own(text) => [separator, text, "", ""],
            FieldText::OfClient(name, value) => [separator, name, variable(value), "\""],
        }
    };
    Token::quoted_words(["{"].into_iter().chain(fields.iter().enumerate().flat_map(of)).chain(["}"]))
}

/// What is at the level of `http`.
pub fn http(settings: &Settings) -> Vec<Directive<'static>> {
    let Some(path) = settings.access_log.as_deref().and_then(path_token) else {
        return vec![directive("access_log").words(["off"])];
    };
    match &settings.log_format {
        LogFormat::Fields(fields) => json(fields, path),
        LogFormat::Text { template, escape } => text(template, *escape, path, settings),
    }
}

fn json(fields: &[LogField], path: Token) -> Vec<Directive<'static>> {
    let mut all = vec![
        // A connection that ended too early has the status 000, which is no number in JSON.
        map("$status", "$sparrow_status", vec![case("default", "$status"), case("~^0", "0")]),
        map(ALL, "$sparrow_log_is_utf8", vec![case("default", "0"), case(UTF8, "1")]),
        map("$sparrow_log_is_utf8", "$sparrow_log_not_utf8", vec![case("default", "1"), case("1", "0")]),
        directive("log_format").words(["sparrow", "escape=json"]).token(json_line(fields, false)),
        directive("log_format").words(["sparrow_utf8_replaced", "escape=json"]).token(json_line(fields, true)),
        directive("access_log").token(path.clone()).words(["sparrow", "if=$sparrow_log_is_utf8"]),
        directive("access_log").token(path).words(["sparrow_utf8_replaced", "if=$sparrow_log_not_utf8"]),
    ];
    all.extend(mended_values());
    all
}

/// The variables that have in UTF-8 what clients chose.
fn mended_values() -> [Directive<'static>; 4] {
    VALUES.map(|(value, mended)| {
        let utf8 = vec![case("default", "\"\u{fffd}\""), case(UTF8, value)];
        map(value, mended, [utf8, pieces()].concat())
    })
}

/// A format of the operator's. One that nginx could not read is left out, and nothing is logged.
fn text(template: &ValueTemplate, escape: LogEscape, path: Token, settings: &Settings) -> Vec<Directive<'static>> {
    let is_json = escape == LogEscape::Json;
    let mended = |name: &str| {
        let of = |(plain, _): &&(&str, &str)| is_json && plain.strip_prefix('$') == Some(name);
        VALUES.iter().find(of).map(|(_, mended)| *mended)
    };
    let Some(format) = template.token(settings, mended) else { return vec![directive("access_log").words(["off"])] };
    let escape = if is_json { "escape=json" } else { "escape=default" };
    let mut all = Vec::new();
    if is_json {
        all.extend(mended_values());
    }
    for (name, value, part) in [
        (value_template::ROUTE_NAMESPACE, "$sparrow_route_namespace", "$sparrow_namespace_of_route"),
        (value_template::ROUTE_NAME, "$sparrow_route_name", "$sparrow_name_of_route"),
    ] {
        if template.has_variable(name) {
            all.push(map("$sparrow_route", value, vec![case("default", "\"\""), case(ROUTE, part)]));
        }
    }
    all.push(directive("log_format").words(["sparrow", escape]).token(format));
    all.push(directive("access_log").token(path).words(["sparrow"]));
    all
}

/// A line of a TLS connection that went to a backend as it came. The name is one of the routes, whatever clients send.
const TLS_PASSTHROUGH: [&str; 2] = [
    concat!(
        r#"'{"time":"$time_iso8601","client":"$remote_addr","scheme":"tls","host":"$ssl_preread_server_name","status":$status,"#,
        r#""bytesReceived":$bytes_received,"bytesSent":$bytes_sent,"seconds":$session_time,"upstream":"$upstream_addr","#,
        r#""upstreamConnectSeconds":"$upstream_connect_time"}'"#
    ),
    concat!(
        r#"'{"time":"$time_iso8601","client":"$proxy_protocol_addr","scheme":"tls","host":"$ssl_preread_server_name","status":$status,"#,
        r#""bytesReceived":$bytes_received,"bytesSent":$bytes_sent,"seconds":$session_time,"upstream":"$upstream_addr","#,
        r#""upstreamConnectSeconds":"$upstream_connect_time"}'"#
    ),
];

/// A line of a connection to a TCP service, or of what a client sent to a UDP service.
const STREAM: &str = concat!(
    r#"'{"time":"$time_iso8601","client":"$remote_addr","protocol":"$protocol","port":$server_port,"status":$status,"#,
    r#""bytesReceived":$bytes_received,"bytesSent":$bytes_sent,"seconds":$session_time,"upstream":"$upstream_addr","#,
    r#""upstreamConnectSeconds":"$upstream_connect_time"}'"#
);

/// The format of TLS connections that are passed through. With `sent_on`, the address of the client came with the PROXY protocol.
pub fn tls_format(sent_on: bool) -> Directive<'static> {
    directive("log_format").words(["sparrow_tls", "escape=json", TLS_PASSTHROUGH[usize::from(sent_on)]])
}

/// The format of TCP and UDP services.
pub fn stream_format() -> Directive<'static> {
    directive("log_format").words(["sparrow_stream", "escape=json", STREAM])
}

/// Has a server of the stream module log in a format.
pub fn stream_log(settings: &Settings, format: &'static str) -> Directive<'static> {
    let log = directive("access_log");
    match settings.access_log.as_deref().and_then(path_token) {
        Some(path) => log.token(path).words([format]),
        None => log.words(["off"]),
    }
}

/// For each number of pieces, how they are told from what is between them, and what they become. The last one is for more.
fn pieces() -> Vec<Directive<'static>> {
    let of = |number: usize, whole: bool| {
        let mut pattern = Pattern::default().own("~^(?<sparrow_piece_0>[ -~]*+)");
        let mut text = Text::default().own("$sparrow_piece_0");
        for piece in 1..=number {
            let name = piece.to_string();
            pattern = pattern.own("[^ -~]++(?<sparrow_piece_").literal(&name).own(">[ -~]*+)");
            text = text.own("\u{fffd}$sparrow_piece_").number(piece as u64);
        }
        let (pattern, text) = if whole { (pattern.own("$"), text) } else { (pattern, text.own("\u{fffd}")) };
        // Of words of this program and numbers, far shorter than any that nginx does not take.
        Some(entry(pattern.token()?).token(text.token()?))
    };
    (1..=PIECES).filter_map(|number| of(number, true)).chain(of(PIECES, false)).collect()
}
