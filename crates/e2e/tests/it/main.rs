//! The whole system from outside: five services as separate processes, or `devsignal up`, over a real Postgres and a real
//! nats-server. Each test starts its own, so that tests judge nothing but what they did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::unnecessary_operation,
    reason = "tests fail by panicking, and tables of cases are long"
)]

mod bad_input;
mod bola;
mod cli;
mod contract_fuzz;
mod faults;
mod github;
mod graphql;
mod main_job;
mod nats_partners;
mod objects;
mod operators;
mod races;
mod read_cost;
mod records;
mod restart;
mod security;
mod support;
mod tenancy;
