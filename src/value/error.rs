//! The error of a value's text. It must never carry more of a hostile text than an excerpt.

use super::ValueType;
use std::borrow::Cow;
use std::fmt;

/// Longest excerpt in bytes, after escaping: enough to recognise a line by, too little to flood a
/// log or to carry a payload worth mentioning.
pub const EXCERPT_BYTES_MAX: usize = 80;

/// The reason why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the {0} is empty, expected one character or more")]
    Empty(ValueType),
    #[error("the {value_type} has {found} bytes, at most {wanted} are taken")]
    Length { value_type: ValueType, found: usize, wanted: usize },
    #[error(
        "the {value_type} has the character {} at byte {at}, which is a space or invisible; remove it",
        .character.escape_unicode()
    )]
    Character { value_type: ValueType, character: char, at: usize },
    #[error("{found} is not a valid {value_type}: {reason}")]
    Form { value_type: ValueType, found: Excerpt, reason: Cow<'static, str> },
    #[error("{found} is not in the normal form of a {value_type}, which is {wanted}")]
    NotNormal { value_type: ValueType, found: Excerpt, wanted: Excerpt },
    #[error("the type of {found} is unclear: {reason}")]
    Unclear { found: Excerpt, reason: &'static str },
    #[error("{0} is not a value type, expected one such as domain, url, ip or file-hash")]
    TypeName(Excerpt),
    #[error("{0} is not the number of a value type, expected 1 to {max}", max = ValueType::ALL.len())]
    TypeNumber(u32),
}

/// The beginning of a text in quotes, escaped, with `…` where it was cut.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    pub fn of(text: &str) -> Self {
        // Room for both quotes and the three bytes of the ellipsis.
        let room = EXCERPT_BYTES_MAX - 2 - '…'.len_utf8();
        let mut out = String::with_capacity(EXCERPT_BYTES_MAX);
        out.push('"');
        for character in text.chars() {
            let start = out.len();
            if super::text::is_hidden(character) {
                out.extend(character.escape_unicode());
            } else {
                out.extend(character.escape_debug());
            }
            if out.len() > room + 1 {
                out.truncate(start);
                out.push('…');
                break;
            }
        }
        out.push('"');
        Self(out.into_boxed_str())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of a normaliser: the normal form, or one clause with the fault and the remedy.
pub(super) type Normalised = Result<String, Cow<'static, str>>;
