//! Lists in cells and flags: their separators, and the text of a list that NDJSON gives as one.
//!
//! An item must come out of the text as it went in: one with a separator in it would become several.

use super::columns::Field;

/// The items of a list, separated by commas, semicolons, bars or blanks.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator).filter(|item| !item.is_empty())
}

/// Reads a list with one item or more. A cell of separators alone would silently undo its flag.
pub(super) fn parsed<T>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let found: Vec<T> = items(text).map(parse).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(format!("{text:?} is a list without items; name one, or leave it empty"));
    }
    Ok(found)
}

/// Reads references, separated by blanks.
///
/// # Errors
/// If only some have a scheme: a URL with a blank in it was cut.
pub(super) fn references(text: &str) -> Result<Vec<&str>, String> {
    let found: Vec<&str> = text.split_whitespace().collect();
    let is_url = |reference: &str| reference.contains("://");
    match found.iter().find(|reference| !is_url(reference)) {
        Some(part) if found.iter().any(|reference| is_url(reference)) => Err(format!(
            "blanks separate references, and {part:?} has no scheme; write a blank in a URL as %20, \
             and other words in the notes"
        )),
        _ => Ok(found),
    }
}

/// Returns the text of a field that was given as a list.
///
/// # Errors
/// If the field takes a single text, an item holds a separator, or nobody is in a list of names.
pub(super) fn joined(field: Field, items: &[&str]) -> Result<String, String> {
    let separates: fn(char) -> bool = match field {
        Field::Reference => char::is_whitespace,
        Field::Tags
        | Field::Handling
        | Field::ReleasableTo
        | Field::Circles
        | Field::Jurisdictions => is_separator,
        _ => return Err("it is a list; this column takes one text".to_owned()),
    };
    let items: Vec<&str> =
        items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).collect();
    if items.is_empty() && matches!(field, Field::ReleasableTo | Field::Circles) {
        return Err("an empty list; write \"nobody\", or leave the member out".to_owned());
    }
    match items.iter().find(|item| item.contains(separates)) {
        Some(item) => Err(format!(
            "the item {item:?} holds a blank or another separator and would become several; write it \
             without, as in tech-support-scam"
        )),
        None => Ok(items.join(" ")),
    }
}

const fn is_separator(character: char) -> bool {
    matches!(character, ',' | ';' | '|' | ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_of_a_list_stays_one_item_or_is_refused() {
        for (field, given, wanted) in [
            (Field::Tags, &["a", "b"][..], Some("a b")),
            (Field::Tags, &["tech support scam"], None),
            (Field::Tags, &["a;b"], None),
            (Field::Tags, &[], Some("")),
            (Field::Circles, &["Fraud Desk"], None),
            (Field::Circles, &[], None),
            (Field::ReleasableTo, &[" "], None),
            (Field::Jurisdictions, &["IN", " JP "], Some("IN JP")),
            (Field::Reference, &["https://a.example/x;y,z"], Some("https://a.example/x;y,z")),
            (Field::Reference, &["https://a.example/x y"], None),
            (Field::Value, &["a.example", "b.example"], None),
            (Field::Notes, &["one", "two"], None),
        ] {
            assert_eq!(joined(field, given).ok().as_deref(), wanted, "{field:?} {given:?}");
        }
    }

    #[test]
    fn a_url_that_a_blank_has_cut_is_refused() {
        for (text, count) in [
            ("https://a.example https://b.example", Some(2)),
            ("OP-12", Some(1)),
            ("CVE-2026-1 CVE-2026-2", Some(2)),
            ("", Some(0)),
            ("https://a.example/my file", None),
            ("see https://a.example", None),
        ] {
            assert_eq!(references(text).ok().map(|found| found.len()), count, "{text:?}");
        }
    }

    #[test]
    fn a_list_of_separators_alone_is_refused() {
        let words = |text| parsed(text, |item| Ok::<_, String>(item.to_owned())).ok();
        assert_eq!(words("a;b, c"), Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]));
        for text in [";", ",", " | ", ""] {
            assert_eq!(words(text), None, "{text:?}");
        }
    }
}
