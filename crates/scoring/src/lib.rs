//! scoring: adds recorded signals up and tells how ready each account is, with the reasons.

pub mod domain;
