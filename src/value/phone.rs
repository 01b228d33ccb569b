//! Telephone numbers in E.164. The only place that touches the numbering plans, which are slow to
//! load.
//!
//! A number need not be in use: fraudsters show invented ones to those they call.

use phonenumber::Mode;

use super::error::Normalised;
use super::number;

/// ITU-T E.164, section 6.1: digits with the country code. Below 7 there is no country whose
/// numbers are that short.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

pub(super) fn normalise(input: &str) -> Normalised {
    number::refuse_spreadsheet(input)?;
    let text: String = input.chars().map(narrow).filter(|c| !is_grouping(*c)).collect();
    let normal = e164(&text)?;
    // Where the plan lets a prefix be dropped, another may come to light behind it.
    if e164(&normal).as_ref() != Ok(&normal) {
        return Err(
            "it has a trunk or carrier prefix too many; remove it behind the country code".into()
        );
    }
    Ok(normal)
}

fn e164(text: &str) -> Result<String, &'static str> {
    let Some(digits) = text.strip_prefix('+') else {
        return Err("it has no country code; begin with + and the code, as in +81 3 1234 5678");
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !DIGITS.contains(&digits.len()) {
        return Err("wanted + and 7 to 15 digits, grouped by spaces or - ( ) . / if at all");
    }
    phonenumber::parse(None, text)
        .map(|number| number.format().mode(Mode::E164).to_string())
        .map_err(|_| "no country's numbering plan has such a number; check the country code")
}

/// Full-width digits and signs (U+FF01 to U+FF5E), as Japanese keyboards type them, to ASCII.
fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        other => other,
    }
}

fn is_grouping(character: char) -> bool {
    matches!(character, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2013}')
}
