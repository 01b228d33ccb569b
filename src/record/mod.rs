//! Records: what an agency signs, field by field.
//!
//! A [`draft::Draft`] becomes a [`signed::Verified`] by signing; what comes from a partner is a
//! [`signed::Signed`] until its signature was verified. Bytes that were signed are kept and passed
//! on as they are.

pub mod commit;
pub mod consent;
pub mod content;
pub mod draft;
mod draft_error;
pub mod erasure;
pub mod header;
pub mod kind;
pub mod marking;
pub mod personal;
pub mod signed;
pub mod slots;
pub mod stored;
mod times;
mod verified_content;
mod wire;
pub mod withdrawal;

#[cfg(test)]
mod tests;
