//! Records: what an agency signs.

pub mod kind;
pub mod marking;
