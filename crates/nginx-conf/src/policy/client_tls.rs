//! How TLS is spoken with clients: the server's part.

use entry_model::ClientTls;

use crate::token::Text;
use crate::writer::{Writer, directive};

/// Writes it into the server of a host that is served over TLS.
pub fn write_server(writer: &mut Writer<'_>, ClientTls { ciphers, prefers_own_order }: &ClientTls) {
    if let Some((first, others)) = ciphers.split_first() {
        let list =
            |text: Text| others.iter().fold(text.own(first.name()), |text, cipher| text.own(":").own(cipher.name()));
        // Of words of this program: nginx can read them.
        let _ = writer.line("ssl_ciphers").text(list).end();
    }
    if let Some(prefers) = prefers_own_order {
        writer.write(&directive("ssl_prefer_server_ciphers").words([if *prefers { "on" } else { "off" }]));
    }
}
