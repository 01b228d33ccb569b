//! The generated wire types of package `liaison.v1` and the names of its rpcs, and nothing else.
//!
//! They stop at the door: every module that takes one in turns it into its own type at once.

#![allow(clippy::all, unreachable_pub, unused_qualifications)]

tonic::include_proto!("liaison.v1");

include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

/// The compiled descriptors of every file in proto/, with comments.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/liaison.descriptors"));
