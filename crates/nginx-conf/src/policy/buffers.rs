//! How much of a request and of its answer is held, and where.

use entry_model::Buffers;

use crate::proxy_module::ProxyModule;
use crate::token::Token;
use crate::writer::Writer;

/// Writes it. `grpc_pass` has one buffer for answers, and holds nothing else.
pub fn write(writer: &mut Writer<'_>, buffers: &Buffers, module: ProxyModule) -> Option<()> {
    if let Some(bytes) = buffers.request_bytes {
        writer.line("client_body_buffer_size").token(&Token::number(bytes)).end()?;
    }
    if module == ProxyModule::Grpc {
        return match buffers.response {
            Some(response) => writer.line("grpc_buffer_size").token(&Token::number(response.size_bytes())).end(),
            None => Some(()),
        };
    }
    write_response(writer, buffers)?;
    for (name, holds) in
        [("proxy_buffering", buffers.holds_response), ("proxy_request_buffering", buffers.holds_request)]
    {
        if let Some(holds) = holds {
            writer.line(name).words([if holds { "on" } else { "off" }]).end()?;
        }
    }
    if let Some(bytes) = buffers.max_file_bytes() {
        writer.line("proxy_max_temp_file_size").token(&Token::number(bytes)).end()?;
    }
    Some(())
}

/// Writes how much memory there is for an answer.
pub fn write_response(writer: &mut Writer<'_>, buffers: &Buffers) -> Option<()> {
    let Some(response) = buffers.response else { return Some(()) };
    let size = Token::number(response.size_bytes());
    writer.line("proxy_buffer_size").token(&size).end()?;
    writer.line("proxy_buffers").token(&Token::number(response.number())).token(&size).end()?;
    writer.line("proxy_busy_buffers_size").token(&Token::number(response.busy_bytes())).end()
}
