//! The content of a record that was verified.

use super::content::Content;
use super::signed::Verified;

impl Verified {
    /// Decodes the open slots.
    pub fn content(&self) -> Result<Content, prost::DecodeError> {
        Content::decode(self.kind(), &self.content_bytes())
    }
}
