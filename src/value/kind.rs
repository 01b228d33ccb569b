//! The types that a value may have, their frozen numbers and their names.
//!
//! Numbers and names are on the wire, under signatures and inside the series' HMAC: they are never
//! changed or used again.

use std::fmt;

use super::{Excerpt, ValueError};

macro_rules! value_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// The type of an indicator's value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ValueType {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ValueType {
            /// All of them, by ascending number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in files, on the command line and in messages, in kebab-case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

value_types! {
    /// A fully qualified host name of two labels or more.
    Domain = 1, "domain";
    /// An absolute URL with a host.
    Url = 2, "url";
    /// One IPv4 or IPv6 address.
    Ip = 3, "ip";
    /// An IPv4 or IPv6 network.
    Cidr = 4, "cidr";
    /// A 32-bit autonomous system number.
    Asn = 5, "asn";
    Email = 6, "email";
    /// A telephone number with its country code.
    Phone = 7, "phone";
    FileHash = 8, "file-hash";
    /// The fingerprint of an X.509 certificate.
    Certificate = 9, "certificate";
    CryptoAddress = 10, "crypto-address";
    /// An IBAN, or country, bank and account.
    BankAccount = 11, "bank-account";
    /// A name that money can be sent to, such as a UPI address.
    PaymentHandle = 12, "payment-handle";
    MessagingHandle = 13, "messaging-handle";
    SocialHandle = 14, "social-handle";
    /// The number by which AnyDesk, TeamViewer and the like reach a computer.
    RemoteAccessId = 15, "remote-access-id";
    /// An application's identifier in its store.
    AppId = 16, "app-id";
    /// The value of an HTTP User-Agent field.
    UserAgent = 17, "user-agent";
    /// An advertiser's account at an advertising network.
    AdAccount = 18, "ad-account";
    /// The sender field of a short message: a name or a short code.
    SmsSender = 19, "sms-sender";
}

/// Names of other vocabularies (STIX, MISP, plain CSV) for the same types.
const ALIASES: &[(&str, ValueType)] = &[
    ("domain-name", ValueType::Domain),
    ("hostname", ValueType::Domain),
    ("fqdn", ValueType::Domain),
    ("uri", ValueType::Url),
    ("link", ValueType::Url),
    ("ip-address", ValueType::Ip),
    ("ipv4-addr", ValueType::Ip),
    ("ipv6-addr", ValueType::Ip),
    ("ipv4", ValueType::Ip),
    ("ipv6", ValueType::Ip),
    ("ip-src", ValueType::Ip),
    ("ip-dst", ValueType::Ip),
    ("autonomous-system", ValueType::Asn),
    ("as", ValueType::Asn),
    ("email-addr", ValueType::Email),
    ("phone-number", ValueType::Phone),
    ("hash", ValueType::FileHash),
    ("md5", ValueType::FileHash),
    ("sha1", ValueType::FileHash),
    ("sha256", ValueType::FileHash),
    ("sha512", ValueType::FileHash),
    ("iban", ValueType::BankAccount),
    ("btc", ValueType::CryptoAddress),
    ("wallet", ValueType::CryptoAddress),
];

/// Longer than any name or alias; what is longer is not even compared.
const NAME_BYTES_MAX: usize = 32;

impl ValueType {
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// # Errors
    /// [`ValueError::TypeNumber`] if no type has this number.
    pub fn from_number(number: u32) -> Result<Self, ValueError> {
        Self::ALL
            .iter()
            .copied()
            .find(|value_type| u32::from(value_type.number()) == number)
            .ok_or(ValueError::TypeNumber(number))
    }

    /// Takes a name or a known alias, in any case, with `_` for `-`.
    ///
    /// # Errors
    /// [`ValueError::TypeName`] if no type is called that.
    pub fn from_name(name: &str) -> Result<Self, ValueError> {
        let unknown = || ValueError::TypeName(Excerpt::of(name));
        let name = name.trim();
        if name.len() > NAME_BYTES_MAX {
            return Err(unknown());
        }
        let plain = name.to_ascii_lowercase().replace('_', "-");
        Self::ALL
            .iter()
            .map(|value_type| (value_type.name(), *value_type))
            .chain(ALIASES.iter().copied())
            .find_map(|(known, value_type)| (known == plain).then_some(value_type))
            .ok_or_else(unknown)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
