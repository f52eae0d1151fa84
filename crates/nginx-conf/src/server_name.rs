//! Names of servers.

use entry_model::HostName;

use crate::token::{Pattern, Token, is_host_name};

fn short(name: &HostName) -> String {
    name.to_string().chars().take(100).collect()
}

/// A name, or a pattern for exactly one label more: nginx's own `*.` takes any number of labels.
fn server_name(name: &HostName) -> Option<Token> {
    match name {
        HostName::Exact(exact) => is_host_name(exact).then(|| Token::literal(exact))?,
        HostName::OneLabel(parent) => {
            is_host_name(parent).then(|| Pattern::default().own("~^[^.]+\\.").literal(parent).own("$").token())?
        }
        HostName::Suffix(_) | HostName::Any => None,
    }
}

/// The name of a host's server.
///
/// # Errors
/// No server can have it: what the host's owner is told.
pub fn server_name_of(name: &HostName) -> Result<Token, String> {
    server_name(name).ok_or_else(|| {
        let why = match name {
            HostName::Suffix(_) | HostName::Any => {
                "clients of any number of labels cannot be asked anything of their own"
            }
            HostName::Exact(_) | HostName::OneLabel(_) => "no host has such a name",
        };
        format!("the host {:?} is not served: {why}", short(name))
    })
}
