//! Callers that mean harm: partners and clients with valid certificates that send what no honest
//! one sends. The node answers with an error, keeps nothing of it, and goes on serving others.

mod dates;
mod histories;
mod large_jobs;
mod marked_erased;
mod memory;
mod never_got;
mod rpc_inputs;
