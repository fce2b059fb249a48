//! All services in this process: the same settings, migrations and start as their own binaries have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use eventbus::{Bus, BusSettings};
use ids::{Clock, IdGen, OrgId, SystemClock, SystemIds};
use lifecycle::Lifecycle;
use rpc::Verifier;
use settings::Secret;
use sqlx::migrate::Migrator;
use store::{DbSettings, Stores};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use super::stack::Stack;
use crate::cli::UpArgs;
use crate::secrets::Secrets;
use crate::wiring::{DATABASE, GATEWAY, Wiring};

/// The settings of every service.
struct AllSettings {
    gateway: gateway::config::Settings,
    signal_ingest: signal_ingest::config::Settings,
    identity_resolver: identity_resolver::config::Settings,
    crm: crm::config::Settings,
    scoring: scoring::config::Settings,
}

/// What will be started, and where; the ports are taken already.
pub struct Plan {
    settings: AllSettings,
    listeners: Listeners,
    verifier: Verifier,
}

struct Listeners {
    signal_ingest: TcpListener,
    identity_resolver: TcpListener,
    crm: TcpListener,
    scoring: TcpListener,
    http: TcpListener,
    grpc: TcpListener,
    admin: TcpListener,
}

/// What serves one machine that does everything better than the defaults; the environment can say otherwise.
const ONE_MACHINE: [(&str, &str); 1] = [("DEVSIGNAL_SIGNAL_INGEST__ACCEPT__BURST_SECS", "30")];

/// The services, running.
pub struct Running {
    /// Base URL of HTTP.
    pub http: String,
    /// `host:port` of public gRPC.
    pub grpc: String,
    /// URL of the metrics.
    pub metrics: String,
    gateway: Stores,
}

impl Plan {
    /// Takes the ports and makes the settings.
    pub async fn new(args: &UpArgs, stack: &Stack, secrets: &Secrets) -> anyhow::Result<Self> {
        let listeners = Listeners {
            signal_ingest: bind(0).await?,
            identity_resolver: bind(0).await?,
            crm: bind(0).await?,
            scoring: bind(0).await?,
            http: bind(args.http_port.unwrap_or(0)).await?,
            grpc: bind(args.grpc_port.unwrap_or(0)).await?,
            admin: bind(0).await?,
        };
        let wiring = listeners.wiring(stack, secrets, &args.data.data_dir)?;
        let verifier = Verifier::new(
            std::slice::from_ref(&secrets.principal_public_key),
            SystemClock::shared(),
        )?;
        Ok(Self {
            settings: AllSettings::load(&wiring)?,
            listeners,
            verifier,
        })
    }

    /// Roles, schemas and migrations.
    pub async fn migrate(&self, stack: &Stack) -> anyhow::Result<()> {
        let all = &self.settings;
        let schemas: [(&DbSettings, &Migrator); 5] = [
            (&all.gateway.database, &gateway::MIGRATOR),
            (&all.signal_ingest.database, &signal_ingest::MIGRATOR),
            (&all.identity_resolver.database, &identity_resolver::MIGRATOR),
            (&all.crm.database, &crm::MIGRATOR),
            (&all.scoring.database, &scoring::MIGRATOR),
        ];
        let roles: Vec<_> = schemas.iter().map(|(database, _)| (*database).into()).collect();
        store::bootstrap::bootstrap(&Secret::new(stack.admin_url()), DATABASE, &roles).await?;
        for (database, migrator) in schemas {
            store::migrate(database, migrator)
                .await
                .with_context(|| format!("cannot migrate schema {}", database.schema))?;
        }
        Ok(())
    }

    /// Starts the services, those that others stand on first; on `background` what works off accepted signals.
    pub async fn start(
        self,
        lifecycle: &Lifecycle,
        metrics: &Metrics,
        background: &Handle,
    ) -> anyhow::Result<Running> {
        let Self {
            settings: all,
            listeners,
            verifier,
        } = self;
        let running = (
            listeners.http.local_addr()?,
            listeners.grpc.local_addr()?,
            listeners.admin.local_addr()?,
        );
        let base = Base {
            lifecycle: lifecycle.clone(),
            metrics: metrics.clone(),
            verifier,
            clock: SystemClock::shared(),
            ids: SystemIds::shared(),
        };
        macro_rules! start {
            ($service:ident $(, $wait:tt)?) => {{
                let (base, settings, listener) = (base.clone(), all.$service, listeners.$service);
                async move {
                    let parts = base
                        .parts($service::SERVICE, &settings.database, &settings.bus)
                        .await?;
                    let deps = $service::app::Deps {
                        bus: parts.bus,
                        stores: parts.stores,
                        lifecycle: parts.lifecycle,
                        metrics: parts.metrics,
                        clock: base.clock,
                        ids: base.ids,
                        verifier: base.verifier,
                    };
                    $service::app::start(&settings, &deps, listener)$(.$wait)?
                        .map_err(anyhow::Error::from)
                }
            }};
        }
        let intake = start!(signal_ingest, await).await?;
        background.spawn(start!(identity_resolver)).await??;
        background.spawn(start!(crm, await)).await??;
        background.spawn(start!(scoring)).await??;
        let parts = base
            .parts(GATEWAY, &all.gateway.database, &all.gateway.bus)
            .await?;
        let stores = parts.stores.clone();
        let deps = gateway::app::Deps {
            bus: parts.bus,
            stores: parts.stores,
            lifecycle: parts.lifecycle,
            metrics: parts.metrics,
            clock: base.clock,
            ids: base.ids,
            intake: Some(intake),
        };
        let sockets = gateway::app::Listeners {
            http: listeners.http,
            grpc: listeners.grpc,
        };
        gateway::app::start(&all.gateway, deps, sockets)?;
        admin::serve(listeners.admin, metrics.clone(), lifecycle);
        Ok(Running {
            http: format!("http://{}", running.0),
            grpc: running.1.to_string(),
            metrics: format!("http://{}/metrics", running.2),
            gateway: stores,
        })
    }
}

