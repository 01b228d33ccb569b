//! The texts that are compiled in: the schema of policies, and the guardrails.

/// The Cedar schema of a sharing policy: the names and attributes that it may use.
pub const SCHEMA: &str = include_str!("liaison.cedarschema");

/// The forbids that every node applies before any policy of its own.
pub const GUARDRAILS: &str = include_str!("guardrails.cedar");
