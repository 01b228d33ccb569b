//! Names and numbers that a platform gives out, and texts that are taken as they were seen.
//!
//! The letter case is kept where it is not known that a platform ignores it. What is not unique
//! without its platform is refused without it.

use super::error::Normalised;
use super::{number, platform};

/// Longest handle or identifier in bytes; the longest in use (Matrix user ids) have 255.
const HANDLE_BYTES_MAX: usize = 256;
/// Longest platform name in bytes.
const PLATFORM_BYTES_MAX: usize = 32;
/// Longest User-Agent in bytes, above which servers commonly cut.
const USER_AGENT_BYTES_MAX: usize = 1024;
/// Digits of a remote-access id: TeamViewer and AnyDesk have 8 to 10, one-time codes up to 12.
const REMOTE_ACCESS_DIGITS: std::ops::RangeInclusive<usize> = 6..=12;
/// 3GPP TS 23.040, section 9.1.2.5: 11 characters of seven bits fit into an alphanumeric address.
const SENDER_CHARACTERS_MAX: usize = 11;
/// Short codes have 3 digits or more; E.164 allows 15.
const SENDER_DIGITS: std::ops::RangeInclusive<usize> = 3..=15;

/// `platform:name`, the platform in lower case; of a platform that is listed in its one form.
pub(super) fn normalise_named(text: &str) -> Normalised {
    if let Some(listed) = platform::normalise(text) {
        return listed;
    }
    let Some((platform, name)) = text.split_once(':') else {
        return Err("it has no platform; put it in front, as in telegram:@name".into());
    };
    let platform = platform_name(platform)?;
    let name = name.trim_start();
    let found = platform.len() + 1 + name.len();
    if name.is_empty() || found > HANDLE_BYTES_MAX {
        return Err(format!(
            "platform and name have {found} bytes, wanted a name and at most {HANDLE_BYTES_MAX}"
        )
        .into());
    }
    Ok(format!("{platform}:{name}"))
}

/// As [`normalise_named`], and a bare `name@psp` is an address of India's UPI.
pub(super) fn normalise_payment(text: &str) -> Normalised {
    if !text.contains(':') && text.contains('@') && !text.contains('/') {
        return upi(text);
    }
    let handle = normalise_named(text)?;
    match handle.strip_prefix("upi:") {
        Some(address) => upi(address),
        None => Ok(handle),
    }
}

/// A UPI address does not distinguish letter case.
fn upi(address: &str) -> Normalised {
    let local = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    match address.split_once('@') {
        Some((name, provider))
            if !name.is_empty()
                && address.len() + 4 <= HANDLE_BYTES_MAX
                && name.bytes().all(local)
                && (2..=64).contains(&provider.len())
                && provider.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            Ok(format!("upi:{}", address.to_ascii_lowercase()))
        }
        _ => Err("wanted a UPI address such as name@okbank, or platform:name".into()),
    }
}

/// Digits, with spaces, dots and dashes between them removed, and the product in front if given.
pub(super) fn normalise_remote_access(text: &str) -> Normalised {
    let (product, id) = match text.split_once(':') {
        Some((product, id)) => (Some(platform_name(product)?), id),
        None => (None, text),
    };
    number::refuse_spreadsheet(id)?;
    let digits: String = id.chars().filter(|c| !matches!(c, ' ' | '-' | '.')).collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !REMOTE_ACCESS_DIGITS.contains(&digits.len())
    {
        return Err("wanted 6 to 12 digits, as in 123 456 789 or anydesk:123456789".into());
    }
    Ok(match product {
        Some(product) => format!("{product}:{digits}"),
        None => digits,
    })
}

/// An opaque identifier without spaces.
pub(super) fn normalise_token(text: &str) -> Normalised {
    number::refuse_spreadsheet(text)?;
    within(text, HANDLE_BYTES_MAX)
}

pub(super) fn normalise_user_agent(text: &str) -> Normalised {
    number::refuse_cell(text)?;
    within(text, USER_AGENT_BYTES_MAX)
}

pub(super) fn normalise_sms_sender(text: &str) -> Normalised {
    number::refuse_spreadsheet(text)?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    let sound = if digits.bytes().all(|b| b.is_ascii_digit()) {
        SENDER_DIGITS.contains(&digits.len())
    } else {
        text.chars().count() <= SENDER_CHARACTERS_MAX
    };
    if sound {
        Ok(text.to_owned())
    } else {
        Err("wanted a name of at most 11 characters or 3 to 15 digits".into())
    }
}

fn within(text: &str, bytes_max: usize) -> Normalised {
    if text.len() > bytes_max {
        return Err(format!("it has {} bytes, at most {bytes_max} are taken", text.len()).into());
    }
    Ok(text.to_owned())
}

fn platform_name(text: &str) -> Result<String, &'static str> {
    let text = text.trim_end();
    let sound = (1..=PLATFORM_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !sound {
        return Err("its platform is not a short name of a-z, 0-9 and -, as in telegram:@name");
    }
    Ok(text.to_ascii_lowercase())
}
