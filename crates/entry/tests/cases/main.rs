//! Golden cases, in `cases/`: objects, and beside them the routes, the verdicts and the frame that they lead to. They change only
//! together with what makes them; `make reference` rewrites them.
//!
//! Each case is rendered for the oldest nginx that is supported and for the newest. The whole frame stands in the case `nothing` alone: the
//! others have in what theirs differs from it.

mod frame;
mod vulnerabilities;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use route_table::TableWriter;
use table_memory::WritableTableMemory;
use testbed::nginx::Program;

/// Set by `make reference`: the files are written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

/// The case whose configuration is written out whole.
const NOTHING: &str = "nothing";

/// What a case begins with of which only the words are kept.
const WORDS_ONLY: &str = "# Words only";

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases")
}

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).expect("read cases");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    cases
}

fn sparrow_entry(command: &str, case: &Path, nginx: &Path) -> Command {
    let flags = std::fs::read_to_string(case.join("flags")).unwrap_or_default();
    let mut entry = Command::new(env!("CARGO_BIN_EXE_sparrow-entry"));
    entry.env_clear().arg(command).arg("--from").arg(case).arg("--nginx").arg(nginx).args(flags.lines());
    if let Some(module) = testbed::nginx::stream_module(nginx) {
        entry.arg("--stream-module").arg(module);
    }
    entry
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("run a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn render(case: &Path, nginx: &Path) -> Output {
    run(&mut sparrow_entry("render", case, nginx))
}

/// Frames for one nginx: that of the case `nothing`, which the others are compared with.
struct Nginx {
    binary: PathBuf,
    nothing: String,
}

impl Nginx {
    fn new(binary: PathBuf) -> Self {
        let nothing = frame::without_revision(&text(render(&directory().join(NOTHING), &binary).stdout));
        Self { binary, nothing }
    }

    /// In what a case's frame differs; none if in nothing.
    fn difference(&self, case: &Path) -> Option<String> {
        let whole = frame::without_revision(&text(render(case, &self.binary).stdout));
        frame::difference(&self.nothing, &whole)
    }
}

/// The golden files of a case, by name; those with nothing in them are not there, but for the verdicts.
fn golden(case: &Path, oldest: &Nginx, newest: &Nginx) -> Vec<(&'static str, Option<String>)> {
    let routes = run(sparrow_entry("render", case, &newest.binary).arg("--routes"));
    let mut files = vec![("routes.txt", Some(text(routes.stdout))), ("verdicts.txt", Some(text(routes.stderr)))];
    let objects = std::fs::read_to_string(case.join("objects.yaml")).expect("read the objects");
    if case.ends_with(NOTHING) {
        files.push(("nginx.conf", Some(newest.nothing.clone())));
        files.push(("nginx-oldest.diff", frame::difference(&newest.nothing, &oldest.nothing)));
    } else if !objects.starts_with(WORDS_ONLY) {
        let (on_oldest, on_newest) = (oldest.difference(case), newest.difference(case));
        files.push(("frame-oldest.diff", on_oldest.filter(|on_oldest| Some(on_oldest) != on_newest.as_ref())));
        files.push(("frame.diff", on_newest));
    }
    files
}

#[test]
fn each_annotation_is_in_a_golden_case() {
    use entry_translate::{INGRESS_NGINX_PREFIX, OWN_PREFIX, TOPICS};
    let texts: String = cases()
        .iter()
        .map(|case| std::fs::read_to_string(case.join("objects.yaml")).expect("read the objects of a case"))
        .collect();
    let ours = TOPICS.iter().flat_map(|topic| topic.own).map(|row| [OWN_PREFIX, row.name].concat());
    let theirs =
        TOPICS.iter().flat_map(|topic| topic.ingress_nginx).map(|row| [INGRESS_NGINX_PREFIX, row.name].concat());
    let missing: Vec<_> = ours.chain(theirs).filter(|name| !texts.contains(&format!("{name}:"))).collect();
    assert!(missing.is_empty(), "in no case: {missing:?}");
}

#[test]
fn objects_lead_to_the_golden_files() {
    let write = std::env::var_os(WRITE_VARIABLE).is_some();
    let (oldest, newest) = (Nginx::new(testbed::nginx::debian()), Nginx::new(testbed::nginx::newest()));
    let mut stale = Vec::new();
    for case in cases() {
        for (name, text) in golden(&case, &oldest, &newest) {
            let file = case.join(name);
            match text {
                Some(text) if write => std::fs::write(&file, text).expect("write a golden file"),
                None if write => drop(std::fs::remove_file(&file)),
                text if std::fs::read_to_string(&file).ok() != text => stale.push(file.display().to_string()),
                _ => {}
            }
        }
    }
    assert!(stale.is_empty(), "not as checked in; run `make reference` and read the difference: {stale:#?}");
}

/// Has nginx test the configuration of a case, without a warning. What is returned has `volume` with what was generated.
fn test_configuration(case: &Path, Program { nginx, module }: &Program) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let [volume, runtime] = ["volume", "runtime"].map(|name| directory.path().join(name));
    std::fs::create_dir(&runtime).expect("make a directory");
    let mut generate = sparrow_entry("generate", case, nginx);
    generate.arg("--nginx-module").arg(module);
    run(generate.arg("--volume").arg(&volume).arg("--runtime").arg(&runtime));
    // What nginx opens has to be a table, whatever is in it.
    let table = TableWriter::create(WritableTableMemory::create(1 << 16).expect("memory"), [1, 2]).expect("a table");
    std::os::unix::fs::symlink(table.memory().path(), runtime.join("table")).expect("link the table");
    let revisions = std::fs::read_dir(volume.join("generations")).expect("read the volume");
    for revision in revisions {
        let main = revision.expect("an entry").path().join("nginx.conf");
        // The test binds what the configuration listens on: sockets of its own instead of the ports of all.
        let mut configuration = std::fs::read_to_string(&main).expect("read the configuration");
        for port in ["80", "443"] {
            let socket = format!("\"unix:{}\"", runtime.join(port).display());
            configuration = configuration.replace(&format!("\"0.0.0.0:{port}\""), &socket);
        }
        std::fs::write(&main, configuration).expect("write the configuration");
        let mut test = Command::new(nginx);
        test.arg("-p").arg(&runtime).args(["-t", "-q", "-e", "stderr", "-c"]).arg(&main);
        let stderr = text(run(&mut test).stderr);
        let benign = ["the \"user\" directive makes sense only", "requests are served and not counted"];
        let quiet = stderr.lines().all(|line| benign.iter().any(|benign| line.contains(benign)));
        assert!(quiet, "{}: {stderr}", case.display());
    }
    directory
}

#[test]
fn nginx_accepts_the_configuration_of_every_case_without_a_warning() {
    for program in testbed::nginx::programs() {
        for case in cases() {
            test_configuration(&case, &program);
        }
    }
}
