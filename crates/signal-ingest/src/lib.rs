//! signal-ingest: takes signals in, records what they were resolved to, and answers questions about them.
//!
//! Owns the stages accept and record, the sources, and the tables of both. Must not: decide who a person or a company is.

pub mod domain;
