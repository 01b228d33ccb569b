//! The names of the node's own clients, and the serial numbers of their certificates.

use std::fmt;
use std::str::FromStr;

/// Longest client name in bytes: the bound of a common name (RFC 5280, appendix A.1).
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// Longest certificate serial in bytes (RFC 5280, section 4.1.2.2).
pub const SERIAL_BYTES_MAX: usize = 20;

/// The reason for refusing a client's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientNameError {
    #[error(
        "client name {0:?} is not 1 to {CLIENT_NAME_BYTES_MAX} bytes of a-z, 0-9, ., - and _, starting with a letter or digit"
    )]
    Name(String),
}

/// The name of a client, also that of its profile's file, hence no slash and no leading dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientName(Box<str>);

impl ClientName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = ClientNameError;

    fn from_str(text: &str) -> Result<Self, ClientNameError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let sound = text.len() <= CLIENT_NAME_BYTES_MAX
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'-' | b'_'));
        if sound { Ok(Self(text.into())) } else { Err(ClientNameError::Name(text.to_owned())) }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The serial number of a certificate, 1 to 20 bytes, shown as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSerial(Box<[u8]>);

impl CertificateSerial {
    /// Takes the bytes of the DER integer. `None` when there are none, or too many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (1..=SERIAL_BYTES_MAX).contains(&bytes.len()).then(|| Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateSerial({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_name_can_never_leave_its_directory() {
        assert!("tanaka-2.a_b".parse::<ClientName>().is_ok());
        for text in ["", ".", "..", "../x", "a/b", ".a", "A", "a b", "a\0", &"a".repeat(65)] {
            assert!(text.parse::<ClientName>().is_err(), "{text:?}");
        }
    }
}
