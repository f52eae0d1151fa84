//! TLS with clients.

use nginx_conf::{TlsSettings, TlsVersions};

use super::connections::set;
use super::{ConfigKey, left_out, not_followed, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{size, switch, time};

pub const KEYS: &[ConfigKey] = &[
    read("ssl-protocols", versions, "`TLSv1.2`, `TLSv1.3` or both, with blanks. Older ones are broken, and left out"),
    read(
        "ssl-ciphers",
        ciphers,
        "The ciphers of TLS 1.2, in the words of OpenSSL; those of Mozilla's intermediate configuration without this key",
    ),
    read("ssl-ecdh-curve", curves, "The curves, in the words of OpenSSL; `auto` are those of the library"),
    read(
        "ssl-session-cache-size",
        set!(|text| size(text, 64 << 10, 1 << 30), |s, bytes| s.nginx.tls.session_bytes = bytes),
        "The memory for sessions, such as `10m`",
    ),
    read("ssl-session-cache", session_cache, "Whether sessions are kept, so that they can be taken up again"),
    read(
        "ssl-session-timeout",
        set!(time, |s, time| s.nginx.tls.session_timeout = time),
        "How long a session can be taken up again, such as `10m`",
    ),
    read(
        "ssl-session-tickets",
        set!(switch, |s, on| s.nginx.tls.session_tickets = Some(on)),
        "Whether clients keep sessions themselves, encrypted",
    ),
    read(
        "ssl-buffer-size",
        set!(|text| size(text, 1024, 16 << 10), |s, bytes| s.nginx.tls.record_bytes = Some(bytes)),
        "How much is encrypted at once, up to `16k`",
    ),
    unchanged("ssl-reject-handshake", "The handshake for a host without certificate is rejected"),
    not_followed_unless("ssl-early-data", &["false"], "early data can be sent again by anyone who has seen it"),
    not_followed("ssl-session-ticket-key", "keys of tickets are nginx's own, which change with each start"),
    not_followed("ssl-dh-param", "ciphers with Diffie-Hellman over numbers are not offered"),
    not_followed_unless("enable-ocsp", &["false"], "certificates of clients are not looked up"),
    unchanged("proxy-ssl-location-only", "How TLS is spoken with a backend is said at its location"),
];

fn versions(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    const HINT: &str = "write `TLSv1.2`, `TLSv1.3` or both";
    let (known, wrong): (Vec<&str>, Vec<&str>) =
        context.value.split_whitespace().partition(|name| ["TLSv1.2", "TLSv1.3"].contains(name));
    settings.nginx.tls.versions = match (known.contains(&"TLSv1.2"), known.contains(&"TLSv1.3")) {
        (true, true) => TlsVersions::Both,
        (true, false) => TlsVersions::Only12,
        (false, true) => TlsVersions::Only13,
        (false, false) => return Err(HINT.to_owned()),
    };
    Ok(left_out(&wrong, HINT))
}

fn list(text: &str) -> Result<String, String> {
    let hint = "write names as OpenSSL has them, with colons";
    TlsSettings::is_list(text).then(|| text.to_owned()).ok_or_else(|| hint.to_owned())
}

fn ciphers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.tls.ciphers = Some(list(context.value)?);
    Ok(Remark::None)
}

fn curves(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.tls.curves = if context.value == "auto" { None } else { Some(list(context.value)?) };
    Ok(Remark::None)
}

fn session_cache(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    if !switch(context.value)? {
        settings.nginx.tls.session_bytes = 0;
    }
    Ok(Remark::None)
}
