//! Routes as text.

use std::fmt;
use std::time::Duration;

use crate::{
    Access, Action, AddressRange, Affinity, AnswerHeaders, BackendTls, Balancing, Buffers, ClientCertificates,
    ClientTls, ClientVerification, Cors, CorsOrigins, Destination, ErrorPages, ExternalAuth, Forward, HashPart,
    HostName, Limits, Listener, ListenerSet, Match, Mirror, OutsideServer, PathMatch, PathRewrite, Policy, Protocol,
    Redirect, RenamedHeader, RequestHeaders, RequestLimit, Retries, Routes, Rule, SessionCookie, StreamRoute,
    TlsPassthrough, ValueMatch, VerificationMode,
};

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Http2 => "h2c",
            Self::Http2Tls => "h2",
        })
    }
}

impl fmt::Display for Routes {
    /// A line for each rule, in the order in which they are tried, then one for each host whose TLS connections go to a backend as
    /// they come, one for each port at which something else than HTTP is served, one for each certificate of a host, and one for the endpoints of each backend that is reached at them. Stable.
    ///
    /// ```text
    /// shop.example.com prefix /cart -> 10.0.0.7:80 http strip redirect read=5s (Ingress shop/web)
    /// shop.example.com prefix / method=GET header:x-canary=1 -> 10.0.0.7:80 http weight=9 10.0.0.8:80 http weight=1 (…)
    /// shop.example.com without default
    /// default -> unavailable (Ingress shop/rest)
    /// shop.example.com prefix /api -> endpoints of shop/api:80 http (Ingress shop/web)
    /// secret.example.com tls passthrough -> 10.0.0.9:443 (Ingress shop/secret)
    /// port 5432/TCP -> 10.0.0.5:5432 (ConfigMap sparrow/tcp-services)
    /// shop.example.com certificate 9f86d081884c (Secret shop/tls)
    /// endpoints of shop/api:80: 10.1.0.5:8080 10.1.2.7:8080
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, host) in &self.hosts {
            for rule in &host.rules {
                self.write_rule(f, Some(name), rule)?;
            }
            if host.rules.is_empty() {
                writeln!(f, "{name} kept for its owner")?;
            } else if host.closed && self.default.is_some() {
                writeln!(f, "{name} without default")?;
            }
        }
        if let Some(rule) = &self.default {
            self.write_rule(f, None, rule)?;
        }
        for (name, TlsPassthrough { backend, origin }) in &self.tls_passthrough {
            write!(f, "{name} tls passthrough -> ")?;
            match backend {
                Some(backend) => write!(f, "{backend}")?,
                None => f.write_str("unavailable")?,
            }
            writeln!(f, " ({origin})")?;
        }
        for (port, StreamRoute { backend, accepts_proxy_protocol, sends_proxy_protocol, origin }) in &self.streams {
            write!(f, "port {port} -> {backend}")?;
            f.write_str(if *accepts_proxy_protocol { " accepts-proxy-protocol" } else { "" })?;
            f.write_str(if *sends_proxy_protocol { " sends-proxy-protocol" } else { "" })?;
            writeln!(f, " ({origin})")?;
        }
        for (name, host) in &self.hosts {
            let Some(id) = &host.certificate else { continue };
            // Enough of it to be told from others.
            write!(f, "{name} certificate {}", id.0.get(..12).unwrap_or(&id.0))?;
            match self.certificates.get(id) {
                Some(certificate) => writeln!(f, " ({})", certificate.origin)?,
                None => writeln!(f)?,
            }
        }
        for (id, addresses) in &self.endpoints {
            write!(f, "endpoints of {id}:")?;
            addresses.iter().try_for_each(|address| write!(f, " {address}"))?;
            f.write_str(if addresses.is_empty() { " none\n" } else { "\n" })?;
        }
        Ok(())
    }
}

