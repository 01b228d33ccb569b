//! The type of a text that came without one.
//!
//! It must never choose between two types that both fit: a wrong type is worse than a question.

use super::{Excerpt, Value, ValueError, ValueType, text};

/// Endings of file names that people list beside host names. Some are top-level domains as well.
const FILE_ENDINGS: [&str; 34] = [
    "zip", "rar", "7z", "iso", "img", "dmg", "exe", "dll", "scr", "msi", "bat", "cmd", "ps1",
    "vbs", "hta", "lnk", "jar", "apk", "ipa", "js", "php", "asp", "aspx", "html", "htm", "pdf",
    "doc", "docx", "xls", "xlsx", "txt", "jpg", "png", "mov",
];

pub(super) fn guess(input: &str) -> Result<Value, ValueError> {
    let trimmed = input.trim();
    let unclear = |reason| ValueError::Unclear { found: Excerpt::of(trimmed), reason };
    if trimmed.len() > text::INPUT_BYTES_MAX {
        return Err(unclear("it is longer than any value"));
    }
    infer(trimmed).map_err(unclear).and_then(|value_type| Value::normalise(value_type, trimmed))
}

fn infer(trimmed: &str) -> Result<ValueType, &'static str> {
    let plain = text::refang_url(trimmed);
    if plain.contains("://") {
        return Ok(ValueType::Url);
    }
    let plain = text::refang(trimmed);
    let fits = |value_type| Value::normalise(value_type, &plain).is_ok();
    if let Some(value_type) = [ValueType::Cidr, ValueType::Ip].into_iter().find(|t| fits(*t)) {
        return Ok(value_type);
    }
    if plain.starts_with('+') {
        return Ok(ValueType::Phone);
    }
    if is_as_number(&plain) {
        return Ok(ValueType::Asn);
    }
    if fits(ValueType::FileHash) {
        return Ok(ValueType::FileHash);
    }
    infer_name(&plain)
}

/// Infers an e-mail address or a domain; for other names the caller must give the type.
fn infer_name(plain: &str) -> Result<ValueType, &'static str> {
    let fits = |value_type| Value::normalise(value_type, plain).is_ok();
    if plain.contains('@') && fits(ValueType::Email) {
        return Ok(ValueType::Email);
    }
    if plain.contains('@') {
        return Err("it may be an e-mail address, a payment or another handle; give the type");
    }
    if plain.contains('/') {
        return Err("it may be a URL without its scheme or only a path; give the scheme");
    }
    let ending = plain.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    if ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending.as_str())) {
        return Err("it may be a file's name or a domain; give the type");
    }
    if !fits(ValueType::Domain) {
        return Err("it is not a URL, network, address, number, hash or domain; give the type");
    }
    Ok(ValueType::Domain)
}

fn is_as_number(text: &str) -> bool {
    let Some((prefix, digits)) = text.split_at_checked(2) else { return false };
    prefix.eq_ignore_ascii_case("as")
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
}