impl Running {
    /// A new organization and its first API key.
    pub async fn create_organization(&self, name: &str) -> anyhow::Result<(OrgId, String)> {
        crate::organizations::create(&self.gateway, name).await
    }
}

/// What all services share.
#[derive(Clone)]
struct Base {
    lifecycle: Lifecycle,
    metrics: Metrics,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdGen>,
}

/// What each service has of its own.
struct Parts {
    bus: Bus,
    stores: Stores,
    lifecycle: Lifecycle,
    metrics: Metrics,
}

impl Base {
    async fn parts(&self, service: &str, database: &DbSettings, bus: &BusSettings) -> anyhow::Result<Parts> {
        let (lifecycle, metrics) = (self.lifecycle.child(service), self.metrics.for_service(service));
        let stores = Stores::connect(database, &lifecycle, &metrics)
            .await
            .with_context(|| service.to_owned())?;
        let bus = Bus::connect(bus, &lifecycle, &metrics)
            .await
            .with_context(|| service.to_owned())?;
        Ok(Parts {
            bus,
            stores,
            lifecycle,
            metrics,
        })
    }
}

impl AllSettings {
    /// The environment counts in `up` too, below what the installation itself decides.
    fn load(wiring: &Wiring) -> anyhow::Result<Self> {
        let environment = environment(settings::process_env());
        let env = || environment.clone().into_iter();
        Ok(Self {
            gateway: gateway::config::Settings::load(None, env(), Some(wiring.overrides(GATEWAY)))?,
            signal_ingest: signal_ingest::config::Settings::load(
                None,
                env(),
                Some(wiring.overrides(signal_ingest::SERVICE)),
            )?,
            identity_resolver: identity_resolver::config::Settings::load(
                None,
                env(),
                Some(wiring.overrides(identity_resolver::SERVICE)),
            )?,
            crm: crm::config::Settings::load(None, env(), Some(wiring.overrides(crm::SERVICE)))?,
            scoring: scoring::config::Settings::load(None, env(), Some(wiring.overrides(scoring::SERVICE)))?,
        })
    }
}

impl Listeners {
    fn wiring(&self, stack: &Stack, secrets: &Secrets, data_dir: &Path) -> anyhow::Result<Wiring> {
        Ok(Wiring {
            postgres_host: stack.postgres_socket(),
            postgres_port: stack.postgres_port(),
            nats_url: stack.nats().address(),
            nats_system_url: stack.nats().system_url(),
            secrets: secrets.clone(),
            signal_ingest: self.signal_ingest.local_addr()?,
            identity_resolver: self.identity_resolver.local_addr()?,
            crm: self.crm.local_addr()?,
            scoring: self.scoring.local_addr()?,
            http: self.http.local_addr()?,
            grpc: self.grpc.local_addr()?,
            admin: BTreeMap::new(),
            mail: mail_directory(data_dir),
        })
    }
}

/// What the process was told, and [`ONE_MACHINE`] where it was told nothing.
fn environment(told: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let here = ONE_MACHINE.map(|(name, value)| (name.to_owned(), value.to_owned()));
    here.into_iter().chain(told).collect()
}

/// Where mails go when the environment sets no other way: into files, never nowhere.
pub fn mail_directory(data_dir: &Path) -> Option<PathBuf> {
    let set = settings::process_env().any(|(name, _)| name == "DEVSIGNAL_GATEWAY__MAIL__TRANSPORT");
    (!set).then(|| data_dir.join("mail"))
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_environment_says_outranks_what_serves_one_machine() {
        let [(name, here)] = ONE_MACHINE;
        assert_eq!(environment([])[name], here);
        let told = [(name.to_owned(), "0".to_owned()), ("OTHER".into(), "x".into())];
        let both = environment(told);
        assert_eq!((both[name].as_str(), both["OTHER"].as_str()), ("0", "x"));
    }
}
