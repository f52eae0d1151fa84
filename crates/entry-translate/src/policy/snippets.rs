//! Lines of nginx's language, read as data: those of a closed list become values of policies, all others are told to their owner, and none of
//! their text reaches nginx.

use std::collections::BTreeSet;

use entry_model::{Action, HostName, Reason};

use super::annotations::Annotations;
use super::client_redirects::{ActionOfHost, HttpsRedirect};
use super::path_treatment::PathTreatment;
use super::reader::AnnotationReader;
use super::snippet_access::{SourceRanges, is_access, read_source_ranges};
use super::snippet_answers::{Returned, content_type, read_return, says_content_type};
use super::snippet_harmless::instead_of;
use super::snippet_lines::{act, read_statement};
use super::snippet_redirects::{is_https_redirect, read_host_redirect, read_path_redirect};
use super::snippet_rewrites::{push_pattern_redirect, read_path_target, read_pattern_redirect, with_returns};
use super::snippet_text::{Statement, read_statements};
use super::snippet_treatment::{Outcome, read_buffers};
use super::table::{IngressNginxAnnotation, Scope, Topic};
use crate::host::parse_host;
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

const READ_AS_DATA: &str = "Its lines are read one by one, and never given to nginx. Headers (`more_set_headers`, \
    `more_clear_headers`, `add_header`, `proxy_hide_header`, `proxy_set_header`, `more_set_input_headers`, `more_clear_input_headers`), times \
    and sizes (`proxy_…_timeout`, `client_max_body_size`, `client_body_buffer_size`, `proxy_buffer_size`, `proxy_buffers`, \
    `proxy_busy_buffers_size`, `proxy_buffering`, `proxy_request_buffering`), a redirect of all (`return 301 URL` or `rewrite ^ URL permanent`, with the variables of \
    `permanent-redirect`), a text (`return 200 \"ok\"`, with the variables of headers that are known of a request, and with `default_type` or the header `Content-Type`; without one it is `text/html` if \
    it begins with `<`, else `text/plain`, where ingress-nginx goes by the path), a redirect of one path (`rewrite ^(/a)$ $1/ redirect`), in `server-snippet` of all that a pattern matches (`rewrite ^/old/(.*)$ /new/$1 permanent`), a path that becomes another below that of the rule (`rewrite ^/api/(.*)$ /$1 break`, in `configuration-snippet`), a redirect of one host (`if ($host = a.example) { return 301 URL; }`), one of HTTP to \
    HTTPS (`if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }`, in `configuration-snippet`, by what trusted proxies \
    say), headers of an auth server's answer for the backend (`auth_request_set $token $upstream_http_…` with `proxy_set_header X-Token $token`), \
    `allow RANGE` with `deny all` and `deny RANGE` (in `configuration-snippet`), `deny all`, `location PATH { deny all; }` and `location PATH { return 200 \"ok\"; }` or `{ return 301 URL; }` (all that begins like it, as there), and the same with `location ~ EXPRESSION`, \
    do what they did, for the paths of this Ingress; what `server-snippet` says of all requests is for all paths of its hosts. Each other line is \
    named. One of those that let everybody in (buffers, caches, compression, logs and their like) has no effect; a header of requests that cannot be set \
    is taken out; a location that is not followed is answered 503; with any other line, all requests are. Values of headers take [variables of a closed list](annotations.md#variables-in-headers)";

/// The snippet that is for all paths of a host, of whichever object.
const OF_HOST: &str = "server-snippet";

/// Reads them.
pub fn read(reader: &mut AnnotationReader<'_, '_>, annotations: &mut Annotations<'_>) {
    for name in [OF_HOST, "configuration-snippet"] {
        let Some(text) = reader.ingress_nginx_text(name) else { continue };
        match read_statements(text).map(with_returns) {
            Ok(statements) => read_snippet(reader, annotations, name, &statements),
            Err(why) => {
                close(annotations, name);
                let message = format!(
                    "Requests are answered 503: the snippet cannot be read, and may keep someone out: {why}. Correct it, or write what it does \
                     with annotations"
                );
                reader.report_loss(name, Reason::Invalid, message);
            }
        }
    }
}

