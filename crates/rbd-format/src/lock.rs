//! Advisory locks on an object (`cls_lock`), with which librbd keeps the exclusive lock and `rbd lock add` its own.
//!
//! Both are the lock named `rbd_lock` on the header object: its extended attribute, or the answer of the class method
//! `lock.get_info`, which has the same layout.
//!
//! Source: `lock_info_t`, `locker_id_t`, `locker_info_t` in Ceph's `src/cls/lock/cls_lock_types.h`, `entity_addr_t` in
//! `src/msg/msg_types.h`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Name;
use crate::decode::{Cursor, DecodeError, Result, Timestamp};

/// The extended attribute of `rbd_header.<id>` that holds the image's lock. It stays, without lockers or gone, after
/// the lock was released.
pub const LOCK_ATTRIBUTE: &str = "lock.rbd_lock";

/// What the tag of a lock says that librbd itself took it, for the exclusive-lock feature.
const LIBRBD_TAG: &str = "internal";

/// A lock and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockInfo {
    /// How it is held.
    pub kind: LockKind,
    /// What all lockers of a shared lock agree on; `internal` when librbd took the lock by itself.
    pub tag: Name,
    /// Who holds it; none when it is free.
    pub lockers: Vec<Locker>,
}

impl LockInfo {
    /// Decodes the attribute's value, or the answer of `lock.get_info`.
    ///
    /// # Errors
    /// When it is damaged or of an unsupported version.
    pub fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        // Two structures with an empty name, cookie and description, and an address of no family.
        const MIN_LOCKER_BYTES: usize = (6 + 9 + 4) + (6 + 8 + 19 + 4);
        let (_, mut value) = Cursor::new(value).structure("lock_info_t", 1)?;
        let lockers = value.list("lockers", MIN_LOCKER_BYTES, decode_locker)?;
        let kind = match value.u8("lock type")? {
            0 => LockKind::None,
            1 => LockKind::Exclusive,
            2 => LockKind::Shared,
            other => LockKind::Unknown(other),
        };
        Ok(Self { kind, tag: value.name("lock tag")?, lockers })
    }

    /// Whether librbd took the lock by itself, for the exclusive-lock feature, rather than somebody by `rbd lock add`.
    pub fn is_automatic(&self) -> bool {
        self.tag == LIBRBD_TAG
    }
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Not at all.
    None,
    /// By one locker.
    Exclusive,
    /// By any number of lockers with the same tag.
    Shared,
    /// A kind that newer releases may add.
    Unknown(u8),
}

/// One who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locker {
    /// Which RADOS client. What breaking the lock takes, together with the cookie.
    pub entity: Entity,
    /// Tells apart what one client holds; librbd's begin with `auto `.
    pub cookie: Name,
    /// Where the client was connected from. What blocklisting it takes.
    pub address: EntityAddress,
    /// Free text.
    pub description: Name,
    /// When the lock ends by itself; `None` for never.
    pub expires: Option<Timestamp>,
}

/// A RADOS entity, displayed as Ceph does: `client.4191`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entity {
    /// The type's bit: 1 mon, 2 mds, 4 osd, 8 client, 16 mgr.
    pub kind: u8,
    /// The number within the type; of a client, given by the monitors at each connection.
    pub number: i64,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            1 => "mon",
            2 => "mds",
            4 => "osd",
            8 => "client",
            16 => "mgr",
            _ => "unknown",
        };
        write!(f, "{kind}.{}", self.number)
    }
}

/// A messenger address, displayed as Ceph does: `10.0.0.7:0/3936685195`, or `-` when it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityAddress {
    /// The number that tells apart processes on one host.
    pub nonce: u32,
    /// The IP address and port; a client's port is 0. `None` for other or no families.
    pub socket: Option<SocketAddr>,
}

impl fmt::Display for EntityAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket {
            Some(socket) => write!(f, "{socket}/{}", self.nonce),
            None => f.write_str("-"),
        }
    }
}

fn decode_locker(cursor: &mut Cursor<'_>) -> Result<Locker> {
    let (_, mut id) = cursor.structure("locker_id_t", 1)?;
    let entity = Entity { kind: id.u8("locker type")?, number: id.i64("locker number")? };
    let cookie = id.name("lock cookie")?;
    let (_, mut info) = cursor.structure("locker_info_t", 1)?;
    let expires = info.timestamp("lock expiration")?.recorded();
    let address = decode_address(&mut info)?;
    Ok(Locker { entity, cookie, address, description: info.name("lock description")?, expires })
}

fn decode_address(cursor: &mut Cursor<'_>) -> Result<EntityAddress> {
    const WHAT: &str = "locker address";
    match cursor.u8(WHAT)? {
        // Of before Luminous: three bytes of nothing, then a Linux `sockaddr_storage` with the family turned to
        // network order.
        0 => {
            cursor.take(3, WHAT)?;
            let nonce = cursor.u32(WHAT)?;
            let mut storage = Cursor::new(cursor.take(128, WHAT)?);
            let family = storage.u16(WHAT)?.swap_bytes();
            Ok(EntityAddress { nonce, socket: decode_socket(family, &mut storage)? })
        }
        1 => {
            let (_, mut address) = cursor.structure("entity_addr_t", 1)?;
            // The protocol: 0 none, 1 legacy, 2 msgr2, 3 any. Clients of both protocols are told apart by the nonce.
            address.u32(WHAT)?;
            let nonce = address.u32(WHAT)?;
            let storage = address.bytes(WHAT)?;
            if storage.is_empty() {
                return Ok(EntityAddress { nonce, socket: None });
            }
            let mut storage = Cursor::new(storage);
            let family = storage.u16(WHAT)?;
            Ok(EntityAddress { nonce, socket: decode_socket(family, &mut storage)? })
        }
        _ => Err(DecodeError::Invalid { what: WHAT, reason: "begins with neither 0 nor 1" }),
    }
}

/// What follows the family in a Linux `sockaddr_in` or `sockaddr_in6`.
fn decode_socket(family: u16, storage: &mut Cursor<'_>) -> Result<Option<SocketAddr>> {
    const WHAT: &str = "locker socket address";
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    match family {
        AF_INET => {
            let port = storage.u16(WHAT)?.swap_bytes();
            let ip = Ipv4Addr::from(storage.array(WHAT)?);
            Ok(Some(SocketAddr::new(IpAddr::V4(ip), port)))
        }
        AF_INET6 => {
            let port = storage.u16(WHAT)?.swap_bytes();
            // The flow label, which says nothing of who it is.
            storage.u32(WHAT)?;
            let ip = Ipv6Addr::from(storage.array::<16>(WHAT)?);
            Ok(Some(SocketAddr::new(IpAddr::V6(ip), port)))
        }
        _ => Ok(None),
    }
}
