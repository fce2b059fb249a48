//! Files of records: how they are read, what their columns mean, what became of each row, and how that is taken back.
//!
//! Plain values only: no database and no clock.

pub mod cells;
pub mod layout;
pub mod mapping;
pub mod result;
pub mod rows;
pub mod shred;
pub mod snapshot;
pub mod sniff;
pub mod values;
