//! Which pages of other origins may ask.

use entry_model::{Cors, CorsOrigin, CorsOrigins, Reason};

use super::annotations::Annotations;
use super::reader::AnnotationReader;
use super::table::{IngressNginxAnnotation, Objects, OwnAnnotation, Scope, Topic};
use super::value::{parse_boolean, parse_go_boolean};

const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";

const HEADERS: &str =
    "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";

/// 20 days.
const MAX_AGE_SECONDS: u32 = 1_728_000;

/// Most origins of a list.
const MOST_ORIGINS: usize = 64;

/// Longest list of methods or headers, in bytes.
const LONGEST_LIST: usize = 1024;

pub const TOPIC: Topic = Topic {
    title: "CORS",
    own: &[
        own("cors", "`true`, `false`: whether pages of other origins may ask", "`false`", "true"),
        own(
            "cors-allow-origin",
            "origins with commas between them, such as `https://shop.example.com`, `https://*.example.com:8443` for any one label \
             more, `null`; or `*` for all",
            "`*`",
            "https://shop.example.com",
        ).narrows("pages of that origin may not ask, those of the others may"),
        own("cors-allow-methods", "methods with commas between them", "`GET, PUT, POST, DELETE, PATCH, OPTIONS`", "GET, POST").narrows("pages of other origins may not ask"),
        own(
            "cors-allow-headers",
            "names of headers of requests, with commas between them",
            "`DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization`",
            "Authorization, X-Tenant",
        ).narrows("pages of other origins may not ask"),
        own(
            "cors-allow-credentials",
            "`true`, `false`: whether cookies may be sent; never with the origin `*`, where browsers do not take it",
            "`true`",
            "false",
        ).counts_as("false"),
        own(
            "cors-expose-headers",
            "names of headers of answers that pages may read, with commas between them, or `*`",
            "those that the Fetch standard names",
            "X-Total-Count",
        ),
        own("cors-max-age", "whole seconds for which browsers remember a preflight request's answer", "`1728000`", "600"),
    ],
    ingress_nginx: &[
        IngressNginxAnnotation::differs(
            "enable-cors",
            Scope::Rule,
            "Preflight requests are answered 204 and never reach the backend, whose own CORS headers are not passed on: also to origins \
             that are not listed, which are told nothing. Answers that say that something is wrong have the headers too. A redirect to \
             HTTPS comes first",
        )
        .unchanged_by(&["false"]),
        IngressNginxAnnotation::differs(
            "cors-allow-credentials",
            Scope::Rule,
            "`true` is the default; with the origin `*` the header is not sent, since no browser takes it there",
        ),
        same("cors-allow-headers", "Names of headers, with commas between them"),
        same("cors-allow-methods", "Methods, with commas between them"),
        IngressNginxAnnotation::differs(
            "cors-allow-origin",
            Scope::Rule,
            "An origin must be the whole of what a browser sends, where it was its end there; answers to listed ones say `Vary: Origin`",
        ),
        same("cors-expose-headers", "Names of headers, with commas between them, or `*`"),
        same("cors-max-age", "Whole seconds"),
    ],
};

const fn own(name: &'static str, value: &'static str, default: &'static str, example: &'static str) -> OwnAnnotation {
    OwnAnnotation::new(name, Objects::ServicesAndIngresses, value, default, example)
}

const fn same(name: &'static str, effect: &'static str) -> IngressNginxAnnotation {
    IngressNginxAnnotation::same(name, Scope::Rule, effect)
}

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    let is_on = reader.either_of(("cors", parse_boolean), ("enable-cors", parse_go_boolean)).unwrap_or(false);
    let origins = read_origins(reader);
    let methods = read_list(reader, "cors-allow-methods", parse_methods);
    let headers = read_list(reader, "cors-allow-headers", parse_headers);
    // Where it is not known what pages may ask for, none may ask.
    let is_known = methods != Some(Err(())) && headers != Some(Err(()));
    let origins = if is_known { origins } else { CorsOrigins::Listed(Vec::new()) };
    let (methods, headers) = (methods.and_then(Result::ok), headers.and_then(Result::ok));
    let exposed_headers = reader.either("cors-expose-headers", parse_exposed_headers);
    let credentials = reader.either_of((CREDENTIALS, parse_boolean), (CREDENTIALS, parse_go_boolean));
    let max_age_seconds = reader.either("cors-max-age", parse_seconds);
    if !is_on {
        return;
    }
    if origins == CorsOrigins::Any && credentials == Some(true) {
        let message = "Cookies are not sent: browsers take no credentials where every origin may ask. Name the origins in \
                       cors-allow-origin, or remove this";
        report_credentials(reader, message);
    }
    annotations.policy.cors = Some(Cors {
        credentials: credentials.unwrap_or(true) && origins != CorsOrigins::Any,
        origins,
        methods: methods.unwrap_or_else(|| METHODS.to_owned()),
        headers: headers.unwrap_or_else(|| HEADERS.to_owned()),
        exposed_headers: exposed_headers.unwrap_or_default(),
        max_age_seconds: max_age_seconds.unwrap_or(MAX_AGE_SECONDS),
    });
}

/// What pages may ask for, by ours, else by that of ingress-nginx.
fn read_list(
    reader: &mut AnnotationReader<'_, '_>,
    name: &str,
    parse: fn(&str) -> Result<String, &'static str>,
) -> Option<Result<String, ()>> {
    if reader.own_counts(name, &[name]) {
        reader.own_or_unusable(name, parse)
    } else {
        reader.ingress_nginx(name, parse).map(Ok)
    }
}

const CREDENTIALS: &str = "cors-allow-credentials";