impl Routes {
    fn write_rule(&self, f: &mut fmt::Formatter<'_>, host: Option<&HostName>, rule: &Rule) -> fmt::Result {
        match host {
            Some(host) => write!(f, "{host} ")?,
            None => f.write_str("default ")?,
        }
        if rule.listeners != ListenerSet::ALL {
            let listeners = self.listeners.iter().filter(|listener| rule.listeners.contains(listener.id));
            write!(f, "at {:?} ", listeners.map(|Listener { name, .. }| name.as_str()).collect::<Vec<_>>())?;
        }
        if host.is_some() {
            write_match(f, &rule.matches)?;
        }
        f.write_str("-> ")?;
        match &rule.action {
            Action::Forward(forward) => write_forward(f, forward)?,
            Action::Redirect(redirect) => write_redirect(f, redirect)?,
            Action::Respond(503) => f.write_str("unavailable")?,
            Action::Respond(status) => write!(f, "status {status}")?,
            Action::Answer(answer) => {
                write!(f, "answer {} {:?} {:?}", answer.status(), answer.content_type(), answer.written_text())?;
            }
        }
        match rule.action {
            Action::Forward(_) => write_policy(f, self.policy(rule))?,
            // Nothing else of a policy matters for what is answered at once.
            _ if self.policy(rule).redirect_to_https => f.write_str(" redirect")?,
            _ => {}
        }
        writeln!(f, " ({})", rule.origin)
    }
}

/// Text that is more than a word in quotes.
struct QuotedWord<'a>(&'a str);

impl fmt::Display for QuotedWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            text if text.contains(['"', '\\']) || text.contains(char::is_whitespace) => write!(f, "{text:?}"),
            text => f.write_str(text),
        }
    }
}

fn write_match(f: &mut fmt::Formatter<'_>, matches: &Match) -> fmt::Result {
    let Match { path, method, headers, cookies, query } = matches;
    let (kind, text) = match path {
        PathMatch::Exact(path) => ("exact", path.as_str()),
        PathMatch::Prefix(path) => ("prefix", path.as_str()),
        PathMatch::Regex(pattern) => ("regex", pattern.text()),
    };
    write!(f, "{kind} {} ", QuotedWord(text))?;
    if let Some(method) = method {
        write!(f, "method={} ", QuotedWord(method))?;
    }
    let equals = |value: &ValueMatch| if matches!(value, ValueMatch::Exact(_)) { "=" } else { "~" };
    for header in headers {
        write!(f, "header:{}{}{} ", QuotedWord(&header.name), equals(&header.value), QuotedWord(header.value.text()))?;
    }
    for cookie in cookies {
        write!(f, "cookie:{}{}{} ", QuotedWord(&cookie.name), equals(&cookie.value), QuotedWord(cookie.value.text()))?;
    }
    for parameter in query {
        write!(
            f,
            "query:{}{}{} ",
            QuotedWord(&parameter.name),
            equals(&parameter.value),
            QuotedWord(parameter.value.text())
        )?;
    }
    Ok(())
}

fn write_forward(f: &mut fmt::Formatter<'_>, forward: &Forward) -> fmt::Result {
    let Forward { backends, path } = forward;
    for (number, share) in backends.iter().enumerate() {
        if number > 0 {
            f.write_str(" ")?;
        }
        match &share.destination {
            Destination::Backend(backend) => {
                let once = if backend.keep_alive { "" } else { " once" };
                write!(f, "{} {}{}{once}", backend.address, backend.protocol, RewriteText(path))?;
            }
            Destination::Status(status) => write!(f, "status {status}")?,
        }
        if backends.len() > 1 || share.weight != 1 {
            write!(f, " weight={}", share.weight)?;
        }
    }
    Ok(())
}

/// What becomes of a path, behind what it is added to.
struct RewriteText<'a>(&'a PathRewrite);

impl fmt::Display for RewriteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PathRewrite::Keep => Ok(()),
            PathRewrite::StripPrefix => f.write_str(" strip"),
            PathRewrite::ReplacePrefix(replacement) => write!(f, " prefix={}", QuotedWord(replacement)),
            PathRewrite::ReplaceFull(replacement) => write!(f, " path={}", QuotedWord(replacement)),
            PathRewrite::ReplaceTarget(target) => write!(f, " target={}", QuotedWord(&target.to_string())),
            PathRewrite::Regex { pattern, template } => {
                write!(f, " replace={} by={}", QuotedWord(pattern.text()), QuotedWord(template))
            }
        }
    }
}

fn write_redirect(f: &mut fmt::Formatter<'_>, redirect: &Redirect) -> fmt::Result {
    let Redirect { status, scheme, host, port, path } = redirect;
    write!(f, "redirect {status}")?;
    scheme.map_or(Ok(()), |scheme| write!(f, " scheme={scheme}"))?;
    host.as_ref().map_or(Ok(()), |host| write!(f, " host={}", QuotedWord(host)))?;
    port.map_or(Ok(()), |port| write!(f, " port={port}"))?;
    write!(f, "{}", RewriteText(path))
}

