//! Text armour for cards, so that they survive mail: base64 lines between two marker lines.
//!
//! Strict: one card, nothing around it but white space, full lines of 64 characters, canonical base64
//! (RFC 4648, section 3.5). It knows nothing of what is inside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Longest armour in bytes: a card with three certificates, eight record keys and eight contacts fits.
pub const ARMOUR_BYTES_MAX: usize = 8 * 1024;

const BEGIN: &str = "-----BEGIN LIAISON CARD-----";
const END: &str = "-----END LIAISON CARD-----";
const LINE_CHARS: usize = 64;

/// The reason why a text is not an armoured card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArmourError {
    #[error("a card has at most {ARMOUR_BYTES_MAX} bytes of text, found {0}")]
    TooLong(usize),
    #[error("a card begins with the line {BEGIN:?}")]
    NoBegin,
    #[error("a card ends with the line {END:?}")]
    NoEnd,
    #[error("line {line} of the card has {found} characters, wanted {LINE_CHARS}")]
    LineLength { line: usize, found: usize },
    #[error("the card's lines are not canonical base64")]
    NotBase64,
}

/// Puts bytes into armour. Fails when the text would be longer than [`ARMOUR_BYTES_MAX`].
pub fn wrap(bytes: &[u8]) -> Result<String, ArmourError> {
    let encoded = STANDARD.encode(bytes);
    let mut text = String::with_capacity(encoded.len() + encoded.len() / LINE_CHARS + 64);
    text += BEGIN;
    text.push('\n');
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII, so any place is a character's edge.
        let (line, tail) = rest.split_at(rest.len().min(LINE_CHARS));
        text += line;
        text.push('\n');
        rest = tail;
    }
    text += END;
    text.push('\n');
    if text.len() > ARMOUR_BYTES_MAX { Err(ArmourError::TooLong(text.len())) } else { Ok(text) }
}

/// Takes bytes out of armour. Lines may end in LF or CR LF, white space may surround the whole.
pub fn unwrap(text: &str) -> Result<Vec<u8>, ArmourError> {
    if text.len() > ARMOUR_BYTES_MAX {
        return Err(ArmourError::TooLong(text.len()));
    }
    let mut lines = text.trim_ascii().lines();
    if lines.next() != Some(BEGIN) {
        return Err(ArmourError::NoBegin);
    }
    if lines.next_back() != Some(END) {
        return Err(ArmourError::NoEnd);
    }
    let mut encoded = String::with_capacity(text.len());
    let mut lines = lines.enumerate().peekable();
    while let Some((position, line)) = lines.next() {
        let is_last = lines.peek().is_none();
        let fits = line.len() == LINE_CHARS || (is_last && (1..LINE_CHARS).contains(&line.len()));
        if !fits {
            return Err(ArmourError::LineLength { line: position + 2, found: line.len() });
        }
        encoded += line;
    }
    STANDARD.decode(encoded).map_err(|_| ArmourError::NotBase64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn carriage_returns_and_surrounding_blanks_are_tolerated() {
        let text = wrap(&[7; 100]).unwrap();
        assert_eq!(unwrap(&format!("\n  {}\n\n", text.replace('\n', "\r\n"))), Ok(vec![7; 100]));
    }

    #[test]
    fn anything_else_around_or_inside_is_refused() {
        let text = wrap(&[7; 100]).unwrap();
        assert_eq!(unwrap(&format!("Dear all,\n{text}")), Err(ArmourError::NoBegin));
        assert_eq!(unwrap(&format!("{text}Regards")), Err(ArmourError::NoEnd));
        assert_eq!(unwrap(""), Err(ArmourError::NoBegin));
        assert_eq!(unwrap(BEGIN), Err(ArmourError::NoEnd));
        let short = text.replacen("BwcH", "", 1);
        assert_eq!(unwrap(&short), Err(ArmourError::LineLength { line: 2, found: 60 }));
        assert_eq!(unwrap(&text.replace('=', "")), Err(ArmourError::NotBase64));
        assert_eq!(
            unwrap(&text.replacen("\n", "\n\n", 1)),
            Err(ArmourError::LineLength { line: 2, found: 0 })
        );
    }

    #[test]
    fn an_armour_above_the_limit_is_neither_made_nor_read() {
        assert!(matches!(wrap(&[0; ARMOUR_BYTES_MAX]), Err(ArmourError::TooLong(_))));
        let long = " ".repeat(ARMOUR_BYTES_MAX + 1);
        assert_eq!(unwrap(&long), Err(ArmourError::TooLong(ARMOUR_BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn what_is_wrapped_unwraps(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(unwrap(&wrap(&bytes).unwrap()), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = unwrap(&format!("{BEGIN}\n{text}\n{END}"));
        }
    }
}
