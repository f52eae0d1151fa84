//! Every key, with a value that can be used and one that cannot.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use entry_model::{Acceptance, BackendMode, ConfigMap, Key, Meta, Reason, Snapshot};
use nginx_conf::{LogFormat, TlsVersions};

use super::keys::{GROUPS, KeyEffect, all, find_key};
use super::*;

/// All keys that the last release of ingress-nginx reads.
const INGRESS_NGINX: &str = include_str!("keys/ingress_nginx_names.txt");

/// For each key that is a setting, a value that can be used and one that cannot.
const VALUES: &[(&str, &str, &str)] = &[
    ("access-log-fields", "time, status", "time,nothing"),
    ("access-log-path", "/var/log/nginx/access.log", "/etc/passwd"),
    ("add-headers", "shop/headers", "headers"),
    ("allow-backend-server-header", "true", "yes"),
    ("block-cidrs", "192.0.2.0/24", ""),
    ("block-referers", "~*spam", ""),
    ("block-user-agents", "curl, ~*bot", ""),
    ("brotli-level", "0", "12"),
    ("brotli-min-length", "0", "-1"),
    ("brotli-types", "text/css", "css"),
    ("client-body-buffer-size", "16k", "16kb"),
    ("client-body-timeout", "30", "30s"),
    ("client-header-buffer-size", "2k", "0"),
    ("client-header-timeout", "30", "0"),
    ("compute-full-forwarded-for", "false", "no"),
    ("custom-http-errors", "404, 503", "4xx"),
    ("default-backend", "infra/pages:8080", "pages"),
    ("denylist-source-range", "192.0.2.1", ""),
    ("disable-access-log", "true", "x"),
    ("disable-http-access-log", "true", "x"),
    ("disable-proxy-intercept-errors", "true", "x"),
    ("enable-brotli", "true", "br"),
    ("force-ssl-redirect", "true", "always"),
    ("forwarded-for-header", "X-Real-IP", "X Real"),
    ("global-auth-always-set-cookie", "true", "yes"),
    ("global-auth-method", "HEAD", "head"),
    ("global-auth-request-redirect", "https://$host$request_uri", "$document_root"),
    ("global-auth-response-headers", "Remote-User", "Host"),
    ("global-auth-signin", "https://auth.example.com", "auth"),
    ("global-auth-signin-redirect-param", "return_to", "a b"),
    ("global-auth-url", "http://auth.infra.svc/verify", "auth"),
    ("gzip-level", "5", "10"),
    ("gzip-min-length", "0", "-1"),
    ("gzip-types", "text/css", "css"),
    ("hide-headers", "X-Powered-By", ""),
    ("hsts", "true", "on!"),
    ("hsts-include-subdomains", "false", ""),
    ("hsts-max-age", "600", "1y"),
    ("hsts-preload", "true", "preload"),
    ("http-access-log-path", "/dev/stdout", "/var/log/../x"),
    ("http2-max-concurrent-streams", "64", "0"),
    ("keep-alive", "0", "75s"),
    ("keep-alive-requests", "100", "0"),
    ("large-client-header-buffers", "4 16k", "16k"),
    ("limit-conn-status-code", "429", "200"),
    ("limit-req-status-code", "429", "600"),
    ("log-format-escape-json", "true", "json"),
    ("log-format-upstream", "$remote_addr $status", "$document_root"),
    ("max-worker-connections", "1024", "0"),
    ("no-auth-locations", "/healthz,/public", "/"),
    ("proxy-body-size", "8m", "8 m"),
    ("proxy-buffer-size", "16k", "1g"),
    ("proxy-buffering", "on", "maybe"),
    ("proxy-buffers-number", "8", "1"),
    ("proxy-busy-buffers-size", "32k", "x"),
    ("proxy-connect-timeout", "10", "10s"),
    ("proxy-read-timeout", "3600", "1h"),
    ("proxy-real-ip-cidr", "10.0.0.0/8", "everybody"),
    ("proxy-request-buffering", "on", ""),
    ("proxy-send-timeout", "10", "-1"),
    ("proxy-set-headers", "shop/headers", "shop/none"),
    ("server-tokens", "false", ""),
    ("service-upstream", "true", "x"),
    ("ssl-buffer-size", "4k", "1m"),
    ("ssl-ciphers", "ECDHE-RSA-AES128-GCM-SHA256", "a; b"),
    ("ssl-ecdh-curve", "X25519", "a b"),
    ("ssl-protocols", "TLSv1.3", "TLSv1"),
    ("ssl-redirect", "false", "off!"),
    ("ssl-session-cache", "false", ""),
    ("ssl-session-cache-size", "20m", "1k"),
    ("ssl-session-tickets", "false", ""),
    ("ssl-session-timeout", "10m", "10w"),
    ("upstream-keepalive-connections", "64", "x"),
    ("upstream-keepalive-requests", "100", "0"),
    ("upstream-keepalive-time", "1h", "1y"),
    ("upstream-keepalive-timeout", "30", "30s"),
    ("use-forwarded-headers", "false", "true"),
    ("use-gzip", "true", "gzip"),
    ("use-http2", "false", "2"),
    ("use-proxy-protocol", "false", "v2"),
    ("whitelist-source-range", "10.0.0.0/8", ""),
    ("worker-processes", "auto", "all"),
    ("worker-shutdown-timeout", "240s", "0"),
];

