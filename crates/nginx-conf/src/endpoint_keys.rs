//! Keys with which `hash` of nginx leads to a server that is wanted. So a request goes there, and to another server of the same upstream if that
//! one fails.
//!
//! nginx numbers the servers of an upstream in the order in which they are written, and chooses by what the hash of the key leaves when it is
//! divided by their number (`ngx_http_upstream_get_hash_peer`), as `Cache::Memcached` of Perl does, with which it is compatible.

use std::collections::BTreeMap;

/// Most keys that are tried. Ten times as many as are needed to find one for each of the 1000 servers that an upstream has.
const MOST_TRIED: u32 = 500_000;

/// Keys for each of so many servers, in pairs of a server's number, from 0 on, and the number of its key, of which each has so many. A key is its
/// number in decimal digits.
pub fn endpoint_keys(servers: usize, keys: usize) -> BTreeMap<(usize, usize), u32> {
    let mut found = BTreeMap::new();
    let mut counts = vec![0; servers];
    for key in 0..MOST_TRIED {
        if found.len() == servers * keys {
            break;
        }
        let server = server_of(&key.to_string(), servers);
        if let Some(count) = counts.get_mut(server).filter(|count| **count < keys) {
            found.insert((server, *count), key);
            *count += 1;
        }
    }
    found
}

/// The number of the server that nginx chooses for a key.
fn server_of(key: &str, servers: usize) -> usize {
    let hash = (crc32(key.as_bytes()) >> 16) & 0x7fff;
    usize::try_from(hash).unwrap_or_default().checked_rem(servers).unwrap_or_default()
}

/// The checksum of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn each_server_has_its_keys() {
        for servers in [0, 1, 2, 3, 7, 100, 1000] {
            let found = endpoint_keys(servers, 8);
            assert_eq!(found.len(), servers * 8, "{servers}");
            for ((server, _), key) in found {
                assert_eq!(server_of(&key.to_string(), servers), server);
            }
        }
    }
}
