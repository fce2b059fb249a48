//! Requests to strangers: which addresses are gone to, and what a hostile peer can do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "tests fail by panicking, servers of tests are tasks of their own runtime, tables of cases are long"
)]

mod addresses;
mod canary;
mod dns;
mod hostile;
mod names;
mod peer;
mod sending;
mod targets;
mod tls;
