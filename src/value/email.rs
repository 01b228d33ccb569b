//! E-mail addresses: the local part as it was written, the domain normalised.
//!
//! The case of a local part is kept, because only its own host knows whether it matters (RFC 5321,
//! section 2.4).

use super::error::Normalised;
use super::{domain, idna2008, text};

/// RFC 5321, section 4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;
/// RFC 5321, section 4.5.3.1.3: 256 with the angle brackets of a path.
const ADDRESS_BYTES_MAX: usize = 254;

pub(super) fn normalise(input: &str) -> Normalised {
    let text = text::refang(input);
    let address = match text.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto:") => rest,
        _ => &text,
    };
    let Some((local, host)) = address.rsplit_once('@') else {
        return Err("it has no @; wanted an address such as name@example.com".into());
    };
    check_local(local)?;
    let host = domain::host_name(host)?;
    let found = local.len() + 1 + host.len();
    if found > ADDRESS_BYTES_MAX {
        return Err(
            format!("it has {found} bytes, at most {ADDRESS_BYTES_MAX} are possible").into()
        );
    }
    Ok(format!("{local}@{host}"))
}

/// Atoms and dots (RFC 5322, section 3.2.3); of other scripts (RFC 6531) letters, marks and digits, so
/// that no quotes or brackets around an address become part of it. Dots may stand anywhere:
/// Japanese mobile carriers gave out addresses such as `a..b.@carrier`.
fn check_local(local: &str) -> Result<(), String> {
    if !(1..=LOCAL_BYTES_MAX).contains(&local.len()) {
        let found = local.len();
        return Err(format!(
            "the part before the @ has {found} bytes, 1 to {LOCAL_BYTES_MAX} are possible"
        ));
    }
    let is_atom = |c: char| {
        c.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(c)
            || !c.is_ascii() && idna2008::is_letter_mark_or_digit(c)
    };
    match local.chars().find(|c| !is_atom(*c)) {
        None => Ok(()),
        Some(c) => Err(format!(
            "{c:?} may not stand before the @; give one bare address, no name, list or quotes"
        )),
    }
}
