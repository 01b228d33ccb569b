//! URLs as the WHATWG URL standard parses and serialises them, with a host that a network can have and
//! percent-encoding in the normal form of RFC 3986, section 6.2.2. A blank is %20.
//!
//! User names, passwords and fragments are kept: phishers put the bank's name before the `@`. The
//! URL is taken apart, never fetched.

use std::borrow::Cow;
use std::ops::Range;

use ::url::{Host, Url};

use super::error::Normalised;
use super::{Excerpt, address, domain, text};

/// Longest URL in bytes after normalisation. Servers commonly take twice as much; the longest of
/// 18,651 reported phishing URLs with a possible host had 348.
pub const URL_BYTES_MAX: usize = 4096;

/// Schemes that reach a host over a network and occur in reports. `javascript:`, `data:`, `file:`
/// and the like name no host.
const SCHEMES: [&str; 21] = [
    "http", "https", "ftp", "ftps", "sftp", "ws", "wss", "tcp", "udp", "tls", "ssh", "telnet",
    "rdp", "vnc", "smb", "ldap", "ldaps", "irc", "ircs", "rtsp", "rtmp",
];

pub(super) fn normalise(input: &str) -> Normalised {
    let text = text::refang_url(input);
    if text.contains(' ') && text.matches("://").count() > 1 {
        return Err("it holds a blank and a second ://; give one URL a row".into());
    }
    let url = match scheme(&text)? {
        "http" | "https" | "ftp" | "ws" | "wss" => parse_special(&text)?,
        _ => parse_opaque(&text)?,
    };
    let normal = percent_normal(url.as_str());
    if normal.len() > URL_BYTES_MAX {
        let found = normal.len();
        return Err(format!("it has {found} bytes, at most {URL_BYTES_MAX} are taken").into());
    }
    Ok(normal)
}

/// Percent-encoding by RFC 3986, section 6.2.2: digits in upper case, no unreserved character encoded.
/// A percent sign that encodes nothing is itself encoded, so that nothing is decoded twice.
fn percent_normal(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(byte) = rest.get(..2).and_then(hex_byte) else {
            out.push_str("%25");
            continue;
        };
        rest = &rest[2..];
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || "-._~".contains(character) {
            out.push(character);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.push_str(rest);
    out
}

fn hex_byte(digits: &str) -> Option<u8> {
    let sound = digits.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

fn scheme(text: &str) -> Result<&'static str, Cow<'static, str>> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("it has no scheme; begin with http:// or the like, or give a host name as \
                    type domain"
            .into());
    };
    // The URL standard would skip further slashes and take the first path segment for the host.
    if rest.starts_with(['/', '\\', '?', '#']) || rest.is_empty() {
        return Err("it has no host behind the scheme; give one".into());
    }
    SCHEMES.into_iter().find(|known| known.eq_ignore_ascii_case(scheme)).ok_or_else(|| {
        let (found, wanted) = (Excerpt::of(scheme), SCHEMES.join(", "));
        format!("scheme {found} is not accepted; the schemes are {wanted}").into()
    })
}

/// The schemes whose hosts the URL standard knows as names and addresses.
fn parse_special(text: &str) -> Result<Url, Cow<'static, str>> {
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    let name = match url.host() {
        Some(Host::Domain(found)) => match domain::host_name(found)? {
            same if same == found => return Ok(url),
            other => other.into_owned(),
        },
        Some(Host::Ipv4(ip)) if ip.is_unspecified() => return Err(address::UNSPECIFIED.into()),
        Some(Host::Ipv6(ip)) if address::canonical(ip.into()).is_unspecified() => {
            return Err(address::UNSPECIFIED.into());
        }
        Some(_) => return Ok(url),
        None => return Err("it has no host; give one".into()),
    };
    url.set_host(Some(&name)).map_err(|error| error.to_string())?;
    Ok(url)
}

/// Other schemes: there the URL standard leaves a host as it is, so it is normalised first.
fn parse_opaque(text: &str) -> Result<Url, Cow<'static, str>> {
    let range = host_range(text);
    let host = &text[range.clone()];
    let normal = if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        address::normalise_ip(inner).map(|ip| if ip.contains(':') { format!("[{ip}]") } else { ip })
    } else {
        domain::host_name(host).map(Cow::into_owned).or_else(|reason| {
            let looks_like_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            if looks_like_address { address::normalise_ip(host) } else { Err(reason) }
        })
    }?;
    let spliced = format!("{}{normal}{}", &text[..range.start], &text[range.end..]);
    let url = Url::parse(&spliced).map_err(|error| error.to_string())?;
    if url.has_host() { Ok(url) } else { Err("it has no host; give one".into()) }
}

/// Returns the range of the host in a URL with `://`, with the brackets of an IPv6 address, without
/// user and port.
pub(super) fn host_range(url: &str) -> Range<usize> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let authority_end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let authority = &url[start..authority_end];
    let host_start = authority.rfind('@').map_or(start, |at| start + at + 1);
    let host = &url[host_start..authority_end];
    let length = if host.starts_with('[') {
        host.find(']').map_or(host.len(), |at| at + 1)
    } else {
        host.find(':').unwrap_or(host.len())
    };
    host_start..host_start + length
}
