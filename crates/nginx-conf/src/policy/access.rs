//! Who may ask.

use std::collections::BTreeMap;

use entry_model::{Access, BasicAuth};

use super::PolicySet;
use super::content_file::ContentFile;
use crate::revision::LineOrigin;
use crate::token::Token;
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
    let file = ContentFile::passwords(&passwords.0);
    // To nginx, this word says that nobody is asked.
    let realm = if realm == "off" { "Off" } else { realm };
    writer.line("auth_basic").token(&Token::constant(realm)?).end()?;
    writer.line("auth_basic_user_file").text(|text| file.path(text)).end()?;
    // The name is that of the content: with other passwords it is another one, and what was right for these is not for those.
    writer.line("sparrow_remember_passwords").text(|text| file.path(text)).end()
}

/// Adds the files of passwords.
pub fn write_files(policies: &PolicySet<'_>, files: &mut BTreeMap<String, Vec<u8>>, origins: &mut Vec<LineOrigin>) {
    for auth in policies.iter().filter_map(|policy| policy.access.basic_auth.as_ref()) {
        // nginx reads them with each request, and so has nothing to say of their lines.
        ContentFile::passwords(&auth.passwords.0).add(None, files, origins);
    }
}
