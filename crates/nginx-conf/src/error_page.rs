//! The answers of the entry itself.

use crate::Settings;
use crate::shared_headers::answer_header;
use crate::token::{Text, Token};
use crate::writer::{Directive, Writer, constant, directive, entry};

/// The answers that are given where a rule decides: status, variable, text.
const ANSWERS: [(&str, &str, &str); 4] = [
    ("$sparrow_400", "400 Bad Request", "The path of this request is not in its plain form."),
    ("$sparrow_404", "404 Not Found", "There is nothing at this address."),
    ("$sparrow_421", "421 Misdirected Request", "This connection was opened for another host."),
    ("$sparrow_503", "503 Service Unavailable", "What is behind this address is not there at the moment."),
];

/// The answers that are given where nginx fails.
const FAILURES: [(&str, &str, &str); 5] = [
    ("413", "413 Content Too Large", "The body of this request is too large."),
    ("500", "500 Internal Server Error", "Something went wrong."),
    ("502", "502 Bad Gateway", "What is behind this address did not answer as it should."),
    ("503", "503 Service Unavailable", "What is behind this address is not there at the moment."),
    ("504", "504 Gateway Timeout", "What is behind this address did not answer in time."),
];

/// What the same is to a client of gRPC, which takes a page for a broken message: the code of gRPC, for which statuses, and
/// the words. Codes: gRPC's "Status codes and their use", and "HTTP to gRPC Status Code Mapping".
const GRPC: [(&str, &str, &str); 4] = [
    ("8", r#""~^application/grpc.* 413$""#, "\"The body of this request is too large.\""),
    ("12", r#""~^application/grpc.* 404$""#, "\"There is nothing at this address.\""),
    ("13", r#""~^application/grpc.* 500$""#, "\"Something went wrong.\""),
    ("14", r#""~^application/grpc.* 50[234]$""#, "\"What is behind this address is not there at the moment.\""),
];

static GRPC_STATUS: [Token; 3] =
    [Token::word("grpc-status"), Token::word("$sparrow_grpc_status"), Token::word("always")];
static GRPC_MESSAGE: [Token; 3] =
    [Token::word("grpc-message"), Token::word("$sparrow_grpc_message"), Token::word("always")];

/// What a location needs that answers itself: the code and the words for a client of gRPC. To others they are empty, and
/// so not sent.
static FOR_GRPC: [Directive<'static>; 2] =
    [constant("add_header", &GRPC_STATUS), constant("add_header", &GRPC_MESSAGE)];

/// The headers of a location that answers itself: those of all answers, and those for a client of gRPC.
pub fn answer_headers(settings: &Settings) -> Vec<Directive<'static>> {
    FOR_GRPC.iter().cloned().chain(settings.headers.of_answers(settings).into_iter().map(answer_header)).collect()
}

/// What a location has that says that there is nothing.
pub fn not_found(settings: &Settings) -> Vec<Directive<'static>> {
    let answer = directive("return").words(["404", "$sparrow_404"]);
    answer_headers(settings).into_iter().chain([answer]).collect()
}

/// What is at the level of `http`: the texts, and what they are for.
pub fn http() -> Vec<Directive<'static>> {
    // The empty source makes a constant of a map.
    let constant = |(name, title, text): (&'static str, &'static str, &'static str)| {
        directive("map").words(["\"\"", name]).block(vec![directive("default").token(page(title, text))])
    };
    let failures: Vec<_> =
        FAILURES.into_iter().map(|(status, title, text)| entry(Token::word(status)).token(page(title, text))).collect();
    let mut all: Vec<_> = ANSWERS.into_iter().map(constant).collect();
    all.push(directive("map").words(["$status", "$sparrow_error_page"]).block(failures));
    for (source, name, cases) in [
        ("\"$content_type $status\"", "$sparrow_grpc_status", GRPC.map(|(code, statuses, _)| (statuses, code))),
        ("$sparrow_grpc_status", "$sparrow_grpc_message", GRPC.map(|(code, _, words)| (code, words))),
    ] {
        let none = directive("default").words(["\"\""]);
        let cases = cases.map(|(value, result)| entry(Token::word(value)).words([result]));
        all.push(directive("map").words([source, name]).block([vec![none], cases.into()].concat()));
    }
    // 400 stays nginx's own: it is also answered to what could not be read as a request, which has no location.
    all.push(failure_pages());
    all
}

/// The pages of where nginx fails.
pub fn failure_pages() -> Directive<'static> {
    directive("error_page").words(FAILURES.map(|(status, ..)| status)).words(["@sparrow_error_page"])
}

/// What a server needs: the location behind `error_page`, which keeps the status.
pub fn location(settings: &Settings) -> Directive<'static> {
    let answer = directive("return").words(["200", "$sparrow_error_page"]);
    let block: Vec<_> = answer_headers(settings).into_iter().chain([answer]).collect();
    directive("location").words(["@sparrow_error_page"]).block(block)
}

/// Leads a location whose answers have headers of their own to one that has them too, where nginx cannot forward.
pub fn write_own(writer: &mut Writer<'_>, location: impl FnOnce(Text) -> Text) -> Option<()> {
    writer.line("error_page").words(FAILURES.map(|(status, ..)| status)).text(location).end()
}

/// Writes what such a location answers.
pub fn write_answer(writer: &mut Writer<'_>) {
    for directive in &FOR_GRPC {
        writer.write(directive);
    }
    writer.write(&directive("return").words(["200", "$sparrow_error_page"]));
}

/// A page. The title and the text are of this program; `$request_id` is what the access log has too.
fn page(title: &'static str, text: &'static str) -> Token {
    let page = Text::default()
        .own("<!doctype html><meta charset=utf-8><title>")
        .own(title)
        .own("</title><h1>")
        .own(title)
        .own("</h1><p>")
        .own(text)
        .own("</p><p><small>$request_id</small></p>\n");
    page.token().unwrap_or(Token::word("\"\""))
}
