//! The other agencies: their keys and cards, the number that two people compare, and the state of
//! each relation.
//!
//! Nothing here is trusted on first use: a card proves only that it was made by the holder of its
//! identity key, and [`Number`] is what ties that key to an agency. This module must never open a
//! connection, decide what a partner may see, or let a private key leave [`keys`].

pub mod armour;
pub mod card;
pub mod host;
pub mod keys;
pub mod number;
pub mod public_key;
pub mod secret_file;
pub mod state;
pub mod update;
mod wire;

pub use card::{Card, CardError, CardHash, Contact, RecordKey, RecordKeyStatus, VerifiedCard};
pub use host::{Address, Host, HostError};
pub use keys::{KeyError, NodeKeys, Role, SecretKey, SeriesSecret};
pub use number::{GroupPair, HeardNumber, Number, NumberError};
pub use public_key::{PublicKey, PublicKeyError};
pub use secret_file::SecretFileError;
pub use state::{PartnerEvent, PartnerState, TransitionError, transition};
pub use update::{CardChange, CardUpdate, Refusal, compare_cards};
