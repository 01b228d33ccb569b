//! The faults of a policy, described so that the person who signs it can put it right.

use std::fmt;

use crate::pb;

/// One thing that keeps a bundle from being loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// In characters from 1; 0 where the file as a whole is meant.
    pub column: u32,
    pub message: String,
    pub help: Option<String>,
}

impl Finding {
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into(), help: None }
    }

    pub(super) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Finding> for pb::PolicyFinding {
    fn from(found: Finding) -> Self {
        let Finding { file, line, column, message, help } = found;
        Self { file, line, column, message, help: help.unwrap_or_default() }
    }
}

impl fmt::Display for Finding {
    /// `file:line:column: message`, and below it the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Findings as `policy check` prints them: in the order of the files, and how many there are.
pub struct Report<'a>(pub &'a [Finding]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in self.0 {
            writeln!(f, "{finding}")?;
        }
        match self.0.len() {
            0 => writeln!(f, "no findings"),
            1 => writeln!(f, "1 finding: the policy was not loaded"),
            n => writeln!(f, "{n} findings: the policy was not loaded"),
        }
    }
}

/// The position of a finding in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: std::sync::Arc<str>,
    /// From 1.
    pub(super) line: u32,
    /// In characters from 1.
    pub(super) column: u32,
}

impl Place {
    /// The place of the byte at `offset` of `text`.
    pub(super) fn of(file: &std::sync::Arc<str>, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file: file.clone(), line: number(line), column: number(column) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_characters_not_bytes() {
        let place = Place::of(&"a.cedar".into(), "ab\nçé x", "ab\nçé ".len());
        assert_eq!((place.line, place.column), (2, 4));
    }

    #[test]
    fn an_offset_inside_a_character_or_past_the_end_has_a_place() {
        let file = "a.cedar".into();
        assert_eq!(Place::of(&file, "é", 1).column, 1);
        assert_eq!(Place::of(&file, "é", 99).column, 2);
    }

    #[test]
    fn a_report_has_one_line_a_finding_and_its_help() {
        let place = Place { file: "10.cedar".into(), line: 3, column: 7 };
        let findings = [
            Finding::at(&place, "no title").with_help("add @title"),
            Finding::of_file("20.cedar", "too large"),
        ];
        assert_eq!(
            Report(&findings).to_string(),
            "10.cedar:3:7: no title\n  help: add @title\n20.cedar: too large\n\
             2 findings: the policy was not loaded\n"
        );
    }
}
