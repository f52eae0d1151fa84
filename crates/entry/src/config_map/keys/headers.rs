//! Headers of requests and of answers.

use entry_model::{ConfigMap, Key};
use nginx_conf::{HeaderName, Hsts, ValueTemplate};

use super::connections::set;
use super::{ConfigKey, left_out, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{items, number, switch};

/// Most headers that a `ConfigMap` can set.
const MAX_HEADERS: usize = 100;

pub const KEYS: &[ConfigKey] = &[
    read(
        "add-headers",
        add_headers,
        "A ConfigMap, `NAMESPACE/NAME`, whose data are headers of all answers, in place of those of backends. Values may have variables of the list below",
    ),
    read(
        "proxy-set-headers",
        set_headers,
        "A ConfigMap, `NAMESPACE/NAME`, whose data are headers of all requests, in place of those of clients. Those that say who or where the client is cannot be set",
    ),
    read("hide-headers", hide_headers, "Headers of backends that clients do not get, with commas"),
    read(
        "allow-backend-server-header",
        set!(switch, |s, on| s.nginx.headers.passes_server = on),
        "Whether clients get the `Server` of backends",
    ),
    read("server-tokens", set!(switch, |s, on| s.nginx.headers.server_tokens = on), "Whether nginx tells its version"),
    read(
        "hsts-max-age",
        set!(|text| number(text, 0, 1 << 40), |s, seconds| hsts(s).max_age_seconds = seconds),
        "For how many seconds browsers keep to HTTPS; turns `hsts` on",
    ),
    read(
        "hsts-include-subdomains",
        set!(switch, |s, on| hsts(s).include_subdomains = on),
        "Whether for hosts below too, which is so without this key where `hsts` is on; turns `hsts` on",
    ),
    read(
        "hsts-preload",
        set!(switch, |s, on| hsts(s).preload = on),
        "Whether browsers may have it built in; turns `hsts` on",
    ),
    read(
        "hsts",
        turn_hsts,
        "Whether answers over HTTPS tell browsers to come by HTTPS only. In ingress-nginx it is on for all hosts; here it is off unless it is asked for, since browsers remember it for a year, for all hosts below too, and nothing takes it back",
    ),
    unchanged(
        "global-allowed-response-headers",
        "It limits the annotation `custom-headers`, whose headers are checked one by one here",
    ),
    unchanged("generate-request-id", "Each request has an id, in `X-Request-ID`"),
    not_followed_unless(
        "proxy-add-original-uri-header",
        &["false"],
        "`proxy-set-headers` can set `X-Original-URI: $request_uri`",
    ),
    not_followed_unless(
        "enable-underscores-in-headers",
        &["false"],
        "headers with an underscore are dropped: to many servers `X_Forwarded_For` of a client is the same as `X-Forwarded-For`",
    ),
    not_followed_unless("ignore-invalid-headers", &["true"], "headers whose names are no names are dropped"),
    not_followed_unless("proxy-headers-hash-bucket-size", &["64", "128"], "the table of headers is large enough"),
    unchanged("proxy-headers-hash-max-size", "The table of headers is large enough"),
];

fn hsts(settings: &mut SharedSettings) -> &mut Hsts {
    settings.nginx.headers.hsts.get_or_insert_default()
}

fn turn_hsts(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    if switch(context.value)? {
        hsts(settings);
    } else {
        settings.nginx.headers.hsts = None;
    }
    Ok(Remark::None)
}

fn add_headers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (headers, wrong) = named_headers(context, HeaderName::can_be_in_answers)?;
    settings.nginx.headers.answers = headers;
    Ok(left_out(
        &wrong,
        "write the name of a header that is not of the connection or of nginx, and a value with known variables only",
    ))
}

fn set_headers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (headers, wrong) = named_headers(context, HeaderName::can_be_in_requests)?;
    settings.nginx.headers.requests = headers;
    let hint = "write the name of a header that neither is of the connection nor says who or where the client is, and a value with known \
                variables only";
    Ok(left_out(&wrong, hint))
}

type Headers = Vec<(HeaderName, ValueTemplate)>;

/// The headers of the `ConfigMap` that is named, and the names of those that cannot be used.
fn named_headers(context: &KeyContext<'_>, can_be: fn(&HeaderName) -> bool) -> Result<(Headers, Vec<String>), String> {
    let config_map = named_config_map(context)?;
    if config_map.data.len() > MAX_HEADERS {
        return Err(format!("the ConfigMap has more than {MAX_HEADERS} headers"));
    }
    let (mut headers, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in &config_map.data {
        let parsed = HeaderName::parse(name).filter(can_be).zip(ValueTemplate::parse(value.trim()).ok());
        match parsed {
            Some(header) => headers.push(header),
            None => wrong.push(name.clone()),
        }
    }
    Ok((headers, wrong))
}

/// The `ConfigMap` that a value names.
fn named_config_map<'a>(context: &KeyContext<'a>) -> Result<&'a ConfigMap, String> {
    let key = Key::parse(context.value).ok_or_else(|| "write NAMESPACE/NAME of a ConfigMap".to_owned())?;
    let found = context.snapshot.config_maps.get(&key).map(|found| &**found);
    found.ok_or_else(|| {
        format!(
            "there is no ConfigMap {}/{}, or this entry may not read it; make it, and give the entry a role with get, list and \
             watch on its name",
            key.namespace, key.name
        )
    })
}

fn hide_headers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (mut names, mut wrong) = (Vec::new(), Vec::new());
    for item in items(context.value)? {
        match HeaderName::parse(item) {
            Some(name) => names.push(name),
            None => wrong.push(item),
        }
    }
    settings.nginx.headers.hidden = names;
    Ok(left_out(&wrong, "write names of headers with commas"))
}
