//! What nginx complains of: about which object, and how that is told.

use std::collections::BTreeMap;

use entry_model::ObjectRef;

use crate::LineOrigin;

/// How bad it is when nginx does not go on.
const LEVELS: [&str; 3] = ["[emerg]", "[alert]", "[crit]"];

/// Where a configuration has the files that come from objects.
const DIRECTORIES: [&str; 3] = ["/certs/", "/authorities/", "/revoked/"];

/// The object that an error of nginx is about, if it names a line or a file that is there because of one. The text is
/// what `nginx -t` printed.
pub fn object_of_error(origins: &[LineOrigin], error: &str) -> Option<ObjectRef> {
    failures(error).find_map(|line| file_of(origins, line).or_else(|| line_of(origins, line)))
}

/// The ports at which nginx could not listen, and why. The text is what it printed.
pub fn unbound_ports(error: &str) -> BTreeMap<u16, String> {
    let unbound = |line: &str| {
        let (_, rest) = line.split_once(" bind() to ")?;
        let (address, why) = rest.split_once(" failed (")?;
        let (_, port) = address.rsplit_once(':')?;
        // `98: Address already in use`
        let (_, why) = why.trim_end().strip_suffix(')')?.split_once(": ")?;
        Some((port.parse().ok()?, why.to_owned()))
    };
    failures(error).filter_map(unbound).collect()
}

/// The lines in which nginx says what failed.
fn failures(error: &str) -> impl Iterator<Item = &str> {
    error.lines().filter(|line| LEVELS.iter().any(|level| line.contains(level)))
}

/// Why nginx refused, as it is told to others: its first message without time, process, and the directories of this machine.
pub fn reason_of_error(error: &str) -> String {
    // What ended it before it could complain says so in its own way.
    let any = || error.lines().find(|line| !line.trim().is_empty());
    let line = failures(error).next().or_else(any).unwrap_or_default().trim();
    let after = |level: &&str| line.split_once(*level).map(|(_, rest)| rest.trim_start());
    let mut said = LEVELS.iter().find_map(after).unwrap_or(line);
    // `123#123: `
    if let Some((process, rest)) = said.split_once(": ")
        && process.contains('#')
        && process.bytes().all(|b| b.is_ascii_digit() || b == b'#')
    {
        said = rest;
    }
    let mut said = match said.rsplit_once(" in /") {
        Some((what, place)) => format!("{what} in {}", place.rsplit('/').next().unwrap_or(place)),
        None => said.to_owned(),
    };
    if let Some(at) = DIRECTORIES.iter().find_map(|directory| said.find(directory))
        && let Some(begin) = said[..at].rfind('"')
    {
        said.replace_range(begin + 1..=at, "");
    }
    said
}

/// Reads `… in /x/nginx.conf:123`. What comes before may be text of an object, so the last place counts.
fn line_of(origins: &[LineOrigin], error: &str) -> Option<ObjectRef> {
    let (_, place) = error.trim_end().rsplit_once(" in ")?;
    let (path, line) = place.rsplit_once(':')?;
    let line: u32 = line.parse().ok()?;
    let name = path.rsplit('/').next()?;
    origins
        .iter()
        .filter(|origin| origin.file == name && (origin.first_line..=origin.last_line).contains(&line))
        // Blocks nest: the innermost one is to blame.
        .min_by_key(|origin| origin.last_line - origin.first_line)
        .map(|origin| origin.object.clone())
}

/// Reads `cannot load certificate "/x/certs/ID.pem": …`, `SSL_CTX_load_verify_locations("/x/authorities/ID.pem") failed …` and their like.
fn file_of(origins: &[LineOrigin], error: &str) -> Option<ObjectRef> {
    DIRECTORIES.iter().find_map(|directory| {
        let (_, rest) = error.split_once(directory)?;
        let (id, _) = rest.split_once(".pem")?;
        let file = format!("{}{id}.pem", directory.trim_start_matches('/'));
        origins.iter().find(|origin| origin.file == file).map(|origin| origin.object.clone())
    })
}

#[cfg(test)]
mod tests {
    use entry_model::{Key, Kind};

    use super::*;
    use crate::revision::MAIN;

    fn object(name: &str) -> ObjectRef {
        ObjectRef::new(Kind::Ingress, Key { namespace: "shop".to_owned(), name: name.to_owned() })
    }

