//! The commands beside `up`, one file each.

pub mod broker_config;
pub mod dead_letters;
pub mod doctor;
pub mod ingest;
pub mod migrate;
pub mod orgs;
pub mod seed;
pub mod tail;
pub mod top;