fn write_policy(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let Policy {
        timeouts,
        max_body_bytes,
        buffers,
        balancing,
        session_path,
        speaks_http_1_0,
        access,
        client_certificates,
        client_tls,
        limits,
        backend_tls,
        request_headers,
        answer_headers,
        retries,
        cors,
        without_access_log,
        external_auth,
        mirror,
        error_pages,
        redirect_to_https,
    } = policy;
    let mut time = |name, time: Option<Duration>| time.map_or(Ok(()), |time| write!(f, " {name}={time:?}"));
    time("connect", timeouts.connect)?;
    time("read", timeouts.read)?;
    time("send", timeouts.send)?;
    max_body_bytes.map_or(Ok(()), |bytes| write!(f, " body={bytes}"))?;
    write_buffers(f, buffers)?;
    write_balancing(f, balancing, session_path)?;
    f.write_str(if *speaks_http_1_0 { " http/1.0" } else { "" })?;
    cors.as_ref().map_or(Ok(()), |cors| write_cors(f, cors))?;
    write_access(f, access)?;
    write_client_certificates(f, client_certificates.as_ref())?;
    write_client_tls(f, client_tls)?;
    write_limits(f, limits)?;
    write_backend_tls(f, backend_tls)?;
    write_headers(f, request_headers, answer_headers)?;
    write_retries(f, retries)?;
    f.write_str(if *without_access_log { " without-log" } else { "" })?;
    external_auth.as_ref().map_or(Ok(()), |auth| write_external_auth(f, auth))?;
    mirror.as_ref().map_or(Ok(()), |mirror| write_mirror(f, mirror))?;
    error_pages.as_ref().map_or(Ok(()), |pages| write_error_pages(f, pages))?;
    f.write_str(if *redirect_to_https { " redirect" } else { "" })
}

fn write_buffers(f: &mut fmt::Formatter<'_>, buffers: &Buffers) -> fmt::Result {
    if let Some(response) = buffers.response {
        let (number, size, busy) = (response.number(), response.size_bytes(), response.busy_bytes());
        write!(f, " answer-buffers={number}x{size}/{busy}")?;
    }
    let mut number = |name, number: Option<u32>| number.map_or(Ok(()), |number| write!(f, " {name}={number}"));
    number("answer-file", buffers.max_file_bytes())?;
    number("body-buffer", buffers.request_bytes)?;
    for (what, holds) in [("answer", buffers.holds_response), ("request", buffers.holds_request)] {
        holds.map_or(Ok(()), |holds| write!(f, " {}-{what}", if holds { "hold" } else { "stream" }))?;
    }
    Ok(())
}

/// The origins that may ask, and with which methods.
fn write_cors(f: &mut fmt::Formatter<'_>, cors: &Cors) -> fmt::Result {
    f.write_str(" cors=")?;
    match &cors.origins {
        CorsOrigins::Any => f.write_str("*")?,
        CorsOrigins::Listed(origins) if origins.is_empty() => f.write_str("nobody")?,
        CorsOrigins::Listed(origins) => {
            let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
            f.write_str(&origins.join(","))?;
        }
    }
    write!(f, " cors-methods={}", cors.methods.replace(' ', ""))
}

fn write_access(f: &mut fmt::Formatter<'_>, access: &Access) -> fmt::Result {
    let Access { allowed, denied, basic_auth, satisfy_any } = access;
    write_ranges(f, "deny", denied)?;
    allowed.as_ref().map_or(Ok(()), |allowed| write_ranges(f, "allow", allowed))?;
    f.write_str(if basic_auth.is_some() { " basic-auth" } else { "" })?;
    f.write_str(if *satisfy_any { " satisfy=any" } else { "" })
}

fn write_client_certificates(f: &mut fmt::Formatter<'_>, asked: Option<&ClientCertificates>) -> fmt::Result {
    let rule = match asked {
        None => return Ok(()),
        Some(ClientCertificates::Unusable) => return f.write_str(" client-certificate=unusable"),
        Some(ClientCertificates::Usable(rule)) => rule,
    };
    let ClientVerification { mode, depth, authorities: _, revoked, error_page, origin } = &*rule.verification;
    let mode = match mode {
        VerificationMode::Required => "required",
        VerificationMode::Optional => "optional",
        VerificationMode::OptionalOfAnyone => "optional-of-anyone",
    };
    write!(f, " client-certificate={mode} by={:?} depth={depth}", origin.to_string())?;
    f.write_str(if revoked.is_empty() { "" } else { " revocation" })?;
    error_page.as_ref().map_or(Ok(()), |page| write!(f, " error-page={}", QuotedWord(page)))?;
    rule.subject.as_ref().map_or(Ok(()), |subject| write!(f, " subject={}", QuotedWord(subject)))?;
    f.write_str(if rule.passes_certificate { " passed" } else { "" })
}

