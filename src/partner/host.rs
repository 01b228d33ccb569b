//! The address of a node: host names and addresses with a port, parsed once.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

/// Longest DNS name in bytes (RFC 1035, section 2.3.4, without the final dot).
const HOST_BYTES_MAX: usize = 253;

/// The fault in the text of a host or an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("{0:?} is neither an IP address nor a lower-case DNS name")]
    Host(String),
    #[error("{0:?} is not host:port with a port from 1 to 65535, IPv6 in brackets")]
    Address(String),
}

/// A DNS name in lower case, or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(Box<str>),
    Ip(IpAddr),
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let label_is_sound = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        // A name of digits and dots only would be a mistyped IPv4 address.
        let is_name = text.len() <= HOST_BYTES_MAX
            && text.split('.').all(label_is_sound)
            && text.bytes().any(|b| b.is_ascii_lowercase());
        if is_name { Ok(Self::Name(text.into())) } else { Err(HostError::Host(text.to_owned())) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// A host and the TCP port at which a node answers there; never port 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: Host,
    pub port: NonZeroU16,
}

impl FromStr for Address {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let bad = || HostError::Address(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(ip) => Host::Ip(IpAddr::V6(ip.parse().map_err(|_| bad())?)),
            None if host.contains(':') => return Err(bad()),
            None => host.parse().map_err(|_| bad())?,
        };
        // `u16::from_str` takes a plus sign and leading zeros, which no address is written with.
        if port.starts_with(['+', '0']) {
            return Err(bad());
        }
        Ok(Self { host, port: port.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl TryFrom<SocketAddr> for Address {
    type Error = HostError;

    fn try_from(socket: SocketAddr) -> Result<Self, HostError> {
        let port =
            NonZeroU16::new(socket.port()).ok_or_else(|| HostError::Address(socket.to_string()))?;
        Ok(Self { host: Host::Ip(socket.ip()), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_addresses_print_as_they_were_written() {
        for text in ["node.npa.go.jp:7443", "localhost:1", "192.0.2.1:65535", "[2001:db8::1]:7443"]
        {
            assert_eq!(text.parse::<Address>().map(|a| a.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn unsound_addresses_are_refused() {
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:+1",
            "a:01",
            "A:1",
            "a b:1",
            "a/b:1",
            "2001:db8::1:7443",
            "[192.0.2.1]:1",
            "[::1:1",
            "300.1.1.1:1",
            "-a:1",
            "a..b:1",
            "a:1:2",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
