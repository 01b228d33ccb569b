//! Bank accounts: an IBAN with its checksum, or `CC:bank:account` where there is no IBAN.
//!
//! Leading zeros are part of an account's number and are never removed.

use iban::{Iban, IbanLike};

use super::country::is_country;
use super::error::Normalised;

/// A bank's code and branch (BIC has 11, India's IFSC 11, Japan's 7), with room to spare.
const BANK_CHARACTERS_MAX: usize = 16;
/// ISO 13616: the longest account part that an IBAN can carry has 30.
const ACCOUNT_CHARACTERS_MAX: usize = 34;

pub(super) fn normalise(input: &str) -> Normalised {
    let text: String =
        input.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_ascii_uppercase()).collect();
    match text.strip_prefix("IBAN") {
        Some(number) => iban(number.strip_prefix(':').unwrap_or(number)),
        None if text.contains(':') => national(&text),
        None => iban(&text),
    }
}

fn iban(text: &str) -> Normalised {
    match text.parse::<Iban>() {
        Ok(iban) => Ok(iban.electronic_str().to_owned()),
        Err(error) => Err(format!(
            "{error}; give an IBAN, or country, bank and account as in JP:0005123:1234567"
        )
        .into()),
    }
}

fn national(text: &str) -> Normalised {
    let mut parts = text.split(':');
    let (Some(country), Some(bank), Some(account), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("wanted country, bank and account, as in JP:0005123:1234567".into());
    };
    if !is_country(country) {
        return Err("it does not begin with an ISO 3166 country code of two letters".into());
    }
    let sound = |part: &str, max: usize| {
        (1..=max).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if !sound(bank, BANK_CHARACTERS_MAX) {
        return Err(format!("the bank has 1 to {BANK_CHARACTERS_MAX} letters and digits").into());
    }
    if !sound(account, ACCOUNT_CHARACTERS_MAX) {
        return Err(
            format!("the account has 1 to {ACCOUNT_CHARACTERS_MAX} letters and digits").into()
        );
    }
    Ok(text.to_owned())
}
