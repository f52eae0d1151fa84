//! Texts in which variables of nginx stand: formats of the log, values of headers. Which variables there are is a closed list, so that
//! no text of an operator reads what it should not.

use crate::Settings;
use crate::token::{Text, Token};

/// Longest text, in bytes. The whole of it must fit into nginx's buffer of 4096 bytes, quoted.
const MAX_BYTES: usize = 3000;

/// Variables that are nginx's own.
const NGINX: &[&str] = &[
    "args",
    "body_bytes_sent",
    "bytes_sent",
    "connection",
    "connection_requests",
    "content_length",
    "content_type",
    "document_uri",
    "gzip_ratio",
    "host",
    "hostname",
    "https",
    "is_args",
    "msec",
    "nginx_version",
    "pid",
    "pipe",
    "proxy_add_x_forwarded_for",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "query_string",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_completion",
    "request_id",
    "request_length",
    "request_method",
    "request_time",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "ssl_cipher",
    "ssl_client_s_dn",
    "ssl_client_verify",
    "ssl_protocol",
    "ssl_server_name",
    "ssl_session_reused",
    "status",
    "tcpinfo_rtt",
    "time_iso8601",
    "time_local",
    "upstream_addr",
    "upstream_bytes_received",
    "upstream_bytes_sent",
    "upstream_cache_status",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_length",
    "upstream_response_time",
    "upstream_status",
    "uri",
];

/// Variables that ingress-nginx makes, and what has the same value here.
const RENAMED: &[(&str, &str)] = &[
    ("best_http_host", "sparrow_host"),
    ("escaped_request_uri", "request_uri"),
    ("full_x_forwarded_for", "proxy_add_x_forwarded_for"),
    ("ingress_name", ROUTE_NAME),
    ("namespace", ROUTE_NAMESPACE),
    ("pass_access_scheme", CLIENT_SCHEME),
    ("proxy_upstream_name", "sparrow_route"),
    ("redirect_scheme", CLIENT_SCHEME),
    ("req_id", "request_id"),
    ("the_real_ip", "remote_addr"),
];

/// Variables that ingress-nginx makes, and that have no value here.
const WITHOUT_VALUE: &[&str] =
    &["location_path", "proxy_alternative_upstream_name", "proxy_host", "service_name", "service_port"];

/// What the name of a variable may begin with, before the name of a header, a cookie or a parameter.
const PREFIXES: &[&str] = &["arg_", "cookie_", "http_", "sent_http_", "upstream_http_"];

/// The scheme by which the client came: which variable has it depends on the settings.
const CLIENT_SCHEME: &str = "sparrow_client_scheme";
/// The namespace of the object that asked for the route.
pub const ROUTE_NAMESPACE: &str = "sparrow_route_namespace";
/// Its name.
pub const ROUTE_NAME: &str = "sparrow_route_name";

/// A text in which variables of nginx stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// No `$` and no NUL is in it.
    Text(String),
    /// A name of the list, or one of a header, in lower case.
    Variable(String),
}

/// Why a text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// It is too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    Length,
    /// A control character.
    #[error("it has a control character")]
    Control,
    /// A `$` without the name of a variable.
    #[error("a `$` is followed by no name of a variable, and nginx cannot write one alone")]
    Dollar,
    /// A variable that is not in the list.
    #[error("the variable ${0} is not known here")]
    Variable(String),
    /// A variable that ingress-nginx has, and that is empty here.
    #[error("the variable ${0} of ingress-nginx has no value here")]
    WithoutValue(String),
}

impl ValueTemplate {
    /// Which variables there can be, for the documentation: those of nginx, those of ingress-nginx with the same value here, those
    /// without, and what others begin with.
    pub fn variables() -> [Vec<&'static str>; 4] {
        let renamed = RENAMED.iter().map(|(theirs, _)| *theirs).collect();
        [NGINX.to_vec(), renamed, WITHOUT_VALUE.to_vec(), PREFIXES.to_vec()]
    }

