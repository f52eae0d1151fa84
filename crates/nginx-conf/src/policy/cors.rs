//! Which pages of other origins may ask.
//!
//! Whether the origin of a request is listed is a variable of each list: the origin itself, or nothing. All other headers hang on it, so
//! that who is not listed is told nothing.

use entry_model::{Cors, CorsOrigin, CorsOrigins};

use crate::location_headers::LocationHeaders;
use crate::policy_class::content_name;
use crate::token::{Pattern, Text, Token};
use crate::writer::{Directive, Writer, directive, entry};

/// What a backend may say of this, which is not passed on.
const HEADERS: [&str; 6] = [
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
];

/// The headers that are the same for all origins that may ask, with the end of their variable's name; of what nginx can read.
fn constant_headers(cors: &Cors) -> Vec<(&'static str, &'static str, Token)> {
    let Cors { origins: _, methods, headers, exposed_headers, credentials, max_age_seconds } = cors;
    let all = [
        ("Access-Control-Allow-Credentials", "_credentials", if *credentials { "true" } else { "" }.to_owned()),
        ("Access-Control-Allow-Methods", "_methods", methods.clone()),
        ("Access-Control-Allow-Headers", "_headers", headers.clone()),
        ("Access-Control-Expose-Headers", "_exposed", exposed_headers.clone()),
        ("Access-Control-Max-Age", "_max_age", max_age_seconds.to_string()),
    ];
    let all = all.into_iter().filter(|(_, _, value)| !value.is_empty());
    all.filter_map(|(name, end, value)| Some((name, end, Token::constant(&value)?))).collect()
}

/// The variables of a list, at the level of `http`.
pub fn variables(cors: &Cors) -> Vec<Directive<'static>> {
    let CorsOrigins::Listed(origins) = &cors.origins else { return Vec::new() };
    let none = || directive("default").words(["\"\""]);
    let mut all = Vec::new();
    let cases = origins.iter().filter_map(origin_pattern).map(|pattern| entry(pattern).words(["$http_origin"]));
    let cases = [none()].into_iter().chain(cases).collect::<Vec<_>>();
    all.extend(variable(cors, "").map(|name| directive("map").words(["$http_origin"]).token(name).block(cases)));
    for (_, end, value) in constant_headers(cors) {
        all.extend(variable(cors, "").zip(variable(cors, end)).map(|(source, name)| {
            let cases = vec![entry(Token::word("\"\"")).words(["\"\""]), directive("default").token(value)];
            directive("map").token(source).token(name).block(cases)
        }));
    }
    let source = variable_text(Text::default().own("$request_method:"), cors, "").token();
    all.extend(source.zip(variable(cors, PREFLIGHT)).map(|(source, name)| {
        let cases = vec![directive("default").words(["0"]), entry(Token::word("\"~^OPTIONS:.\"")).words(["1"])];
        directive("map").token(source).token(name).block(cases)
    }));
    all
}

const PREFLIGHT: &str = "_preflight";

/// The whole of what a browser sends. Hosts are the same in any case.
fn origin_pattern(origin: &CorsOrigin) -> Option<Token> {
    let pattern = Pattern::default().own("~*^");
    let pattern = match origin {
        CorsOrigin::Null => pattern.own("null"),
        CorsOrigin::Named { scheme, any_label, host, port } => {
            let pattern = pattern.literal(scheme).literal("://");
            let pattern = if *any_label { pattern.own("[a-z0-9-]+\\.") } else { pattern }.literal(host);
            port.map_or_else(String::new, |port| format!(":{port}"))
                .chars()
                .fold(pattern, |pattern, char| pattern.literal(char.encode_utf8(&mut [0; 4])))
        }
    };
    pattern.own("$").token()
}

/// The headers of a location, also of answers that say that something is wrong.
pub fn add_headers(cors: &Cors, headers: &mut LocationHeaders) {
    for name in HEADERS {
        headers.hide_of_backend(Token::word(name));
    }
    let origin = Token::word(HEADERS[0]);
    match &cors.origins {
        CorsOrigins::Any => {
            headers.add_to_answer(origin, Token::word("\"*\""));
            for (name, _, value) in constant_headers(cors) {
                headers.add_to_answer(Token::word(name), value);
            }
        }
        CorsOrigins::Listed(_) => {
            // A cache must not give one origin the answer that another got.
            headers.add_to_answer(Token::word("Vary"), Token::word("Origin"));
            let told = constant_headers(cors).into_iter().map(|(name, end, _)| (Token::word(name), end));
            for (name, end) in [(origin, "")].into_iter().chain(told) {
                if let Some(value) = variable(cors, end) {
                    headers.add_to_answer(name, value);
                }
            }
        }
    }
}

/// Answers a preflight request, before any other check: browsers send no credentials with it.
pub fn write_preflight(writer: &mut Writer<'_>, cors: &Cors) -> Option<()> {
    let condition = writer.line("if");
    match &cors.origins {
        CorsOrigins::Any => condition.words(["($request_method", "=", "OPTIONS)"]),
        CorsOrigins::Listed(_) => condition.words(["("]).token(&variable(cors, PREFLIGHT)?).words([")"]),
    }
    .open(None)?;
    writer.line("return").words(["204"]).end()?;
    writer.close();
    Some(())
}

/// A variable of this list and what else is said to its origins.
fn variable(cors: &Cors, end: &'static str) -> Option<Token> {
    variable_text(Text::default(), cors, end).token()
}

fn variable_text(text: Text, cors: &Cors, end: &'static str) -> Text {
    text.own("$sparrow_cors_").plain_of(&content_name(cors), '_').own(end)
}