/// Has nobody get anything.
fn close(annotations: &mut Annotations<'_>, name: &str) {
    annotations.unavailable = true;
    if name == OF_HOST {
        annotations.host_action = Some(Action::UNAVAILABLE);
    }
}

/// What is said of the lines of a snippet.
#[derive(Default)]
struct LinesToReport {
    lost: BTreeSet<String>,
    without_effect: BTreeSet<String>,
    locations: BTreeSet<String>,
    closing: BTreeSet<String>,
}

fn read_snippet(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    name: &str,
    statements: &[Statement],
) {
    let before = annotations.action.take();
    let mut lines = LinesToReport::default();
    // Variables have their values before any line reads them.
    for statement in statements.iter().filter(|one| one.name == "auth_request_set") {
        if let [variable, value] = statement.arguments.as_slice() {
            annotations.auth_answer.name(variable, value);
        }
    }
    // What it says is for the paths of this object; that of a host is for those of others, too.
    let ranges = read_source_ranges(statements).filter(|_| name != OF_HOST);
    let is_followed = ranges.is_some();
    if let Some(SourceRanges { allowed, denied }) = ranges {
        let access = &mut annotations.policy.access;
        (access.allowed, access.denied) = (allowed.map(Into::into), denied.into());
    }
    let content_type = content_type(statements);
    // `return` comes before `deny`, wherever it stands.
    let (returns, mut others): (Vec<_>, Vec<_>) = statements.iter().partition(|one| one.name == "return");
    let is_alone = returns.is_empty();
    // They are tried before locations, which must be known then.
    others.sort_by_key(|one| one.name == "rewrite");
    for statement in returns.into_iter().chain(others) {
        let line = || quoted(&statement.name);
        // Behind a `return` nothing comes.
        if is_followed && is_access(statement) || is_alone && redirect_some(reader, annotations, name, statement) {
            continue;
        }
        let answered = answer(reader, annotations, name, statement, content_type);
        match answered.unwrap_or_else(|| read_statement(statement, annotations)) {
            Outcome::Served => {}
            Outcome::WithoutEffect => drop(lines.without_effect.insert(line())),
            Outcome::Lost(why) => drop(lines.lost.insert(format!("{} ({why})", line()))),
            Outcome::TakenOut(why) => {
                lines.lost.insert(format!("{} ({why}; the header is taken out of requests)", line()));
            }
            Outcome::ClosesPath => drop(lines.locations.insert(quoted(&statement.arguments.join(" ")))),
            Outcome::Closes => {
                let instead = instead_of(&statement.name).map(|instead| format!(" (instead: {instead})"));
                lines.closing.insert(line() + &instead.unwrap_or_default());
            }
        }
    }
    read_buffers(statements, &mut annotations.policy);
    if name == OF_HOST {
        annotations.host_action.clone_from(&annotations.action);
    }
    // What is said of all requests of a host comes first.
    annotations.action = before.or(annotations.action.take());
    if !lines.closing.is_empty() {
        close(annotations, name);
    }
    lines.report(reader, name);
}

/// Has all requests answered or redirected, if that is what a statement does in a way that is known. What is of the answer itself is a part of
/// that.
fn answer(
    reader: &AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    name: &str,
    statement: &Statement,
    content_type: Option<&str>,
) -> Option<Outcome> {
    let is_of_host = name == OF_HOST;
    let is_answered = matches!(annotations.action, Some(Action::Answer(_)));
    if is_answered && says_content_type(statement) {
        return Some(Outcome::Served);
    }
    match read_return(statement, content_type)? {
        Returned::Answer(answer) => Some(act(annotations, Action::Answer(answer))),
        Returned::Redirect(url) => {
            let url = url.check_hosts(reader.context.hosts).ok()?;
            if let Some(redirect) = url.clone().for_all() {
                return Some(act(annotations, Action::Redirect(redirect)));
            }
            // Where a part of the name is that of the request, each host has its own. What a host is called that is not named is not known.
            if !annotations.aliases.hosts.is_empty() {
                return None;
            }
            let actions = if is_of_host { &mut annotations.host_actions } else { &mut annotations.actions_of_hosts };
            for host in reader.context.hosts.iter().filter_map(|host| parse_host(host).ok()) {
                let action = Action::Redirect(url.for_host(&host)?);
                actions.push(ActionOfHost { host: host.to_string(), is_for_others: false, action });
            }
            Some(Outcome::Served)
        }
    }
}

