//! The command that pushes a report of rejected rows with the options of the push before.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::{Parser, Subcommand};

use super::PushArgs;
use crate::cli::context::GlobalOptions;
use crate::cli::output::harmless;

/// The option that names the receipt: the second push must not write over the first one's.
const RECEIPT: &str = "--receipt";

/// Returns the typed command with the report in place of the file; `None` if the file does not stand
/// among its words as it was typed.
pub(super) fn command(typed: &[OsString], file: &Path, report: &Path) -> Option<String> {
    let mut words = vec![OsString::from("liaison")];
    let mut rest = typed.iter().skip(1);
    while let Some(word) = rest.next() {
        if word == RECEIPT {
            rest.next();
        } else if !word.as_bytes().starts_with(b"--receipt=") {
            words.push(word.clone());
        }
    }
    // Options may have the same text as the file: the words are read as they will be.
    let at = (1..words.len()).filter(|at| words[*at] == file.as_os_str()).find(|at| {
        let mut words = words.clone();
        words[*at] = report.into();
        is_push_of(report, &words)
    })?;
    words[at] = report.into();
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// The command line as far as a push needs it; another command is not parsed.
#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    _global: GlobalOptions,
    #[command(subcommand)]
    command: Pushed,
}

#[derive(Debug, Subcommand)]
enum Pushed {
    Push(Box<PushArgs>),
}

fn is_push_of(file: &Path, words: &[OsString]) -> bool {
    let command = CommandLine::try_parse_from(words).map(|line| line.command);
    matches!(command, Ok(Pushed::Push(push)) if push.file == file)
}

/// Quotes a word for a shell where it needs that. Bytes that a terminal does not show are written as
/// escapes, which bash, zsh and ksh read.
fn quoted(word: &OsStr) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@+%".contains(&byte);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Some(text) if harmless(text) == text => format!("'{}'", text.replace('\'', "'\\''")),
        _ => format!("$'{}'", escaped(word)),
    }
}

fn escaped(word: &OsStr) -> String {
    let mut out = String::new();
    let bytes_of = |bytes: &[u8]| bytes.iter().map(|b| format!("\\x{b:02x}")).collect::<String>();
    for chunk in word.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            let text = character.to_string();
            match character {
                '\'' | '\\' => out.extend(['\\', character]),
                _ if harmless(&text) == text => out.push(character),
                _ => out.push_str(&bytes_of(text.as_bytes())),
            }
        }
        out.push_str(&bytes_of(chunk.invalid()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried_of(file: &str, typed: &[&str]) -> Option<String> {
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        let report = format!("{file}.rejected.csv");
        command(&typed, Path::new(file), Path::new(&report))
    }

    fn retried(typed: &[&str]) -> Option<String> {
        retried_of("f.csv", typed)
    }

    #[test]
    fn the_report_is_pushed_as_what_the_file_was_pushed_as() {
        assert_eq!(
            retried(&[
                "/bin/liaison",
                "push",
                "f.csv",
                "--kind",
                "indicator",
                "--source",
                "it's A"
            ]),
            Some(
                "liaison push f.csv.rejected.csv --kind indicator --source 'it'\\''s A'".to_owned()
            )
        );
    }

    #[test]
    fn an_option_with_the_text_of_the_file_stays_what_it_was() {
        let typed = ["liaison", "push", "--source", "f.csv", "--tlp", "green", "f.csv"];
        let command = "liaison push --source f.csv --tlp green f.csv.rejected.csv".to_owned();
        assert_eq!(retried(&typed), Some(command));
        let typed = ["liaison", "push", "--kind", "indicator", "--", "indicator"];
        let command = "liaison push --kind indicator -- indicator.rejected.csv".to_owned();
        assert_eq!(retried_of("indicator", &typed), Some(command));
        let command = "liaison push push.rejected.csv".to_owned();
        assert_eq!(retried_of("push", &["liaison", "push", "push"]), Some(command));
    }

    #[test]
    fn characters_that_a_terminal_does_not_show_are_written_as_escapes() {
        let typed = ["liaison", "push", "f.csv", "--source", "a\u{202e}b's\n"];
        let command = "liaison push f.csv.rejected.csv --source $'a\\xe2\\x80\\xaeb\\'s\\x0a'";
        assert_eq!(retried(&typed), Some(command.to_owned()));
        assert_eq!(quoted(OsStr::from_bytes(b"a\xff")), "$'a\\xff'");
    }

    #[test]
    fn the_receipt_of_the_first_push_is_not_written_over() {
        let typed = ["liaison", "push", "--receipt", "r.json", "f.csv", "--receipt=r.json"];
        assert_eq!(retried(&typed), Some("liaison push f.csv.rejected.csv".to_owned()));
        assert_eq!(retried(&["liaison", "push", "./f.csv"]), None);
    }
}
