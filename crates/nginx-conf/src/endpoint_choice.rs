//! Which of its endpoints a backend's request gets.

use entry_model::{Affinity, Balancing};

use crate::Settings;
use crate::balancing_key::{hash_key, session_variable, variable};
use crate::token::Token;
use crate::writer::{Directive, Writer, directive};

/// How the upstream of a template chooses among its servers; none if in turn.
pub fn method(balancing: &Balancing, settings: &Settings) -> Option<Directive<'static>> {
    match balancing {
        Balancing::RoundRobin | Balancing::HashSubset(..) | Balancing::Session(_) => None,
        Balancing::LeastConnections => Some(directive("least_conn")),
        Balancing::Hash(parts) => Some(directive("hash").token(hash_key(parts, settings)?).words(["consistent"])),
    }
}

/// Writes by what the module chooses an endpoint, among those that the table has then; nothing where it needs no key for that.
pub fn write_of_module(writer: &mut Writer<'_>, balancing: &Balancing, settings: &Settings) -> Option<()> {
    let key = match balancing {
        Balancing::RoundRobin | Balancing::LeastConnections => return Some(()),
        Balancing::Hash(parts) | Balancing::HashSubset(parts, _) => hash_key(parts, settings)?,
        Balancing::Session(cookie) => session_variable(cookie)?,
    };
    writer.write(&directive("sparrow_balancing_key").token(key));
    match balancing {
        Balancing::HashSubset(_, size) => {
            writer.write(&directive("sparrow_balancing_subset").token(Token::number(size.get())));
        }
        Balancing::Session(cookie) if cookie.affinity != Affinity::Balanced => {
            writer.write(&directive("sparrow_balancing_endpoint").token(variable("$sparrow_named_", cookie)?));
        }
        _ => {}
    }
    Some(())
}
