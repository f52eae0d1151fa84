//! Times of forwarding.

use entry_model::Timeouts;

use crate::proxy_module::ProxyModule;
use crate::token::duration;
use crate::writer::Writer;

/// Writes them.
pub fn write(writer: &mut Writer<'_>, times: &Timeouts, module: ProxyModule) -> Option<()> {
    for (time, proxy_name, grpc_name) in [
        (times.connect, "proxy_connect_timeout", "grpc_connect_timeout"),
        (times.read, "proxy_read_timeout", "grpc_read_timeout"),
        (times.send, "proxy_send_timeout", "grpc_send_timeout"),
    ] {
        if let Some(time) = time {
            let name = if module == ProxyModule::Grpc { grpc_name } else { proxy_name };
            writer.line(name).token(&duration(time)).end()?;
        }
    }
    Some(())
}
