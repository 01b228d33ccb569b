//! Typed indicator values and their one normal form.
//!
//! Two agencies that report the same domain, address or account must arrive at the same bytes, or
//! nothing can be counted, found or recognised again. So a [`Value`] exists only in normal form,
//! and normalising a normal form changes nothing. Nothing here ever resolves, fetches or opens a
//! value: they are hostile. No error repeats more of one than an escaped excerpt.

mod account;
mod address;
mod country;
mod crypto;
mod declared;
mod digest;
mod domain;
mod email;
mod error;
mod guess;
mod handle;
mod idna2008;
mod key;
mod kind;
mod number;
mod phone;
mod platform;
mod text;
mod url;

use error::Normalised;
use std::fmt;

#[cfg(test)]
mod forms;
#[cfg(test)]
mod tests;

pub use country::is_country;
pub use declared::DeclaredType;
pub use error::{EXCERPT_BYTES_MAX, Excerpt, ValueError};
pub use key::{Network, domain_suffix_key};
pub use kind::ValueType;
pub use text::INPUT_BYTES_MAX;
pub use url::URL_BYTES_MAX;

/// An indicator's value in the one normal form of its type.
///
/// | type | normal form |
/// |---|---|
/// | domain | lower-case ASCII labels by UTS-46 of characters that IDNA 2008 admits, no trailing dot: `xn--bcher-kva.example` |
/// | url | as the WHATWG URL standard serialises it, user, port and fragment included; percent-encoding by RFC 3986, section 6.2.2 |
/// | ip | RFC 5952 or dotted decimal; an IPv4-mapped address is the IPv4 address, a network of one the address |
/// | cidr | network address and prefix length, host bits cleared: `192.0.2.0/24` |
/// | asn | `AS64500` |
/// | email | local part as written, domain as above |
/// | phone | E.164: `+81312345678` |
/// | file-hash, certificate | algorithm and lower-case hex: `sha256:9f86…` |
/// | crypto-address | chain and address: `btc:bc1q…`, `eth:0x…` |
/// | bank-account | IBAN without spaces, or `CC:bank:account` |
/// | payment-, messaging-, social-handle | `platform:name`: `telegram:@name`, `upi:name@psp`; in lower case where the platform ignores case |
/// | remote-access-id | digits, after `product:` if that is known |
/// | app-id, ad-account, sms-sender, user-agent | as written, outer spaces removed |
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    value_type: ValueType,
    text: Box<str>,
}

impl Value {
    /// Brings `input` into the normal form of `value_type`.
    ///
    /// A network of one address is that address: its type is `ip`.
    ///
    /// Takes defanged notation where it occurs in practice (`hxxp://evil[.]example`).
    ///
    /// # Errors
    /// If the input is empty, longer than [`INPUT_BYTES_MAX`], holds a control, invisible or
    /// direction-changing character, or is not a value of this type.
    pub fn normalise(value_type: ValueType, input: &str) -> Result<Self, ValueError> {
        let admitted = text::admit(value_type, input)?;
        let of = |value_type, text: &str| Self { value_type, text: text.into() };
        normal_form(value_type, admitted)
            .map(|text| match address::only_address(&text) {
                Some(address) if value_type == ValueType::Cidr => of(ValueType::Ip, address),
                _ => of(value_type, &text),
            })
            .map_err(|reason| ValueError::Form { value_type, found: Excerpt::of(admitted), reason })
    }

    /// Takes `text` only if it already is a normal form, as text in a partner's record must be.
    ///
    /// # Errors
    /// As [`Value::normalise`], and [`ValueError::NotNormal`] if the normal form differs.
    pub fn from_normalised(value_type: ValueType, text: &str) -> Result<Self, ValueError> {
        let value = Self::normalise(value_type, text)?;
        if *value.text == *text && value.value_type == value_type {
            return Ok(value);
        }
        Err(ValueError::NotNormal {
            value_type,
            found: Excerpt::of(text),
            wanted: Excerpt::of(&value.text),
        })
    }

    /// Checks a text whose type is gone. Its normal form cannot be known, so it makes no [`Value`].
    ///
    /// # Errors
    /// If no value of any type has this size or these characters.
    pub fn check_untyped(text: &str) -> Result<(), String> {
        text::admit_untyped(text)
    }

    /// Infers the type from the text: URL with a scheme, CIDR, IP, e-mail address, E.164 phone
    /// number, AS number, file hash or domain.
    ///
    /// # Errors
    /// [`ValueError::Unclear`] if nothing or more than one thing fits, or the error of the type
    /// that was inferred.
    pub fn guess(input: &str) -> Result<Self, ValueError> {
        guess::guess(input)
    }

    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The normal form, without the type.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.value_type, self.text)
    }
}

fn normal_form(value_type: ValueType, text: &str) -> Normalised {
    match value_type {
        ValueType::Domain => domain::normalise(text),
        ValueType::Url => url::normalise(text),
        ValueType::Ip => address::normalise_ip(text),
        ValueType::Cidr => address::normalise_cidr(text),
        ValueType::Asn => address::normalise_asn(text),
        ValueType::Email => email::normalise(text),
        ValueType::Phone => phone::normalise(text),
        ValueType::FileHash => digest::normalise_file_hash(text),
        ValueType::Certificate => digest::normalise_fingerprint(text),
        ValueType::CryptoAddress => crypto::normalise(text),
        ValueType::BankAccount => account::normalise(text),
        ValueType::PaymentHandle => handle::normalise_payment(text),
        ValueType::MessagingHandle | ValueType::SocialHandle => handle::normalise_named(text),
        ValueType::RemoteAccessId => handle::normalise_remote_access(text),
        ValueType::AppId | ValueType::AdAccount => handle::normalise_token(text),
        ValueType::UserAgent => handle::normalise_user_agent(text),
        ValueType::SmsSender => handle::normalise_sms_sender(text),
    }
}
