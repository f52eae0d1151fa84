//! Who is asked whether requests may pass, for all.

use entry_translate::GlobalAuth;

use super::connections::set;
use super::{ConfigKey, not_followed, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{items, switch};

pub const KEYS: &[ConfigKey] = &[
    read(
        "global-auth-url",
        |settings, context| Ok(read_closing(settings, context, GlobalAuth::set_url)),
        "A URL that is asked before each request of all rules, but for those whose object has an annotation `auth-url` or \
         `enable-global-auth: \"false\"`, as `auth-url` has it. What the default backend for all gets is not asked for. One that cannot be \
         used lets nobody pass: all is answered 503",
    ),
    read(
        "global-auth-method",
        |settings, context| Ok(read_closing(settings, context, GlobalAuth::set_method)),
        "The method with which it is asked. One that cannot be used lets nobody pass",
    ),
    read(
        "global-auth-response-headers",
        |settings, context| Ok(read_closing(settings, context, GlobalAuth::set_response_headers)),
        "Headers of its answer that backends get, with commas, in place of a client's own. Those that cannot be used let nobody pass",
    ),
    read(
        "global-auth-signin",
        |settings, context| read_value(settings, context, GlobalAuth::set_sign_in),
        "A URL to which clients are sent, with 302, instead of 401",
    ),
    read(
        "global-auth-signin-redirect-param",
        |settings, context| read_value(settings, context, GlobalAuth::set_redirect_parameter),
        "The parameter of that URL that says where the client wants to go, if the URL has none of this name; `rd` without this key",
    ),
    read(
        "global-auth-request-redirect",
        |settings, context| read_value(settings, context, GlobalAuth::set_request_redirect),
        "What the server is told in `X-Auth-Request-Redirect`, rather than the path and the query",
    ),
    read(
        "global-auth-always-set-cookie",
        set!(switch, |s, always| s.defaults.external_auth.set_always_set_cookie(always)),
        "Whether its cookies go to clients with answers that say that something is wrong, too",
    ),
    read(
        "no-auth-locations",
        |settings, context| {
            let paths = items(context.value)?;
            settings.defaults.external_auth.set_exempt_paths(&paths)?;
            Ok(Remark::None)
        },
        "Paths, with commas, for which and below which it is not asked, rather than `/.well-known/acme-challenge`. Paths go by segments, and \
         those that are regular expressions are always asked for; so are those of an annotation `auth-url`",
    ),
    not_followed(
        "global-auth-snippet",
        "no text of nginx's configuration language is taken from a cluster; the other keys say what it is mostly for",
    ),
    unchanged("global-auth-cache-key", "Answers are not kept: the server is asked before each request"),
    unchanged("global-auth-cache-duration", "Answers are not kept: the server is asked before each request"),
];

/// A value without which all is as closed.
fn read_value(
    settings: &mut SharedSettings,
    context: &KeyContext<'_>,
    set: fn(&mut GlobalAuth, &str) -> Result<(), &'static str>,
) -> Result<Remark, String> {
    set(&mut settings.defaults.external_auth, context.value)?;
    Ok(Remark::None)
}

/// A value without which requests could pass that must not: rather than to leave out one that cannot be used, nobody passes.
fn read_closing(
    settings: &mut SharedSettings,
    context: &KeyContext<'_>,
    set: fn(&mut GlobalAuth, &str) -> Result<(), &'static str>,
) -> Remark {
    match set(&mut settings.defaults.external_auth, context.value) {
        Ok(()) => Remark::None,
        Err(hint) => Remark::Loss(format!(
            "The value \"{}\" cannot be used, so nobody passes for whom `global-auth-url` is asked, which is answered 503, since they \
             would pass unasked: {hint}",
            entry_model::AbridgedText(context.value)
        )),
    }
}
