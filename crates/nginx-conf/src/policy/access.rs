//! Who may ask.

use std::collections::BTreeMap;

use entry_model::{Access, BasicAuth, PasswordFile};
use sha2::{Digest, Sha256};

use super::PolicySet;
use crate::token::{Text, Token};
use crate::writer::Writer;

/// Writes it: the first line that a client's address is in decides. The address is that which trusted proxies say.
pub fn write(writer: &mut Writer<'_>, access: &Access) -> Option<()> {
    let Access { allowed, denied, basic_auth, satisfy_any } = access;
    if *satisfy_any {
        writer.line("satisfy").words(["any"]).end()?;
    }
    for range in denied.iter() {
        writer.line("deny").token(&Token::range(*range)).end()?;
    }
    if let Some(allowed) = allowed {
        for range in allowed.iter() {
            writer.line("allow").token(&Token::range(*range)).end()?;
        }
        writer.line("deny").words(["all"]).end()?;
    }
    basic_auth.as_ref().map_or(Some(()), |basic_auth| write_basic_auth(writer, basic_auth))
}

fn write_basic_auth(writer: &mut Writer<'_>, BasicAuth { realm, passwords }: &BasicAuth) -> Option<()> {
    // To nginx, this word says that nobody is asked.
    let realm = if realm == "off" { "Off" } else { realm };
    writer.line("auth_basic").token(&Token::constant(realm)?).end()?;
    writer.line("auth_basic_user_file").text(|text| file_name(text, passwords)).end()
}

fn file_name(text: Text, passwords: &PasswordFile) -> Text {
    text.own("passwords/").plain_of(&digest(passwords), '_')
}

fn digest(passwords: &PasswordFile) -> String {
    format!("{:x}", Sha256::digest(passwords.0.as_bytes()))
}

/// The files of passwords, by their paths.
pub fn files(policies: &PolicySet<'_>) -> BTreeMap<String, Vec<u8>> {
    let all = policies.iter().filter_map(|policy| policy.access.basic_auth.as_ref());
    all.map(|auth| (format!("passwords/{}", digest(&auth.passwords)), auth.passwords.0.clone().into_bytes())).collect()
}