fn write_ranges(f: &mut fmt::Formatter<'_>, name: &str, ranges: &[AddressRange]) -> fmt::Result {
    for (range, mark) in ranges.iter().zip([" "].into_iter().chain(std::iter::repeat(","))) {
        match mark {
            " " => write!(f, " {name}={range}")?,
            _ => write!(f, ",{range}")?,
        }
    }
    Ok(())
}

fn write_headers(f: &mut fmt::Formatter<'_>, request: &RequestHeaders, answer: &AnswerHeaders) -> fmt::Result {
    if let Some(host) = &request.host {
        write!(f, " host={}", host.as_str())?;
    }
    if let Some(connection) = request.connection {
        write!(f, " connection={}", connection.as_str())?;
    }
    for field in &request.set {
        write!(f, " request:{}={:?}", field.name(), field.value().to_string())?;
    }
    for name in &answer.hidden {
        write!(f, " hide:{}", QuotedWord(name))?;
    }
    for header in &answer.added {
        let sign = if header.always { "=" } else { "?=" };
        write!(f, " answer:{}{sign}{:?}", header.field.name(), header.field.value().to_string())?;
    }
    for (what, replacement) in
        [("cookie-domain", &answer.cookie_domain), ("cookie-path", &answer.cookie_path), ("address", &answer.redirect)]
    {
        if let Some(replacement) = replacement {
            write!(f, " {what}={}->{}", replacement.from(), replacement.to())?;
        }
    }
    Ok(())
}

fn write_client_tls(f: &mut fmt::Formatter<'_>, tls: &ClientTls) -> fmt::Result {
    let ClientTls { ciphers, prefers_own_order } = tls;
    if !ciphers.is_empty() {
        let names: Vec<_> = ciphers.iter().map(|cipher| cipher.name()).collect();
        write!(f, " client-ciphers={}", names.join(":"))?;
    }
    prefers_own_order.map_or(Ok(()), |prefers| write!(f, " prefers-own-ciphers={prefers}"))
}

fn write_limits(f: &mut fmt::Formatter<'_>, limits: &Limits) -> fmt::Result {
    let Limits {
        requests_per_second,
        requests_per_minute,
        connections,
        counted_for,
        exempt,
        status,
        bytes_per_second,
        bytes_before,
    } = limits;
    for (limit, time) in [(requests_per_second, "second"), (requests_per_minute, "minute")] {
        if let Some(RequestLimit { rate, burst }) = limit {
            write!(f, " requests={rate}/{time}+{burst}")?;
        }
    }
    connections.map_or(Ok(()), |connections| write!(f, " connections={connections}"))?;
    counted_for.as_ref().map_or(Ok(()), |object| write!(f, " counted-for={}", QuotedWord(&object.to_string())))?;
    write_ranges(f, "exempt", exempt)?;
    status.map_or(Ok(()), |status| write!(f, " limit-status={status}"))?;
    bytes_per_second.map_or(Ok(()), |bytes| write!(f, " rate={bytes}"))?;
    bytes_before.map_or(Ok(()), |bytes| write!(f, " rate-after={bytes}"))
}

fn write_retries(f: &mut fmt::Formatter<'_>, retries: &Retries) -> fmt::Result {
    if let Some(conditions) = &retries.conditions {
        let words: Vec<_> = conditions.iter().map(|condition| condition.as_str()).collect();
        write!(f, " retry={}", if words.is_empty() { "off".to_owned() } else { words.join(",") })?;
    }
    retries.tries.map_or(Ok(()), |tries| write!(f, " tries={tries}"))?;
    retries.time.map_or(Ok(()), |time| write!(f, " retry-time={time:?}"))
}

/// Who is asked, and where clients sign in.
fn write_external_auth(f: &mut fmt::Formatter<'_>, auth: &ExternalAuth) -> fmt::Result {
    if auth.server == OutsideServer::Unknown {
        return f.write_str(" auth=unknown");
    }
    let scheme = if auth.tls { "https" } else { "http" };
    write!(f, " auth={} auth-url={scheme}://{}{}", auth.server, auth.host, auth.target)?;
    if !auth.response_headers.is_empty() {
        write!(f, " auth-headers={}", auth.response_headers.join(","))?;
    }
    for RenamedHeader { name, prefix, of } in &auth.renamed_headers {
        write!(f, " auth-header={name}:{:?}", format!("{prefix}${of}"))?;
    }
    auth.sign_in.as_ref().map_or(Ok(()), |sign_in| write!(f, " sign-in={sign_in}"))
}

