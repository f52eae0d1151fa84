//! How much of a request and of its answer is held, and where.

/// How much of a request and of its answer is held, and where. What is `None` is as for all others: both pass through as they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Buffers {
    /// Memory for an answer.
    pub response: Option<ResponseBuffers>,
    /// Whether an answer is read faster than its client takes it.
    pub holds_response: Option<bool>,
    /// Most of an answer that is held in a file, in bytes; 0 is none. Not less than nginx needs, see [`Buffers::max_file_bytes`].
    pub max_file_bytes: Option<u32>,
    /// Whether the body of a request is read to its end before the request is sent on.
    pub holds_request: Option<bool>,
    /// Memory for the body of a request, in bytes.
    pub request_bytes: Option<u32>,
}

impl Buffers {
    /// The largest page of memory that a system has, which is nginx's own size of a buffer.
    const LARGEST_PAGE: u32 = 64 << 10;

    /// Most of an answer that is held in a file, in bytes: none, or at least one buffer, as nginx asks for.
    pub fn max_file_bytes(&self) -> Option<u32> {
        let least = self.response.map_or(0, ResponseBuffers::size_bytes).max(Self::LARGEST_PAGE);
        self.max_file_bytes.map(|bytes| if bytes == 0 { 0 } else { bytes.max(least) })
    }
}

/// Memory for an answer: a buffer for its head, and others of the same size for what follows.
///
/// nginx wants at least two of these, and that those which wait for the client are not less than one and leave one free: so it is with
/// every value of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResponseBuffers {
    size_bytes: u32,
    number: u32,
    busy_bytes: u32,
}

impl ResponseBuffers {
    /// So many buffers of one size in bytes, of which these bytes may wait for the client; two buffers where it is not said. What does
    /// not go together is put right.
    pub fn new(size_bytes: u32, number: u32, busy_bytes: Option<u32>) -> Self {
        let (size_bytes, number) = (size_bytes.max(1), number.max(2));
        let most = size_bytes.saturating_mul(number - 1);
        let busy_bytes = busy_bytes.unwrap_or(size_bytes.saturating_mul(2)).clamp(size_bytes, most);
        Self { size_bytes, number, busy_bytes }
    }

    /// The size of each, in bytes.
    pub fn size_bytes(self) -> u32 {
        self.size_bytes
    }

    /// How many there are beside the one for the head.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many bytes of them may wait for the client.
    pub fn busy_bytes(self) -> u32 {
        self.busy_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_nginx_asks_for() {
        for (size, number, busy, expected) in [
            (16 << 10, 4, None, (16 << 10, 4, 32 << 10)),
            (16 << 10, 2, None, (16 << 10, 2, 16 << 10)),
            (16 << 10, 0, None, (16 << 10, 2, 16 << 10)),
            (16 << 10, 4, Some(1), (16 << 10, 4, 16 << 10)),
            (16 << 10, 4, Some(1 << 30), (16 << 10, 4, 48 << 10)),
            (0, 0, Some(0), (1, 2, 1)),
            (u32::MAX, u32::MAX, None, (u32::MAX, u32::MAX, u32::MAX)),
        ] {
            let buffers = ResponseBuffers::new(size, number, busy);
            assert_eq!((buffers.size_bytes(), buffers.number(), buffers.busy_bytes()), expected);
        }
    }

    #[test]
    fn file_holds_at_least_one_buffer() {
        let response = Some(ResponseBuffers::new(128 << 10, 4, None));
        for (response, max_file_bytes, expected) in [
            (None, None, None),
            (None, Some(0), Some(0)),
            (None, Some(1), Some(64 << 10)),
            (response, Some(1), Some(128 << 10)),
            (response, Some(1 << 20), Some(1 << 20)),
        ] {
            let buffers = Buffers { response, max_file_bytes, ..Buffers::default() };
            assert_eq!(buffers.max_file_bytes(), expected);
        }
    }
}
