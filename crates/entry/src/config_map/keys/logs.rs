//! Logs.

use std::path::{Path, PathBuf};

use nginx_conf::{LogEscape, LogField, LogFormat, ValueTemplate};

use super::{ConfigKey, not_followed, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{items, switch};

/// Where ingress-nginx logs, which leads to its standard output.
const THEIR_LOG: &str = "/var/log/nginx/access.log";

const STREAMS: &str = "Only requests over HTTP are logged";

pub const KEYS: &[ConfigKey] = &[
    read(
        "access-log-fields",
        fields,
        "A key of ours: the fields of the JSON object that a line of the log is, with commas. As `--access-log-fields`",
    ),
    read(
        "log-format-upstream",
        format,
        "A line of the log as a text with variables of the list below, rather than a JSON object. `-` stands for those of ingress-nginx that have no value here",
    ),
    read(
        "log-format-escape-json",
        escape,
        "Whether values in `log-format-upstream` are escaped as in a string of JSON",
    ),
    read(
        "access-log-path",
        path,
        "Where requests are logged: `/dev/stdout`, `/dev/stderr`, or a file below `/var/log`; `/var/log/nginx/access.log` is standard output, as there",
    ),
    read("http-access-log-path", path, "The same, and counts more"),
    read("disable-access-log", disable, "`true`: requests are not logged"),
    read("disable-http-access-log", disable, "The same"),
    not_followed_unless(
        "log-format-escape-none",
        &["false"],
        "values that clients choose are always escaped: else each could write lines of its own",
    ),
    not_followed_unless("access-log-params", &[""], "lines are written at once"),
    not_followed_unless("skip-access-log-urls", &[""], "all requests are logged"),
    not_followed_unless("error-log-path", &["/var/log/nginx/error.log"], "errors of nginx are on its standard error"),
    not_followed_unless("error-log-level", &["warn"], "errors of nginx are logged from `warn` on"),
    not_followed_unless("enable-syslog", &["false"], "logs are read from the standard output of the pod"),
    not_followed("syslog-host", "logs are read from the standard output of the pod"),
    not_followed_unless("syslog-port", &["514"], "logs are read from the standard output of the pod"),
    not_followed_unless(
        "enable-access-log-for-default-backend",
        &["true"],
        "requests that no rule matches are logged as all others",
    ),
    unchanged("enable-auth-access-log", "Requests of this entry itself are not logged"),
    unchanged("disable-stream-access-log", STREAMS),
    unchanged("stream-access-log-path", STREAMS),
    unchanged("log-format-stream", STREAMS),
];

fn fields(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let fields: Vec<LogField> = items(context.value)?.into_iter().map(str::parse).collect::<Result<_, _>>()?;
    let mut seen = Vec::new();
    for field in fields {
        if !seen.contains(&field) {
            seen.push(field);
        }
    }
    if seen.is_empty() {
        return Err("write at least one field".to_owned());
    }
    settings.nginx.log_format = LogFormat::Fields(seen);
    Ok(Remark::None)
}

fn format(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (template, without_value) =
        ValueTemplate::parse_log_format(context.value).map_err(|fault| fault.to_string())?;
    settings.nginx.log_format = LogFormat::Text { template, escape: LogEscape::default() };
    if without_value.is_empty() {
        return Ok(Remark::None);
    }
    let names: Vec<_> = without_value.iter().map(|name| format!("${name}")).collect();
    Ok(Remark::Note(format!("{} of ingress-nginx has no value here, and `-` stands in its place", names.join(", "))))
}

fn escape(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let is_json = switch(context.value)?;
    match &mut settings.nginx.log_format {
        LogFormat::Text { escape, .. } => *escape = if is_json { LogEscape::Json } else { LogEscape::Hexadecimal },
        LogFormat::Fields(_) => {}
    }
    Ok(Remark::None)
}

fn path(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let text = context.value;
    let path = if text == THEIR_LOG { PathBuf::from("/dev/stdout") } else { PathBuf::from(text) };
    let is_stream = ["/dev/stdout", "/dev/stderr"].iter().any(|stream| path == Path::new(stream));
    let is_plain = !text.split('/').any(|part| part == "..");
    if !(is_stream || is_plain && path.starts_with("/var/log")) {
        return Err("write `/dev/stdout`, `/dev/stderr`, or a file below `/var/log`".to_owned());
    }
    settings.nginx.access_log = Some(path);
    Ok(Remark::None)
}

fn disable(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    if switch(context.value)? {
        settings.nginx.access_log = None;
    }
    Ok(Remark::None)
}
