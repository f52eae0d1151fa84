//! The pages that are made from the code are checked in, so that they can be read and their changes reviewed. Each test
//! fails when one is stale; `make reference` rewrites them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::Arg;
use entry::admin_state::AdminState;
use entry::config_map::keys::{self, KeyEffect};
use entry::flags::{self, Command};
use entry::generator::Generator;
use entry::metrics;
use entry::pipeline::Pipeline;
use entry_kube::status::WriteCounters;
use entry_kube::{SourceOptions, TlsSecrets, roles};
use entry_model::{HeaderVariable, Key, Kind, ObjectRef, Snapshot};
use entry_translate::{INGRESS_NGINX_PREFIX, Meaning, OWN_PREFIX, Objects, Scope, TOPICS, UnusableValue};
use nginx_process::{Supervisor, Volume};
use serde_json::Value;
use testbed::reference::{cell, checked_in, checked_in_between, page};
use tokio::sync::{oneshot, watch};

/// How long nginx may take to start.
const DEADLINE: Duration = Duration::from_secs(30);

/// A row of a table of flags.
fn row(argument: &Arg) -> String {
    let takes = argument.get_action().takes_values();
    let values = argument.get_value_names().unwrap_or_default().iter().map(|name| format!(" {name}"));
    let values: String = values.filter(|_| takes).collect();
    let flag = format!("--{}{}", argument.get_long().unwrap_or_default(), cell(&values));
    let variable = argument.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
    // A switch's default says nothing.
    let defaults = argument.get_default_values().iter().filter(|_| takes);
    let defaults: Vec<_> = defaults.map(|value| format!("`{}`", value.display())).collect();
    let mut meaning =
        argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> = argument.get_possible_values().into_iter().filter(|_| takes).collect();
    if !possible.is_empty() {
        let of = |value: &clap::builder::PossibleValue| {
            format!("`{}`: {}", value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default())
        };
        meaning = format!("{meaning}. One of {}", possible.iter().map(of).collect::<Vec<_>>().join("; "));
    }
    let meaning = cell(meaning.trim_end_matches('.'));
    format!("| `{flag}` | {variable} | {} | {meaning}. |\n", defaults.join(" "))
}

/// A table of flags.
fn table<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    text.push_str("| flag | variable | default | meaning |\n|---|---|---|---|\n");
    text.extend(arguments.map(row));
}

/// The flags that the help of a command shows, but for `--help` itself.
fn shown_flags(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|flag| !flag.is_hide_set() && !["help", "version"].contains(&flag.get_id().as_str()))
}

#[test]
fn flags_page_is_current() {
    let mut text = page(
        "Flags of sparrow-entry",
        "Each command has the groups of flags that concern it; `sparrow-entry COMMAND --help` shows them. Every flag of a group \
         can also be given as the environment variable beside it; the flag wins. A command does not look at variables of others, \
         so that the containers of a pod can share one list of variables. \
         Lists are written with commas in a variable. Times are written like `500ms`, `30s`, `2m`. `SPARROW_ENTRY_LOG` \
         sets the level of the log, in the syntax of `RUST_LOG` (without it `info`); the Kubernetes client's own lines are never logged.",
    );
    let mut program = flags::command();
    program.build();
    let commands: Vec<_> = program.get_subcommands().filter(|command| command.get_name() != "help").collect();
    text.push_str("\n## Commands\n\n| command | what it does |\n|---|---|\n");
    for command in &commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "| `{}` | {} |", command.get_name(), cell(&about)).unwrap();
    }
    // Groups in the order in which commands show them, each with its flags and the commands that have them.
    let mut headings: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<&str, (Vec<&Arg>, Vec<&str>)> = BTreeMap::new();
    for command in &commands {
        for flag in shown_flags(command) {
            let Some(heading) = flag.get_help_heading() else { continue };
            if !headings.contains(&heading) {
                headings.push(heading);
            }
            let (flags, of) = groups.entry(heading).or_default();
            if flags.iter().all(|known| known.get_id() != flag.get_id()) {
                flags.push(flag);
            }
            if of.last() != Some(&command.get_name()) {
                of.push(command.get_name());
            }
        }
    }
    for heading in headings {
        let (flags, of) = &groups[heading];
        let of: Vec<_> = of.iter().map(|name| format!("`{name}`")).collect();
        write!(text, "\n## {heading}\n\nOf {}.\n\n", of.join(", ")).unwrap();
        table(&mut text, flags.iter().copied());
    }
    for command in commands {
        let own: Vec<_> = shown_flags(command).filter(|flag| flag.get_help_heading().is_none()).collect();
        if !own.is_empty() {
            write!(text, "\n## Of {} only\n\n", command.get_name()).unwrap();
            table(&mut text, own.into_iter());
        }
    }
    checked_in("docs/reference/entry-flags.md", &text);
}

