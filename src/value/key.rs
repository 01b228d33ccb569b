//! Keys by which an ordered index finds values: by domain suffix, by address, by containing network.
//!
//! A key is derived from a normal form alone, so it can always be made again. Byte layouts are
//! those of the index, not of the wire.

use core::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Excerpt, Value, ValueError, ValueType, domain, text, url};

/// IPv4 addresses stand in keys as IPv4-mapped IPv6 addresses, which begin with this many bits.
const MAPPED_BITS: u8 = 96;

impl Value {
    /// The host name's labels in reverse, each with a dot behind it: `com.example.www.` Then
    /// everything under a domain is one range, and `badexample.com` is not under `example.com`.
    ///
    /// `None` unless the value is a domain, or a URL or e-mail address at one.
    pub fn domain_key(&self) -> Option<Vec<u8>> {
        let host = match self.value_type {
            ValueType::Domain => &*self.text,
            ValueType::Url if self.ip().is_none() => self.url_host(),
            ValueType::Email => self.text.rsplit_once('@')?.1,
            _ => return None,
        };
        Some(reversed(host))
    }

    /// The address as 16 bytes, IPv4 as `::ffff:a.b.c.d`.
    ///
    /// `None` unless the value is an address or a URL at one.
    pub fn ip_key(&self) -> Option<[u8; 16]> {
        self.ip().map(mapped)
    }

    /// The network that the value is; an address is a network of one.
    ///
    /// `None` unless the value is an address, a network or a URL at an address.
    pub fn network(&self) -> Option<IpNet> {
        match self.value_type {
            ValueType::Cidr => self.text.parse().ok(),
            _ => self.ip().map(IpNet::from),
        }
    }

    fn ip(&self) -> Option<IpAddr> {
        match self.value_type {
            ValueType::Ip => self.text.parse().ok(),
            ValueType::Url => address_in(self.url_host()),
            _ => None,
        }
    }

    fn url_host(&self) -> &str {
        &self.text[url::host_range(&self.text)]
    }
}

/// The prefix that the [`Value::domain_key`] of everything under `suffix` begins with, `suffix`
/// itself included. Takes a leading `.` or `*.`, and a single label such as `top`.
///
/// # Errors
/// If `suffix` is not a domain name or a label of one.
pub fn domain_suffix_key(suffix: &str) -> Result<Vec<u8>, ValueError> {
    let value_type = ValueType::Domain;
    let admitted = text::admit(value_type, suffix)?;
    let plain = text::refang(admitted);
    let bare = plain.strip_prefix('*').unwrap_or(&plain);
    let bare = bare.strip_prefix('.').unwrap_or(bare);
    domain::ascii_name(bare).map(|name| reversed(&name)).map_err(|reason| ValueError::Form {
        value_type,
        found: Excerpt::of(admitted),
        reason,
    })
}

/// A network as the index keeps it, for the two questions "which known networks contain this
/// address or network?" and "which known addresses lie in this network?".
///
/// The key is the network's address as 16 bytes (IPv4 mapped) and its prefix length in those 128
/// bits: 17 bytes. A network contains another exactly if its key is among
/// [`Network::containing_keys`] of the other, so a query is at most 128 (IPv4: 32) probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Takes an address or a network in CIDR notation.
    ///
    /// # Errors
    /// As [`Value::normalise`] for `ip` or, if there is a `/`, for `cidr`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let value_type = if text.contains('/') { ValueType::Cidr } else { ValueType::Ip };
        let value = Value::normalise(value_type, text)?;
        value.network().map(Self).ok_or_else(|| ValueError::Form {
            value_type,
            found: Excerpt::of(text),
            reason: "wanted an address or a network".into(),
        })
    }

    pub fn key(&self) -> [u8; 17] {
        key_at(mapped(self.0.addr()), self.mapped_length())
    }

    /// The keys of all networks that contain this one, itself first, then ever wider ones.
    pub fn containing_keys(&self) -> impl Iterator<Item = [u8; 17]> + use<> {
        let address = mapped(self.0.addr());
        // A value never has the prefix length 0.
        let shortest = self.mapped_length() - self.0.prefix_len() + 1;
        (shortest..=self.mapped_length()).rev().map(move |length| key_at(address, length))
    }

    /// Returns whether all addresses of the other network are in this one.
    pub fn contains(&self, other: &Self) -> bool {
        let own = self.key();
        other.containing_keys().any(|key| key == own)
    }

    /// The keys between which those of all networks lie that begin within this one: of the narrower
    /// ones in it, and of wider ones that begin where it does.
    pub fn inner_keys(&self) -> [[u8; 17]; 2] {
        let ends = [(self.0.network(), 0), (self.0.broadcast(), u8::MAX)];
        ends.map(|(address, length)| {
            let mut key = [length; 17];
            key[..16].copy_from_slice(&mapped(address));
            key
        })
    }

    /// The [`Value::ip_key`]s of its addresses, from the first to the last.
    pub fn ip_keys(&self) -> RangeInclusive<[u8; 16]> {
        mapped(self.0.network())..=mapped(self.0.broadcast())
    }

    fn mapped_length(&self) -> u8 {
        match self.0 {
            IpNet::V4(network) => network.prefix_len() + MAPPED_BITS,
            IpNet::V6(network) => network.prefix_len(),
        }
    }
}

/// Host bits are cleared.
impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        Self(network.trunc())
    }
}

fn reversed(host: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(host.len() + 1);
    for label in host.rsplit('.') {
        key.extend_from_slice(label.as_bytes());
        key.push(b'.');
    }
    key
}

fn address_in(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn mapped(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn key_at(address: [u8; 16], length: u8) -> [u8; 17] {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    let network = Ipv6Addr::from_bits(u128::from_be_bytes(address) & mask);
    let mut key = [0; 17];
    key[..16].copy_from_slice(&network.octets());
    key[16] = length;
    key
}