fn write_mirror(f: &mut fmt::Formatter<'_>, mirror: &Mirror) -> fmt::Result {
    let Mirror { server, tls, host, target, with_body } = mirror;
    let scheme = if *tls { "https" } else { "http" };
    write!(f, " mirror={server} mirror-url={scheme}://{host}{target}")?;
    f.write_str(if *with_body { "" } else { " without-body" })
}

fn write_error_pages(f: &mut fmt::Formatter<'_>, pages: &ErrorPages) -> fmt::Result {
    let statuses: Vec<_> = pages.statuses.iter().map(ToString::to_string).collect();
    let whose = if pages.intercepts { "" } else { " of-nginx" };
    write!(f, " pages={}@{}{whose}", statuses.join(","), pages.server)
}

fn write_backend_tls(f: &mut fmt::Formatter<'_>, tls: &BackendTls) -> fmt::Result {
    let BackendTls { verification, certificate, name, hides_name, ciphers, protocols, origin } = tls;
    if let Some(origin) = origin {
        write!(f, " backend-tls={:?}", origin.to_string())?;
    }
    verification.as_ref().map_or(Ok(()), |verification| write!(f, " verified depth={}", verification.depth))?;
    f.write_str(if certificate.is_some() { " shown" } else { "" })?;
    name.as_ref().map_or(Ok(()), |name| write!(f, " name={}", QuotedWord(name)))?;
    f.write_str(if *hides_name { " without-name" } else { "" })?;
    ciphers.as_ref().map_or(Ok(()), |ciphers| write!(f, " ciphers={ciphers}"))?;
    protocols.iter().try_for_each(|version| write!(f, " {}", version.as_str()))
}

fn write_balancing(f: &mut fmt::Formatter<'_>, balancing: &Balancing, session_path: &str) -> fmt::Result {
    match balancing {
        Balancing::RoundRobin => Ok(()),
        Balancing::LeastConnections => f.write_str(" least-connections"),
        Balancing::Hash(parts) => {
            f.write_str(" hash")?;
            write_hash_parts(f, parts)
        }
        Balancing::HashSubset(parts, size) => {
            write!(f, " hash-to-{size}")?;
            write_hash_parts(f, parts)
        }
        Balancing::Session(cookie) => {
            let SessionCookie { name, domain, max_age_seconds, same_site, secure, affinity, changes_share } = &**cookie;
            write!(f, " session={} for={}", QuotedWord(name), QuotedWord(session_path))?;
            domain.as_ref().map_or(Ok(()), |domain| write!(f, " domain={}", QuotedWord(domain)))?;
            max_age_seconds.map_or(Ok(()), |seconds| write!(f, " age={seconds}s"))?;
            same_site.map_or(Ok(()), |same_site| write!(f, " same-site={same_site:?}"))?;
            secure.map_or(Ok(()), |secure| write!(f, " secure={secure}"))?;
            f.write_str(match affinity {
                Affinity::Balanced => "",
                Affinity::Persistent => " persistent",
                Affinity::PersistentUntilFailure => " persistent-until-failure",
            })?;
            f.write_str(if *changes_share { " changing-share" } else { "" })
        }
    }
}

fn write_hash_parts(f: &mut fmt::Formatter<'_>, parts: &[HashPart]) -> fmt::Result {
    parts.iter().try_for_each(|part| match part {
        HashPart::Text(text) => write!(f, " text:{}", QuotedWord(text)),
        HashPart::RequestUri => f.write_str(" uri"),
        HashPart::Host => f.write_str(" host"),
        HashPart::ClientAddress => f.write_str(" client"),
        HashPart::PeerAddress => f.write_str(" peer"),
        HashPart::Method => f.write_str(" method"),
        HashPart::Query => f.write_str(" query"),
        HashPart::Header(name) => write!(f, " header:{}", QuotedWord(name)),
        HashPart::Cookie(name) => write!(f, " cookie:{}", QuotedWord(name)),
        HashPart::Parameter(name) => write!(f, " query:{}", QuotedWord(name)),
    })
}