/// Keys whose lists are empty without any item.
const EMPTY_LISTS: &[&str] = &[
    "block-cidrs",
    "block-referers",
    "block-user-agents",
    "denylist-source-range",
    "hide-headers",
    "whitelist-source-range",
];

/// Keys of which a value that cannot be used closes.
const CLOSING: &[&str] = &["global-auth-method", "global-auth-response-headers", "global-auth-url"];

fn flags() -> SharedSettings {
    // Some keys are of use only beside it.
    let default_backend = "infra/default".parse().ok();
    let defaults = entry_translate::PolicyDefaults { default_backend, ..Default::default() };
    let mut nginx = nginx_conf::Settings::default();
    nginx.modules.brotli = true;
    SharedSettings { nginx, defaults }
}

fn texts(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Objects, among them a `ConfigMap` of headers.
fn snapshot(headers: &[(&str, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.put(config_map("headers", headers));
    snapshot
}

fn config_map(name: &str, data: &[(&str, &str)]) -> ConfigMap {
    let meta = Meta { namespace: "shop".to_owned(), name: name.to_owned(), ..Meta::default() };
    ConfigMap { meta, data: texts(data) }
}

fn apply_texts(values: &[(&str, &str)], snapshot: &Snapshot) -> (SharedSettings, Vec<KeyOutcome>) {
    let mut settings = flags();
    let outcomes = apply(&mut settings, KeyValues { values: &texts(values), good: &BTreeMap::new(), snapshot });
    (settings, outcomes)
}

fn settings_of(values: &[(&str, &str)]) -> SharedSettings {
    let (settings, outcomes) = apply_texts(values, &snapshot(&[]));
    assert!(outcomes.iter().all(KeyOutcome::is_good), "{outcomes:?}");
    settings
}

fn loss_of(values: &[(&str, &str)], name: &str) -> String {
    let (_, outcomes) = apply_texts(values, &snapshot(&[]));
    let outcome = outcomes.iter().find(|outcome| outcome.name == name).unwrap();
    assert!(outcome.is_loss(), "{outcome:?}");
    outcome.message().unwrap().1
}

#[test]
fn each_key_of_ingress_nginx_has_one_row() {
    let rows: Vec<_> = all().map(|key| key.name).collect();
    let names: BTreeSet<_> = rows.iter().copied().collect();
    assert_eq!(names.len(), rows.len());
    let missing: Vec<_> = INGRESS_NGINX.lines().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(GROUPS.iter().map(|(_, keys)| keys.len()).sum::<usize>(), rows.len());
}

#[test]
fn each_setting_takes_a_right_value_and_rejects_a_wrong_one() {
    let settings: BTreeSet<_> =
        all().filter(|key| matches!(key.effect, KeyEffect::Read { .. })).map(|key| key.name).collect();
    assert_eq!(settings, VALUES.iter().map(|(name, ..)| *name).collect());
    let snapshot = snapshot(&[("X-Test", "1")]);
    for (name, right, wrong) in VALUES {
        let (_, outcomes) = apply_texts(&[(name, right)], &snapshot);
        assert!(outcomes[0].is_good() && !outcomes[0].is_loss(), "{outcomes:?}");
        let (settings, outcomes) = apply_texts(&[(name, wrong)], &snapshot);
        if EMPTY_LISTS.contains(name) {
            assert_eq!(outcomes[0].state, KeyState::InForce, "{name}");
            continue;
        }
        if CLOSING.contains(name) {
            assert!(matches!(outcomes[0].state, KeyState::Partial(_)) && settings != flags(), "{outcomes:?}");
            continue;
        }
        assert!(matches!(outcomes[0].state, KeyState::Rejected { .. }), "{outcomes:?}");
        assert_eq!(settings, flags(), "{name} changes something");
    }
}

#[test]
fn value_that_was_good_stays_when_it_is_broken() {
    let (mut settings, good) = (flags(), texts(&[("keep-alive", "30")]));
    let values = texts(&[("keep-alive", "30s"), ("use-gzip", "true")]);
    let outcomes = apply(&mut settings, KeyValues { values: &values, good: &good, snapshot: &Snapshot::default() });
    assert_eq!(settings.nginx.keepalive_timeout.as_secs(), 30);
    assert!(settings.nginx.gzip.is_some());
    assert_eq!(outcomes[0].in_force(), "before: 30");
    let verdict = outcome::verdict(3, &outcomes);
    assert_eq!((verdict.acceptance(), verdict.observed_generation), (Acceptance::Partial, 3));
    let findings = verdict.findings();
    assert_eq!(
        (findings.len(), findings[0].field.as_str(), findings[0].reason),
        (1, "data[keep-alive]", Reason::Invalid)
    );
    assert!(findings[0].message.contains("\"30\", which was there before, stays"), "{}", findings[0].message);
}

#[test]
fn nobody_is_believed_unless_named() {
    let on = ("use-forwarded-headers", "true");
    assert!(loss_of(&[on], on.0).contains("proxy-real-ip-cidr"));
    let trusted = settings_of(&[on, ("proxy-real-ip-cidr", "10.0.0.0/8,192.0.2.1")]).nginx.trusted;
    assert_eq!(trusted.len(), 2);
    // A list alone has no effect, as there.
    let (settings, outcomes) = apply_texts(&[("proxy-real-ip-cidr", "10.0.0.0/8")], &Snapshot::default());
    assert!(settings.nginx.trusted.is_empty() && matches!(outcomes[0].state, KeyState::Noted(_)));
    // Connections begin with the PROXY protocol all the same: else none would be understood.
    let (settings, outcomes) = apply_texts(&[("use-proxy-protocol", "true")], &Snapshot::default());
    assert!(settings.nginx.proxy_protocol && settings.nginx.trusted.is_empty() && outcomes[0].is_loss());
    let both = [("use-proxy-protocol", "true"), ("proxy-real-ip-cidr", "0.0.0.0/0")];
    let (settings, outcomes) = apply_texts(&both, &Snapshot::default());
    assert!(settings.nginx.proxy_protocol && settings.nginx.trusted.len() == 1);
    assert!(matches!(&outcomes[0].state, KeyState::Noted(note) if note.starts_with("Everybody")), "{outcomes:?}");
}

#[test]
fn list_that_closes_never_opens_by_a_mistake() {
    let (settings, outcomes) =
        apply_texts(&[("whitelist-source-range", "10.0.0.0/8, 10.0.0.0/33")], &Snapshot::default());
    assert_eq!((settings.nginx.filter.allowed.len(), outcomes[0].is_loss()), (1, true));
    let (settings, outcomes) = apply_texts(&[("whitelist-source-range", "office")], &Snapshot::default());
    assert_eq!((settings.nginx.filter.denied.len(), outcomes[0].is_loss()), (2, true));
}

#[test]
fn pages_of_errors_need_somebody_who_makes_them() {
    let mut settings = flags();
    settings.defaults.default_backend = None;
    let values = texts(&[("custom-http-errors", "404,503")]);
    let keys = KeyValues { values: &values, good: &BTreeMap::new(), snapshot: &Snapshot::default() };
    assert!(apply(&mut settings, keys)[0].is_loss());
    assert_eq!(settings.defaults.custom_http_errors, [404, 503]);
    let values = [("custom-http-errors", "503, 404,4xx"), ("default-backend", "infra/pages")];
    let (settings, outcomes) = apply_texts(&values, &Snapshot::default());
    assert_eq!(settings.defaults.default_backend, "infra/pages".parse().ok());
    let (_, message) = outcomes[0].message().unwrap();
    assert!(outcomes[0].is_loss() && message.contains("4xx"), "{message}");
    assert_eq!(settings.defaults.custom_http_errors, [404, 503]);
}

#[test]
fn hsts_is_off_unless_it_is_asked_for() {
    assert_eq!(flags().nginx.headers.hsts, None);
    let hsts = settings_of(&[("hsts", "true")]).nginx.headers.hsts.unwrap();
    assert_eq!((hsts.max_age_seconds, hsts.include_subdomains, hsts.preload), (31_536_000, true, false));
    let values = [("hsts-max-age", "60"), ("hsts-include-subdomains", "false")];
    let hsts = settings_of(&values).nginx.headers.hsts.unwrap();
    assert_eq!((hsts.max_age_seconds, hsts.include_subdomains), (60, false));
    assert_eq!(settings_of(&[("hsts", "false"), ("hsts-max-age", "60")]).nginx.headers.hsts, None);
}

#[test]
fn headers_that_say_who_the_client_is_cannot_be_set() {
    let headers =
        [("X-Forwarded-For", "1.2.3.4"), ("X-Start", "t=${msec}"), ("X-Own", "$document_root"), ("bad name", "1")];
    let (settings, outcomes) = apply_texts(&[("proxy-set-headers", "shop/headers")], &snapshot(&headers));
    let names: Vec<_> = settings.nginx.headers.requests.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["X-Start"]);
    let (_, message) = outcomes[0].message().unwrap();
    for name in ["X-Forwarded-For", "X-Own", "bad name"] {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn values_with_effect_become_settings() {
    let settings = settings_of(&[
        ("proxy-body-size", "8m"),
        ("proxy-read-timeout", "90"),
        ("ssl-redirect", "false"),
        ("worker-processes", "3"),
        ("large-client-header-buffers", "8 32k"),
        ("disable-access-log", "true"),
    ]);
    assert_eq!((settings.nginx.max_body_bytes, settings.defaults.max_body_bytes), (8 << 20, 8 << 20));
    assert_eq!(settings.defaults.timeouts.read.unwrap().as_secs(), 90);
    assert_eq!(settings.defaults.https_redirect, entry_translate::HttpsRedirect::Never);
    assert!(settings.nginx.access_log.is_none());
    assert_eq!((settings.nginx.worker_processes, settings.nginx.max_header_lines), (Some(3), 8));
    let old = apply_texts(&[("ssl-protocols", "TLSv1.1 TLSv1.2")], &Snapshot::default());
    assert_eq!((old.0.nginx.tls.versions, old.1[0].is_loss()), (TlsVersions::Only12, true));
    let format = [("log-format-upstream", "$status [$service_name]"), ("log-format-escape-json", "true")];
    let (settings, outcomes) = apply_texts(&format, &Snapshot::default());
    assert!(matches!(settings.nginx.log_format, LogFormat::Text { escape: nginx_conf::LogEscape::Json, .. }));
    assert!(outcomes.iter().all(|outcome| !outcome.is_loss()), "{outcomes:?}");
    assert_eq!(flags().defaults.backends, BackendMode::ClusterIp);
}

#[test]
fn brotli_is_set_where_nginx_has_it_and_else_told() {
    let values = texts(&[("enable-brotli", "true"), ("brotli-level", "7"), ("brotli-types", "text/css b text/css")]);
    for has_it in [true, false] {
        let mut settings = flags();
        settings.nginx.modules.brotli = has_it;
        let keys = KeyValues { values: &values, good: &BTreeMap::new(), snapshot: &Snapshot::default() };
        let outcomes = apply(&mut settings, keys);
        let brotli = settings.nginx.brotli.map(|brotli| (brotli.level, brotli.min_bytes, brotli.types.join(" ")));
        assert_eq!(brotli, has_it.then(|| (7, 20, "text/css".to_owned())));
        let lost: Vec<_> =
            outcomes.iter().filter(|outcome| outcome.is_loss()).map(|outcome| outcome.name.as_str()).collect();
        assert_eq!(lost, if has_it { vec!["brotli-types"] } else { vec!["brotli-types", "enable-brotli"] });
    }
}

#[test]
fn what_is_not_followed_is_told_unless_it_changes_nothing() {
    let (settings, outcomes) = apply_texts(
        &[("gzip-disable", ""), ("http-snippet", "gzip on;"), ("map-hash-bucket-size", "x"), ("hts", "1")],
        &Snapshot::default(),
    );
    assert_eq!(settings, flags());
    let states: Vec<_> =
        outcomes.iter().map(|outcome| (outcome.name.as_str(), outcome.in_force(), outcome.is_loss())).collect();
    assert_eq!(
        states,
        [
            ("gzip-disable", "changes nothing here".to_owned(), false),
            ("hts", "not known".to_owned(), false),
            ("http-snippet", "not followed".to_owned(), true),
            ("map-hash-bucket-size", "changes nothing here".to_owned(), false),
        ]
    );
    assert!(find_key("hts").is_none());
}

#[test]
fn snippet_that_may_keep_someone_out_takes_no_settings() {
    let key = Key { namespace: "shop".to_owned(), name: "settings".to_owned() };
    for (name, value, keeps_out) in [
        ("http-snippet", "deny 192.0.2.0/24;", true),
        ("http-snippet", "map $a $b { default 1; }", false),
        ("server-snippet", "if ($bad) { return 403; }", true),
        ("server-snippet", "location /.git { deny all; }", true),
        ("server-snippet", "more_set_headers \"X-A: b\";", false),
        ("location-snippet", "proxy_set_header X-User $remote_user;", true),
        ("location-snippet", "proxy_buffering off;", false),
        ("location-snippet", "deny all", true),
        ("location-snippet", " ", false),
    ] {
        let mut followed = FollowedSettings::new(flags(), Some(key.clone()));
        let mut snapshot = Snapshot::default();
        snapshot.put(config_map("settings", &[("keep-alive", "30"), (name, value)]));
        let acceptance = followed.update(&snapshot).unwrap().1.acceptance();
        assert_eq!(acceptance == Acceptance::Rejected, keeps_out, "{name}: {value}");
        let refusal = followed.refusal();
        assert_eq!(refusal.is_some(), keeps_out, "{refusal:?}");
        if let Some(refusal) = refusal {
            assert!(refusal.contains("ConfigMap shop/settings") && refusal.contains(name), "{refusal}");
        }
    }
}

#[test]
fn settings_before_a_snippet_that_may_keep_someone_out_stay() {
    let key = Key { namespace: "shop".to_owned(), name: "settings".to_owned() };
    let mut followed = FollowedSettings::new(flags(), Some(key));
    let mut snapshot = Snapshot::default();
    let mut seconds_with = |followed: &mut FollowedSettings, data: &[(&str, &str)]| {
        snapshot.put(config_map("settings", data));
        for _ in 0..2 {
            followed.update(&snapshot);
        }
        followed.current().nginx.keepalive_timeout.as_secs()
    };
    assert_eq!(seconds_with(&mut followed, &[("keep-alive", "30")]), 30);
    let taken = Arc::clone(followed.current());
    followed.confirm(&taken);
    let guarded = [("keep-alive", "40"), ("server-snippet", "deny 192.0.2.1;")];
    assert_eq!((seconds_with(&mut followed, &guarded), followed.refusal()), (30, None));
    assert_eq!(seconds_with(&mut followed, &[("keep-alive", "40"), ("server-snippet", "gzip on;")]), 40);
}

#[test]
fn settings_that_came_while_nginx_took_others_are_not_what_it_took() {
    let key = Key { namespace: "shop".to_owned(), name: "settings".to_owned() };
    let mut followed = FollowedSettings::new(flags(), Some(key));
    let mut snapshot = Snapshot::default();
    snapshot.put(config_map("settings", &[("keep-alive", "30")]));
    followed.update(&snapshot);
    let taken = Arc::clone(followed.current());
    snapshot.put(config_map("settings", &[("keep-alive", "40"), ("server-snippet", "deny 192.0.2.1;")]));
    followed.update(&snapshot);
    assert!(followed.refusal().is_some(), "it is not offered");
    followed.confirm(&taken);
    followed.update(&snapshot);
    assert_eq!((followed.current().nginx.keepalive_timeout.as_secs(), followed.refusal()), (30, None));
}

#[test]
fn settings_that_nginx_rejects_stay_aside_until_the_config_map_changes() {
    let key = Key { namespace: "shop".to_owned(), name: "settings".to_owned() };
    let mut followed = FollowedSettings::new(flags(), Some(key));
    let mut snapshot = Snapshot::default();
    let (object, verdict) = followed.update(&snapshot).unwrap();
    assert_eq!((object.to_string().as_str(), verdict.acceptance()), ("ConfigMap shop/settings", Acceptance::Rejected));
    snapshot.put(config_map("settings", &[("keep-alive", "30")]));
    assert_eq!(followed.update(&snapshot).unwrap().1.acceptance(), Acceptance::Accepted);
    let taken = Arc::clone(followed.current());
    followed.confirm(&taken);
    snapshot.put(config_map("settings", &[("keep-alive", "40"), ("ssl-ciphers", "NONE")]));
    followed.update(&snapshot);
    assert_eq!(followed.current().nginx.keepalive_timeout.as_secs(), 40);
    assert!(followed.reject("nginx: [emerg] SSL_CTX_set_cipher_list(\"NONE\") failed").is_some());
    let (_, verdict) = followed.update(&snapshot).unwrap();
    assert_eq!((verdict.acceptance(), verdict.findings()[0].reason), (Acceptance::Rejected, Reason::RejectedByNginx));
    assert_eq!(followed.current().nginx.keepalive_timeout.as_secs(), 30);
    // With those that it took, another object is to blame.
    assert!(followed.reject("nginx: [emerg] host not found").is_none());
    snapshot.put(config_map("settings", &[("keep-alive", "40")]));
    assert_eq!(followed.update(&snapshot).unwrap().1.acceptance(), Acceptance::Accepted);
    assert_eq!(followed.current().nginx.keepalive_timeout.as_secs(), 40);
    // A fault of another key never opens what was to be asked for.
    let asks = [("keep-alive", "50"), ("global-auth-url", "http://auth.infra.svc")];
    let taken = Arc::clone(followed.current());
    followed.confirm(&taken);
    snapshot.put(config_map("settings", &asks));
    followed.update(&snapshot);
    assert!(followed.reject("nginx: [emerg] SSL_CTX_set_cipher_list(\"NONE\") failed").is_some());
    for _ in 0..2 {
        followed.update(&snapshot);
        let current = followed.current();
        assert_eq!((current.nginx.keepalive_timeout.as_secs(), current.defaults.external_auth.is_asked()), (40, true));
    }
    assert!(followed.reject("nginx: [emerg] host not found").is_none());
    snapshot.put(config_map("settings", &[("keep-alive", "40")]));
    followed.update(&snapshot);
    assert!(!followed.current().defaults.external_auth.is_asked());
    // An address in use is nobody's fault here.
    assert!(followed.reject("nginx: [emerg] bind() to 0.0.0.0:80 failed").is_none());
}
