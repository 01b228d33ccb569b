//! The type that a file declares for a value, which may be narrower than a value type.
//!
//! `sha256` is a file hash of one length, `btc` an address of one chain, `ipv4` an address of one
//! family. A value that contradicts what was declared for it is refused: one of the two is wrong.

use super::{Excerpt, Value, ValueError, ValueType};

/// A rule for a declared type that is narrower than the value type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Narrower {
    /// No further rule: the value type is enough.
    No,
    /// The part before the colon of the normal form.
    Prefix(&'static str),
    /// No colon in the normal form: IPv4, or an IBAN.
    NoColon,
    /// A colon in what was written: IPv6.
    Colon,
}

/// A value type, and what of it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredType {
    value_type: ValueType,
    narrower: Narrower,
}

/// Names that say more than a value type.
const NAMES: [(&str, ValueType, Narrower); 36] = {
    use Narrower::{Colon, NoColon, Prefix};
    use ValueType::{BankAccount, CryptoAddress, FileHash, Ip, MessagingHandle};
    [
        ("md5", FileHash, Prefix("md5")),
        ("sha1", FileHash, Prefix("sha1")),
        ("sha-1", FileHash, Prefix("sha1")),
        ("sha224", FileHash, Prefix("sha224")),
        ("sha256", FileHash, Prefix("sha256")),
        ("sha-256", FileHash, Prefix("sha256")),
        ("sha384", FileHash, Prefix("sha384")),
        ("sha512", FileHash, Prefix("sha512")),
        ("sha-512", FileHash, Prefix("sha512")),
        ("ipv4", Ip, NoColon),
        ("ipv4-addr", Ip, NoColon),
        ("ipv6", Ip, Colon),
        ("ipv6-addr", Ip, Colon),
        ("iban", BankAccount, NoColon),
        ("btc", CryptoAddress, Prefix("btc")),
        ("bitcoin", CryptoAddress, Prefix("btc")),
        ("ltc", CryptoAddress, Prefix("ltc")),
        ("doge", CryptoAddress, Prefix("doge")),
        ("trx", CryptoAddress, Prefix("trx")),
        ("tron", CryptoAddress, Prefix("trx")),
        ("usdt-trc20", CryptoAddress, Prefix("trx")),
        ("eth", CryptoAddress, Prefix("eth")),
        ("ethereum", CryptoAddress, Prefix("eth")),
        ("usdt-erc20", CryptoAddress, Prefix("eth")),
        ("bsc", CryptoAddress, Prefix("bsc")),
        ("usdt-bep20", CryptoAddress, Prefix("bsc")),
        ("bch", CryptoAddress, Prefix("bch")),
        ("bnb", CryptoAddress, Prefix("bnb")),
        ("ada", CryptoAddress, Prefix("ada")),
        ("ton", CryptoAddress, Prefix("ton")),
        ("xmr", CryptoAddress, Prefix("xmr")),
        ("monero", CryptoAddress, Prefix("xmr")),
        ("xrp", CryptoAddress, Prefix("xrp")),
        ("sol", CryptoAddress, Prefix("sol")),
        ("telegram", MessagingHandle, Prefix("telegram")),
        ("whatsapp", MessagingHandle, Prefix("whatsapp")),
    ]
};

impl From<ValueType> for DeclaredType {
    fn from(value_type: ValueType) -> Self {
        Self { value_type, narrower: Narrower::No }
    }
}

impl DeclaredType {
    /// Takes a name that is narrower than a value type, or else what [`ValueType::from_name`]
    /// takes.
    ///
    /// # Errors
    /// [`ValueError::TypeName`] if no type is called that.
    pub fn from_name(name: &str) -> Result<Self, ValueError> {
        let plain = name.trim().to_ascii_lowercase().replace('_', "-");
        match NAMES.iter().find(|(known, ..)| *known == plain) {
            Some((_, value_type, narrower)) => {
                Ok(Self { value_type: *value_type, narrower: *narrower })
            }
            None => ValueType::from_name(name).map(Self::from),
        }
    }

    pub const fn value_type(self) -> ValueType {
        self.value_type
    }

    /// Returns whether a value of the value type may still contradict what was declared.
    pub fn is_narrower(self) -> bool {
        self.narrower != Narrower::No
    }

    /// Brings `input` into its normal form.
    ///
    /// # Errors
    /// As [`Value::normalise`], and if the value is of the value type and not what was declared.
    pub fn normalise(self, input: &str) -> Result<Value, ValueError> {
        let normalise = |text: &str| Value::normalise(self.value_type, text);
        let Narrower::Prefix(prefix) = self.narrower else {
            let value = normalise(input)?;
            let fits = match self.narrower {
                Narrower::NoColon => !value.text().contains(':'),
                Narrower::Colon => input.contains(':'),
                Narrower::No | Narrower::Prefix(_) => true,
            };
            return if fits { Ok(value) } else { Err(self.contradicted(input)) };
        };
        // The normaliser compares a name with the value that stands behind it.
        let value = match input.contains(':') {
            true => normalise(input)?,
            false => normalise(&format!("{prefix}:{}", input.trim()))?,
        };
        match value.text().split_once(':') {
            Some((found, _)) if found == prefix => Ok(value),
            _ => Err(self.contradicted(value.text())),
        }
    }

    fn contradicted(self, found: &str) -> ValueError {
        let wanted = match self.narrower {
            Narrower::Prefix(prefix) => prefix,
            Narrower::Colon => "an IPv6 address",
            Narrower::NoColon if self.value_type == ValueType::Ip => "an IPv4 address",
            Narrower::NoColon => "an IBAN",
            Narrower::No => self.value_type.name(),
        };
        ValueError::Form {
            value_type: self.value_type,
            found: Excerpt::of(found),
            reason: format!("it is declared as {wanted} and is not that; correct one of the two")
                .into(),
        }
    }
}
