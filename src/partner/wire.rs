//! Cards to and from their wire message. Every field is named, so that a new one breaks the build
//! where it must be thought about.

use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::card::{
    ADDRESSES_MAX, AUTHORITIES_MAX, AUTHORITY_BYTES_MAX, CONTACTS_MAX, Card, CardError, CardHash,
    Contact, RECORD_KEYS_MAX, RecordKey, RecordKeyStatus, VALIDITY_MS_MAX,
};
use super::host::HostError;
use super::public_key::PublicKey;
use crate::ident::{Generation, Timestamp};
use crate::pb;
use crate::policy::Sector;

const VERSION: u32 = 1;

impl TryFrom<pb::Card> for Card {
    type Error = CardError;

    fn try_from(message: pb::Card) -> Result<Self, CardError> {
        let sector = sector(message.sector())?;
        let pb::Card {
            version,
            agency,
            display_name,
            country,
            sector: _,
            serial,
            issued_at_ms,
            expires_at_ms,
            addresses,
            tls_ca_der,
            tls_server_names,
            identity_key,
            record_keys,
            journal_key,
            witness_key,
            receipt_key,
            contacts,
            previous_card_hash,
            generation,
        } = message;
        if version != VERSION {
            return Err(CardError::Version(version));
        }
        if serial == 0 {
            return Err(CardError::Serial);
        }
        count("record keys", &record_keys, 1, RECORD_KEYS_MAX)?;
        count("contacts", &contacts, 0, CONTACTS_MAX)?;
        let card = Self {
            agency: agency
                .parse()
                .map_err(|source| CardError::Identifier { field: "the agency name", source })?,
            display_name: text("the display name", display_name, 1, 200)?,
            country: country.parse().map_err(CardError::Country)?,
            sector,
            serial,
            issued_at: timestamp("the moment of issue", issued_at_ms)?,
            expires_at: timestamp("the moment of expiry", expires_at_ms)?,
            addresses: hosts("addresses", &addresses)?,
            tls_authorities: authorities(tls_ca_der)?,
            tls_server_names: hosts("server names", &tls_server_names)?,
            identity_key: key("the identity key", &identity_key)?,
            record_keys: record_keys.into_iter().map(record_key).collect::<Result<_, _>>()?,
            journal_key: key("the journal key", &journal_key)?,
            witness_key: key("the witness key", &witness_key)?,
            receipt_key: key("the receipt key", &receipt_key)?,
            contacts: contacts.into_iter().map(contact).collect::<Result<_, _>>()?,
            previous: previous(&previous_card_hash)?,
            generation: Generation::from_wire(generation)
                .map_err(|source| CardError::Identifier { field: "the generation", source })?,
        };
        check_validity(&card)?;
        check_keys_differ(&card)?;
        Ok(card)
    }
}

impl From<Card> for pb::Card {
    fn from(card: Card) -> Self {
        let Card {
            agency,
            display_name,
            country,
            sector,
            serial,
            issued_at,
            expires_at,
            addresses,
            tls_authorities,
            tls_server_names,
            identity_key,
            record_keys,
            journal_key,
            witness_key,
            receipt_key,
            contacts,
            previous,
            generation,
        } = card;
        Self {
            version: VERSION,
            agency: agency.to_string(),
            display_name,
            country: country.to_string(),
            sector: pb::Sector::from(sector).into(),
            serial,
            issued_at_ms: issued_at.unix_ms(),
            expires_at_ms: expires_at.unix_ms(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            tls_ca_der: tls_authorities.iter().map(|der| Bytes::copy_from_slice(der)).collect(),
            tls_server_names: tls_server_names.iter().map(ToString::to_string).collect(),
            identity_key: key_bytes(&identity_key),
            record_keys: record_keys.into_iter().map(Into::into).collect(),
            journal_key: key_bytes(&journal_key),
            witness_key: key_bytes(&witness_key),
            receipt_key: key_bytes(&receipt_key),
            contacts: contacts.into_iter().map(Into::into).collect(),
            previous_card_hash: previous
                .map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(hash.as_bytes())),
            generation: generation.to_wire(),
        }
    }
}

impl From<RecordKey> for pb::RecordKey {
    fn from(RecordKey { key, from, until, status }: RecordKey) -> Self {
        let (status, since) = match status {
            RecordKeyStatus::Active => (pb::RecordKeyStatus::Active, 0),
            RecordKeyStatus::Retired => (pb::RecordKeyStatus::Retired, 0),
            RecordKeyStatus::Compromised(since) => {
                (pb::RecordKeyStatus::Compromised, since.unix_ms())
            }
        };
        Self {
            key: key_bytes(&key),
            valid_from_ms: from.unix_ms(),
            valid_until_ms: until.unix_ms(),
            status: status.into(),
            compromised_since_ms: since,
        }
    }
}

impl From<Contact> for pb::Contact {
    fn from(Contact { role, name, phone, mail }: Contact) -> Self {
        Self { role, name, phone, mail }
    }
}

fn sector(sector: pb::Sector) -> Result<Sector, CardError> {
    Sector::from_wire(sector).ok_or(CardError::Unspecified("sector"))
}

