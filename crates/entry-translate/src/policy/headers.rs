//! Headers that annotations ask for, one in a line, and those that they cannot ask for.

use entry_model::{AddedHeader, AnswerHeaders, CONNECTION_HEADERS, HeaderField, HeaderVariable, RequestHeaders};

/// Most headers that an object may ask for, of requests and of answers each.
const MOST: usize = 32;

/// What every backend is told of the client: no rule says it otherwise.
const OF_CLIENT: [&str; 3] = ["Forwarded", "X-Real-IP", "X-Request-ID"];

/// What every backend is told of the request: it is never what the client says.
const OF_REQUEST: [&str; 6] =
    ["Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto"];

/// Headers of answers that nginx writes itself, or takes for orders.
const OF_NGINX: [&str; 7] =
    ["Content-Encoding", "Content-Type", "Date", "Last-Modified", "Location", "Server", "Content-Range"];

const PROTECTED_REQUEST: &str = "it is said by this entry, and by no rule";
const PROTECTED_ANSWER: &str = "it is said by the backend or by this entry, and by no rule";
const NOT_KNOWN_YET: &str = "a variable in its value is known only when the request is answered";
const SECRET: &str = "a variable in its value may be a secret of the client, which pages could read in an answer";
const TOO_MANY: &str = "an object may ask for up to 32 headers";

/// A list of headers of ours: `Name: value`, one in a line.
pub fn parse_lines(text: &str) -> Result<Vec<HeaderField>, &'static str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let all: Vec<_> = lines.map(parse_line).collect::<Result<_, _>>()?;
    if all.len() > MOST { Err(TOO_MANY) } else { Ok(all) }
}

/// A header in a line.
pub fn parse_line(line: &str) -> Result<HeaderField, &'static str> {
    let (name, value) = line.split_once(':').ok_or("write `Name: value`, one in a line")?;
    HeaderField::new(name.trim(), value)
}

/// Has the backend told a header, or not told it if the value is empty; instead of what was said of it before.
///
/// # Errors
/// No rule can say this one.
pub fn set_request_header(headers: &mut RequestHeaders, field: HeaderField) -> Result<(), &'static str> {
    let is_of_connection = CONNECTION_HEADERS.iter().any(|name| field.is_named(name));
    if is_of_connection || field.is_named("Host") || is_said_by_entry(field.name()) {
        return Err(PROTECTED_REQUEST);
    }
    if field.variables().any(HeaderVariable::is_of_answer) {
        return Err(NOT_KNOWN_YET);
    }
    headers.set.retain(|other| !other.is_named(field.name()));
    if headers.set.len() == MOST {
        return Err(TOO_MANY);
    }
    headers.set.push(field);
    Ok(())
}

/// Has the backend not told what the client says in a header, unless it was said already what it is told.
///
/// # Errors
/// No rule can take this one out, and clients can send it.
pub fn clear_request_header(headers: &mut RequestHeaders, name: &str) -> Result<(), &'static str> {
    // Such names nginx drops by itself.
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) && name.contains('_') {
        return Ok(());
    }
    let field = HeaderField::new(name, "")?;
    let is_said = |other: &str| field.is_named(other);
    if CONNECTION_HEADERS.iter().chain(&OF_CLIENT).chain(&OF_REQUEST).any(|other| is_said(other))
        || headers.set.iter().any(|other| is_said(other.name()))
    {
        return Ok(());
    }
    if headers.set.len() == MOST {
        return Err(TOO_MANY);
    }
    headers.set.push(field);
    Ok(())
}

/// Whether this entry says a header itself of each client.
pub fn is_said_by_entry(name: &str) -> bool {
    let is_forwarded = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("X-Forwarded-"));
    is_forwarded || OF_CLIENT.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Has the client told a header rather than what the backend says in it; none if the value is empty.
///
/// # Errors
/// No rule can say this one.
pub fn set_answer_header(headers: &mut AnswerHeaders, field: HeaderField) -> Result<(), &'static str> {
    hide_answer_header(headers, field.name())?;
    headers.added.retain(|other| !other.field.is_named(field.name()));
    if field.value().is_empty() { Ok(()) } else { add_answer_header(headers, field, true) }
}

