//! Which crate may depend on which, what those may do that are pure, and where no two modules need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates of this workspace, each with those of the workspace on which it may depend. Tests may use more.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "bench-entry",
        &["bench-figures", "entry", "entry-kube", "entry-model", "entry-translate", "nginx-conf", "testbed"],
    ),
    ("bench-figures", &[]),
    ("bench-rbd", &["bench-figures", "ceph", "rbd-format", "testbed"]),
    ("ceph", &["ceph-error", "ceph-sys", "rbd-format"]),
    ("ceph-error", &["rbd-format"]),
    ("ceph-sys", &[]),
    ("deploy-tests", &["testbed"]),
    ("e2e", &["testbed"]),
    (
        "entry",
        &["entry-kube", "entry-model", "entry-translate", "exposition", "nginx-conf", "nginx-process", "route-table"],
    ),
    ("entry-kube", &["entry-model"]),
    ("entry-model", &[]),
    // The only one beside the storage service that links cryptography of its own.
    ("entry-translate", &["entry-model", "pattern-engine"]),
    ("exposition", &[]),
    ("nginx-conf", &["entry-model", "pattern-engine"]),
    ("nginx-module", &["entry-model", "route-table", "table-memory"]),
    ("nginx-process", &["route-table", "table-memory", "time-slice"]),
    ("pattern-engine", &["entry-model"]),
    ("rbd", &["ceph", "rbd-format", "rbd-model"]),
    // What describes the API is built without librados.
    ("rbd-api", &["rbd-format", "rbd-model"]),
    ("rbd-format", &[]),
    ("rbd-model", &["ceph-error", "rbd-format"]),
    ("rbd-server", &["ceph", "exposition", "rbd", "rbd-api", "rbd-format", "rbd-model"]),
    ("route-table", &["entry-model", "pattern-engine"]),
    ("table-memory", &[]),
    ("testbed", &[]),
    ("texts", &[]),
    ("time-slice", &[]),
];

/// The crates that are pure: no clock, no files, no network, no processes. Each with the crates of others on which it may
/// depend, none of which does any of that where it is used here.
const PURE: &[(&str, &[&str])] = &[
    ("entry-model", &["serde", "sha2"]),
    (
        "entry-translate",
        &[
            "base64",
            "elliptic-curve",
            "idna",
            "k256",
            "p224",
            "p256",
            "p384",
            "p521",
            "percent-encoding",
            "rustls",
            "sha2",
            "x509-parser",
        ],
    ),
    ("exposition", &[]),
    ("nginx-conf", &["ipnet", "minijinja", "sha2", "thiserror"]),
    ("pattern-engine", &["regex-automata", "regex-syntax", "thiserror"]),
    // `http` and `axum-core` are types here: a body is handed on, not sent.
    (
        "rbd-api",
        &[
            "axum-core",
            "form_urlencoded",
            "http",
            "jiff",
            "percent-encoding",
            "schemars",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "serde_urlencoded",
        ],
    ),
    ("rbd-format", &["thiserror"]),
    ("rbd-model", &["base64", "jiff", "schemars", "serde", "serde_json"]),
    // Its atomic words are memory, whoever maps it.
    ("route-table", &["crc32fast", "smallvec", "thiserror"]),
];

