//! docs/GLOSSARY.md names code that exists.

use std::path::Path;

/// The `name` in `file` pairs of a cell such as "`Exception` in src/exchange/exception.rs, ...".
fn carriers(cell: &str) -> Vec<Option<(&str, &str)>> {
    let carrier = |text| {
        let (name, file) = str::trim(text).split_once(" in ")?;
        Some((name.strip_prefix('`')?.strip_suffix('`')?, file))
    };
    cell.split(',').map(carrier).collect()
}

fn contains_word(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_word) && !after.starts_with(is_word)
    })
}

#[test]
fn every_word_of_the_glossary_names_a_type_that_its_file_contains() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/GLOSSARY.md")).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .filter(|cells: &Vec<&str>| cells[0] != "word" && !cells[0].starts_with("---"))
        .collect();
    assert!(rows.len() > 50, "the glossary has {} words", rows.len());
    let mut findings = Vec::new();
    for row in rows {
        let [word, meaning, carried] = row[..] else {
            findings.push(format!("{}: not three cells", row[0]));
            continue;
        };
        if meaning.is_empty() {
            findings.push(format!("{word}: without a meaning"));
        }
        for carrier in carriers(carried) {
            let Some((name, file)) = carrier else {
                findings.push(format!("{word}: not a `type` in a file: {carried}"));
                continue;
            };
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
            if !contains_word(&source, name) {
                findings.push(format!("{word}: no {name} in {file}"));
            }
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}
