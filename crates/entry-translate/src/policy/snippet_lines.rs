//! What lines of snippets do.

use entry_model::{Action, HeaderField, Policy, RenamedHeader, RequestHeaders};

use super::annotations::Annotations;
use super::auth_answer::is_second_cookie;
use super::client_redirects::AnsweredPath;
use super::headers::{clear_request_header, set_request_header};
use super::snippet_answers::refusal;
use super::snippet_locations::{Location, read_location};
use super::snippet_text::Statement;
use super::snippet_treatment::{NOT_FIXED, NOT_KNOWN, Outcome, read_treatment, take_out};

/// Most paths that an object may have answered.
pub const MOST_ANSWERED_PATHS: usize = 16;

/// Reads one.
pub fn read_statement(statement: &Statement, annotations: &mut Annotations<'_>) -> Outcome {
    let arguments: Vec<&str> = statement.arguments.iter().map(String::as_str).collect();
    if let Some(block) = &statement.block {
        return match statement.name.as_str() {
            "location" => answer_location(&arguments, block, annotations),
            "if" => read_condition(&arguments, block, &mut annotations.policy),
            _ => Outcome::Closes,
        };
    }
    match (statement.name.as_str(), arguments.as_slice()) {
        ("auth_request_set", [variable, _]) if annotations.auth_answer.has(variable) => Outcome::Served,
        ("add_header", ["Set-Cookie", value, rest @ ..])
            if matches!(rest, [] | ["always"]) && annotations.auth_answer.is_cookie(value) =>
        {
            Outcome::Served
        }
        ("access_by_lua_block", [code]) if is_second_cookie(code) => Outcome::Served,
        ("proxy_set_header" | "grpc_set_header", [name, value])
            if let Some(renamed) = annotations.auth_answer.renamed(name, value) =>
        {
            tell_answer(renamed, annotations)
        }
        _ if let Some(status) = refusal(statement) => act(annotations, Action::Respond(status)),
        (name, arguments) => read_treatment(name, arguments, &mut annotations.policy),
    }
}

/// Does this with all requests, unless something is done with them already.
pub fn act(annotations: &mut Annotations<'_>, action: Action) -> Outcome {
    annotations.action.get_or_insert(action);
    Outcome::Served
}

fn answer_location(arguments: &[&str], block: &[Statement], annotations: &mut Annotations<'_>) -> Outcome {
    let (answered, outcome) = match read_location(arguments, block) {
        // Nobody asks for it.
        Location::Named => return Outcome::Lost(NOT_KNOWN),
        Location::Answered(answered, outcome) => (answered, outcome),
        Location::OfPath(path) => (AnsweredPath::refused(path, 503), Outcome::ClosesPath),
        Location::Other => return Outcome::Closes,
    };
    if annotations.answered_paths.len() == MOST_ANSWERED_PATHS {
        return Outcome::Closes;
    }
    annotations.answered_paths.push(answered);
    outcome
}

/// Lines for some requests only, none of which is followed. What browsers ask before a request may be answered by the backend.
fn read_condition(condition: &[&str], block: &[Statement], policy: &mut Policy) -> Outcome {
    let is_preflight = condition.concat() == "($request_method=OPTIONS)";
    let mut unfollowed = Policy::default();
    for one in block {
        let arguments: Vec<&str> = one.arguments.iter().map(String::as_str).collect();
        if is_preflight && one.name == "return" && matches!(arguments.first(), Some(&("200" | "204"))) {
            continue;
        }
        if one.block.is_some() || read_treatment(&one.name, &arguments, &mut unfollowed) == Outcome::Closes {
            return Outcome::Closes;
        }
    }
    let set = &unfollowed.request_headers.set;
    let cleared = set.iter().map(|field| take_out(field.name(), NOT_FIXED, policy));
    cleared.max().unwrap_or(Outcome::Lost(NOT_KNOWN))
}

/// Has the backend told a header of the answer of who is asked, and never what the client says in it.
fn tell_answer(renamed: RenamedHeader, annotations: &mut Annotations<'_>) -> Outcome {
    let field = HeaderField::new(&renamed.name, "x");
    if let Err(why) = field.and_then(|field| set_request_header(&mut RequestHeaders::default(), field)) {
        return take_out(&renamed.name, why, &mut annotations.policy);
    }
    match clear_request_header(&mut annotations.policy.request_headers, &renamed.name) {
        Ok(()) => {
            annotations.auth_answer.renamed.push(renamed);
            Outcome::Served
        }
        Err(_) => Outcome::Closes,
    }
}
