//! Identifiers of digits that a spreadsheet took for a number.
//!
//! Without its point, `123456789.0` names another computer, and `8.1312E+11` has lost its digits.
//! Neither is ever interpreted.

use std::borrow::Cow;

/// Refuses digits with a decimal part of zeros, or with an exponent. Points that group digits stand
/// more than once, or before other digits than zeros.
pub(super) fn refuse_decimal(text: &str) -> Result<(), Cow<'static, str>> {
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

fn is_decimal(text: &str) -> bool {
    let mut parts = text.split(['.', ',']);
    let (Some(whole), Some(zeros), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    whole.bytes().any(|b| b.is_ascii_digit())
        && whole.bytes().all(|b| b.is_ascii_digit() || b == b' ')
        && !zeros.is_empty()
        && zeros.bytes().all(|b| b == b'0')
}

fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let Some(exponent) = exponent.strip_prefix(['+', '-']) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number(exponent) && mantissa.split(['.', ',']).all(is_number)
}

#[cfg(test)]
mod tests {
    use super::refuse_decimal;

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
        ] {
            assert!(refuse_decimal(text).is_err(), "{text}");
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
        ] {
            assert!(refuse_decimal(text).is_ok(), "{text}");
        }
    }
}
