//! The pages that are made from the code are checked in, so that they can be read and their changes reviewed. Each test
//! fails when one is stale; `make reference` rewrites them.

use std::fmt::Write as _;

use rbd_api::openapi;
use rbd_api::problem::Kind;
use testbed::reference::{cell, checked_in, page};

#[test]
fn endpoints_page_is_current() {
    let mut text = page(
        "Endpoints of sparrow-rbd",
        "All paths are below `/api/v1`, with or without a slash at the end. `{scope}` is `/pools/{pool}` for the pool's \
         default namespace, or `/pools/{pool}/namespaces/{namespace}`. A caller needs at least the role. What each takes \
         and answers is in the API description, [openapi/sparrow-rbd.json](../../openapi/sparrow-rbd.json), which the \
         service serves at `/openapi.json`.",
    );
    let endpoints = rbd_api::endpoints::declarations();
    let mut tags: Vec<&str> = Vec::new();
    for endpoint in &endpoints {
        if !tags.contains(&endpoint.tag) {
            tags.push(endpoint.tag);
        }
    }
    for tag in tags {
        write!(text, "\n## {tag}\n\n| method | path | role | what it does |\n|---|---|---|---|\n").unwrap();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.tag == tag) {
            let role = endpoint.role.name();
            let what = format!("{}. {}", endpoint.summary, endpoint.description);
            let (method, path) = (&endpoint.method, &endpoint.path);
            writeln!(text, "| {method} | `{path}` | {role} | {} |", cell(what.trim())).unwrap();
        }
    }
    checked_in("docs/reference/endpoints.md", &text);
}

#[test]
fn problems_page_is_current() {
    let mut text = page(
        "Problems of sparrow-rbd",
        "Every error is a problem document (RFC 9457), `application/problem+json`. `type` and `title` are the same for \
         every occurrence; `detail` says what happened this time, `cause` why, and `correction` what to do.",
    );
    text.push_str("\n| `type` | status | `title` |\n|---|---|---|\n");
    for kind in Kind::all() {
        let status = kind.status().as_u16();
        writeln!(text, "| `urn:sparrow:problem:{}` | {status} | {} |", kind.slug(), cell(kind.title())).unwrap();
    }
    checked_in("docs/reference/problems.md", &text);
}

#[test]
fn api_description_is_current() {
    checked_in("openapi/sparrow-rbd.json", &openapi::text());
}
