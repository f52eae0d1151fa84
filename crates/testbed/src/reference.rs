//! Pages that are made from the code and checked in, so that they can be read and their changes reviewed.

use std::path::Path;

/// Set by `make reference`: the pages are written instead of compared.
const WRITE_VARIABLE: &str = "SPARROW_REFERENCE_WRITE";

/// Compares a checked-in file, by its path in the repository, with what it should be, or writes it.
///
/// # Panics
/// When it is stale, with the first line that differs.
pub fn checked_in(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os(WRITE_VARIABLE).is_some() {
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

/// As [`checked_in`], for what stands between two lines of a page that is otherwise written by hand: `<!-- NAME: made from the code -->`
/// and `<!-- end -->`.
///
/// # Panics
/// The page has no such lines, or is stale.
pub fn checked_in_between(path: &str, name: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let page = std::fs::read_to_string(&file).expect("read the page");
    let (before, rest) =
        page.split_once(&format!("<!-- {name}: made from the code -->\n")).expect("a line where it begins");
    let (_, after) = rest.split_once("<!-- end -->\n").expect("a line where it ends");
    let begin = format!("<!-- {name}: made from the code -->\n");
    checked_in(path, &[before, &begin, expected, "<!-- end -->\n", after].concat());
}

/// A page with the note that it is generated.
pub fn page(title: &str, introduction: &str) -> String {
    format!("<!-- Made from the code by `make reference`. Do not edit. -->\n# {title}\n\n{introduction}\n")
}

/// A cell of a table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