#[test]
fn page_on_our_annotations_is_current() {
    let mut text = String::new();
    for topic in TOPICS.iter().filter(|topic| !topic.own.is_empty()) {
        let header = "| annotation | of | value | default | example | a value that cannot be used |\n|---|---|---|---|---|---|\n";
        write!(text, "\n### {}\n\n{header}", topic.title).unwrap();
        for known in topic.own {
            let objects = match known.objects {
                Objects::Services => "Services",
                Objects::ServicesAndIngresses => "Services, Ingresses",
                Objects::Ingresses => "Ingresses",
            };
            let (value, default) = (cell(known.value), cell(known.default));
            let (name, example) = (known.name, known.example);
            let unusable = match known.unusable {
                UnusableValue::Ignored => "the default".to_owned(),
                UnusableValue::Closes => "503".to_owned(),
                UnusableValue::CountsAs(other) => format!("`{other}`"),
                UnusableValue::Narrows(words) => words.to_owned(),
            };
            writeln!(text, "| `{OWN_PREFIX}{name}` | {objects} | {value} | {default} | `{example}` | {unusable} |")
                .unwrap();
        }
    }
    let (prefixes, names): (Vec<_>, Vec<_>) = HeaderVariable::names().partition(|name| name.ends_with('_'));
    let names: Vec<_> = names.iter().map(|name| format!("`${name}`")).collect();
    let prefixes: Vec<_> = prefixes.iter().map(|name| format!("`${name}NAME`")).collect();
    write!(
        text,
        "\n### Variables in headers\n\nIn the value of a header `$NAME` and `${{NAME}}` stand for something of the request, as it was sent, or of its \
         answer; a header whose value is empty is not sent. They are those of nginx and ingress-nginx: {}, and {}. What is known only when a request \
         is answered is not told to backends, and cookies and `Authorization` are not told to clients: such a header is not set.\n",
        names.join(", "),
        prefixes.join(", ")
    )
    .unwrap();
    text.push('\n');
    checked_in_between("docs/reference/annotations.md", "annotations", &text);
}

#[test]
fn page_on_annotations_of_ingress_nginx_is_current() {
    let rows = || TOPICS.iter().flat_map(|topic| topic.ingress_nginx);
    let count = |wanted: fn(&Meaning) -> bool| rows().filter(|row| wanted(&row.meaning)).count();
    let mut text = page(
        "Annotations of ingress-nginx",
        &format!(
            "These annotations of ingress-nginx (`{INGRESS_NGINX_PREFIX}…`, as its last release, 1.15, reads them) are followed on \
             Ingresses of this entry's classes, beside [ours](annotations.md), which go first where both say something; \
             `--ingress-nginx-annotations off` turns that off. Of {} names {} mean the same here, {} in part, and {} have no effect. \
             A value that ingress-nginx ignores is ignored, and a finding says so; so it does of a name without effect, unless its \
             value asks for what happens anyway. [Migrating](../operating/migrating-from-ingress-nginx.md) says how to begin.",
            rows().count(),
            count(|meaning| matches!(meaning, Meaning::Same(_))),
            count(|meaning| matches!(meaning, Meaning::Differs(_))),
            count(|meaning| matches!(meaning, Meaning::Never(_))),
        ),
    );
    for topic in TOPICS.iter().filter(|topic| !topic.ingress_nginx.is_empty()) {
        write!(text, "\n## {}\n\n| annotation | of | here | |\n|---|---|---|---|\n", topic.title).unwrap();
        for known in topic.ingress_nginx {
            let scope = match known.scope {
                Scope::Host => "host",
                Scope::Rule => "rule",
                Scope::Backend => "backend",
            };
            let (meaning, sentence) = match known.meaning {
                Meaning::Same(sentence) => ("same", sentence),
                Meaning::Differs(sentence) => ("differs", sentence),
                Meaning::Never(sentence) => ("no effect", sentence),
            };
            writeln!(text, "| `{}` | {scope} | {meaning} | {}. |", known.name, cell(sentence)).unwrap();
        }
    }
    checked_in("docs/reference/ingress-nginx-annotations.md", &text);
}

