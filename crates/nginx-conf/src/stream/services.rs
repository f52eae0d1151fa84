//! TCP and UDP services: a server for each port.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use entry_model::{BackendAddress, Routes, StreamPort, StreamRoute, Transport};

use crate::token::{Text, Token};
use crate::upstream::servers_at;
use crate::writer::{Directive, Writer, directive};
use crate::{RenderNote, Settings, access_log};

/// How long a connection, or a client of datagrams, may be silent.
const SILENCE: &str = "10m";

/// The ports that are open, with their backends.
#[derive(Debug)]
pub struct OpenPorts<'a> {
    ports: Vec<(StreamPort, &'a StreamRoute)>,
}

impl<'a> OpenPorts<'a> {
    /// Those of routes. One whose backend has no endpoints is closed, as that of a Service is.
    pub fn of(routes: &'a Routes, settings: &Settings, notes: &mut Vec<RenderNote>) -> Self {
        if !settings.modules.stream {
            let origins: BTreeSet<_> = routes.streams.values().map(|route| &route.origin).collect();
            notes.extend(origins.into_iter().map(|origin| RenderNote {
                object: origin.clone(),
                message: "TCP and UDP services are not served: this nginx has no stream module; install it (Debian's package is \
                          libnginx-mod-stream) and start the entry anew"
                    .to_owned(),
            }));
            return Self { ports: Vec::new() };
        }
        let is_open = |(_, route): &(&StreamPort, &StreamRoute)| servers_at(routes, &route.backend).next().is_some();
        Self { ports: routes.streams.iter().filter(is_open).map(|(port, route)| (*port, route)).collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Where their backends are.
    pub fn backends(&self) -> impl Iterator<Item = &'a BackendAddress> {
        self.ports.iter().map(|(_, route)| &route.backend)
    }

    /// Writes a server for each.
    pub fn write(&self, routes: &Routes, settings: &Settings, writer: &mut Writer<'a>) {
        let sockets = routes.listeners.iter().flat_map(|listener| &listener.sockets);
        let addresses: BTreeSet<IpAddr> = sockets.map(SocketAddr::ip).collect();
        for (port, route) in &self.ports {
            writer.open(&directive("server").origin(Some(&route.origin)));
            for address in &addresses {
                if let Some(listen) = listen(SocketAddr::new(*address, port.number), *port, route) {
                    writer.write(&listen);
                }
            }
            for directive in treatment(*port, route, settings) {
                writer.write(&directive);
            }
            // Of the name of an upstream, whose characters nginx can read.
            let _ = writer.line("proxy_pass").text(|text| text.stream_upstream(&route.backend)).end();
            writer.close();
        }
    }
}

fn listen(address: SocketAddr, port: StreamPort, route: &StreamRoute) -> Option<Directive<'static>> {
    let listen = directive("listen").token(Text::default().address(address).token()?);
    Some(match port.transport {
        // Each worker has a socket of its own, so that all datagrams of a client come to the same one.
        Transport::Udp => listen.words(["udp", "reuseport"]),
        Transport::Tcp if route.accepts_proxy_protocol => listen.words(["proxy_protocol"]),
        Transport::Tcp => listen,
    })
}

/// How what comes to a port is treated, with the defaults of ingress-nginx.
fn treatment(port: StreamPort, route: &StreamRoute, settings: &Settings) -> Vec<Directive<'static>> {
    let mut all = vec![directive("proxy_timeout").words([SILENCE]), access_log::stream_log(settings, "sparrow_stream")];
    if port.transport == Transport::Udp {
        all.push(directive("proxy_responses").words(["1"]));
    }
    if route.accepts_proxy_protocol && settings.modules.stream_realip {
        all.extend(settings.trusted.iter().map(|net| directive("set_real_ip_from").token(Token::net(*net))));
    }
    if route.sends_proxy_protocol {
        all.push(directive("proxy_protocol").words(["on"]));
    }
    all
}