fn report_credentials(reader: &mut AnnotationReader<'_, '_>, message: &str) {
    if let Some(found) = reader.first_text(CREDENTIALS, &[CREDENTIALS]) {
        reader.report_text_note(&found, Reason::Unsupported, message.to_owned());
    }
}

/// The origins that may ask: all, where none are named. Of a list what is no origin is left out, and if nothing is left nobody may ask.
fn read_origins(reader: &mut AnnotationReader<'_, '_>) -> CorsOrigins {
    const NAME: &str = "cors-allow-origin";
    let Some(found) = reader.first_text(NAME, &[NAME]) else { return CorsOrigins::Any };
    let (origins, rejected) = parse_origins(found.text);
    if let Some(first) = rejected {
        let message = format!(
            "{} is no origin, so its pages may not ask, those of the others may: write a scheme and a host, such as \
             `https://shop.example.com`, at most {MOST_ORIGINS} of them",
            crate::verdict_draft::quoted(first)
        );
        if found.is_own() {
            reader.report_text_loss(&found, Reason::Invalid, message);
        } else {
            reader.report_text_note(&found, Reason::Invalid, message);
        }
    }
    origins
}

/// The origins of a list, and the first that is none.
fn parse_origins(text: &str) -> (CorsOrigins, Option<&str>) {
    let mut all = Vec::new();
    let mut rejected = None;
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        if entry == "*" {
            return (CorsOrigins::Any, rejected);
        }
        match parse_origin(entry).filter(|_| all.len() < MOST_ORIGINS) {
            Some(origin) => all.push(origin),
            None => rejected = rejected.or(Some(entry)),
        }
    }
    all.sort();
    all.dedup();
    (CorsOrigins::Listed(all), rejected)
}

fn parse_origin(text: &str) -> Option<CorsOrigin> {
    let text = text.to_ascii_lowercase();
    if text == "null" {
        return Some(CorsOrigin::Null);
    }
    let (scheme, rest) = text.split_once("://")?;
    let (rest, port) = match rest.rsplit_once(':') {
        Some((rest, port)) => (rest, Some(port.parse().ok().filter(|_| !port.starts_with('+'))?)),
        None => (rest, None),
    };
    let (any_label, host) = rest.strip_prefix("*.").map_or((false, rest), |host| (true, host));
    let is_scheme = (1..=32).contains(&scheme.len()) && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let is_host = (1..=253).contains(&host.len()) && host.bytes().all(is_host);
    let (scheme, host) = (scheme.to_owned(), host.to_owned());
    (is_scheme && is_host).then_some(CorsOrigin::Named { scheme, any_label, host, port })
}

fn parse_methods(text: &str) -> Result<String, &'static str> {
    parse_list(text, |byte| byte.is_ascii_alphabetic()).ok_or("it is a list of methods, with commas between them")
}

fn parse_headers(text: &str) -> Result<String, &'static str> {
    parse_list(text, is_of_header).ok_or("it is a list of names of headers, with commas between them")
}

fn parse_exposed_headers(text: &str) -> Result<String, &'static str> {
    let is_part = |byte| is_of_header(byte) || byte == b'*';
    parse_list(text, is_part).ok_or("it is a list of names of headers, with commas between them, or `*`")
}

fn is_of_header(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// A list as it was written, if it has nothing but what is allowed, commas and blanks.
fn parse_list(text: &str, is_part: impl Fn(u8) -> bool) -> Option<String> {
    let text = text.trim();
    let is_list = |byte| is_part(byte) || matches!(byte, b',' | b' ');
    (!text.is_empty() && text.len() <= LONGEST_LIST && text.bytes().all(is_list)).then(|| text.to_owned())
}

fn parse_seconds(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "it is a whole number of seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_listed_with_and_without_blanks() {
        let text = |text| match parse_origins(text) {
            (CorsOrigins::Any, None) => "*".to_owned(),
            (CorsOrigins::Listed(all), None) => all.iter().map(CorsOrigin::to_string).collect::<Vec<_>>().join(" "),
            (_, Some(rejected)) => format!("not {rejected}"),
        };
        for (list, expected) in [
            ("*", "*"),
            ("https://a.example, *", "*"),
            ("https://A.example,http://b.example:8080 , ", "http://b.example:8080 https://a.example"),
            ("https://*.a.example:8443", "https://*.a.example:8443"),
            ("null, app://local", "null app://local"),
            ("", ""),
            ("a.example", "not a.example"),
            ("https://a.example/", "not https://a.example/"),
            ("https://*", "not https://*"),
            ("https://a.*.example", "not https://a.*.example"),
            ("https://$host", "not https://$host"),
            ("https://a.example:0x1", "not https://a.example:0x1"),
            ("https://a.example:+1", "not https://a.example:+1"),
            ("https://", "not https://"),
            ("https://a\"; b", "not https://a\"; b"),
        ] {
            assert_eq!(text(list), expected, "{list}");
        }
        let many: Vec<_> = (0..=MOST_ORIGINS).map(|number| format!("https://{number}.example")).collect();
        assert_eq!(text(&many.join(",")), format!("not https://{MOST_ORIGINS}.example"));
    }

    #[test]
    fn lists_hold_tokens_only() {
        for text in ["GET", "GET, POST", "GET,POST,"] {
            assert_eq!(parse_methods(text).as_deref(), Ok(text));
        }
        for text in ["", " ", "GET;", "GET\nPOST", "$x", "GÉT", "X-1"] {
            assert!(parse_methods(text).is_err(), "{text:?}");
        }
        assert!(parse_headers("X_a-1, B").is_ok() && parse_headers("*").is_err() && parse_exposed_headers("*").is_ok());
        assert!(parse_headers(&"x".repeat(LONGEST_LIST + 1)).is_err());
    }
}