/// What pure crates may use of the standard library: modules, and of some modules only these items.
const PURE_STD: &[(&str, &[&str])] = &[
    ("array", &[]),
    ("borrow", &[]),
    ("cell", &[]),
    ("cmp", &[]),
    ("collections", &[]),
    ("convert", &[]),
    ("error", &[]),
    ("fmt", &[]),
    ("hash", &[]),
    // A writer into memory.
    ("io", &["Error", "Result", "Write"]),
    ("iter", &[]),
    ("marker", &[]),
    ("mem", &[]),
    ("net", &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV6"]),
    ("num", &[]),
    ("ops", &[]),
    // Names of files are values; what looks at files is forbidden below.
    ("path", &["Path", "PathBuf"]),
    ("result", &[]),
    ("slice", &[]),
    ("str", &[]),
    ("string", &[]),
    ("sync", &["Arc", "LazyLock", "OnceLock", "atomic", "Mutex", "PoisonError"]),
    // A moment that bytes name is a value; `::now` is forbidden below.
    ("time", &["Duration", "SystemTime"]),
    ("vec", &[]),
];

/// What pure crates may not do, however it is named.
const FORBIDDEN: &[&str] = &[
    "::now(",
    "println!",
    "eprintln!",
    "print!(",
    "dbg!(",
    "env!(",
    "include_bytes!(",
    ".exists()",
    ".is_dir()",
    ".is_file()",
    ".metadata()",
    ".canonicalize()",
    ".read_dir()",
];

/// The crates in which modules depend on each other one way too.
const WITHOUT_CIRCLES: &[&str] = &[
    "ceph",
    "entry",
    "entry-kube",
    "entry-model",
    "entry-translate",
    "nginx-conf",
    "nginx-process",
    "pattern-engine",
    "rbd",
    "rbd-api",
    "rbd-model",
    "rbd-server",
    "route-table",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The crates of the workspace, by name, each with its directory.
fn members() -> BTreeMap<String, PathBuf> {
    let directories = ["crates", "benches"].into_iter().flat_map(|parent| {
        let entries = fs::read_dir(root().join(parent)).expect("a directory of crates");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let directories = directories.chain(["deploy/tests", "e2e", "texts"].map(|directory| root().join(directory)));
    let named = directories.filter(|directory| directory.join("Cargo.toml").is_file()).map(|directory| {
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("a manifest");
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        (name.expect("a crate has a name").to_owned(), directory)
    });
    named.collect()
}

/// The names of what a crate depends on when it is not tested, from its manifest.
fn dependencies(directory: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("a manifest");
    let mut names = Vec::new();
    let mut within = false;
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            // One for some targets only counts too, and what builds a crate does not: it is not in the program.
            within = table == "dependencies" || table.ends_with(".dependencies");
            if let Some(name) = table.strip_prefix("dependencies.") {
                names.push(name.to_owned());
            }
        } else if within {
            let end = line.find([' ', '.', '=']).unwrap_or(line.len());
            names.push(line[..end].to_owned());
        }
    }
    names
}

/// The sources of a crate, without its tests, each with its path.
fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let (mut sources, mut tests) = (Vec::new(), Vec::new());
    let mut directories = vec![directory.join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                // A file of tests is declared as one.
                let declared =
                    text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| Some(rest.split_once(';')?.0));
                tests.extend(declared.filter(|name| !name.contains(' ')).map(str::to_owned));
                // Tests stand at the end.
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                sources.push((path, code.join("\n")));
            }
        }
    }
    sources.retain(|(path, _)| !path.file_stem().is_some_and(|stem| tests.iter().any(|test| stem == test.as_str())));
    sources
}

/// What a source uses of the standard library and a pure crate may not: `fs`, or `time::Instant`.
fn impure(code: &str) -> Vec<String> {
    let mut found: Vec<String> =
        FORBIDDEN.iter().filter(|word| code.contains(**word)).map(|word| (*word).to_owned()).collect();
    for (at, _) in code.match_indices("std::") {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let path = &code[at + "std::".len()..];
        let module = word(path);
        let Some((_, items)) = PURE_STD.iter().find(|(known, _)| *known == module) else {
            found.push(module);
            continue;
        };
        if items.is_empty() {
            continue;
        }
        let rest = path[module.len()..].trim_start_matches("::");
        let list = rest.strip_prefix('{').and_then(|list| list.split('}').next());
        let used: Vec<String> = match list {
            Some(list) => list.split(',').map(|item| word(item.trim())).filter(|item| !item.is_empty()).collect(),
            None => vec![word(rest)],
        };
        found
            .extend(used.iter().filter(|item| !items.contains(&item.as_str())).map(|item| format!("{module}::{item}")));
    }
    found
}

/// A module's path below its crate.
type Module = Vec<String>;

/// The paths that a source names and that begin with `crate`, `self` or `super`, as paths below the crate. Of a list in braces
/// each item is one.
fn named_modules(code: &str, module: &[String]) -> Vec<Module> {
    let mut named = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            // `super::super::x` is read from its first word.
            if code[..at].ends_with(|c: char| is_word(c) || c == ':') {
                continue;
            }
            let mut base = if start == "crate::" { Vec::new() } else { module.to_vec() };
            let mut rest = &code[at + start.len()..];
            if start == "super::" {
                base.pop();
                while let Some(after) = rest.strip_prefix("super::") {
                    base.pop();
                    rest = after;
                }
            }
            follow(base, rest, &mut named);
        }
    }
    named
}

/// Follows `a::b`, or each item of `a::{b, c::d}`, from a base. What is left.
fn follow<'a>(mut base: Module, mut rest: &'a str, named: &mut Vec<Module>) -> &'a str {
    loop {
        if let Some(mut list) = rest.strip_prefix('{') {
            loop {
                list = follow(base.clone(), list.trim_start_matches([',', ' ', '\n']), named);
                // An alias: `x as y`.
                let end = list.find([',', '}']).unwrap_or(list.len());
                list = list[end..].trim_start_matches([',', ' ', '\n']);
                if let Some(after) = list.strip_prefix('}') {
                    return after;
                }
                if list.is_empty() {
                    return list;
                }
            }
        }
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        base.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => break,
        }
    }
    named.push(base);
    rest
}

