//! rpc as its users have it: a server, and callers by its port and in its process.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod both_ways;
