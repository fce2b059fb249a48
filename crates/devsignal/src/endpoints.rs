//! `endpoints.json`: how a running local installation is reached. Written by `up` for development, read by the other
//! commands.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The document. Holds the first API key in clear: it is for development, readable by its owner only.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Base URL of REST and SSE.
    pub http: String,
    /// `host:port` of public gRPC.
    pub grpc: String,
    /// URL of the embedded nats-server, with its login.
    pub nats: String,
    /// URL of the embedded Postgres, with its superuser's login.
    pub postgres: String,
    /// URL of the metrics in Prometheus' text format.
    pub metrics: String,
    /// The first organization.
    pub org_id: String,
    /// Its first API key.
    pub api_key: String,
    /// Process id of the installation.
    pub pid: u32,
}

/// Where the document is.
#[must_use]
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("endpoints.json")
}

impl Endpoints {
    /// Reads the document of a data folder.
    pub fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let path = path(data_dir);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "{} is not there: start DevSignal with `devsignal up` first, or give --url and --api-key",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not readable", path.display()))
    }

    /// Writes the document whole or not at all.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        crate::private_file::write(&path(data_dir), serde_json::to_string_pretty(self)?.as_bytes())
    }
}
