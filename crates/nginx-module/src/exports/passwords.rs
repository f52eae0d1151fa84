//! What basic auth asks: whether nginx has found a password right before.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use rustix::rand::{GetRandomFlags, getrandom};

use super::Bytes;
use crate::proven_passwords::{Credentials, KEY_LENGTH, ProvenPasswords};

/// `sparrow_credentials_t`.
#[repr(C)]
#[derive(Debug)]
struct CredentialsOfC {
    file: Bytes,
    user: Bytes,
    password: Bytes,
}

// `shim/sparrow.h` says the same of its own.
const _: () = assert!(size_of::<CredentialsOfC>() == 48);

impl CredentialsOfC {
    /// # Safety
    /// The bytes are readable for as long as the credentials are used.
    unsafe fn credentials<'a>(&self) -> Credentials<'a> {
        // SAFETY: as the caller says.
        let bytes = |bytes: Bytes| unsafe { bytes.as_slice() };
        Credentials { file: bytes(self.file), user: bytes(self.user), password: bytes(self.password) }
    }
}

/// `None` without random numbers.
fn make() -> Option<ProvenPasswords> {
    let mut key = [0; KEY_LENGTH];
    let len = getrandom(&mut key[..], GetRandomFlags::empty()).ok()?;
    (len == KEY_LENGTH).then(|| ProvenPasswords::new(&key))
}

/// A memory of passwords with nothing in it; null if there cannot be one.
#[unsafe(no_mangle)]
extern "C" fn sparrow_passwords_new() -> *mut ProvenPasswords {
    let made = catch_unwind(make).ok().flatten();
    made.map_or(ptr::null_mut(), |made| Box::into_raw(Box::new(made)))
}

/// Ends it.
///
/// # Safety
/// It is one of [`sparrow_passwords_new`], and is used no more.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_passwords_free(proven: *mut ProvenPasswords) {
    let Some(proven) = NonNull::new(proven) else { return };
    // SAFETY: it was made by `Box::into_raw`, and nobody else ends it.
    let proven = unsafe { Box::from_raw(proven.as_ptr()) };
    let _ = catch_unwind(AssertUnwindSafe(|| drop(proven)));
}

/// Returns 1 if the password was found right.
///
/// # Safety
/// `proven` is one of [`sparrow_passwords_new`], of which no other call is going on; `credentials` and its bytes are readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_passwords_contain(
    proven: *const ProvenPasswords,
    credentials: *const CredentialsOfC,
    now_ms: u64,
) -> c_int {
    // SAFETY: as the caller says: a worker has one thread.
    let proven = unsafe { &*proven };
    // SAFETY: as the caller says.
    let credentials = unsafe { &*credentials };
    // SAFETY: as the caller says.
    let credentials = unsafe { credentials.credentials() };
    // Whoever is not known to be right is asked by nginx.
    catch_unwind(AssertUnwindSafe(|| proven.contain(credentials, now_ms))).unwrap_or(false).into()
}

/// Remembers a password that nginx has just found right.
///
/// # Safety
/// As for [`sparrow_passwords_contain`].
#[unsafe(no_mangle)]
unsafe extern "C" fn sparrow_passwords_add(
    proven: *mut ProvenPasswords,
    credentials: *const CredentialsOfC,
    now_ms: u64,
) {
    // SAFETY: as the caller says: a worker has one thread.
    let proven = unsafe { &mut *proven };
    // SAFETY: as the caller says.
    let credentials = unsafe { &*credentials };
    // SAFETY: as the caller says.
    let credentials = unsafe { credentials.credentials() };
    // An entry is written in whole or not at all.
    let _ = catch_unwind(AssertUnwindSafe(|| proven.add(credentials, now_ms)));
}