    /// Reads a text. `${name}` is the same as `$name`.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        Self::parse_partly(text, |name| Err(TemplateFault::WithoutValue(name.to_owned())))
    }

    /// Reads a format of the log, in which `-` stands for a variable of ingress-nginx that has no value here; and which those are.
    ///
    /// # Errors
    /// As [`ValueTemplate::parse`].
    pub fn parse_log_format(text: &str) -> Result<(Self, Vec<String>), TemplateFault> {
        let mut without_value = Vec::new();
        // Lines of a block of YAML are one line of the log.
        let text = text.trim_end().replace("\r\n", " ").replace('\n', " ");
        let template = Self::parse_partly(&text, |name| {
            without_value.push(name.to_owned());
            Ok(Part::Text("-".to_owned()))
        })?;
        Ok((template, without_value))
    }

    fn parse_partly(
        text: &str,
        mut without_value: impl FnMut(&str) -> Result<Part, TemplateFault>,
    ) -> Result<Self, TemplateFault> {
        if text.len() > MAX_BYTES {
            return Err(TemplateFault::Length);
        }
        if text.chars().any(|char| char.is_control() && char != '\t') {
            return Err(TemplateFault::Control);
        }
        let mut pieces = text.split('$');
        let mut parts = vec![Part::Text(pieces.next().unwrap_or_default().to_owned())];
        for piece in pieces {
            let (name, rest) = split_name(piece).ok_or(TemplateFault::Dollar)?;
            parts.push(match variable(name) {
                Some(variable) => Part::Variable(variable),
                None if WITHOUT_VALUE.contains(&name) || name.starts_with("geoip") => without_value(name)?,
                None => return Err(TemplateFault::Variable(name.to_owned())),
            });
            parts.push(Part::Text(rest.to_owned()));
        }
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// Whether it has a variable.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable(variable) if variable == name))
    }

    /// The whole as one token; none if nginx could not read it. `rename` says which variable is written for one.
    pub(crate) fn token(&self, settings: &Settings, rename: impl Fn(&str) -> Option<&'static str>) -> Option<Token> {
        let whole = self.parts.iter().try_fold(Text::default(), |text, part| match part {
            Part::Text(constant) => text.constant(constant),
            Part::Variable(name) if name == CLIENT_SCHEME => Some(text.own(settings.scheme_variable())),
            Part::Variable(name) => Some(match rename(name) {
                Some(other) => text.own(other),
                None => text.variable(name),
            }),
        });
        whole?.token()
    }
}

/// The name of a variable with which a text begins, and what follows it.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if let Some(braced) = text.strip_prefix('{') {
        let (name, rest) = braced.split_once('}')?;
        return (!name.is_empty() && name.as_bytes().iter().all(is_name)).then_some((name, rest));
    }
    let length = text.bytes().take_while(is_name).count();
    (length > 0).then(|| text.split_at(length))
}

/// What has the value of a variable here.
fn variable(name: &str) -> Option<String> {
    let renamed = || RENAMED.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| (*ours).to_owned());
    let known = NGINX.binary_search(&name).is_ok().then(|| name.to_owned());
    let is_value = |prefix: &&str| name.strip_prefix(*prefix).is_some_and(|rest| (1..=64).contains(&rest.len()));
    known.or_else(renamed).or_else(|| PREFIXES.iter().any(is_value).then(|| name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<String, TemplateFault> {
        let template = ValueTemplate::parse(text)?;
        Ok(template.token(&Settings::default(), |_| None).map(|token| token.as_str().to_owned()).unwrap_or_default())
    }

    #[test]
    fn known_variables_stay_and_all_else_is_text() {
        assert!(NGINX.is_sorted());
        for (text, expected) in [
            ("", r#""""#),
            ("a \"b\" \\; }", r#""a \"b\" \\; }""#),
            ("t=${msec}0", r#""t=${msec}0""#),
            ("$host$request_uri", r#""${host}${request_uri}""#),
            ("$req_id $http_user_agent $pass_access_scheme", r#""${request_id} ${http_user_agent} $scheme""#),
        ] {
            assert_eq!(token(text).as_deref(), Ok(expected), "{text}");
        }
        let settings = Settings { trusted: vec!["10.0.0.0/8".parse().unwrap()], ..Settings::default() };
        let scheme = ValueTemplate::parse("$pass_access_scheme").unwrap().token(&settings, |_| None).unwrap();
        assert_eq!(scheme.as_str(), r#""$sparrow_scheme""#);
    }

    #[test]
    fn unknown_variables_are_rejected() {
        let unknown = |name: &str| Err(TemplateFault::Variable(name.to_owned()));
        assert_eq!(token("$document_root"), unknown("document_root"));
        assert_eq!(token("$sparrow_table_fault"), unknown("sparrow_table_fault"));
        assert_eq!(token("$http_"), unknown("http_"));
        for text in ["$", "100$", "$$host", "${host", "${}", "$-", "${ho st}", "$1"].into_iter().take(7) {
            assert_eq!(token(text), Err(TemplateFault::Dollar), "{text}");
        }
        assert_eq!(token("$1"), unknown("1"));
        assert_eq!(token("a\nb"), Err(TemplateFault::Control));
        assert_eq!(token(&"a".repeat(MAX_BYTES + 1)), Err(TemplateFault::Length));
        assert_eq!(token("$service_name"), Err(TemplateFault::WithoutValue("service_name".to_owned())));
        let (format, without) = ValueTemplate::parse_log_format("[$service_name]\n$status\n").unwrap();
        assert_eq!(without, ["service_name"]);
        assert_eq!(format.token(&Settings::default(), |_| None).unwrap().as_str(), r#""[-] ${status}""#);
    }
}
