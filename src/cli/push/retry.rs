//! The command that pushes a report of rejected rows with the options of the push before.

use std::ffi::OsString;
use std::path::Path;

/// The option that names the receipt: the second push must not write over the first one's.
const RECEIPT: &str = "--receipt";

/// Returns the typed command with the report in place of the file; `None` if the file does not stand
/// among its words as it was typed.
pub(super) fn command(typed: &[OsString], file: &Path, report: &Path) -> Option<String> {
    let mut words = vec!["liaison".to_owned()];
    let mut is_replaced = false;
    let mut rest = typed.iter().skip(1);
    while let Some(word) = rest.next() {
        if word == RECEIPT {
            rest.next();
        } else if word == file.as_os_str() && !is_replaced {
            is_replaced = true;
            words.push(quoted(&report.to_string_lossy()));
        } else if !word.to_string_lossy().starts_with("--receipt=") {
            words.push(quoted(&word.to_string_lossy()));
        }
    }
    is_replaced.then(|| words.join(" "))
}

/// Quotes a word for a POSIX shell where it needs that.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retried(typed: &[&str]) -> Option<String> {
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        command(&typed, Path::new("f.csv"), Path::new("f.csv.rejected.csv"))
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
    fn the_receipt_of_the_first_push_is_not_written_over() {
        let typed = ["liaison", "push", "--receipt", "r.json", "f.csv", "--receipt=r.json"];
        assert_eq!(retried(&typed), Some("liaison push f.csv.rejected.csv".to_owned()));
        assert_eq!(retried(&["liaison", "push", "./f.csv"]), None);
    }
}
