//! Where bodies and heads are kept while they pass through: buffers of nginx.

use entry_model::ResponseBuffers;

use crate::token::{Token, size};
use crate::writer::{Directive, directive};

/// One buffer of an answer, where no size is set: a page of memory, which nginx takes by itself.
const BUFFER_BYTES: u32 = 4096;
/// How many buffers an answer has, where only their size is set.
const BUFFERS: u32 = 4;

/// How bodies pass through, and the sizes of buffers; nginx's own where none is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Buffering {
    /// Whether answers are read from the backend as fast as it sends them; else as fast as the client takes them.
    pub answers: bool,
    /// Whether a request is sent on only when its whole body is here.
    pub requests: bool,
    /// One buffer of an answer, in bytes; its head must fit into one.
    pub answer_buffer_bytes: Option<u32>,
    /// How many such buffers a request has, at least two.
    pub answer_buffers: Option<u32>,
    /// How much of them may be on its way to the client, in bytes.
    pub busy_bytes: Option<u32>,
    /// How much of a request's body is kept in memory, in bytes.
    pub request_body_bytes: Option<u64>,
    /// The first buffer for a request's head, in bytes.
    pub request_head_bytes: Option<u64>,
}

impl Buffering {
    /// What is at the level of `http`.
    pub(crate) fn directives(&self, grpc: bool) -> Vec<Directive<'static>> {
        let switch = |on: bool| if on { ["on"] } else { ["off"] };
        let mut all = vec![
            // Unless it is asked for, a body goes through as it comes, both ways.
            directive("proxy_buffering").words(switch(self.answers)),
            directive("proxy_request_buffering").words(switch(self.requests)),
            directive("proxy_max_temp_file_size").words(["0"]),
        ];
        for (name, bytes) in [
            ("client_body_buffer_size", self.request_body_bytes),
            ("client_header_buffer_size", self.request_head_bytes),
        ] {
            all.extend(bytes.map(|bytes| directive(name).token(size(bytes))));
        }
        if let Some(bytes) = self.answer_buffer_bytes.filter(|_| grpc) {
            all.push(directive("grpc_buffer_size").token(Token::number(bytes)));
        }
        if self.answer_buffer_bytes.is_some() || self.answer_buffers.is_some() || self.busy_bytes.is_some() {
            all.extend(self.answer_directives());
        }
        all
    }

    /// nginx takes these three together only: what is busy is at least one buffer, and at most all but one.
    fn answer_directives(&self) -> [Directive<'static>; 3] {
        let bytes = self.answer_buffer_bytes.unwrap_or(BUFFER_BYTES);
        let buffers = ResponseBuffers::new(bytes, self.answer_buffers.unwrap_or(BUFFERS), self.busy_bytes);
        let size = Token::number(buffers.size_bytes());
        [
            directive("proxy_buffer_size").token(size.clone()),
            directive("proxy_buffers").token(Token::number(buffers.number())).token(size),
            directive("proxy_busy_buffers_size").token(Token::number(buffers.busy_bytes())),
        ]
    }
}
