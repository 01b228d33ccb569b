//! A node for sharing signed intelligence between agencies.
//!
//! Read the modules in this order; each may use only those above it. docs/ARCHITECTURE.md says
//! what each promises. The pure ones (down to `audit`) know no clock, socket, disk or runtime.

pub mod numerals;
pub mod ident;
pub mod clock;
pub mod pb;
pub mod value;
pub mod merkle;
pub mod record;
pub mod policy;
pub mod exchange;
pub mod disclosure;
pub mod audit;
pub mod store;
pub mod partner;
pub mod journal;
pub mod tls;
pub mod node;
pub mod rpc;
pub mod http;
pub mod cli;

#[cfg(test)]
mod testkit;
