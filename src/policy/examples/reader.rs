//! Reading a TOML file key by key, strictly: whatever is not understood is a finding with its
//! place, and nothing is taken for something else.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::ident::Timestamp;
use crate::policy::finding::{Finding, Place};
use crate::policy::lint::nearest;
use crate::policy::source::FINDINGS_MAX;

/// Items of one list, as of a tag of a partner.
const ITEMS_MAX: usize = crate::policy::TAG_VALUES_MAX;
/// One text in bytes: the longest name that policy knows, and room.
const TEXT_BYTES_MAX: usize = 256;

pub(super) type Key<'t> = Spanned<DeString<'t>>;
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// One file, and what was found in it so far.
pub(super) struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
    pub(super) found: Vec<Finding>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &str, text: &'a str) -> Self {
        Self { file: file.into(), text, found: Vec::new() }
    }

    /// The same file, for reading again what was read before.
    pub(super) fn muted(&self) -> Self {
        Self::new(&self.file, self.text)
    }

    /// The file as a table; `None` when it is not TOML.
    pub(super) fn document(&mut self) -> Option<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors.iter().take(FINDINGS_MAX) {
            let at = error.span().unwrap_or_default();
            self.refuse(at, error.message(), None);
        }
        errors.is_empty().then(|| table.into_inner())
    }

    pub(super) fn place(&self, at: Range<usize>) -> Place {
        Place::of(&self.file, self.text, at.start)
    }

    pub(super) fn refuse(
        &mut self,
        at: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let mut finding = Finding::at(&self.place(at), message);
        finding.help = help;
        self.found.push(finding);
    }

    /// A key that nobody asks for.
    pub(super) fn unknown(&mut self, key: &Key<'_>, whose: &str, known: &[&str]) {
        let message = format!("{whose} has no {:?}", key.get_ref());
        self.refuse(key.span(), message, Some(offer(key.get_ref(), known)));
    }

    fn wrong(&mut self, key: &str, value: &Value<'_>, wanted: &str) {
        let kind = value.get_ref().type_str();
        self.refuse(value.span(), format!("{key} is {wanted}; this is of type {kind}"), None);
    }

    pub(super) fn table<'t>(&mut self, key: &str, value: &'t Value<'a>) -> Option<&'t DeTable<'a>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong(key, value, "a table");
        }
        table
    }

    pub(super) fn text<'t>(&mut self, key: &str, value: &'t Value<'_>) -> Option<&'t str> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong(key, value, "a text");
            return None;
        };
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            let message = format!("{key} has 1 to {TEXT_BYTES_MAX} bytes in one line");
            self.refuse(value.span(), message, None);
            return None;
        }
        Some(text)
    }

    /// A text of a form of its own.
    pub(super) fn parsed<T>(&mut self, key: &str, value: &Value<'_>) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        match self.text(key, value)?.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.refuse(value.span(), format!("{key}: {error}"), None);
                None
            }
        }
    }

    /// One word of a closed list, written as policies write it.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(key, value)?;
        let word = all.iter().copied().find(|word| name(*word) == text);
        if word.is_none() {
            let known: Vec<_> = all.iter().map(|word| name(*word)).collect();
            let message = format!("{text:?} is not a known {key}");
            self.refuse(value.span(), message, Some(offer(text, &known)));
        }
        word
    }

    pub(super) fn flag(&mut self, key: &str, value: &Value<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, value, "true or false");
        }
        flag
    }

    /// A whole number of at most `most`.
    pub(super) fn number(&mut self, key: &str, value: &Value<'_>, most: u8) -> Option<u8> {
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u8::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.filter(|number| *number <= most);
        if number.is_none() {
            let message = format!("{key} is a whole number from 0 to {most}");
            self.refuse(value.span(), message, None);
        }
        number
    }

    /// A time or a date, in quotes or as TOML's own.
    pub(super) fn time(&mut self, key: &str, value: &Value<'_>) -> Option<Timestamp> {
        let Some(own) = value.get_ref().as_datetime() else { return self.parsed(key, value) };
        match own.to_string().parse() {
            Ok(time) => Some(time),
            Err(error) => {
                self.refuse(value.span(), format!("{key}: {error}"), None);
                None
            }
        }
    }

    /// The items that are understood, sorted and each once.
    pub(super) fn list<T: Ord>(
        &mut self,
        key: &str,
        value: &Value<'a>,
        mut item: impl FnMut(&mut Self, &str, &Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(key, value, "a list");
            return None;
        };
        if items.len() > ITEMS_MAX {
            let message = format!("{key} has at most {ITEMS_MAX} items; this one has more");
            self.refuse(value.span(), message, None);
            return None;
        }
        let items: BTreeSet<_> = items.iter().filter_map(|one| item(self, key, one)).collect();
        Some(items.into_iter().collect())
    }

    pub(super) fn texts(&mut self, key: &str, value: &Value<'a>) -> Option<Vec<String>> {
        self.list(key, value, |reader, key, item| reader.text(key, item).map(str::to_owned))
    }
}

/// Returns a hint for an unknown word: the nearest known one, or all of them.
pub(super) fn offer(word: &str, known: &[&str]) -> String {
    let names: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    match nearest(word, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}
