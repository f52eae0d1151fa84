//! The pages that are made from the code are checked in, so that they can be read and their changes reviewed. Each test
//! fails when one is stale; `make reference` rewrites them.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use rbd_server::metrics::Metrics;
use rbd_server::settings::Cli;
use testbed::reference::{cell, checked_in, page};

#[test]
fn flags_page_is_current() {
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
fn metrics_page_is_current() {
    let mut text = page(
        "Metrics of sparrow-rbd",
        "`GET /metrics` on the admin port: in the OpenMetrics text format where `Accept` prefers it, else in the Prometheus text \
         format. Times are in seconds.",
    );
    text.push_str("\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metrics::new().descriptions() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, help) = (&metric.name, metric.kind, cell(metric.help));
        writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    checked_in("docs/reference/metrics.md", &text);
}
