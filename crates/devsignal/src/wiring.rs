//! How the services of one installation find each other: the settings of each, as overrides of its defaults.
//!
//! Used by `up` (all in one process) and by whoever runs the services as processes of their own on one machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::secrets::Secrets;

/// The schemas of all services.
pub const SCHEMAS: &[&str] = &[
    gateway::SCHEMA,
    signal_ingest::SCHEMA,
    identity_resolver::SCHEMA,
    crm::SCHEMA,
    scoring::SCHEMA,
];

/// The gateway's name.
pub const GATEWAY: &str = "gateway";

/// The names of all services, in the order in which they are started.
pub const SERVICES: &[&str] = &[
    signal_ingest::SERVICE,
    identity_resolver::SERVICE,
    crm::SERVICE,
    scoring::SERVICE,
    GATEWAY,
];

/// The database that holds all schemas.
pub const DATABASE: &str = "devsignal";

/// Where everything listens, and the secrets.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Address of Postgres, or the directory of its Unix socket.
    pub postgres_host: String,
    /// Port of Postgres.
    pub postgres_port: u16,
    /// URL of nats-server, without a login: each service has its own.
    pub nats_url: String,
    /// The same with the login of the broker's system account.
    pub nats_system_url: String,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// gRPC of signal-ingest.
    pub signal_ingest: SocketAddr,
    /// gRPC of identity-resolver.
    pub identity_resolver: SocketAddr,
    /// gRPC of crm.
    pub crm: SocketAddr,
    /// gRPC of scoring.
    pub scoring: SocketAddr,
    /// Public HTTP.
    pub http: SocketAddr,
    /// Public gRPC.
    pub grpc: SocketAddr,
    /// The operators' ports of the services that are processes of their own, by name.
    pub admin: BTreeMap<&'static str, SocketAddr>,
    /// Where mails are written; `None` where the environment sets another way.
    pub mail: Option<PathBuf>,
}

impl Wiring {
    /// What differs from the defaults of `service`.
    #[must_use]
    pub fn overrides(&self, service: &str) -> Value {
        let mut all = json!({
            "database": database((&self.postgres_host, self.postgres_port), &self.secrets, &service.replace('-', "_")),
            "bus": {
                "url": self.nats_url,
                "user": service,
                "password": self.secrets.broker.get(service).cloned().unwrap_or_default(),
                "client_name": service,
            },
        });
        if let Some(at) = self.admin.get(service) {
            all["admin"] = json!({"listen": at.to_string()});
        }
        let backend = |at: SocketAddr| json!({"url": format!("http://{at}")});
        let own = match service {
            "gateway" => json!({
                "http": {"listen": self.http.to_string()},
                "grpc": {"listen": self.grpc.to_string()},
                "backends": {
                    "signal_ingest": backend(self.signal_ingest),
                    "identity_resolver": backend(self.identity_resolver),
                    "crm": backend(self.crm),
                    "scoring": backend(self.scoring),
                },
                "security": {"signing_key": self.secrets.principal_key, "secret_key": self.secrets.cursor_key},
                // One machine is for development: receivers of webhooks are there too.
                "webhooks": {"client": {"dangerous_allow_http": true, "dangerous_allow_private_addresses": true}},
                "partners": {
                    "enabled": true,
                    "issuer_seed": self.secrets.nats_issuer,
                    "public_url": self.nats_url,
                    "system_url": self.nats_system_url,
                },
            }),
            "signal-ingest" => json!({
                "grpc": {"listen": self.signal_ingest.to_string()},
                "security": {"principal_keys": [self.secrets.principal_public_key]},
                "secrets": {"kek": self.secrets.sealing_key},
            }),
            "crm" => json!({
                "grpc": {"listen": self.crm.to_string()},
                "security": {"principal_keys": [self.secrets.principal_public_key]},
                "signal_ingest": backend(self.signal_ingest),
            }),
            other => json!({
                "grpc": {"listen": if other == "scoring" { self.scoring } else { self.identity_resolver }.to_string()},
                "security": {"principal_keys": [self.secrets.principal_public_key]},
            }),
        };
        if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
            all.extend(own);
        }
        if let (GATEWAY, Some(directory)) = (service, &self.mail) {
            let links = format!("http://{}", self.http);
            all["mail"] = json!({"transport": "directory", "directory": directory, "links": links});
        }
        all
    }

    /// The same as environment variables: `DEVSIGNAL_<SERVICE>__SECTION__KEY`.
    #[must_use]
    pub fn environment(&self, service: &str) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let prefix = format!("DEVSIGNAL_{}", service.replace('-', "_").to_uppercase());
        flatten(&prefix, &self.overrides(service), &mut variables);
        variables
    }
}

/// The `[database]` section of the service that owns `schema`.
#[must_use]
pub fn database((host, port): (&str, u16), secrets: &Secrets, schema: &str) -> Value {
    let password = |role: &str| {
        secrets
            .database
            .get(&format!("{schema}_{role}"))
            .cloned()
            .unwrap_or_default()
    };
    json!({
        "host": host,
        "port": port,
        "database": DATABASE,
        "owner_password": password("owner"),
        "app_password": password("app"),
        "pipeline_password": password("pipeline"),
    })
}

fn flatten(path: &str, value: &Value, variables: &mut Vec<(String, String)>) {
    match value {
        Value::Object(section) => {
            for (key, value) in section {
                flatten(&format!("{path}__{}", key.to_uppercase()), value, variables);
            }
        }
        Value::String(text) => variables.push((path.to_owned(), text.clone())),
        other => variables.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_become_variables() {
        let mut variables = Vec::new();
        flatten(
            "DEVSIGNAL_CRM",
            &json!({"database": {"port": 5432}, "a": {"b": {"c": "x"}}, "l": ["k"]}),
            &mut variables,
        );
        assert_eq!(
            variables,
            [
                ("DEVSIGNAL_CRM__DATABASE__PORT".to_owned(), "5432".to_owned()),
                ("DEVSIGNAL_CRM__A__B__C".to_owned(), "x".to_owned()),
                ("DEVSIGNAL_CRM__L".to_owned(), "[\"k\"]".to_owned()),
            ]
        );
    }
}