#[test]
fn config_map_page_is_current() {
    let count = |wanted: fn(&KeyEffect) -> bool| keys::all().filter(|key| wanted(&key.effect)).count();
    let settings = count(|effect| matches!(effect, KeyEffect::Read { .. }));
    let unchanged = count(|effect| matches!(effect, KeyEffect::Unchanged(_)));
    let mut text = page(
        "Settings in a ConfigMap",
        &format!(
            "`--config NAMESPACE/NAME` names a ConfigMap whose data are settings for all of the entry; it is followed as it changes, and \
             what a key says goes over the flag of the same meaning. The keys are those of ingress-nginx, as its last release, 1.15, reads \
             them, so that its ConfigMap can be named as it is: of {} keys here {settings} are settings, {unchanged} change nothing here, and the others are \
             not followed unless they ask for what happens anyway. `--set KEY=VALUE` is the same as a flag.\n\n\
             A value that cannot be used changes nothing: the value that nginx took before stays in force, or else what the flags say, and a finding on the \
             ConfigMap says so (an Event, the log, metrics, `check`). So it is with settings that nginx rejects, which are put aside as a \
             whole until the ConfigMap changes. The page of the admin port shows what of each key is in force. Where a key is not there, the \
             flag's default counts, which is not always that of ingress-nginx.\n\n\
             Values may have blanks around them. Switches are `true` and `false`; lists have commas, where nothing else is said; sizes have \
             `k`, `m` or `g`, or no unit.",
            keys::all().count()
        ),
    );
    for (title, group) in keys::GROUPS {
        write!(text, "\n## {title}\n\n| key | here | |\n|---|---|---|\n").unwrap();
        for key in group {
            let (here, words) = match key.effect {
                KeyEffect::Read { words, .. } => ("a setting".to_owned(), words),
                KeyEffect::Unchanged(why) => ("changes nothing".to_owned(), why),
                KeyEffect::NotFollowed { unless: [], why } => ("not followed".to_owned(), why),
                KeyEffect::Snippet(_) => {
                    let here = "not followed, and not taken with a line that [may keep someone out](#snippets)";
                    (here.to_owned(), keys::SNIPPET)
                }
                KeyEffect::NotFollowed { unless, why } => {
                    let values: Vec<_> = unless
                        .iter()
                        .map(|value| if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") })
                        .collect();
                    (format!("not followed, but for {}, which changes nothing", values.join(" and ")), why)
                }
            };
            writeln!(text, "| `{}` | {here} | {} |", key.name, cell(words)).unwrap();
        }
    }
    let [nginx, renamed, without, prefixes] = nginx_conf::ValueTemplate::variables();
    let names = |names: &[&str]| names.iter().map(|name| format!("`${name}`")).collect::<Vec<_>>().join(", ");
    write!(
        text,
        "\n## Variables\n\nIn `log-format-upstream`, and in the values of `add-headers` and `proxy-set-headers`. Any other is rejected.\n\n\
         - Of nginx: {}; and those of headers, cookies and parameters, which begin with {}.\n\
         - Of ingress-nginx, with what has the same value here: {}.\n\
         - Of ingress-nginx, without value here, `-` in the log: {}, and those that begin with `$geoip`.\n",
        names(&nginx),
        names(&prefixes),
        names(&renamed),
        names(&without)
    )
    .unwrap();
    text.push_str(
        "\n## Snippets\n\nNo snippet is followed. Lines that say how something is done (headers of answers, buffers, caches, compression, logs) \
         have no effect, and a finding says so. With a line that may keep someone out (`deny`, `return`, `if`, `location`, a header that backends are told, \
         and each that is not known to keep nobody out) the ConfigMap is not taken at all: the settings that nginx took last stay in force; at a \
         start, where there are none, no configuration is offered and the entry does not become ready; `check` and `render` fail. At the level \
         of `http`, definitions (`map`, `geo`, zones) and servers at other ports than 80 and 443 keep nobody out.\n",
    );
    checked_in("docs/reference/config-map.md", &text);
}

/// What is counted when there is something of everything: a real nginx that serves, an object that is refused, a kind that
/// cannot be read.
async fn all_metrics() -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let nginx = testbed::nginx::debian();
    let free = testbed::ports::free_address()?;
    let line = ["sparrow-entry", "run", "--access-log", "off", "--http", &free.to_string()].map(str::to_owned);
    let module = testbed::nginx::module().display().to_string();
    let paths = [
        ("--nginx", nginx.display().to_string()),
        ("--nginx-module", module),
        ("--volume", path("volume")),
        ("--runtime", path("runtime")),
    ];
    let paths = paths.into_iter().flat_map(|(flag, path)| [flag.to_owned(), path]);
    let Command::Run(flags) = flags::parse(line.into_iter().chain(paths))?.command else { panic!("not `run`") };
    let program = &flags.configuration.program;
    let nginx_version = nginx_process::nginx_version(&nginx).await?;
    let volume = Volume::open(&program.volume)?;
    let (mut pipeline, pipeline_status) = Pipeline::new(Generator::new(&flags.configuration, &nginx_version)?, volume);
    let broken = ObjectRef::new(Kind::Service, Key { namespace: "a".to_owned(), name: "b".to_owned() });
    let unreadable = BTreeMap::from([(broken, "for a test".to_owned())]);
    pipeline.offer(Arc::new(Snapshot { unreadable, ..Snapshot::default() })).await?;
    let (supervisor, handle) = Supervisor::start(program.supervisor_settings(&flags.stop, &flags.counts)).await?;
    let mut status = handle.status.clone();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(supervisor.run(async { drop(stopped.await) }));
    tokio::time::timeout(DEADLINE, status.wait_for(|status| status.live.is_some())).await??;
    let source_errors = BTreeMap::from([(Kind::Service, "for a test".to_owned())]);
    let state = AdminState {
        pipeline: Some(pipeline_status),
        source_errors: Some(watch::channel(source_errors).1),
        status_writes: Some(Arc::new(WriteCounters::default())),
        ..AdminState::default()
    };
    let text = metrics::render_metrics(&state.with_nginx(handle, program.control_socket())).await;
    drop(stop);
    tokio::time::timeout(DEADLINE, running).await???;
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_page_is_current() {
    let mut text = page(
        "Metrics of sparrow-entry",
        "`GET /metrics` on the admin port, in the OpenMetrics format to a reader whose `Accept` prefers it, else in Prometheus' text format. Times are in seconds. `watch` tells what it reads, \
         makes and writes into the cluster; `nginx` tells what begins with `sparrow_entry_nginx_`; `run` tells all of it. \
         What nginx counts itself is there if it was built with `http_stub_status_module`.",
    );
    text.push_str("\n| metric | type | labels | meaning |\n|---|---|---|---|\n");
    let told = all_metrics().await.unwrap();
    let mut help = "";
    let mut names = BTreeSet::new();
    for line in told.lines() {
        if let Some((_, words)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            help = words;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            let sample = |line: &'_ str| {
                Some(line.strip_prefix(&name)?.trim_start_matches("_count").strip_prefix('{')?.to_owned())
            };
            let labels = told.lines().find_map(sample).unwrap_or_default();
            let labels =
                labels.split('}').next().unwrap_or_default().split(',').filter_map(|label| label.split_once('='));
            let labels: Vec<_> = labels.map(|(label, _)| format!("`{label}`")).collect();
            writeln!(text, "| `{name}` | {kind} | {} | {} |", labels.join(", "), cell(help)).unwrap();
            assert!(names.insert(name), "{line}");
        }
    }
    for part in ["ready", "routes", "findings", "source_failing", "events_written_total", "nginx_requests_total"] {
        assert!(names.contains(&format!("sparrow_entry_{part}")), "{part}: {told}");
    }
    checked_in("docs/reference/entry-metrics.md", &text);
}

