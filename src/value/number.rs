//! Identifiers of digits that a spreadsheet took for a number.
//!
//! Without its point, `123456789.5` names another computer, and `8.1312E+11` has lost its digits. A cell
//! that shows an error or a formula is not the identifier. None of them is ever interpreted.

use std::borrow::Cow;

/// Digits that stand together before the first point of a number that points group, at the most. With more,
/// a point is a decimal one.
const GROUP_DIGITS_MAX: usize = 4;

/// Refuses digits with a decimal part or with an exponent, formulas and the errors of cells. Points that
/// group digits stand more than once, or behind few digits and before others than zeros.
pub(super) fn refuse_spreadsheet(text: &str) -> Result<(), Cow<'static, str>> {
    refuse_cell(text)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    if is_decimal(digits) || is_scientific(digits) {
        return Err(
            "a spreadsheet has written it as a number; format the column as text, enter the \
                    digits again and export it anew"
                .into(),
        );
    }
    Ok(())
}

/// Refuses a formula and the error of a cell.
pub(super) fn refuse_cell(text: &str) -> Result<(), &'static str> {
    if text.starts_with('=') || is_cell_error(text) {
        return Err(
            "a spreadsheet has put a formula or an error there; enter the text itself and \
                    export it anew",
        );
    }
    Ok(())
}

fn is_decimal(text: &str) -> bool {
    let mut parts = text.split(['.', ',']);
    let (Some(whole), Some(fraction), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    whole.bytes().any(|b| b.is_ascii_digit())
        && whole.bytes().all(|b| b.is_ascii_digit() || b == b' ')
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && (fraction.bytes().all(|b| b == b'0')
            || whole.split(' ').any(|group| group.len() > GROUP_DIGITS_MAX))
}

/// `#N/A`, `#REF!`, `#NAME?` and the like.
fn is_cell_error(text: &str) -> bool {
    let Some(name) = text.strip_prefix('#') else { return false };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b"/0_".contains(&b))
    };
    name == "N/A" || name.strip_suffix(['!', '?']).is_some_and(is_name)
}

fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let Some(exponent) = exponent.strip_prefix(['+', '-']) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number(exponent) && mantissa.split(['.', ',']).all(is_number)
}

#[cfg(test)]
mod tests {
    use super::refuse_spreadsheet;

    #[test]
    fn what_a_spreadsheet_made_of_an_identifier_is_refused() {
        for text in [
            "123456789.0",
            "123456789.00",
            "123456789,0",
            "+81312345678.0",
            "1.23457E+11",
            "1.23457e+11",
            "1E+9",
            "123 456 789.0",
            "8,13E+11",
            "5E-3",
            "123456789.5",
            "123456789,5",
            "987654321.123456",
            "12345.678",
            "=\"56767\"",
            "=\"123-456-7890\"",
            "=A1+B2",
            "#N/A",
            "#REF!",
            "#NAME?",
            "#DIV/0!",
            "#VALUE!",
        ] {
            assert!(refuse_spreadsheet(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_of_digits_and_names_are_not_decimals() {
        for text in [
            "123456789",
            "123.456.789",
            "123.456.000",
            "+1.888.555.0199",
            "com.example.0",
            "1e5",
            "12.5",
            "AB-123.0",
            "",
            ".0",
            "1.2.0",
            "123.456789",
            "1234.5678",
            "123 456.789",
            "#winner",
            "#1",
            "N/A",
        ] {
            assert!(refuse_spreadsheet(text).is_ok(), "{text}");
        }
    }
}
