//! Hosts whose TLS connections go to a backend as they come.
//!
//! The addresses of HTTPS are then listened at by a server that reads the name which a client asks for, and hands the connection to
//! one of two unix sockets: that of the HTTPS servers, or that of a server which sends it to the backend of the name. Where nginx
//! can hand over a connection itself (`pass`), it keeps all that is known of it. An older one opens another connection, and says
//! with the PROXY protocol whose it is; only itself can speak it there, and no client.

use std::collections::{BTreeMap, BTreeSet};

use entry_model::{BackendAddress, HostName, Routes, Scheme, TlsPassthrough};

use crate::listen::{self, HTTPS_SOCKET, unix_socket};
use crate::token::{Pattern, Text, Token, is_host_name};
use crate::upstream::servers_at;
use crate::writer::{Writer, case, directive, entry};
use crate::{RenderNote, Settings, access_log, tls};

/// The socket, in the directory of the pid file, of the server that sends connections to backends.
const TLS_SOCKET: &str = "tls.sock";

/// How long a connection may be silent. Whoever ends TLS has times of its own for requests; this ends what they have forgotten.
const SILENCE: &str = "1h";

/// The same of a connection that is sent on to this program's own HTTPS: longer than any request may take.
const SILENCE_WITHIN: &str = "25h";

/// The hosts whose TLS connections this nginx can pass through.
#[derive(Debug)]
pub struct PassedHosts<'a> {
    hosts: BTreeMap<&'a HostName, (&'a TlsPassthrough, &'a BackendAddress)>,
}

impl<'a> PassedHosts<'a> {
    /// Those of routes. Hosts without a backend are none: their handshake is rejected, as that of any host without certificate.
    pub fn of(routes: &'a Routes, settings: &Settings, notes: &mut Vec<RenderNote>) -> Self {
        if routes.tls_passthrough.is_empty() || !tls::has_https(routes, settings) {
            return Self { hosts: BTreeMap::new() };
        }
        let obstacle = obstacle(settings);
        let mut hosts = BTreeMap::new();
        for (name, passthrough) in &routes.tls_passthrough {
            if let Some(why) =
                obstacle.or_else(|| name_token(name).is_none().then_some("no server can have such a name"))
            {
                let message = format!("TLS connections for the host {name} are rejected, not passed through: {why}");
                notes.push(RenderNote { object: passthrough.origin.clone(), message });
                continue;
            }
            let has_servers = |address: &&BackendAddress| servers_at(routes, address).next().is_some();
            if let Some(address) = passthrough.backend.as_ref().filter(has_servers) {
                hosts.insert(name, (passthrough, address));
            }
        }
        Self { hosts }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Where their backends are, each once.
    pub fn backends(&self) -> BTreeSet<&'a BackendAddress> {
        self.hosts.values().map(|(_, address)| *address).collect()
    }

    /// Writes the servers that pass connections on, and by which name to where.
    pub fn write(&self, routes: &'a Routes, settings: &Settings, writer: &mut Writer<'a>) {
        self.write_names(routes, writer);
        let pass = settings.modules.stream_pass;
        let (Some(https), Some(tls)) = (unix_socket(settings, HTTPS_SOCKET), unix_socket(settings, TLS_SOCKET)) else {
            return;
        };
        let sockets = vec![entry(Token::word("default")).token(tls.clone()), entry(Token::word("\"\"")).token(https)];
        writer.write(&directive("map").words(["$sparrow_tls_backend", "$sparrow_tls_socket"]).block(sockets));
        let mut front: Vec<_> = listen::sockets(routes, Scheme::Https)
            .filter_map(|address| listen::listen(address, settings, false))
            .collect();
        front.push(directive("ssl_preread").words(["on"]));
        // Each connection is logged where it ends.
        front.push(directive("access_log").words(["off"]));
        let mut back = directive("listen").token(tls);
        if pass {
            front.push(directive("pass").words(["$sparrow_tls_socket"]));
        } else {
            front.push(directive("proxy_protocol").words(["on"]));
            front.push(directive("proxy_timeout").words([SILENCE_WITHIN]));
            front.push(directive("proxy_pass").words(["$sparrow_tls_socket"]));
            back = back.words(["proxy_protocol"]);
        }
        writer.write(&directive("server").block(front));
        let mut back = vec![
            back,
            directive("ssl_preread").words(["on"]),
            directive("proxy_timeout").words([SILENCE]),
            access_log::stream_log(settings, "sparrow_tls"),
            directive("proxy_pass").words(["$sparrow_tls_backend"]),
        ];
        // Here only, so that the servers of HTTPS know both the balancer and the client.
        let trusted = settings.trusted.iter().filter(|_| settings.proxy_protocol && settings.modules.stream_realip);
        back.extend(trusted.map(|net| directive("set_real_ip_from").token(Token::net(*net))));
        writer.write(&directive("server").block(back));
    }

