//! The table of threats in docs/SECURITY.md names tests that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table: all lines with four columns, but for the head and the rule below it.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.len() == 4 && !cells[0].starts_with("---"))
        .skip(1)
        .collect()
}

/// The names in backticks of a cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The functions that are declared in Rust files below a directory.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path: PathBuf = entry.path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let declared = text.split("fn ").skip(1);
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            found.extend(declared.map(|rest| rest.chars().take_while(|c| is_word(*c)).collect()));
        }
    }
}

#[test]
fn every_threat_names_what_stops_it_and_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let rows = rows(&text);
    assert!(rows.len() > 20, "the table has {} rows", rows.len());
    let mut declared = BTreeSet::new();
    functions(&root().join("src"), &mut declared);
    functions(&root().join("tests"), &mut declared);
    let findings: Vec<String> = rows
        .iter()
        .flat_map(|row| {
            let tests: Vec<&str> = names(row[3]).collect();
            let absent = tests.iter().filter(|name| !declared.contains(**name));
            let absent = absent.map(|name| format!("{}: no test {name}", row[0]));
            let is_bare = tests.is_empty() || row.iter().any(|cell| cell.is_empty());
            let bare = is_bare.then(|| format!("{}: a cell is empty or names no test", row[0]));
            absent.chain(bare).collect::<Vec<_>>()
        })
        .collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn a_row_and_its_names_are_read() {
    let text =
        "# T\n| a | b | c | d |\n|---|---|---|---|\n| x | y | z | `one`, `two` |\n| no table |\n";
    let found = rows(text);
    assert_eq!(found, [["x", "y", "z", "`one`, `two`"]]);
    assert_eq!(names(found[0][3]).collect::<Vec<_>>(), ["one", "two"]);
}
