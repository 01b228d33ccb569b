//! Addresses of crypto currencies, as `chain:address`.
//!
//! An address fits its chain, checksum included, or is refused; only Solana's have none. A token is
//! held at an address of its chain, so `usdt-trc20:` is an address of Tron. Several notations of one
//! address become one: letter case, Bitcoin Cash's older form, Litecoin's, TON's flags.

mod encoding;

use super::error::Normalised;
use encoding::{
    BITCOIN, RIPPLE, base58, base58check, bech32, cashaddr, crc16, is_hex, keccak256, monero,
    segwit, to_base58check, to_cashaddr, to_hex,
};

#[derive(Clone, Copy, PartialEq)]
enum Chain {
    Btc,
    Ltc,
    Doge,
    Trx,
    Bch,
    Bnb,
    Ada,
    Ton,
    Xmr,
    Xrp,
    Sol,
    /// Ethereum and the chains whose addresses are like its.
    Evm,
}

/// A chain, its name in the normal form, and other names: its own, and those of its token standards.
struct Named(Chain, &'static str, &'static [&'static str]);

/// In the order in which an address without a name is tried. Of the chains like Ethereum the first is
/// the one that an address without a name is of.
const CHAINS: [Named; 19] = [
    Named(Chain::Btc, "btc", &["bitcoin", "xbt", "brc20", "omni"]),
    Named(Chain::Ltc, "ltc", &["litecoin"]),
    Named(Chain::Doge, "doge", &["dogecoin"]),
    Named(Chain::Trx, "trx", &["tron", "trc20", "trc10"]),
    Named(Chain::Evm, "eth", &["ethereum", "erc20", "erc721"]),
    Named(Chain::Bch, "bch", &["bitcoincash", "slp"]),
    Named(Chain::Bnb, "bnb", &["binance", "bep2"]),
    Named(Chain::Ada, "ada", &["cardano"]),
    Named(Chain::Ton, "ton", &["toncoin", "jetton"]),
    Named(Chain::Xmr, "xmr", &["monero"]),
    Named(Chain::Xrp, "xrp", &["ripple"]),
    Named(Chain::Sol, "sol", &["solana", "spl"]),
    Named(Chain::Evm, "bsc", &["bep20", "binancesmartchain", "bnbchain"]),
    Named(Chain::Evm, "polygon", &["matic", "pol"]),
    Named(Chain::Evm, "arbitrum", &["arb"]),
    Named(Chain::Evm, "optimism", &["op"]),
    Named(Chain::Evm, "base", &[]),
    Named(Chain::Evm, "avax", &["avalanche", "avaxc"]),
    Named(Chain::Evm, "etc", &["ethereumclassic"]),
];

/// Tokens that occur in reports and live on several chains: they name no chain.
const TOKENS: [&str; 8] = ["usdt", "tether", "usdc", "dai", "busd", "tusd", "shib", "token"];

pub(super) fn normalise(text: &str) -> Normalised {
    let Some((name, address)) = text.split_once(':') else {
        return detect(text);
    };
    // A raw address of TON has a colon of its own.
    if matches!(name, "0" | "-1") {
        return detect(text);
    }
    match chain_named(name)? {
        Some(Named(chain, short, _)) => chain.named(short, address.trim()),
        None => of_token(address.trim()),
    }
}

/// The chain that a name such as `usdt-trc20` contains; `None` for a token alone.
fn chain_named(name: &str) -> Result<Option<&'static Named>, String> {
    let name = name.to_ascii_lowercase();
    let parts: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty() && !TOKENS.contains(part))
        .collect();
    let joined = parts.concat();
    if joined.is_empty() {
        return Ok(None);
    }
    let find = |name: &str| {
        CHAINS.iter().find(|Named(_, short, more)| *short == name || more.contains(&name))
    };
    let first = find(&joined).or_else(|| {
        let first = find(parts.first()?)?;
        parts.iter().all(|part| find(part).is_some_and(|of| of.1 == first.1)).then_some(first)
    });
    first.map(Some).ok_or_else(|| {
        let known = CHAINS.iter().map(|Named(_, short, _)| *short).collect::<Vec<_>>().join(", ");
        format!("its chain is unknown; those that are known are {known}")
    })
}

