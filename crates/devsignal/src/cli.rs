//! The command line: what can be asked for, and nothing of how it is done.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// DevSignal: the headless, event-driven CRM for companies that sell to developers.
#[derive(Debug, Parser)]
#[command(name = "devsignal", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all services in one process, on a Postgres and a nats-server of its own
    Up(UpArgs),
    /// Check what `up` needs, and a running installation if there is one
    Doctor(DataDir),
    /// Create roles and schemas and run all migrations (for installations with a Postgres of their own)
    Migrate(MigrateArgs),
    /// Print accounts, logins and permissions for the configuration of a nats-server of one's own
    BrokerConfig(BrokerConfigArgs),
    /// Fill the organization with a deterministic demo: 52 companies, 300 developers, 20,000 signals over 90 days
    Seed(SeedArgs),
    /// Send signals from a file of JSON lines
    Ingest(IngestArgs),
    /// Show events as they happen
    Tail(TailArgs),
    /// Show accounts by score
    Top(TopArgs),
    /// Look at and repeat what a service gave up on
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Manage organizations
    #[command(subcommand)]
    Orgs(OrgsCommand),
}

/// Where `up` keeps everything.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// Folder that holds the databases, the secrets and `endpoints.json`
    #[arg(long, default_value = ".dev/data", env = "DEVSIGNAL_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// `devsignal up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where the data is
    #[command(flatten)]
    pub data: DataDir,
    /// Port of REST, SSE and webhooks' receivers; a free one if not given
    #[arg(long)]
    pub http_port: Option<u16>,
    /// Port of public gRPC; a free one if not given
    #[arg(long)]
    pub grpc_port: Option<u16>,
    /// What to log, for example `info` or `info,scoring=debug`
    #[arg(long, default_value = "warn")]
    pub log: String,
}

/// How a running installation is reached.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Base URL; read from the data folder's `endpoints.json` if not given
    #[arg(long, env = "DEVSIGNAL_URL")]
    pub url: Option<String>,
    /// API key; read from the data folder's `endpoints.json` if not given
    #[arg(long, env = "DEVSIGNAL_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// Where a local installation's data is
    #[command(flatten)]
    pub data: DataDir,
}

/// `devsignal migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Login that may create roles, schemas and databases: `postgres://user:password@host:port/postgres`
    #[arg(long, env = "DEVSIGNAL_ADMIN_URL", hide_env_values = true)]
    pub admin_url: String,
    /// Folder of the services' settings, `<service>.toml` each; their environment counts too
    #[arg(long)]
    pub config_dir: Option<PathBuf>,
}

/// `devsignal broker-config`.
#[derive(Debug, Args)]
pub struct BrokerConfigArgs {
    /// Public account key (`A…`) of the seed in the gateway's `partners.issuer_seed`; without it partners are not let in
    #[arg(long, value_name = "KEY")]
    pub partners_issuer: Option<String>,
}

/// `devsignal seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    /// Where to
    #[command(flatten)]
    pub target: Target,
    /// How many signals
    #[arg(long, default_value_t = 20_000)]
    pub signals: usize,
}

/// `devsignal ingest`.
#[derive(Debug, Args)]
pub struct IngestArgs {
    /// A file with one JSON signal per line; `-` reads standard input
    pub file: PathBuf,
    /// Where to
    #[command(flatten)]
    pub target: Target,
    /// Signals per request, at most 1,000
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch: u16,
}

/// `devsignal tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Where from
    #[command(flatten)]
    pub target: Target,
    /// Only these types, separated by commas, for example `account.score_changed`
    #[arg(long)]
    pub types: Option<String>,
    /// Print the events as JSON lines
    #[arg(long)]
    pub json: bool,
}

/// `devsignal top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Where from
    #[command(flatten)]
    pub target: Target,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub limit: u16,
    /// Only this tier: HOT, WARM, COLD or INACTIVE
    #[arg(long)]
    pub tier: Option<String>,
}

/// Which service's database to look into.
#[derive(Debug, Clone, Args)]
pub struct ServiceDb {
    /// The service; all of them if not given
    #[arg(long)]
    pub service: Option<String>,
    /// Where a local installation's data is
    #[command(flatten)]
    pub data: DataDir,
    /// Folder of the services' settings, for installations with a Postgres of their own
    #[arg(long)]
    pub config_dir: Option<PathBuf>,
}

/// `devsignal dead-letters …`.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List what was given up on, oldest first
    List {
        /// Where
        #[command(flatten)]
        db: ServiceDb,
        /// How many per service
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: u32,
    },
    /// Have dead letters handled again by their service
    Redrive {
        /// Where
        #[command(flatten)]
        db: ServiceDb,
        /// Their ids
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<uuid::Uuid>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}

/// `devsignal orgs …`.
#[derive(Debug, Subcommand)]
pub enum OrgsCommand {
    /// Create an organization and print its first API key, this once
    Create {
        /// Its name
        name: String,
        /// Where a local installation's data is
        #[command(flatten)]
        data: DataDir,
        /// Folder of the services' settings, for installations with a Postgres of their own
        #[arg(long)]
        config_dir: Option<PathBuf>,
    },
}