fn record_key(message: pb::RecordKey) -> Result<RecordKey, CardError> {
    let said = message.status();
    let pb::RecordKey {
        key: bytes,
        valid_from_ms,
        valid_until_ms,
        status: _,
        compromised_since_ms,
    } = message;
    let status = match (said, compromised_since_ms) {
        (pb::RecordKeyStatus::Unspecified, _) => {
            return Err(CardError::Unspecified("status of a record key"));
        }
        (pb::RecordKeyStatus::Active, 0) => RecordKeyStatus::Active,
        (pb::RecordKeyStatus::Retired, 0) => RecordKeyStatus::Retired,
        (pb::RecordKeyStatus::Compromised, since) if since != 0 => {
            RecordKeyStatus::Compromised(timestamp("the moment of compromise", since)?)
        }
        _ => return Err(CardError::Compromise),
    };
    let from = timestamp("the start of a record key", valid_from_ms)?;
    let until = timestamp("the end of a record key", valid_until_ms)?;
    in_order(("the start of a record key", from), ("its end", until))?;
    Ok(RecordKey { key: key("a record key", &bytes)?, from, until, status })
}

fn contact(message: pb::Contact) -> Result<Contact, CardError> {
    let pb::Contact { role, name, phone, mail } = message;
    Ok(Contact {
        role: text("a contact's role", role, 1, 64)?,
        name: text("a contact's name", name, 0, 100)?,
        phone: text("a contact's phone", phone, 0, 40)?,
        mail: text("a contact's mail address", mail, 0, 254)?,
    })
}

fn text(field: &'static str, found: String, min: usize, max: usize) -> Result<String, CardError> {
    if !(min..=max).contains(&found.len()) {
        return Err(CardError::TextLength { field, min, max, found: found.len() });
    }
    match found.chars().find(|c| deceives(*c)) {
        Some(found) => Err(CardError::TextCharacter { field, found }),
        None => Ok(found),
    }
}

/// Control characters, and those that change the direction or are invisible (Unicode TR 36, section 2):
/// what an officer reads on the screen must be what was signed.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn timestamp(field: &'static str, ms: i64) -> Result<Timestamp, CardError> {
    Timestamp::from_unix_ms(ms).map_err(|source| CardError::Identifier { field, source })
}

fn hosts<T: std::str::FromStr<Err = HostError>>(
    field: &'static str,
    texts: &[String],
) -> Result<Vec<T>, CardError> {
    count(field, texts, 0, ADDRESSES_MAX)?;
    texts
        .iter()
        .map(|text| text.parse().map_err(|source| CardError::Host { field, source }))
        .collect()
}

fn key(field: &'static str, bytes: &[u8]) -> Result<PublicKey, CardError> {
    PublicKey::try_from(bytes).map_err(|source| CardError::Key { field, source })
}

fn key_bytes(key: &PublicKey) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

fn previous(bytes: &[u8]) -> Result<Option<CardHash>, CardError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(|hash| Some(CardHash::from_bytes(hash))).map_err(|_| {
        CardError::TextLength {
            field: "the previous card's hash",
            min: 32,
            max: 32,
            found: bytes.len(),
        }
    })
}

fn count<T>(field: &'static str, list: &[T], min: usize, max: usize) -> Result<(), CardError> {
    if (min..=max).contains(&list.len()) {
        return Ok(());
    }
    Err(CardError::Count { field, min, max, found: list.len() })
}

fn authorities(ders: Vec<Bytes>) -> Result<Vec<CertificateDer<'static>>, CardError> {
    count("certification authorities", &ders, 1, AUTHORITIES_MAX)?;
    ders.iter().enumerate().map(|(position, der)| authority(position + 1, der)).collect()
}

fn authority(position: usize, der: &[u8]) -> Result<CertificateDer<'static>, CardError> {
    let wrong = |problem| CardError::Authority { position, problem };
    if der.len() > AUTHORITY_BYTES_MAX {
        return Err(wrong("too long"));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => {
            if !certificate.is_ca() {
                return Err(wrong("a certificate that may not issue others"));
            }
        }
        _ => return Err(wrong("not an X.509 certificate in DER")),
    }
    Ok(CertificateDer::from(der.to_vec()))
}

fn in_order(
    (first, first_at): (&'static str, Timestamp),
    (second, second_at): (&'static str, Timestamp),
) -> Result<(), CardError> {
    if first_at < second_at {
        return Ok(());
    }
    Err(CardError::Order { first, first_at, second, second_at })
}

fn check_validity(card: &Card) -> Result<(), CardError> {
    in_order(("the card's issue", card.issued_at), ("its expiry", card.expires_at))?;
    let validity_ms = card.expires_at.unix_ms() - card.issued_at.unix_ms();
    if validity_ms > VALIDITY_MS_MAX {
        return Err(CardError::Validity(validity_ms / (24 * 3_600_000)));
    }
    Ok(())
}

/// One key in two roles would let a signature of one kind be passed off as another.
fn check_keys_differ(card: &Card) -> Result<(), CardError> {
    let named = [
        ("identity key", &card.identity_key),
        ("journal key", &card.journal_key),
        ("witness key", &card.witness_key),
        ("receipt key", &card.receipt_key),
    ];
    let all: Vec<_> = named
        .into_iter()
        .chain(card.record_keys.iter().map(|record| ("record key", &record.key)))
        .collect();
    for (position, (role, key)) in all.iter().enumerate() {
        if let Some((other, _)) = all[..position].iter().find(|(_, earlier)| earlier == key) {
            return Err(CardError::SharedKey(other, role));
        }
    }
    Ok(())
}