/// Normalises the address of a token without a named chain, if its form shows the chain.
fn of_token(address: &str) -> Normalised {
    match detect(address) {
        Ok(found) if !found.starts_with("eth:") => Ok(found),
        Ok(_) => Err("several chains have such an address; name the chain, as in usdt-erc20:0x…, \
                      usdt-bep20:0x… or usdt-polygon:0x…"
            .into()),
        Err(reason) => Err(reason),
    }
}

fn detect(text: &str) -> Normalised {
    let found = CHAINS
        .iter()
        // Any 32 bytes are a Solana address: that has to be said.
        .filter(|Named(chain, ..)| *chain != Chain::Sol)
        .find_map(|Named(chain, short, _)| {
            chain.address(text).map(|address| format!("{short}:{address}"))
        });
    found.ok_or_else(|| {
        if text.starts_with("0x") || text.starts_with("0X") {
            return MIXED_CASE.into();
        }
        "no known chain has such an address, or its checksum is wrong; name the chain, as in sol:… \
         or btc:…"
            .into()
    })
}

const MIXED_CASE: &str = "it is not 0x and 40 hexadecimal digits, or their letter case does not agree \
     with the checksum (EIP-55); check the digits, and write them in lower case if they are right";

impl Chain {
    fn named(self, short: &str, address: &str) -> Normalised {
        if self == Self::Bnb && address.starts_with("0x") {
            // BNB moved to the chain that is like Ethereum.
            return Self::Evm.named("bsc", address);
        }
        if let Some(address) = self.address(address) {
            return Ok(format!("{short}:{address}"));
        }
        if self == Self::Evm {
            return Err(MIXED_CASE.into());
        }
        let other = detect(address).ok();
        let other = other.as_deref().and_then(|found| found.split(':').next());
        Err(match other {
            Some(other) => {
                format!("its chain is named {short} and the address is of {other}; check both")
            }
            None => format!("form, length or checksum is not that of a {short} address"),
        }
        .into())
    }

    /// The address in its chain's one form.
    fn address(self, text: &str) -> Option<String> {
        let versioned = |versions: &[u8]| {
            hash160(text).filter(|(version, _)| versions.contains(version)).map(|_| text.to_owned())
        };
        match self {
            Self::Btc => segwit("bc", text).or_else(|| versioned(&[0x00, 0x05])),
            Self::Ltc => segwit("ltc", text).or_else(|| litecoin(text)),
            Self::Doge => versioned(&[0x1e, 0x16]),
            Self::Trx => versioned(&[0x41]),
            Self::Evm => ethereum(text),
            Self::Bch => bitcoin_cash(text),
            Self::Bnb => {
                let bytes = bech32("bnb", text)?;
                (bytes.len() == 20).then(|| text.to_ascii_lowercase())
            }
            Self::Ada => cardano(text),
            Self::Ton => ton(text),
            Self::Xmr => {
                let bytes = monero(text)?;
                let sizes: &[usize] = if bytes.first() == Some(&19) { &[73] } else { &[65] };
                let sound = matches!(bytes.first(), Some(18 | 19 | 42));
                (sound && sizes.contains(&bytes.len())).then(|| text.to_owned())
            }
            Self::Xrp => ripple(text),
            Self::Sol => base58(text, BITCOIN).filter(|b| b.len() == 32).map(|_| text.to_owned()),
        }
    }
}

/// Version byte and hash of an address of Bitcoin's older form.
fn hash160(text: &str) -> Option<(u8, Vec<u8>)> {
    let bytes = base58check(text, BITCOIN).filter(|bytes| bytes.len() == 21)?;
    let (version, hash) = bytes.split_first()?;
    Some((*version, hash.to_vec()))
}

/// A script's address was written like Bitcoin's once; its form is the one that cannot be mistaken.
fn litecoin(text: &str) -> Option<String> {
    let (version, hash) = hash160(text)?;
    match version {
        0x30 | 0x32 => Some(text.to_owned()),
        0x05 => Some(to_base58check(&[&[0x32], &hash[..]].concat())),
        _ => None,
    }
}

/// CashAddr without its prefix; the older form is Bitcoin's and is brought into it.
fn bitcoin_cash(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if lower == text || text.to_ascii_uppercase() == text {
        let bare = lower.strip_prefix("bitcoincash:").unwrap_or(&lower);
        if let Some(bytes) = cashaddr(bare) {
            let sound = bytes.len() == 21 && matches!(bytes[0], 0x00 | 0x08 | 0x10 | 0x18);
            return sound.then(|| bare.to_owned());
        }
    }
    let (version, hash) = hash160(text)?;
    match version {
        0x00 => Some(to_cashaddr(0x00, &hash)),
        0x05 => Some(to_cashaddr(0x08, &hash)),
        _ => None,
    }
}