/// Has the client told a header beside what the backend says in it.
///
/// # Errors
/// No rule can say this one.
pub fn add_answer_header(headers: &mut AnswerHeaders, field: HeaderField, always: bool) -> Result<(), &'static str> {
    check_answer_header(field.name())?;
    if field.variables().any(HeaderVariable::is_secret) {
        return Err(SECRET);
    }
    if headers.added.len() == MOST {
        return Err(TOO_MANY);
    }
    headers.added.push(AddedHeader { field, always });
    Ok(())
}

/// Has the client not told what the backend says in a header.
///
/// # Errors
/// No rule can hide this one.
pub fn hide_answer_header(headers: &mut AnswerHeaders, name: &str) -> Result<(), &'static str> {
    // It is one of a name without value.
    let name = HeaderField::new(name, "")?.name().to_owned();
    check_answer_header(&name)?;
    if headers.hidden.iter().any(|other| other.eq_ignore_ascii_case(&name)) {
        return Ok(());
    }
    if headers.hidden.len() == MOST {
        return Err(TOO_MANY);
    }
    headers.hidden.push(name);
    Ok(())
}

fn check_answer_header(name: &str) -> Result<(), &'static str> {
    let is_order = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("X-Accel-"));
    let is_protected = CONNECTION_HEADERS.iter().chain(&OF_NGINX).any(|other| other.eq_ignore_ascii_case(name));
    if is_order || is_protected { Err(PROTECTED_ANSWER) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_and_client_are_said_by_no_rule() {
        let field = |name: &str| HeaderField::new(name, "x").unwrap();
        for name in
            ["host", "X-Forwarded-For", "x-forwarded-anything", "X-Real-Ip", "Transfer-Encoding", "TE", "forwarded"]
        {
            assert!(set_request_header(&mut RequestHeaders::default(), field(name)).is_err(), "{name}");
        }
        for name in ["content-length", "Server", "X-Accel-Redirect", "Content-Type", "Connection"] {
            assert!(set_answer_header(&mut AnswerHeaders::default(), field(name)).is_err(), "{name}");
            assert!(add_answer_header(&mut AnswerHeaders::default(), field(name), true).is_err(), "{name}");
            assert!(hide_answer_header(&mut AnswerHeaders::default(), name).is_err(), "{name}");
        }
    }

    #[test]
    fn header_of_a_client_is_taken_out_unless_it_is_said_already() {
        let mut headers = RequestHeaders::default();
        set_request_header(&mut headers, parse_line("X-Tenant: shop").unwrap()).unwrap();
        for name in ["X-User", "x-tenant", "X_User", "Host", "X-Forwarded-For", "X-Forwarded-User", "Connection"] {
            clear_request_header(&mut headers, name).unwrap();
        }
        let set: Vec<_> = headers.set.iter().map(|field| format!("{}: {}", field.name(), field.value())).collect();
        assert_eq!(set, ["X-Tenant: shop", "X-User: ", "X-Forwarded-User: "]);
        for name in ["X-Admin*", "", &"a".repeat(41)] {
            assert!(clear_request_header(&mut headers, name).is_err(), "{name}");
        }
    }

    #[test]
    fn last_value_of_a_header_that_is_set_counts() {
        let mut headers = AnswerHeaders::default();
        for line in ["X-Frame-Options: DENY", "x-frame-options: SAMEORIGIN", "X-Powered-By:"] {
            set_answer_header(&mut headers, parse_line(line).unwrap()).unwrap();
        }
        let added: Vec<_> = headers.added.iter().map(|header| header.field.value().to_string()).collect();
        assert_eq!(
            (added, headers.hidden),
            (vec!["SAMEORIGIN".to_owned()], vec!["X-Frame-Options".into(), "X-Powered-By".into()])
        );
    }

    #[test]
    fn number_of_headers_is_bounded() {
        let lines: String = (0..33).map(|number| format!("X-{number}: a\n")).collect();
        assert!(parse_lines(&lines).is_err());
        assert_eq!(parse_lines("A: 1\n\n B : 2 \n").unwrap().len(), 2);
        assert!(parse_lines("A").is_err());
    }
}
