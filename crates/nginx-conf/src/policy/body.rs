//! The body of a request.

use crate::token::size;
use crate::writer::Writer;

/// Writes its largest size in bytes; 0 is without limit.
pub fn write(writer: &mut Writer<'_>, max_body_bytes: Option<u64>) -> Option<()> {
    let Some(bytes) = max_body_bytes else { return Some(()) };
    writer.line("client_max_body_size").token(&size(bytes)).end()
}
