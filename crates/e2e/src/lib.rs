//! Whole-system tests on the real binaries: fault injection, load generator, benchmark.
//!
//! Owns: how the system is judged from outside. Must not: be depended on by anything.

pub mod bench;
pub mod cluster;
pub mod ledger;
pub mod load;
pub mod system;
