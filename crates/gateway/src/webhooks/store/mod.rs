//! The statements on the tables `webhook…`, one file per kind of work.
//!
//! Locks are taken in this order, so that nobody deadlocks: a webhook, its deliveries, lanes by (organization, webhook).

pub mod endpoints;
pub mod fanout;
pub mod lanes;
pub mod log;
pub mod queue;
pub mod record;
pub mod replays;
pub mod secrets;
pub mod upkeep;
