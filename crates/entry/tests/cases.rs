//! Golden cases, in `cases/`: objects, and beside them the routes, the verdicts and the configuration that they lead to. They
//! change only together with what makes them; `make reference` rewrites them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set by `make reference`: the files are written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let entries = std::fs::read_dir(directory).expect("read cases");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// What a case begins with of which only the words are kept.
const WORDS_ONLY: &str = "# Words only";

fn render(case: &Path, more: &[&str]) -> Output {
    let flags = std::fs::read_to_string(case.join("flags")).unwrap_or_default();
    Command::new(env!("CARGO_BIN_EXE_sparrow-entry"))
        .env_clear()
        .arg("render")
        .arg("--from")
        .arg(case)
        .arg("--nginx")
        .arg(testbed::nginx::newest())
        .args(flags.lines())
        .args(more)
        .output()
        .expect("run sparrow-entry")
}

#[test]
fn objects_lead_to_what_is_checked_in() {
    let write = std::env::var_os(WRITE_VARIABLE).is_some();
    let mut stale = Vec::new();
    for case in cases() {
        let (configuration, routes) = (render(&case, &[]), render(&case, &["--routes"]));
        for output in [&configuration, &routes] {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", case.display());
        }
        let objects = std::fs::read_to_string(case.join("objects.yaml")).expect("read the objects");
        let words_only = objects.starts_with(WORDS_ONLY);
        for (name, text) in
            [("nginx.conf", configuration.stdout), ("routes.txt", routes.stdout), ("verdicts.txt", routes.stderr)]
        {
            if words_only && name == "nginx.conf" {
                continue;
            }
            let (file, text) = (case.join(name), String::from_utf8(text).expect("UTF-8"));
            if write {
                std::fs::write(&file, text).expect("write a golden file");
            } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
                stale.push(file.display().to_string());
            }
        }
    }
    assert!(stale.is_empty(), "not as checked in; run `make reference` and read the difference: {stale:#?}");
}
