//! A client of the node as use cases know it.

use crate::policy::{ClientRole, Person};

/// A client with its role, for longer than a request.
#[derive(Debug, Clone)]
pub struct Client {
    pub name: String,
    pub role: ClientRole,
}

impl Client {
    pub(super) fn person(&self) -> Person<'_> {
        Person { name: &self.name, role: self.role }
    }
}
