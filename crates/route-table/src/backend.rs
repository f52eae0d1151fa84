//! Backends, each in a blob of its own: what changes of one rewrites no rule.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use entry_model::{BackendAddress, EndpointsId, Protocol};

use crate::bytes::{ByteReader, ByteWriter};

/// Most endpoints of a backend: with room for the name, they fit into a blob.
const MOST_ENDPOINTS: usize = 4096;

const PROTOCOLS: [Protocol; 4] = [Protocol::Http, Protocol::Https, Protocol::Http2, Protocol::Http2Tls];

/// Where requests are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its name, by which rules find it: `http://10.0.0.1:80`, or `http://shop/web:80` where it is reached at the endpoints of a
    /// Service. Good as a key of pools and counters.
    pub name: Arc<str>,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether a connection is kept for further requests.
    pub keep_alive: bool,
    /// The servers, in their order: one for a Service's address. Without any, requests are answered 503.
    pub endpoints: Box<[Endpoint]>,
}

/// A server of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Its share, in proportion to the sum of all.
    pub weight: u32,
}

impl Backend {
    /// The name of a backend: whatever is served differently has another. Endpoints that come and go change nothing of it.
    pub fn name_of(backend: &entry_model::Backend) -> String {
        let entry_model::Backend { address, protocol, keep_alive } = backend;
        let mut name = String::with_capacity(32);
        // Writing to a String does not fail.
        let _ = match address {
            BackendAddress::ClusterIp(address) => write!(name, "{protocol}://{address}"),
            BackendAddress::Endpoints(id) => write!(name, "{protocol}://{id}"),
        };
        if let BackendAddress::ClusterIp(SocketAddr::V6(address)) = address
            && address.flowinfo() != 0
        {
            let _ = write!(name, "#{}", address.flowinfo());
        }
        if !keep_alive {
            name.push_str(" close");
        }
        name
    }

    /// All backends that can be reached at these endpoints.
    pub fn of_endpoints(id: &EndpointsId) -> impl Iterator<Item = entry_model::Backend> {
        let address = BackendAddress::Endpoints(id.clone());
        PROTOCOLS.into_iter().flat_map(move |protocol| {
            let address = address.clone();
            [true, false].map(move |keep_alive| entry_model::Backend { address: address.clone(), protocol, keep_alive })
        })
    }

    /// The bytes of a backend with these addresses.
    pub fn encode(backend: &entry_model::Backend, addresses: &[SocketAddr]) -> Vec<u8> {
        let mut writer = ByteWriter::default();
        writer.u8(encode_protocol(backend.protocol));
        writer.bool(backend.keep_alive);
        // More than fit into a blob are nobody's: the translation has a bound far below.
        let addresses = &addresses[..addresses.len().min(MOST_ENDPOINTS)];
        writer.len16(addresses.len());
        for address in addresses {
            encode_endpoint(&mut writer, *address);
        }
        writer.into_bytes().unwrap_or_default()
    }

    /// What was written; none if it is not well-formed.
    pub fn decode(name: Arc<str>, bytes: &[u8]) -> Option<Self> {
        let mut reader = ByteReader(bytes);
        let (protocol, keep_alive) = (decode_protocol(reader.u8()?)?, reader.bool()?);
        let endpoints = reader.list(decode_endpoint)?;
        reader.end()?;
        Some(Self { name, protocol, keep_alive, endpoints })
    }
}

fn encode_endpoint(writer: &mut ByteWriter, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            writer.u8(4);
            writer.raw(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            writer.u8(6);
            writer.raw(&address.ip().octets());
            writer.u32(address.flowinfo());
            writer.u32(address.scope_id());
        }
    }
    writer.u16(address.port());
    writer.u32(1);
}

fn encode_protocol(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Http => 1,
        Protocol::Https => 2,
        Protocol::Http2 => 3,
        Protocol::Http2Tls => 4,
    }
}

fn decode_protocol(protocol: u8) -> Option<Protocol> {
    PROTOCOLS.into_iter().find(|known| encode_protocol(*known) == protocol)
}

fn decode_endpoint(reader: &mut ByteReader<'_>) -> Option<Endpoint> {
    let mut address = match reader.u8()? {
        4 => SocketAddr::new(IpAddr::from(reader.octets::<4>()?), 0),
        6 => {
            let ip = reader.octets::<16>()?.into();
            std::net::SocketAddrV6::new(ip, 0, reader.u32()?, reader.u32()?).into()
        }
        _ => return None,
    };
    address.set_port(reader.u16()?);
    Some(Endpoint { address, weight: reader.u32()? })
}
