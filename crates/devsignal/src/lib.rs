//! The `devsignal` command: all services in one process on an embedded Postgres and nats-server, and the tools around
//! them.
//!
//! Owns: composition and the command line. Must not: hold any rule of a service.

pub mod broker;
pub mod cli;
mod client;
mod commands;
mod endpoints;
mod organizations;
mod private_file;
pub mod secrets;
mod seed;
mod service_settings;
mod up;
pub mod wiring;

pub use endpoints::Endpoints;
pub use organizations::create as create_organization;

use cli::{Cli, Command};

/// Does what the command line asks for.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Up(args) => Box::pin(up::run(args)).await,
        Command::Doctor(args) => commands::doctor::run(&args).await,
        Command::Migrate(args) => commands::migrate::run(&args).await,
        Command::BrokerConfig(args) => commands::broker_config::run(&args),
        Command::Seed(args) => commands::seed::run(&args).await,
        Command::Ingest(args) => commands::ingest::run(&args).await,
        Command::Tail(args) => commands::tail::run(&args).await,
        Command::Top(args) => commands::top::run(&args).await,
        Command::DeadLetters(command) => commands::dead_letters::run(command).await,
        Command::Orgs(command) => commands::orgs::run(command).await,
    }
}

/// To standard output: what was asked for.
#[expect(clippy::print_stdout, reason = "this is the command line")]
fn say(text: &str) {
    println!("{text}");
}

/// To standard error: progress and complaints.
#[expect(clippy::print_stderr, reason = "this is the command line")]
fn complain(text: &str) {
    eprintln!("{text}");
}
