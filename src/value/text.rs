//! The first step for every text: bounds, forbidden characters, and the removal of defanging.
//!
//! It must never let through a character that an officer's screen hides or reorders.

use std::borrow::Cow;

use super::{ValueError, ValueType};

/// Longest input in bytes, twice the longest URL that is taken: room for defanging and encoding.
pub const INPUT_BYTES_MAX: usize = 8192;

/// The input without outer spaces, if it is of a size and of characters that its type may have.
pub(super) fn admit(value_type: ValueType, input: &str) -> Result<&str, ValueError> {
    if input.len() > INPUT_BYTES_MAX {
        let (found, wanted) = (input.len(), INPUT_BYTES_MAX);
        return Err(ValueError::Length { value_type, found, wanted });
    }
    let text = input.trim();
    if text.is_empty() {
        return Err(ValueError::Empty(value_type));
    }
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    let space = may_hold_spaces(value_type).then_some(' ');
    let forbidden = |c: char| is_hidden(c) || c.is_whitespace() && Some(c) != space;
    match text.char_indices().find(|(_, character)| forbidden(*character)) {
        Some((at, character)) => Err(ValueError::Character { value_type, character, at }),
        None => Ok(text),
    }
}

/// Admits a text whose type is gone: of the size and characters that a value of some type may have.
pub(super) fn admit_untyped(text: &str) -> Result<(), String> {
    let found = text.len();
    let forbidden = |c: &char| is_hidden(*c) || c.is_whitespace() && *c != ' ';
    match text.chars().find(forbidden) {
        _ if text.trim().is_empty() => Err("it is empty".to_owned()),
        _ if found > INPUT_BYTES_MAX => {
            Err(format!("{found} bytes are more than {INPUT_BYTES_MAX}"))
        }
        Some(hidden) => Err(format!("no value holds the character U+{:04X}", u32::from(hidden))),
        None => Ok(()),
    }
}

/// Types whose inner spaces are part of the value or group its digits.
fn may_hold_spaces(value_type: ValueType) -> bool {
    matches!(
        value_type,
        ValueType::Phone
            | ValueType::Url
            | ValueType::Certificate
            | ValueType::BankAccount
            | ValueType::PaymentHandle
            | ValueType::MessagingHandle
            | ValueType::SocialHandle
            | ValueType::RemoteAccessId
            | ValueType::UserAgent
            | ValueType::SmsSender
    )
}

/// Control characters, bidirectional controls (Unicode UAX #9, section 2) and characters without
/// width. The joiners U+200C and U+200D stay: Persian names and emoji need them.
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Takes back the defanging of a host, address or e-mail address: `[.]`, `(dot)`, `{at}`, `[:]` ...
pub(super) fn refang(text: &str) -> Cow<'_, str> {
    if is_fanged(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        out.push(character);
        refang_end(&mut out, meaning);
    }
    Cow::Owned(out)
}

/// Takes back the defanging of a URL: `hxxp`, in scheme and authority every notation, and behind
/// them `[.]` alone, because `[at]` and `(dot)` do occur in paths and queries.
pub(super) fn refang_url(text: &str) -> Cow<'_, str> {
    let text = refang_scheme(text);
    if is_fanged(&text) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut authority = None;
    let mut tail = false;
    for character in text.chars() {
        out.push(character);
        tail |= authority.is_some() && matches!(character, '/' | '\\' | '?' | '#');
        if tail {
            refang_end(&mut out, |inner| (inner == ".").then_some("."));
        } else {
            refang_end(&mut out, meaning);
            authority = authority.or_else(|| out.ends_with("://").then_some(out.len()));
        }
    }
    Cow::Owned(out)
}

fn is_fanged(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b']' | b')' | b'}'))
}

fn refang_scheme(text: &str) -> Cow<'_, str> {
    const SCHEMES: [(&str, &str); 4] =
        [("hxxps", "https"), ("hxxp", "http"), ("fxps", "ftps"), ("fxp", "ftp")];
    SCHEMES
        .iter()
        .find_map(|(defanged, scheme)| {
            let (head, rest) = text.split_at_checked(defanged.len())?;
            let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
            (ends && head.eq_ignore_ascii_case(defanged)).then(|| format!("{scheme}{rest}"))
        })
        .map_or(Cow::Borrowed(text), Cow::Owned)
}

fn meaning(inner: &str) -> Option<&'static str> {
    match inner {
        "." => Some("."),
        ":" => Some(":"),
        "://" => Some("://"),
        "@" => Some("@"),
        _ if inner.eq_ignore_ascii_case("dot") => Some("."),
        _ if inner.eq_ignore_ascii_case("at") => Some("@"),
        _ => None,
    }
}

/// Replaces a bracketed notation at the very end of `out`. Done after each character, nested
/// notations (`[[.]]`) are gone in one pass, and a second pass would find nothing.
fn refang_end(out: &mut String, meaning: impl Fn(&str) -> Option<&'static str>) {
    let opening = match out.as_bytes().last() {
        Some(b']') => b'[',
        Some(b')') => b'(',
        Some(b'}') => b'{',
        _ => return,
    };
    let inner_end = out.len() - 1;
    // The longest notation has three bytes between its brackets.
    let found = (1..=3).find_map(|length| {
        let start = inner_end.checked_sub(length)?;
        let bracket = start.checked_sub(1)?;
        if out.as_bytes()[bracket] != opening {
            return None;
        }
        Some((bracket, meaning(out.get(start..inner_end)?)?))
    });
    if let Some((bracket, plain)) = found {
        out.truncate(bracket);
        out.push_str(plain);
    }
}
