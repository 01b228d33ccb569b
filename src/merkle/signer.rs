//! A key that signs note texts as they are (C2SP signed-note, signature type 0x01).
//!
//! It signs whatever text it is given; that a log never signs two heads that contradict each other
//! is decided elsewhere, before it is asked.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::key::{NoteKeyId, NoteKeyName, SignatureType};
use super::note::{NoteSignature, NoteText};

/// An Ed25519 key with the name that it signs under.
#[derive(Clone)]
pub struct NoteSigner {
    name: NoteKeyName,
    key_id: NoteKeyId,
    key: SigningKey,
}

impl NoteSigner {
    pub fn new(name: NoteKeyName, key: SigningKey) -> Self {
        let key_id = NoteKeyId::of(&name, SignatureType::Ed25519, &key.verifying_key());
        Self { name, key_id, key }
    }

    pub fn name(&self) -> &NoteKeyName {
        &self.name
    }

    pub fn key_id(&self) -> NoteKeyId {
        self.key_id
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    pub fn sign(&self, text: &NoteText) -> NoteSignature {
        let signature = self.key.sign(text.as_str().as_bytes()).to_bytes().to_vec();
        NoteSignature::new(self.name.clone(), self.key_id, signature)
            .expect("a signature has 64 bytes")
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({}+{})", self.name, self.key_id)
    }
}
