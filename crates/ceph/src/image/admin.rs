//! Who uses an image: watchers, locks, children; and its metadata.

use std::ffi::{c_char, c_int};
use std::ptr;

use ceph_sys as sys;

use super::Image;
use crate::error::{Result, failure};
use crate::text::{c_string, growing, owned, separated};

/// A client that has the image open for writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// Its address and nonce, as `127.0.0.1:0/1234`.
    pub address: String,
    /// Its client number, as in `client.4123`.
    pub client_id: i64,
    /// Its watch's cookie.
    pub cookie: u64,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// By one.
    Exclusive,
    /// By any number with the same tag.
    Shared,
}

/// One holder of an image's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locker {
    /// The client, as `client.4123`.
    pub client: String,
    /// The cookie it chose; `auto …` is librbd's own exclusive lock.
    pub cookie: String,
    /// Its address.
    pub address: String,
}

/// The locks of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locks {
    /// How they are held.
    pub mode: LockMode,
    /// The tag of shared locks.
    pub tag: String,
    /// Who holds them; empty when nobody does.
    pub lockers: Vec<Locker>,
}

/// An image that is a clone of a snapshot of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its pool's name.
    pub pool: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Whether it is in the trash.
    pub in_trash: bool,
}

impl Image {
    /// The clients that have the image open for writing; this one too if it does.
    ///
    /// # Errors
    /// None in practice.
    pub fn watchers(&self) -> Result<Vec<Watcher>> {
        let mut count: usize = 16;
        loop {
            let empty = sys::rbd_image_watcher_t { addr: ptr::null_mut(), id: 0, cookie: 0 };
            let mut raw = vec![empty; count];
            // SAFETY: `raw` has `count` elements.
            let r = unsafe { sys::rbd_watchers_list(self.raw(), raw.as_mut_ptr(), &raw mut count) };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_watchers_list", r)?;
            let watchers = raw[..count]
                .iter()
                .map(|watcher| Watcher {
                    // SAFETY: filled by librbd with a NUL-terminated string.
                    address: unsafe { owned(watcher.addr) },
                    client_id: watcher.id,
                    cookie: watcher.cookie,
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_watchers_list_cleanup(raw.as_mut_ptr(), count) };
            return Ok(watchers);
        }
    }

    /// Who holds the image's lock.
    ///
    /// # Errors
    /// None in practice.
    pub fn locks(&self) -> Result<Locks> {
        let mut size: usize = 4096;
        loop {
            let mut tag = vec![0_u8; size];
            let mut clients = vec![0_u8; size];
            let mut cookies = vec![0_u8; size];
            let mut addresses = vec![0_u8; size];
            let mut exclusive: c_int = 0;
            let (mut tag_length, mut clients_length, mut cookies_length, mut addresses_length) =
                (size, size, size, size);
            // SAFETY: four buffers with their lengths, and a place for the mode.
            let r = unsafe {
                sys::rbd_list_lockers(
                    self.raw(),
                    &raw mut exclusive,
                    tag.as_mut_ptr().cast(),
                    &raw mut tag_length,
                    clients.as_mut_ptr().cast(),
                    &raw mut clients_length,
                    cookies.as_mut_ptr().cast(),
                    &raw mut cookies_length,
                    addresses.as_mut_ptr().cast(),
                    &raw mut addresses_length,
                )
            };
            if r == -(libc::ERANGE as isize) && size < (16 << 20) {
                size *= 4;
                continue;
            }
            let count = usize::try_from(self.check("rbd_list_lockers", r as i64)?).unwrap_or(0);
            // Not `separated`, which ends at an empty string: a cookie may be one.
            let strings = |buffer: &[u8]| -> Vec<String> {
                buffer.split(|byte| *byte == 0).take(count).map(|s| String::from_utf8_lossy(s).into_owned()).collect()
            };
            let lockers = strings(&clients)
                .into_iter()
                .zip(strings(&cookies))
                .zip(strings(&addresses))
                .map(|((client, cookie), address)| Locker { client, cookie, address })
                .collect();
            let mode = if exclusive == 1 { LockMode::Exclusive } else { LockMode::Shared };
            return Ok(Locks { mode, tag: separated(&tag).into_iter().next().unwrap_or_default(), lockers });
        }
    }

    /// Takes a lock away from its holder, which is blocklisted first (unless `rbd_blocklist_on_break_lock` is off).
    ///
    /// # Errors
    /// `ENOENT` when that client does not hold it with that cookie.
    pub fn break_lock(&self, client: &str, cookie: &str) -> Result<()> {
        let (c_client, c_cookie) = (c_string(client)?, c_string(cookie)?);
        // SAFETY: the image is open and both strings live during the call.
        let r = unsafe { sys::rbd_break_lock(self.raw(), c_client.as_ptr(), c_cookie.as_ptr()) };
        self.check("rbd_break_lock", r).map(drop)
    }

    /// Takes an advisory exclusive lock.
    ///
    /// # Errors
    /// `EBUSY` when another holds it, `EEXIST` when this client does.
    pub fn lock_exclusive(&self, cookie: &str) -> Result<()> {
        let c_cookie = c_string(cookie)?;
        // SAFETY: the image is open and the string lives during the call.
        let r = unsafe { sys::rbd_lock_exclusive(self.raw(), c_cookie.as_ptr()) };
        self.check("rbd_lock_exclusive", r).map(drop)
    }

    /// The clones of the snapshot the image is switched to with [`Image::set_snapshot`].
    ///
    /// # Errors
    /// None in practice.
    pub fn children(&self) -> Result<Vec<Child>> {
        let mut count: usize = 16;
        loop {
            // SAFETY: pointers and numbers, for which zero is a value.
            let empty: sys::rbd_linked_image_spec_t = unsafe { std::mem::zeroed() };
            let mut raw = vec![empty; count];
            // SAFETY: `raw` has `count` elements.
            let r = unsafe { sys::rbd_list_children3(self.raw(), raw.as_mut_ptr(), &raw mut count) };
            if r == -libc::ERANGE {
                continue;
            }
            self.check("rbd_list_children3", r)?;
            let children = raw[..count]
                .iter()
                .map(|spec| {
                    // SAFETY: filled by librbd with NUL-terminated strings.
                    let text = |start: *mut c_char| unsafe { owned(start) };
                    Child {
                        pool: text(spec.pool_name),
                        namespace: text(spec.pool_namespace),
                        name: text(spec.image_name),
                        id: text(spec.image_id),
                        in_trash: spec.trash,
                    }
                })
                .collect();
            // SAFETY: the `count` elements that librbd filled, freed once.
            unsafe { sys::rbd_linked_image_spec_list_cleanup(raw.as_mut_ptr(), count) };
            return Ok(children);
        }
    }

    /// Sets one metadata entry. Keys that begin with `conf_` change how librbd clients treat the image.
    ///
    /// # Errors
    /// `EROFS`; `ENOSPC`/`EDQUOT` in a full pool.
    pub fn set_metadata(&self, key: &str, value: &str) -> Result<()> {
        let (c_key, c_value) = (c_string(key)?, c_string(value)?);
        // SAFETY: the image is open and both strings live during the call.
        let r = unsafe { sys::rbd_metadata_set(self.raw(), c_key.as_ptr(), c_value.as_ptr()) };
        self.check("rbd_metadata_set", r).map(drop)
    }

    /// Removes one metadata entry.
    ///
    /// # Errors
    /// `ENOENT`; `EROFS`.
    pub fn remove_metadata(&self, key: &str) -> Result<()> {
        let c_key = c_string(key)?;
        // SAFETY: the image is open and the string lives during the call.
        let r = unsafe { sys::rbd_metadata_remove(self.raw(), c_key.as_ptr()) };
        self.check("rbd_metadata_remove", r).map(drop)
    }

    /// One metadata entry.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn metadata(&self, key: &str) -> Result<String> {
        let c_key = c_string(key)?;
        let fill = |buffer: *mut c_char, length: &mut usize| {
            // SAFETY: the buffer has `length` bytes.
            unsafe { sys::rbd_metadata_get(self.raw(), c_key.as_ptr(), buffer, &raw mut *length) }
        };
        let buffer = growing(1024, fill).map_err(|r| failure("rbd_metadata_get", self.io_context().subject(key), r))?;
        let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
        Ok(String::from_utf8_lossy(&buffer[..end]).into_owned())
    }
}
