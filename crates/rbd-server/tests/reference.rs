//! The pages that are made from the code are checked in, so that they can be read and their changes reviewed. Each test
//! fails when one is stale; `make reference` rewrites them.

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use rbd_server::metrics::Metrics;
use rbd_server::problem::Kind;
use rbd_server::settings::Cli;
use rbd_server::{api, openapi};

/// Set by `make reference`: the pages are written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

/// Compares a checked-in file with what it should be, or writes it.
fn checked_in(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("create the directory");
        std::fs::write(&file, expected).expect("write the page");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    if found == expected {
        return;
    }
    let place = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    let line = place.unwrap_or_else(|| found.lines().count().min(expected.lines().count()));
    let show = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    panic!(
        "{path} is stale at line {}: run `make reference` and read the difference\n  checked in: {}\n  the code's: {}",
        line + 1,
        show(&found),
        show(expected),
    );
}

/// A page with the note that it is generated.
fn page(title: &str, introduction: &str) -> String {
    format!("<!-- Made from the code by `make reference`. Do not edit. -->\n# {title}\n\n{introduction}\n")
}

/// A cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn flags() {
    let mut text = page(
        "Flags of sparrow-rbd",
        "Every flag can also be given as the environment variable beside it; the flag wins. Times are written like \
         `500ms`, `30s`, `2m`, `12h`, `7d`. How Ceph's own `CEPH_CONF` is honoured: see `--ceph-conf`.",
    );
    let mut command = Cli::command();
    command.build();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        write!(text, "\n## sparrow-rbd {}\n\n", command.get_name()).unwrap();
        writeln!(text, "{}.", command.get_about().map(ToString::to_string).unwrap_or_default().trim_end_matches('.'))
            .unwrap();
        let arguments: Vec<_> =
            command.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help").collect();
        if arguments.is_empty() {
            continue;
        }
        text.push_str("\n| flag | variable | default | meaning |\n|---|---|---|---|\n");
        for argument in arguments {
            let values = argument.get_value_names().unwrap_or_default().iter().map(|name| format!(" {name}"));
            let values = if argument.get_action().takes_values() { values.collect() } else { String::new() };
            let flag = argument.get_long().map_or(values.trim().to_owned(), |long| format!("--{long}{values}"));
            let variable = argument.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
            let defaults: Vec<_> =
                argument.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
            let mut meaning =
                argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
            let possible = argument.get_possible_values();
            if argument.get_action().takes_values() && !possible.is_empty() {
                let possible: Vec<_> = possible
                    .iter()
                    .map(|value| match value.get_help() {
                        Some(help) => format!("`{}`: {help}", value.get_name()),
                        None => format!("`{}`", value.get_name()),
                    })
                    .collect();
                write!(meaning, ". One of {}", possible.join("; ")).unwrap();
            }
            // A switch's default says nothing.
            let default = if argument.get_action().takes_values() { defaults.join(" ") } else { String::new() };
            let meaning = cell(meaning.trim_end_matches('.'));
            writeln!(text, "| `{flag}` | {variable} | {default} | {meaning}. |").unwrap();
        }
    }
    checked_in("docs/reference/flags.md", &text);
}

#[test]
fn endpoints() {
    let mut text = page(
        "Endpoints of sparrow-rbd",
        "All paths are below `/api/v1`, with or without a slash at the end. `{scope}` is `/pools/{pool}` for the pool's \
         default namespace, or `/pools/{pool}/namespaces/{namespace}`. A caller needs at least the role. What each takes \
         and answers is in the API description, [openapi/sparrow-rbd.json](../../openapi/sparrow-rbd.json), which the \
         service serves at `/openapi.json`.",
    );
    let endpoints = api::endpoints();
    let mut tags: Vec<&str> = Vec::new();
    for endpoint in &endpoints {
        if !tags.contains(&endpoint.tag) {
            tags.push(endpoint.tag);
        }
    }
    for tag in tags {
        write!(text, "\n## {tag}\n\n| method | path | role | what it does |\n|---|---|---|---|\n").unwrap();
        for endpoint in endpoints.iter().filter(|endpoint| endpoint.tag == tag) {
            let role = format!("{:?}", endpoint.role).to_lowercase();
            let what = format!("{}. {}", endpoint.summary, endpoint.description);
            let (method, path) = (&endpoint.method, &endpoint.path);
            writeln!(text, "| {method} | `{path}` | {role} | {} |", cell(what.trim())).unwrap();
        }
    }
    checked_in("docs/reference/endpoints.md", &text);
}

#[test]
fn problems() {
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
fn metrics() {
    let mut text = page(
        "Metrics of sparrow-rbd",
        "`GET /metrics` on the admin port: in the OpenMetrics text format where `Accept` prefers it, else in the Prometheus text \
         format. Times are in seconds.",
    );
    text.push_str("\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metrics::new().described() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (&metric.name, metric.kind, cell(metric.help));
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    checked_in("docs/reference/metrics.md", &text);
}

#[test]
fn api_description() {
    checked_in("openapi/sparrow-rbd.json", &openapi::text());
}