/// Has some requests redirected, if that is what a statement does.
fn redirect_some(
    reader: &mut AnnotationReader<'_, '_>,
    annotations: &mut Annotations<'_>,
    name: &str,
    statement: &Statement,
) -> bool {
    let is_of_host = name == OF_HOST;
    if let Some(redirect) = read_path_redirect(statement, is_of_host) {
        return push(&mut annotations.path_redirects, redirect);
    }
    // What annotations say of paths comes with patterns of its own.
    let is_plain = annotations.paths == PathTreatment::default() && annotations.strip_prefix != Some(true);
    if !is_of_host
        && is_plain
        && let Some(target) = read_path_target(statement, reader.context.paths)
    {
        annotations.paths.target = Some(target);
        return true;
    }
    if is_of_host && let Some(redirect) = read_pattern_redirect(statement) {
        // Of both it would be the first, where the one of a path is the first there.
        let is_second = annotations.path_redirects.iter().any(|other| redirect.path.matches(&other.path));
        return !is_second && push_pattern_redirect(&mut annotations.answered_paths, redirect);
    }
    // What others serve at the host would not be redirected, and ours counts.
    if is_https_redirect(statement) && !is_of_host && reader.own_text("ssl-redirect").is_none() {
        annotations.https_redirect = HttpsRedirect::Always;
        let message = "Requests over HTTP are redirected to HTTPS, as the snippet says; whether one came over HTTPS is said by trusted proxies \
                       alone (--trusted-proxies); behind one that is not trusted they are redirected without end. Write `force-ssl-redirect: \"true\"` instead";
        reader.report_note(name, Reason::Unsupported, message.to_owned());
        return true;
    }
    // What a host is called that is not named once, is not known.
    let hosts = reader.context.hosts;
    let are_named = !hosts.is_empty() && hosts.iter().all(|host| matches!(parse_host(host), Ok(HostName::Exact(_))));
    let found = read_host_redirect(statement).filter(|_| are_named && annotations.aliases.hosts.is_empty());
    let actions = if is_of_host { &mut annotations.host_actions } else { &mut annotations.actions_of_hosts };
    found.is_some_and(|redirect| push(actions, redirect))
}

/// Adds one, if there are not too many.
fn push<T>(all: &mut Vec<T>, one: T) -> bool {
    const MOST: usize = 16;
    let has_room = all.len() < MOST;
    if has_room {
        all.push(one);
    }
    has_room
}

impl LinesToReport {
    fn report(&self, reader: &mut AnnotationReader<'_, '_>, name: &str) {
        if !self.closing.is_empty() {
            let message = format!(
                "Requests are answered 503: lines of the snippet may keep someone out and are not followed: {}. Write what they do with \
                 annotations, and remove them",
                list(&self.closing)
            );
            reader.report_loss(name, Reason::Unsupported, message);
        }
        if !self.locations.is_empty() {
            let message = format!(
                "Requests for locations of the snippet are answered 503, since these are not followed: {}. Write an Ingress with their paths, \
                 and remove them",
                list(&self.locations)
            );
            reader.report_loss(name, Reason::Unsupported, message);
        }
        if !self.lost.is_empty() {
            let message = format!(
                "Lines of the snippet have no effect: {}. The others stay in force; write these with annotations, or remove them",
                list(&self.lost)
            );
            reader.report_loss(name, Reason::Unsupported, message);
        }
        if !self.without_effect.is_empty() {
            let message =
                format!("Lines of the snippet change nothing here, and can be removed: {}", list(&self.without_effect));
            reader.report_note(name, Reason::Unsupported, message);
        }
    }
}

/// Some of them in a line.
fn list(lines: &BTreeSet<String>) -> String {
    const MOST: usize = 8;
    let shown: Vec<&str> = lines.iter().take(MOST).map(String::as_str).collect();
    let more = if lines.len() > MOST { " and others" } else { "" };
    shown.join(", ") + more
}