    #[test]
    fn ports_that_cannot_be_listened_at_are_read_from_what_nginx_prints() {
        let said = "2026/01/01 00:00:00 [emerg] 7#7: bind() to 0.0.0.0:22 failed (98: Address already in use)\n\
                    nginx: [emerg] bind() to [::]:53 failed (13: Permission denied)\n\
                    2026/01/01 00:00:00 [emerg] 7#7: bind() to unix:/run/x.sock failed (98: Address already in use)\n\
                    2026/01/01 00:00:00 [emerg] 7#7: still could not bind()\n";
        let ports: Vec<_> = unbound_ports(said).into_iter().collect();
        assert_eq!(ports, [(22, "Address already in use".to_owned()), (53, "Permission denied".to_owned())]);
    }

    #[test]
    fn error_reason_omits_time_process_and_directories() {
        for (error, expected) in [
            (
                "2026/11/23 08:00:00 [warn] 7#7: y in /v/nginx.conf:2\n2026/11/23 08:00:00 [emerg] 71#71: invalid return code \
                 \"8081\" in /var/lib/sparrow-entry/generations/ab12/nginx.conf:31\nnginx: configuration file /v test failed",
                "invalid return code \"8081\" in nginx.conf:31",
            ),
            (
                "nginx: [emerg] cannot load certificate \"/v/generations/1/certs/ab12.pem\": PEM_read_bio_X509() failed (SSL: \
                 error:0480006C:PEM routines::no start line)",
                "cannot load certificate \"certs/ab12.pem\": PEM_read_bio_X509() failed (SSL: error:0480006C:PEM \
                 routines::no start line)",
            ),
            (
                "nginx: [emerg] X509_LOOKUP_load_file(\"/v/generations/1/revoked/cd34.pem\") failed (SSL: error:0680009F)",
                "X509_LOOKUP_load_file(\"revoked/cd34.pem\") failed (SSL: error:0680009F)",
            ),
            ("nginx: [emerg] a: b in /v/nginx.conf:3", "a: b in nginx.conf:3"),
            ("it did not answer", "it did not answer"),
            ("\nnginx: error while loading shared libraries\nand more", "nginx: error while loading shared libraries"),
            ("", ""),
        ] {
            assert_eq!(reason_of_error(error), expected);
        }
    }

    #[test]
    fn nginx_error_leads_to_the_object_by_its_line() {
        let origin = |file: &str, first_line, last_line, name| LineOrigin {
            file: file.to_owned().into(),
            first_line,
            last_line,
            object: object(name),
        };
        let origins = [
            origin(MAIN, 10, 30, "outer"),
            origin(MAIN, 12, 14, "inner"),
            origin("certs/ab12.pem", 1, 9, "certificate"),
            origin("authorities/ab12.pem", 1, 9, "authorities"),
            origin("revoked/cd34.pem", 1, 9, "revoked"),
        ];
        for (error, expected) in [
            ("nginx: [emerg] unknown directive \"x\" in /v/generations/1/nginx.conf:13", Some("inner")),
            (
                "nginx: [emerg] x in /v/nginx.conf:20\nnginx: configuration file /v/nginx.conf test failed\n",
                Some("outer"),
            ),
            ("nginx: [warn] x in /v/nginx.conf:13\nnginx: [emerg] y in /v/nginx.conf:30", Some("outer")),
            // A text of an object that looks like a place.
            ("nginx: [emerg] bad \"a in /v/nginx.conf:13\" in /v/nginx.conf:20", Some("outer")),
            (
                "nginx: [emerg] cannot load certificate \"/v/certs/ab12.pem\": PEM_read_bio_X509() failed",
                Some("certificate"),
            ),
            ("nginx: [emerg] cannot load certificate key \"/v/certs/ab12.pem\": no start line", Some("certificate")),
            (
                "nginx: [emerg] SSL_CTX_load_verify_locations(\"/v/authorities/ab12.pem\") failed (SSL: error:0680009F)",
                Some("authorities"),
            ),
            (
                "nginx: [emerg] X509_LOOKUP_load_file(\"/v/revoked/cd34.pem\") failed (SSL: error:0680009F)",
                Some("revoked"),
            ),
            ("nginx: [emerg] x in /v/nginx.conf:9", None),
            ("nginx: [emerg] x in /v/other.conf:13", None),
            ("nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)", None),
            ("", None),
        ] {
            assert_eq!(object_of_error(&origins, error), expected.map(object), "{error}");
        }
    }
}
