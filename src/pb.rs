//! The generated wire types of package `liaison.v1` and the names of its rpcs, and nothing else.
//!
//! A record, a draft, a card or a consent becomes a type of its own where it comes in. Entries of the journal and of
//! feeds are used as they are written, because their bytes are hashed.

#![allow(clippy::all, unreachable_pub, unused_qualifications)]

tonic::include_proto!("liaison.v1");

include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

/// The compiled descriptors of every file in proto/, with comments.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/liaison.descriptors"));
