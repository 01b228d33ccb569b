//! The form of messages: texts of errors in `#[error(...)]`, and denials in every other text.
//!
//! Known hole: a sentence that is made by `format!` is checked for denials alone.

use std::path::Path;

use super::{begins_with_a_clause, nothing_found, source_files};

/// The beginning of an attribute with the text of an error.
const ATTRIBUTE: &str = "#[error(";

/// Denials that invert a sentence: a thing "is not a key", and is never "no key".
const DENIALS: [&str; 3] = [" is no ", " are no ", " was no "];

/// Words after a denial with which it is plain, as in "no longer".
const PLAIN: [&str; 2] = ["longer", "more"];

/// The texts of errors, with the number of the line on which their attribute begins.
fn error_texts(text: &str) -> Vec<(usize, String)> {
    let found = text.match_indices(ATTRIBUTE).filter_map(|(at, _)| {
        let literal = text[at + ATTRIBUTE.len()..].trim_start().strip_prefix('"')?;
        Some((text[..at].lines().count().max(1), literal_text(literal)))
    });
    found.collect()
}

/// The content of a string literal whose opening quote was read, its lines joined.
fn literal_text(literal: &str) -> String {
    let mut content = String::new();
    let mut chars = literal.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' if chars.peek() == Some(&'\n') => {
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
            }
            '\\' => content.extend(chars.next()),
            c => content.push(c),
        }
    }
    content
}

fn has_denial(text: &str) -> bool {
    let is_denial = |(at, denial): (usize, &str)| {
        let rest = &text[at + denial.len()..];
        !text[..at].ends_with("there") && !PLAIN.iter().any(|plain| rest.starts_with(plain))
    };
    DENIALS.iter().any(|denial| text.match_indices(denial).any(is_denial))
}

/// The breach of the form of an error's text. An acronym may begin a message.
fn breach(text: &str) -> Option<&'static str> {
    let mut first = text.chars();
    let (initial, second) = (first.next()?, first.next().unwrap_or_default());
    if initial.is_uppercase() && second.is_lowercase() {
        Some("begins with a capital letter")
    } else if text.ends_with('.') {
        Some("ends with a full stop")
    } else if begins_with_a_clause(text) {
        Some("begins with a clause")
    } else {
        None
    }
}

fn message_findings(name: &Path, text: &str) -> Vec<String> {
    let errors = error_texts(text).into_iter().filter_map(|(line, text)| {
        Some(format!("{}:{line}: {}: {text}", name.display(), breach(&text)?))
    });
    let lines = (1..).zip(text.lines());
    let denials = lines
        .filter(|(_, line)| !line.trim_start().starts_with("//") && has_denial(line))
        .map(|(number, line)| format!("{}:{number}: a denial: {}", name.display(), line.trim()));
    errors.chain(denials).collect()
}

#[test]
fn messages_begin_in_lower_case_end_without_a_full_stop_and_deny_plainly() {
    let files = source_files();
    let found = files.iter().flat_map(|file| message_findings(&file.path, &file.text));
    nothing_found(&found.collect::<Vec<_>>());
}

#[test]
fn each_breach_of_the_form_of_a_message_is_found() {
    for text in [
        "#[error(\"Invalid key\")] Key,",
        "#[error(\"invalid key.\")] Key,",
        "#[error(\"what was written does not hold\")] Key,",
        "#[error(\n    \"the key \\\n     of {0} is wrong.\",\n    name\n)]\nKey,",
        "let text = \"a note is no checkpoint\";",
        "let text = \"these are no keys\";",
    ] {
        assert_eq!(message_findings(Path::new("f"), text).len(), 1, "{text}");
    }
}

#[test]
fn plain_messages_pass() {
    for text in [
        "#[error(\"the key is not {0:?}\")] Key,",
        "#[error(\"URL without a host\")] Url,",
        "#[error(\"{0}\")] Text(String),",
        "#[error(transparent)] Other(#[from] Error),",
        "#[error(\"the result is no longer kept\")] Gone,",
        "let text = \"there is no template x\";",
        "// This is no message.",
    ] {
        assert_eq!(message_findings(Path::new("f"), text), [""; 0], "{text}");
    }
    assert_eq!(error_texts("#[error(\n \"a \\\n   b\"\n)]"), [(1, "a b".to_owned())]);
}