/// Which module of a crate needs which others.
fn module_graph(directory: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let source_root = directory.join("src");
    let modules: BTreeMap<Module, String> = sources(directory)
        .into_iter()
        .map(|(path, code)| {
            let path = path.strip_prefix(&source_root).expect("a source is below src").with_extension("");
            let mut module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
                module.pop();
            }
            (module, code)
        })
        .filter(|(module, _)| !module.is_empty())
        .collect();
    let needs = |module: &Module, code: &str| {
        let mut needed = BTreeSet::new();
        for mut named in named_modules(code, module) {
            while !named.is_empty() && !modules.contains_key(&named) {
                named.pop();
            }
            if !named.is_empty() && named != *module {
                needed.insert(named);
            }
        }
        needed
    };
    modules.iter().map(|(module, code)| (module.clone(), needs(module, code))).collect()
}

/// The modules that need each other: what is left when those are taken out, again and again, that need none that is left, or
/// that none that is left needs.
fn circles(mut graph: BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    loop {
        let needed: BTreeSet<Module> = graph.values().flatten().cloned().collect();
        let before = graph.len();
        graph.retain(|module, needs| !needs.is_empty() && needed.contains(module));
        let left: BTreeSet<Module> = graph.keys().cloned().collect();
        for needs in graph.values_mut() {
            needs.retain(|module| left.contains(module));
        }
        if graph.len() == before {
            return graph.keys().map(|module| module.join("::")).collect();
        }
    }
}

#[test]
fn modules_of_layered_crates_need_each_other_one_way() {
    let members = members();
    for name in WITHOUT_CIRCLES {
        let circles = circles(module_graph(&members[*name]));
        assert!(circles.is_empty(), "{name}: each of these needs another of them: {circles:#?}");
    }
}

#[test]
fn circle_of_modules_is_found_through_lists_and_parents() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let named = named_modules("use crate::{a::B, c::{D as E, f::G}};\nsuper::h::i(); self::k::l()", &module("m::n"));
    let expected: Vec<Module> = ["a::B", "c::D", "c::f::G", "m::n::k::l", "m::h::i"].into_iter().map(module).collect();
    assert_eq!(named, expected);
    let needs = |all: &[&str]| all.iter().map(|path| module(path)).collect::<BTreeSet<_>>();
    let graph = BTreeMap::from([
        (module("a"), needs(&["b"])),
        (module("b"), needs(&["c", "d"])),
        (module("c"), needs(&["b"])),
        (module("d"), needs(&[])),
    ]);
    assert_eq!(circles(graph), ["b", "c"]);
}

#[test]
fn crates_depend_downwards_only() {
    let members = members();
    let mut wrong = Vec::new();
    for (name, directory) in &members {
        let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} has no row: say on which crates of this workspace it may depend"));
            continue;
        };
        let own = dependencies(directory).into_iter().filter(|dependency| members.contains_key(dependency));
        wrong.extend(
            own.filter(|dependency| !allowed.contains(&dependency.as_str()))
                .map(|dependency| format!("{name} may not depend on {dependency}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_crates_depend_on_nothing_outside_their_list() {
    let members = members();
    for (name, allowed) in PURE {
        let others = dependencies(&members[*name]).into_iter().filter(|dependency| !members.contains_key(dependency));
        let wrong: Vec<_> = others.filter(|dependency| !allowed.contains(&dependency.as_str())).collect();
        assert!(wrong.is_empty(), "{name} is pure, and may not depend on {wrong:?}");
    }
}

#[test]
fn pure_crates_read_no_clock_and_touch_no_file() {
    let members = members();
    let mut wrong = Vec::new();
    for (name, _) in PURE {
        for (path, code) in sources(&members[*name]) {
            wrong.extend(impure(&code).into_iter().map(|what| format!("{}: {what}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "pure crates may not use this: {wrong:#?}");
}

#[test]
fn impure_code_is_told_from_pure_code() {
    for code in [
        "use std::fs;",
        "use std::time::Instant;",
        "use std::{fs, io};",
        "use std::net::{IpAddr, TcpStream};",
        "std::process::exit(1)",
        "let now = SystemTime::now();",
        "println!(\"x\");",
        "std::env::var(\"X\")",
    ] {
        assert!(!impure(code).is_empty(), "{code}");
    }
    for code in
        ["use std::time::Duration;", "use std::net::{IpAddr, SocketAddr};", "std::mem::take(x)", "use std::fmt;"]
    {
        assert_eq!(impure(code), Vec::<String>::new(), "{code}");
    }
}
