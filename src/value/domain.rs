//! Host names by UTS-46 (non-transitional), to lower-case ASCII.
//!
//! Stricter than the URL standard: only letters, digits, `-` and `_`, of other scripts what IDNA 2008
//! admits, DNS lengths, two labels or more. Hyphens may stand anywhere and `_` is let through, because real malicious names have them.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::error::Normalised;
use super::{idna2008, text};

/// RFC 1035, section 2.3.4, less the length bytes of first and root label.
const NAME_BYTES_MAX: usize = 253;
/// RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// STD3 (letters, digits, hyphen) and the underscore.
const DENIED: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

pub(super) fn normalise(input: &str) -> Normalised {
    host_name(&text::refang(input)).map(Cow::into_owned)
}

/// A host name of two labels or more that is not an address.
pub(super) fn host_name(text: &str) -> Result<Cow<'_, str>, Cow<'static, str>> {
    let name = ascii_name(text)?;
    check_host(&name)?;
    Ok(name)
}

/// The ASCII form, which may be a single label and may look like an address.
pub(super) fn ascii_name(text: &str) -> Result<Cow<'_, str>, Cow<'static, str>> {
    let name = without_root_dot(if is_plain(text) { Cow::Borrowed(text) } else { uts46(text)? });
    check_lengths(&name)?;
    Ok(name)
}

/// Lower-case ASCII without punycode is its own UTS-46 form, if its lengths are right.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        && !has_punycode(text)
}

fn has_punycode(name: &str) -> bool {
    name.split('.').any(|label| label.starts_with("xn--"))
}

fn uts46(text: &str) -> Result<Cow<'_, str>, Cow<'static, str>> {
    if let Some(reason) = mistaken_for(text) {
        return Err(reason.into());
    }
    let uts46 = Uts46::new();
    let name = uts46.to_ascii(text.as_bytes(), DENIED, Hyphens::Allow, DnsLength::Ignore).map_err(
        |_| {
            "it is not an internationalised name by UTS-46; only letters, digits, - and _ are \
             taken, and a label xn-- must hold valid punycode"
        },
    )?;
    if has_punycode(&name) {
        let (unicode, _) = uts46.to_unicode(name.as_bytes(), DENIED, Hyphens::Allow);
        if let Some(found) = idna2008::disallowed(&unicode) {
            return Err(not_admitted(found).into());
        }
    }
    Ok(name)
}

fn not_admitted(found: char) -> String {
    format!(
        "a host name has no {found:?} (U+{:04X}) there: IDNA 2008 admits letters, marks and digits; \
         remove quotes, brackets and punctuation around it",
        u32::from(found)
    )
}

fn without_root_dot(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('.').unwrap_or(text)),
        Cow::Owned(mut text) => {
            if text.ends_with('.') {
                text.pop();
            }
            Cow::Owned(text)
        }
    }
}

fn check_lengths(name: &str) -> Result<(), Cow<'static, str>> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "the name has {} bytes, at most {NAME_BYTES_MAX} are possible; perhaps several names \
             ran together",
            name.len()
        )
        .into());
    }
    name.split('.').try_for_each(|label| match label.len() {
        0 => Err("it has an empty label; remove the superfluous dot".into()),
        1..=LABEL_BYTES_MAX => Ok(()),
        found => {
            Err(format!("a label has {found} bytes, at most {LABEL_BYTES_MAX} are possible").into())
        }
    })
}

/// Checks what distinguishes a host's full name from a label or an address (URL standard, "ends in
/// a number").
fn check_host(name: &str) -> Result<(), &'static str> {
    let Some((_, last)) = name.rsplit_once('.') else {
        return Err("it has one label, two or more are wanted; give the full name");
    };
    let hexadecimal = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    if last.bytes().all(|b| b.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(hexadecimal)
    {
        return Err("its last label is a number, as in an address; give an address as type ip");
    }
    Ok(())
}

fn mistaken_for(text: &str) -> Option<&'static str> {
    let other = text.bytes().find(|b| matches!(b, b'/' | b'@' | b':' | b'?' | b'#'))?;
    Some(match other {
        b'@' => "it has an @; give an address as type email",
        b':' if !text.contains('/') => {
            "it has a colon; remove the port, or give it as type url or ip"
        }
        _ => "it has more than a host name; give it as type url, with its scheme",
    })
}