    /// Writes which name leads to which upstream; the empty one stands for TLS that is ended here.
    fn write_names(&self, routes: &'a Routes, writer: &mut Writer<'a>) {
        // Of names below a wildcard that are not passed through, each is named.
        let is_below = |name: &&HostName| {
            name.wildcard_above().is_some_and(|wildcard| self.hosts.contains_key(&wildcard))
                && !self.hosts.contains_key(*name)
        };
        let has_wildcard = self.hosts.keys().any(|name| name.is_wildcard());
        let ended: Vec<&HostName> =
            if has_wildcard { routes.hosts.keys().filter(is_below).collect() } else { Vec::new() };
        let names = self.hosts.keys().copied().chain(ended.iter().copied());
        let longest = names.clone().map(|name| name.to_string().len()).max().unwrap_or(0);
        let power = |number: usize, least: usize| Token::number(number.max(least).next_power_of_two() as u64);
        writer.write(&directive("map_hash_max_size").token(power(names.count() * 2, 2048)));
        writer.write(&directive("map_hash_bucket_size").token(power(longest + 32, 128)));
        writer.open(&directive("map").words(["$ssl_preread_server_name", "$sparrow_tls_backend"]));
        // A final dot does not count, and case does not.
        writer.write(&directive("hostnames"));
        writer.write(&case("default", "\"\""));
        for (name, (passthrough, address)) in &self.hosts {
            let line = name_token(name).zip(Text::default().stream_upstream(address).token());
            if let Some((name, upstream)) = line {
                writer.write(&entry(name).token(upstream).origin(Some(&passthrough.origin)));
            }
        }
        for name in ended.iter().filter_map(|name| name_token(name)) {
            writer.write(&entry(name).words(["\"\""]));
        }
        writer.close();
    }
}

/// Why this nginx can pass no TLS connections through; none if it can.
fn obstacle(settings: &Settings) -> Option<&'static str> {
    let modules = settings.modules;
    if !modules.stream || !modules.stream_ssl_preread {
        Some(
            "this nginx has no stream module that reads the name of a host (ssl_preread); install it (Debian's package is \
             libnginx-mod-stream) and start the entry anew",
        )
    } else if !modules.stream_pass && settings.trusts_proxies() {
        Some(
            "with proxies in front that are trusted (--trusted), nginx has to hand connections over with all that is known of them, \
             as it can from 1.25.5 on; take a newer one",
        )
    } else if !modules.stream_pass && !modules.realip {
        Some("this nginx, which is older than 1.25.5, is built without http_realip_module; take a newer one")
    } else {
        None
    }
}

/// A name as a `map` of names takes it: of a wildcard, one label more.
fn name_token(name: &HostName) -> Option<Token> {
    match name {
        HostName::Exact(exact) => is_host_name(exact).then(|| Token::literal(exact))?,
        HostName::OneLabel(parent) => is_host_name(parent)
            .then(|| Pattern::default().own("~*^[a-z0-9_-]+\\.").literal(parent).own("\\.?$").token())?,
        HostName::Suffix(_) | HostName::Any => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Modules;

    #[test]
    fn what_keeps_nginx_from_passing_tls_through_is_named() {
        let told = |modules: Modules, trusted: &[&str]| {
            let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
            obstacle(&Settings { modules, trusted, ..Settings::default() })
        };
        let newest = Modules { stream_pass: true, ..Modules::default() };
        assert_eq!(told(newest, &["10.0.0.0/8"]), None);
        assert_eq!(told(Modules::default(), &[]), None);
        assert!(told(Modules::default(), &["10.0.0.0/8"]).is_some_and(|why| why.contains("1.25.5")));
        assert!(told(Modules { realip: false, ..Modules::default() }, &[]).is_some_and(|why| why.contains("realip")));
        for lacking in [Modules { stream: false, ..newest }, Modules { stream_ssl_preread: false, ..newest }] {
            assert!(told(lacking, &[]).is_some_and(|why| why.contains("libnginx-mod-stream")));
        }
    }
}
