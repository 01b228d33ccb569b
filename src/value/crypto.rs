//! Addresses of crypto currencies, as `chain:address`.
//!
//! Checksums are verified where a chain's addresses have one that needs SHA-256 or less; Ethereum's
//! letter case and Monero's need Keccak and are not verified. An address fits its chain or is refused.

use sha2::{Digest, Sha256};

use super::Normalised;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// An upper bound for every base58 address here (Monero's integrated ones), so that decoding is cheap.
const BASE58_CHARACTERS_MAX: usize = 106;

#[derive(Clone, Copy, PartialEq)]
enum Chain {
    Btc,
    Ltc,
    Doge,
    Trx,
    Eth,
    Xmr,
    Xrp,
    Sol,
}

/// In the order in which an address without a name is tried.
const CHAINS: [(Chain, &str, &str); 8] = [
    (Chain::Btc, "btc", "bitcoin"),
    (Chain::Ltc, "ltc", "litecoin"),
    (Chain::Doge, "doge", "dogecoin"),
    (Chain::Trx, "trx", "tron"),
    (Chain::Eth, "eth", "ethereum"),
    (Chain::Xmr, "xmr", "monero"),
    (Chain::Xrp, "xrp", "ripple"),
    (Chain::Sol, "sol", "solana"),
];

pub(super) fn normalise(text: &str) -> Normalised {
    let Some((name, address)) = text.split_once(':') else {
        return detect(text);
    };
    let name = name.to_ascii_lowercase();
    let Some((chain, short, _)) =
        CHAINS.iter().find(|(_, short, long)| name == *short || name == *long)
    else {
        let known = CHAINS.map(|(_, short, _)| short).join(", ");
        return Err(format!("its chain is unknown; those that are known are {known}").into());
    };
    match chain.address(address) {
        Some(address) => Ok(format!("{short}:{address}")),
        None => Err(format!("form, length or checksum is not that of a {short} address").into()),
    }
}

fn detect(text: &str) -> Normalised {
    CHAINS
        .iter()
        // Any 32 bytes are a Solana address: that has to be said.
        .filter(|(chain, ..)| *chain != Chain::Sol)
        .find_map(|(chain, short, _)| {
            chain.address(text).map(|address| format!("{short}:{address}"))
        })
        .ok_or_else(|| {
            "no known chain has such an address, or its checksum is wrong; name the chain, as in \
             sol:… or btc:…"
                .into()
        })
}

impl Chain {
    /// The address in its chain's one form.
    fn address(self, text: &str) -> Option<String> {
        let versioned = |versions: &[u8]| {
            base58check_version(text).filter(|v| versions.contains(v)).map(|_| text.to_owned())
        };
        match self {
            Self::Btc => segwit("bc", text).or_else(|| versioned(&[0x00, 0x05])),
            Self::Ltc => segwit("ltc", text).or_else(|| versioned(&[0x30, 0x32])),
            Self::Doge => versioned(&[0x1e, 0x16]),
            Self::Trx => versioned(&[0x41]),
            Self::Eth => ethereum(text),
            Self::Xmr => {
                let sized = matches!(text.len(), 95 | 106) && text.starts_with(['4', '8']);
                (sized && is_base58(text)).then(|| text.to_owned())
            }
            Self::Xrp => {
                let sized = (25..=35).contains(&text.len()) && text.starts_with('r');
                (sized && is_base58(text)).then(|| text.to_owned())
            }
            Self::Sol => base58(text).filter(|b| b.len() == 32).map(|_| text.to_owned()),
        }
    }
}

fn ethereum(text: &str) -> Option<String> {
    let (prefix, hex) = text.split_at_checked(2)?;
    let sound = prefix.eq_ignore_ascii_case("0x")
        && hex.len() == 40
        && hex.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then(|| text.to_ascii_lowercase())
}

fn is_base58(text: &str) -> bool {
    text.bytes().all(|b| BASE58.contains(&b))
}

fn base58(text: &str) -> Option<Vec<u8>> {
    if text.len() > BASE58_CHARACTERS_MAX {
        return None;
    }
    // Little-endian while it grows.
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for character in text.bytes() {
        let mut carry = BASE58.iter().position(|known| *known == character)?;
        for byte in &mut bytes {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    bytes.extend(text.bytes().take_while(|b| *b == b'1').map(|_| 0));
    bytes.reverse();
    Some(bytes)
}

/// The version byte of an address of version, 20 bytes and four bytes of double SHA-256.
fn base58check_version(text: &str) -> Option<u8> {
    let bytes = base58(text).filter(|bytes| bytes.len() == 25)?;
    let (payload, checksum) = bytes.split_at(21);
    let digest = Sha256::digest(Sha256::digest(payload));
    (digest[..4] == *checksum).then_some(payload[0])
}

/// BIP 173 and BIP 350: Bech32 for witness version 0, Bech32m above.
fn segwit(prefix: &str, text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if lower != text && text.to_ascii_uppercase() != text {
        return None;
    }
    let symbols = lower.strip_prefix(prefix)?.strip_prefix('1')?;
    let symbols: Vec<u8> = symbols
        .bytes()
        .map(|b| BECH32.iter().position(|known| *known == b).map(|at| at as u8))
        .collect::<Option<_>>()?;
    let (version, program) = symbols.get(..symbols.len().checked_sub(6)?)?.split_first()?;
    let checksum_constant = if *version == 0 { 1 } else { 0x2bc8_30a3 };
    let (program_bytes, pad_bits) = (program.len() * 5 / 8, program.len() * 5 % 8);
    let padding = program.last().map_or(0, |last| u32::from(*last) & ((1 << pad_bits) - 1));
    let length_sound = if *version == 0 {
        matches!(program_bytes, 20 | 32)
    } else {
        (2..=40).contains(&program_bytes)
    };
    (*version <= 16
        && length_sound
        && pad_bits < 5
        && padding == 0
        && polymod(prefix, &symbols) == checksum_constant)
        .then_some(lower)
}

fn polymod(prefix: &str, symbols: &[u8]) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let expanded = prefix.bytes().map(|b| b >> 5).chain([0]).chain(prefix.bytes().map(|b| b & 31));
    expanded.chain(symbols.iter().copied()).fold(1, |sum, symbol| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(symbol);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, generator)| sum ^ generator)
    })
}
