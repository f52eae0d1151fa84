//! What is no HTTP: connections that nginx's stream module sends to backends as they come.
//!
//! ```text
//! HTTPS address ─► preread of the name ─┬─► https.sock: the servers of HTTPS, where TLS is ended
//!                                       └─► tls.sock ─► backend of the name
//! ```
//!
//! Nothing of this is written as long as no host asks for it: then HTTPS is listened for where it is served. Beside that, each port
//! of a TCP or UDP service has a server of its own.

mod services;
mod tls_passthrough;

use std::collections::BTreeSet;

use entry_model::{BackendAddress, Routes};

use crate::listen::HttpsSockets;
use crate::stream::services::OpenPorts;
use crate::stream::tls_passthrough::PassedHosts;
use crate::token::{duration, path_token};
use crate::upstream::{servers_at, write_servers};
use crate::writer::{Directive, Writer, case, directive, map};
use crate::{RenderNote, Settings, access_log};

/// What of routes nginx's stream module carries out.
#[derive(Debug)]
pub struct Streams<'a> {
    routes: &'a Routes,
    settings: &'a Settings,
    hosts: PassedHosts<'a>,
    ports: OpenPorts<'a>,
}

/// What is told of TCP and UDP services, and of hosts whose TLS connections a template of the operator's does not pass through.
pub fn notes_beside_template(routes: &Routes) -> impl Iterator<Item = RenderNote> {
    let hosts = routes.tls_passthrough.iter().map(|(name, passthrough)| {
        let message = format!(
            "TLS connections for the host {name} are not passed through: the template of this entry (--template) is in charge of TLS"
        );
        RenderNote { object: passthrough.origin.clone(), message }
    });
    let ports = routes.streams.iter().map(|(port, route)| {
        let message =
            format!("the port {port} is not served: the template of this entry (--template) is in charge of ports");
        RenderNote { object: route.origin.clone(), message }
    });
    hosts.chain(ports)
}

impl<'a> Streams<'a> {
    /// That of these routes. What this nginx cannot do is left out, and told.
    pub fn of(routes: &'a Routes, settings: &'a Settings, notes: &mut Vec<RenderNote>) -> Self {
        let (hosts, ports) = (PassedHosts::of(routes, settings, notes), OpenPorts::of(routes, settings, notes));
        Self { routes, settings, hosts, ports }
    }

    /// Where HTTPS is listened for.
    pub fn https(&self) -> HttpsSockets {
        match (self.hosts.is_empty(), self.settings.modules.stream_pass) {
            (true, _) => HttpsSockets::Listeners,
            (false, true) => HttpsSockets::HandedOver,
            (false, false) => HttpsSockets::SentOn,
        }
    }

    /// The module, where it is a file.
    pub fn load_module(&self) -> Option<Directive<'static>> {
        let path = self.settings.stream_module.as_deref().filter(|_| !self.is_empty())?;
        Some(directive("load_module").token(path_token(path)?))
    }

    /// What servers of HTTP need so that clients behind the stream module have their own addresses.
    pub fn real_addresses(&self) -> Vec<Directive<'static>> {
        match self.https() {
            HttpsSockets::SentOn => vec![
                directive("set_real_ip_from").words(["unix:"]),
                directive("real_ip_header").words(["proxy_protocol"]),
            ],
            HttpsSockets::Listeners | HttpsSockets::HandedOver => Vec::new(),
        }
    }

    /// The variable with the address at which a request came, which stands for the host of one that names none.
    pub fn own_address(&self) -> &'static str {
        if self.hosts.is_empty() { "$server_addr" } else { "$sparrow_own_address" }
    }

    /// What that variable is, if it is none of nginx: behind the stream module, an address is a file of this program, which nobody is
    /// told of.
    pub fn own_address_variable(&self) -> Option<Directive<'static>> {
        let cases = vec![case("default", "$server_addr"), case("~^unix:", "$ssl_server_name")];
        (!self.hosts.is_empty()).then(|| map("$server_addr", "$sparrow_own_address", cases))
    }

    fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.ports.is_empty()
    }

    /// Writes it, if there is anything.
    pub fn write(&self, writer: &mut Writer<'a>) {
        if self.is_empty() {
            return;
        }
        writer.open(&directive("stream"));
        writer.write(&directive("tcp_nodelay").words(["on"]));
        writer.write(&directive("proxy_connect_timeout").token(duration(self.settings.timeouts.connect)));
        if !self.hosts.is_empty() {
            writer.write(&access_log::tls_format(self.https() == HttpsSockets::SentOn));
            self.hosts.write(self.routes, self.settings, writer);
        }
        if !self.ports.is_empty() {
            writer.write(&access_log::stream_format());
            self.ports.write(self.routes, self.settings, writer);
        }
        let backends: BTreeSet<_> = self.hosts.backends().into_iter().chain(self.ports.backends()).collect();
        for address in backends {
            self.write_upstream(address, writer);
        }
        writer.close();
    }

    fn write_upstream(&self, address: &BackendAddress, writer: &mut Writer<'a>) {
        // Addresses and names of them are of characters that nginx can read.
        let _ = writer.line("upstream").text(|text| text.stream_upstream(address)).open(None);
        let servers: Vec<_> = servers_at(self.routes, address).collect();
        write_servers(writer, &servers, true);
        writer.close();
    }
}
