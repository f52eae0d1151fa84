//! When a request is sent to another endpoint.

use entry_model::Retries;

use crate::proxy_module::ProxyModule;
use crate::token::{Token, duration};
use crate::writer::Writer;

/// Writes it.
pub fn write(writer: &mut Writer<'_>, retries: &Retries, module: ProxyModule) -> Option<()> {
    let [conditions, tries, time] = match module {
        ProxyModule::Proxy => ["proxy_next_upstream", "proxy_next_upstream_tries", "proxy_next_upstream_timeout"],
        ProxyModule::Grpc => ["grpc_next_upstream", "grpc_next_upstream_tries", "grpc_next_upstream_timeout"],
    };
    if let Some(all) = &retries.conditions {
        let line = writer.line(conditions);
        let line = if all.is_empty() { line.words(["off"]) } else { line };
        all.iter().fold(line, |line, condition| line.words([condition.as_str()])).end()?;
    }
    if let Some(number) = retries.tries {
        writer.line(tries).token(&Token::number(number)).end()?;
    }
    if let Some(limit) = retries.time {
        let limit = if limit.is_zero() { Token::word("0") } else { duration(limit) };
        writer.line(time).token(&limit).end()?;
    }
    Some(())
}
