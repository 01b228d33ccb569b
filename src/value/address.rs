//! IP addresses, networks and autonomous system numbers.
//!
//! Ambiguous notations (leading zeros that some read as octal, zone ids, netmasks) are refused and
//! never interpreted.

use core::net::IpAddr;

use ipnet::IpNet;

use super::error::Normalised;
use super::text;

pub(super) const UNSPECIFIED: &str =
    "the unspecified address names no host; give the address that was seen";

pub(super) fn normalise_ip(input: &str) -> Normalised {
    let text = text::refang(input);
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(&text);
    let ip = canonical(parse_ip(without_whole_prefix(bare))?);
    if ip.is_unspecified() {
        return Err(UNSPECIFIED.into());
    }
    Ok(ip.to_string())
}

/// An address without the prefix length of a network of one, as lists write it: `192.0.2.1/32`.
fn without_whole_prefix(text: &str) -> &str {
    match text.split_once('/') {
        Some((address, "128")) if address.contains(':') => address,
        Some((address, "32")) if !address.contains(':') => address,
        _ => text,
    }
}

/// The address that a network in normal form is, if it is a network of one.
pub(super) fn only_address(network: &str) -> Option<&str> {
    let address = without_whole_prefix(network);
    (address.len() < network.len()).then_some(address)
}

pub(super) fn normalise_cidr(input: &str) -> Normalised {
    let text = text::refang(input);
    let Some((address, length)) = text.split_once('/') else {
        return Err("it has no prefix length; add one such as /24, or give it as type ip".into());
    };
    let ip = parse_ip(address)?;
    let length = prefix_length(length)
        .ok_or("its prefix length is not a number from 1 to 32 or 128; write /24, no netmask")?;
    let (ip, length) = match canonical(ip) {
        v4 @ IpAddr::V4(_) if ip.is_ipv6() => {
            (v4, length.checked_sub(96).ok_or("an IPv4-mapped network has a prefix above /96")?)
        }
        same => (same, length),
    };
    if length == 0 {
        return Err("a prefix length of 0 is every address there is; give a narrower one".into());
    }
    let network = IpNet::new(ip, length)
        .map_err(|_| format!("the prefix length {length} is too long for this address"))?;
    Ok(network.trunc().to_string())
}

pub(super) fn normalise_asn(text: &str) -> Normalised {
    let digits = match text.split_at_checked(2) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("as") => rest,
        _ => text,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(0) => Err("AS0 is reserved and names no network (RFC 7607)".into()),
        Ok(number) if plain => Ok(format!("AS{number}")),
        _ => Err("wanted AS and a number from 1 to 4294967295, without dots, as in AS64500".into()),
    }
}

/// An IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) is the IPv4 address.
pub(super) fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn parse_ip(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| {
        if text.contains('/') {
            "it has a prefix length; give a network as type cidr"
        } else if text.contains('%') {
            "it has a zone id, which means nothing on another computer; remove it"
        } else if text.contains(':') {
            "wanted an IPv6 address such as 2001:db8::1, or an IPv4 address without a port"
        } else {
            "wanted an address such as 192.0.2.1 or 2001:db8::1, without leading zeros"
        }
    })
}

fn prefix_length(text: &str) -> Option<u8> {
    let plain = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let unambiguous = text.len() == 1 || !text.starts_with('0');
    text.parse().ok().filter(|_| plain && unambiguous)
}