/// The rules of a role in a table.
fn rules(role: &Value) -> String {
    let named = |item: &Value| match item.as_str() {
        Some("") | None => "the core group".to_owned(),
        Some(name) => format!("`{name}`"),
    };
    let list = |items: &Value| items.as_array().into_iter().flatten().map(named).collect::<Vec<_>>().join(", ");
    let row = |rule: &Value| {
        let cells = ["apiGroups", "resources", "resourceNames", "verbs"].map(|field| list(&rule[field]));
        format!("| {} |\n", cells.join(" | "))
    };
    let rows: String = role["rules"].as_array().into_iter().flatten().map(row).collect();
    format!("| API group | resources | names | verbs |\n|---|---|---|---|\n{rows}")
}

#[test]
fn rights_page_is_current() {
    let mut text = page(
        "Rights of sparrow-entry in Kubernetes",
        "What `watch`, `generate` and `run` need, and no more; `nginx` needs nothing and should get no token. The rights \
         follow from the list of kinds in the code; with less it is not ready, and says which rule is missing. RBAC knows no \
         types of Secrets: those of the type `kubernetes.io/tls` are asked for, and those that annotations name, each by its name, as are ConfigMaps; the right is for all.",
    );
    let usual = SourceOptions::default();
    for (title, words, options) in [
        ("Usually", "", usual.clone()),
        (
            "With `--tls-secrets named`",
            "No right to any Secret by itself. Each namespace whose Ingresses name Secrets, for TLS or in annotations, gives a Role with `get` on those \
             names, and binds it to the entry's service account; so it does, with `get`, `list` and `watch`, for ConfigMaps that annotations \
             name.\n\n",
            SourceOptions { tls_secrets: TlsSecrets::Named, ..usual.clone() },
        ),
        (
            "With `--no-ingresses`",
            "Secrets that annotations of Services name are read where a Role in their namespace gives `get` on their names.\n\n",
            SourceOptions { ingresses: false, ..usual.clone() },
        ),
        ("With `--host-ownership none`", "", SourceOptions { ownership: false, ..usual.clone() }),
        ("With `--namespace shop`", "", SourceOptions { namespace: Some("shop".to_owned()), ..usual.clone() }),
        (
            "With ConfigMaps that flags name, here `ingress-nginx/controller`",
            "A ConfigMap that such a one names is read too, if a Role in its namespace allows `get`, `list` and `watch` on its name; \
             without, its owner is told so, and all else is served.\n\n",
            SourceOptions {
                config_maps: BTreeSet::from([Key {
                    namespace: "ingress-nginx".to_owned(),
                    name: "controller".to_owned(),
                }]),
                ..usual
            },
        ),
    ] {
        let roles = roles("sparrow-entry", "OWN", &options);
        write!(text, "\n## {title}\n\n{words}").unwrap();
        text.push_str("A ClusterRole, with a ClusterRoleBinding:\n\n");
        text.push_str(&rules(&serde_json::to_value(&roles.cluster).unwrap()));
        for role in roles.namespaced {
            let role = serde_json::to_value(&role).unwrap();
            let namespace = match role["metadata"]["namespace"].as_str().unwrap() {
                "OWN" => "the namespace of the entry itself, where its lease is and its record of hosts".to_owned(),
                other => format!("the namespace `{other}`"),
            };
            write!(text, "\nA Role, with a RoleBinding, in {namespace}:\n\n").unwrap();
            text.push_str(&rules(&role));
        }
    }
    checked_in("docs/reference/entry-rights.md", &text);
}
