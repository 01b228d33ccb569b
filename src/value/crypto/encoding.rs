//! Encodings of addresses with their checksums: Base58Check, Bech32, CashAddr, Monero's.

use sha2::{Digest, Sha256};
use sha3::{Digest as _, Keccak256};

/// Digits of Base58 as Bitcoin orders them.
pub(super) const BITCOIN: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// The same digits as the XRP Ledger orders them.
pub(super) const RIPPLE: &[u8; 58] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// An upper bound for every address here (Cardano's Byron addresses have 104 digits, Monero's
/// integrated ones 106), so that decoding is cheap.
const CHARACTERS_MAX: usize = 128;
/// Length of a checksum of Base58Check.
const CHECKSUM_BYTES: usize = 4;

pub(super) fn base58(text: &str, digits: &[u8; 58]) -> Option<Vec<u8>> {
    if text.len() > CHARACTERS_MAX {
        return None;
    }
    // Little-endian while it grows.
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for character in text.bytes() {
        let mut carry = digits.iter().position(|known| *known == character)?;
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
    bytes.extend(text.bytes().take_while(|b| *b == digits[0]).map(|_| 0));
    bytes.reverse();
    Some(bytes)
}

fn to_base58(bytes: &[u8]) -> String {
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let mut carry = usize::from(*byte);
        for digit in &mut digits {
            carry += usize::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).map(|_| 0);
    let all = zeros.chain(digits.iter().rev().copied());
    all.map(|digit| char::from(BITCOIN[usize::from(digit)])).collect()
}

/// The first bytes of the double SHA-256.
fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(Sha256::digest(payload));
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The bytes under a checksum of double SHA-256.
pub(super) fn base58check(text: &str, digits: &[u8; 58]) -> Option<Vec<u8>> {
    let mut bytes = base58(text, digits)?;
    let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if checksum(payload) != *sum {
        return None;
    }
    bytes.truncate(bytes.len() - CHECKSUM_BYTES);
    Some(bytes)
}

pub(super) fn to_base58check(payload: &[u8]) -> String {
    to_base58(&[payload, &checksum(payload)].concat())
}

/// The bytes under Monero's checksum. Its Base58 encodes eight bytes at a time as eleven digits.
pub(super) fn monero(text: &str) -> Option<Vec<u8>> {
    if !matches!(text.len(), 95 | 106) || !text.is_ascii() {
        return None;
    }
    let mut bytes = Vec::new();
    for block in text.as_bytes().chunks(11) {
        // A block of 7 digits is 5 bytes, one of 11 is 8.
        let size = match block.len() {
            11 => 8,
            7 => 5,
            _ => return None,
        };
        let number = block.iter().try_fold(0_u128, |sum, digit| {
            let digit = BITCOIN.iter().position(|known| known == digit)?;
            Some(sum * 58 + digit as u128)
        })?;
        if number >> (8 * size) != 0 {
            return None;
        }
        bytes.extend_from_slice(&number.to_be_bytes()[16 - size..]);
    }
    let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    (keccak256(payload)[..CHECKSUM_BYTES] == *sum).then(|| payload.to_vec())
}

pub(super) fn keccak256(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// BIP 173 and BIP 350: Bech32 for witness version 0, Bech32m above.
pub(super) fn segwit(prefix: &str, text: &str) -> Option<String> {
    let (lower, symbols) = symbols(prefix, text)?;
    let (version, program) = symbols.get(..symbols.len().checked_sub(6)?)?.split_first()?;
    let checksum_constant = if *version == 0 { 1 } else { 0x2bc8_30a3 };
    let program = to_bytes(program)?;
    let length_sound = if *version == 0 {
        matches!(program.len(), 20 | 32)
    } else {
        (2..=40).contains(&program.len())
    };
    (*version <= 16 && length_sound && polymod(prefix, &symbols) == checksum_constant)
        .then_some(lower)
}

/// The bytes of a Bech32 text with this prefix.
pub(super) fn bech32(prefix: &str, text: &str) -> Option<Vec<u8>> {
    let (_, symbols) = symbols(prefix, text)?;
    let payload = symbols.get(..symbols.len().checked_sub(6)?)?;
    (polymod(prefix, &symbols) == 1).then(|| to_bytes(payload)).flatten()
}

/// The text in lower case and its symbols of five bits, if it has the prefix and letters of one case.
fn symbols(prefix: &str, text: &str) -> Option<(String, Vec<u8>)> {
    let lower = text.to_ascii_lowercase();
    let is_of_one_case = lower == text || text.to_ascii_uppercase() == text;
    if !is_of_one_case || text.len() > CHARACTERS_MAX {
        return None;
    }
    let symbols = five_bits(lower.strip_prefix(prefix)?.strip_prefix('1')?)?;
    Some((lower, symbols))
}

fn five_bits(text: &str) -> Option<Vec<u8>> {
    let symbol = |b: u8| BECH32.iter().position(|known| *known == b).map(|at| at as u8);
    text.bytes().map(symbol).collect()
}

/// Groups of five bits as bytes; what is left over is less than five bits, and zero.
fn to_bytes(symbols: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for symbol in symbols {
        held = held << 5 | u32::from(*symbol);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(bytes)
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

/// The prefix of a Bitcoin Cash address, before the colon; the checksum covers it.
const CASH_PREFIX: &str = "bitcoincash";

/// Version byte and hash of a CashAddr without its prefix.
pub(super) fn cashaddr(text: &str) -> Option<Vec<u8>> {
    if text.len() > CHARACTERS_MAX {
        return None;
    }
    let symbols = five_bits(text)?;
    let payload = symbols.get(..symbols.len().checked_sub(8)?)?;
    (cash_polymod(&symbols) == 0).then(|| to_bytes(payload)).flatten()
}

pub(super) fn to_cashaddr(version: u8, hash: &[u8]) -> String {
    let (mut symbols, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in std::iter::once(&version).chain(hash) {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            symbols.push((held >> bits & 31) as u8);
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        symbols.push((held << (5 - bits) & 31) as u8);
    }
    let sum = cash_polymod(&[&symbols[..], &[0; 8]].concat());
    symbols.extend((0..8).map(|at| (sum >> (5 * (7 - at)) & 31) as u8));
    symbols.iter().map(|symbol| char::from(BECH32[usize::from(*symbol)])).collect()
}

fn cash_polymod(symbols: &[u8]) -> u64 {
    const GENERATOR: [u64; 5] =
        [0x98_f2bc_8e61, 0x79_b76d_99e2, 0xf3_3e5f_b3c4, 0xae_2eab_e2a8, 0x1e_4f43_e470];
    let expanded = CASH_PREFIX.bytes().map(|b| b & 31).chain([0]);
    let sum = expanded.chain(symbols.iter().copied()).fold(1_u64, |sum, symbol| {
        let top = sum >> 35;
        let shifted = (sum & 0x07_ffff_ffff) << 5 ^ u64::from(symbol);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, generator)| sum ^ generator)
    });
    sum ^ 1
}

/// CRC-16 with the polynomial 0x1021 and the start 0, as TON's addresses have it.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        let sum = sum ^ u16::from(*byte) << 8;
        (0..8).fold(sum, |sum, _| if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 })
    })
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