/// Shelley addresses of the main network (CIP 19), and Byron's.
fn cardano(text: &str) -> Option<String> {
    let shelley = |prefix, types: &[u8]| {
        let bytes = bech32(prefix, text)?;
        let header = *bytes.first()?;
        let sized = match header >> 4 {
            0..=3 => bytes.len() == 57,
            4 | 5 => (32..=59).contains(&bytes.len()),
            _ => bytes.len() == 29,
        };
        let sound = header & 0x0f == 1 && types.contains(&(header >> 4)) && sized;
        sound.then(|| text.to_ascii_lowercase())
    };
    shelley("addr", &[0, 1, 2, 3, 4, 5, 6, 7])
        .or_else(|| shelley("stake", &[14, 15]))
        .or_else(|| byron(text))
}

/// CBOR of two items: the address as tagged bytes, and the CRC-32 over them.
fn byron(text: &str) -> Option<String> {
    let bytes = base58(text, BITCOIN)?;
    let rest = bytes.strip_prefix(&[0x82, 0xd8, 0x18])?;
    let (length, rest) = match rest {
        [0x58, length, rest @ ..] => (usize::from(*length), rest),
        [short @ 0x40..=0x57, rest @ ..] => (usize::from(short - 0x40), rest),
        _ => return None,
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    // The address itself is an array of three: root, attributes, type. A network other than the main
    // one is an attribute.
    let is_main = payload.first() == Some(&0x83) && matches!(payload.last(), Some(0 | 2));
    let crc = crc32fast::hash(payload);
    let is_checked = match rest {
        [0x1a, sum @ ..] => *sum == crc.to_be_bytes(),
        [0x19, high, low] => u32::from(u16::from_be_bytes([*high, *low])) == crc,
        _ => false,
    };
    (is_main && is_checked).then(|| text.to_owned())
}

/// `workchain:hash`, which has no flags for how a wallet is to be called.
fn ton(text: &str) -> Option<String> {
    if let Some((workchain, hash)) = text.split_once(':') {
        let sound = matches!(workchain, "0" | "-1") && hash.len() == 64 && is_hex(hash);
        return sound.then(|| format!("{workchain}:{}", hash.to_ascii_lowercase()));
    }
    if text.len() != 48 {
        return None;
    }
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()?;
    let (body, sum) = bytes.split_at_checked(34)?;
    let workchain = match body[1] {
        0x00 => "0",
        0xff => "-1",
        _ => return None,
    };
    // Bounceable or not; with 0x80 it is of the test network.
    let sound = matches!(body[0], 0x11 | 0x51) && *sum == crc16(body).to_be_bytes();
    sound.then(|| format!("{workchain}:{}", to_hex(&body[2..])))
}

/// An account's address, or an X-address, which holds a tag too.
fn ripple(text: &str) -> Option<String> {
    let bytes = base58check(text, RIPPLE)?;
    let classic = bytes.len() == 21 && bytes[0] == 0;
    let tagged = bytes.len() == 31 && bytes.starts_with(&[0x05, 0x44]) && bytes[22] <= 1;
    (classic || tagged).then(|| text.to_owned())
}

/// Letters of both cases are a checksum (EIP-55); the normal form is lower case.
fn ethereum(text: &str) -> Option<String> {
    let (prefix, hex) = text.split_at_checked(2)?;
    if !prefix.eq_ignore_ascii_case("0x") || hex.len() != 40 || !is_hex(hex) {
        return None;
    }
    let lower = hex.to_ascii_lowercase();
    let is_mixed = hex != lower && hex != hex.to_ascii_uppercase();
    let digest = keccak256(lower.as_bytes());
    let agrees = hex.bytes().enumerate().all(|(at, digit)| {
        let nibble = digest[at / 2] >> (4 * (1 - at % 2)) & 0x0f;
        !digit.is_ascii_alphabetic() || digit.is_ascii_uppercase() == (nibble >= 8)
    });
    (!is_mixed || agrees).then(|| format!("0x{lower}"))
}
