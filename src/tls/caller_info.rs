//! The facts of a connection that a request handler learns.

use super::caller::Caller;
use super::places::Place;
use crate::ident::Timestamp;
use std::net::SocketAddr;

/// The facts about its connection that a request handler gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerInfo {
    pub caller: Caller,
    pub remote: SocketAddr,
    /// The expiry of the caller's certificate, so that both sides can be warned in time.
    pub certificate_expires: Timestamp,
    /// Its place among the port's connections.
    pub place: Place,
}
