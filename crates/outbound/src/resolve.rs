//! Names to addresses, once per connection, all of them judged.
//!
//! Owns the resolver and the rule "one address that is not public refuses them all". It must not
//! connect, and nobody else may resolve.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::{Resolver, TokioResolver};
use ipnet::IpNet;

use crate::address;
use crate::failure::Failure;
use crate::settings::{Settings, SettingsProblem};
use crate::target::Host;

/// Resolves and judges.
pub(crate) struct Vetting {
    resolver: TokioResolver,
    refused: Vec<IpNet>,
    allow_private: bool,
    max_tried: usize,
}

impl Vetting {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsProblem> {
        let provider = TokioRuntimeProvider::default();
        let problem = |error: NetError| SettingsProblem::Resolver(Box::new(error));
        let mut builder = if settings.name_servers.is_empty() {
            // `resolv.conf` for the servers; `hosts` is asked before them. A machine without either can still be
            // started: names cannot be resolved then, and each request says so.
            Resolver::builder(provider.clone()).unwrap_or_else(|error| {
                tracing::warn!(%error, "no name servers are configured on this machine");
                Resolver::builder_with_config(ResolverConfig::from_name_servers(Vec::new()), provider)
            })
        } else {
            let servers = settings.name_servers.iter().map(|at| server(*at)).collect();
            Resolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider)
        };
        options(builder.options_mut(), settings);
        Ok(Self {
            resolver: builder.build().map_err(problem)?,
            refused: settings.refused_networks.clone(),
            allow_private: settings.dangerous_allow_private_addresses,
            max_tried: settings.max_addresses_tried,
        })
    }

    /// The addresses that may be connected to, in the order to try them.
    pub(crate) async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failure> {
        let mut found = match host {
            Host::Address(ip) => vec![*ip],
            Host::Name(name) => self.look_up(name).await?,
        };
        if found.iter().any(|ip| !self.may_connect(*ip)) {
            tracing::debug!(?host, ?found, "refused: an address is not public");
            return Err(Failure::NotPublic);
        }
        if found.is_empty() {
            return Err(Failure::NoSuchName);
        }
        // IPv4 first: a machine without a way to IPv6 is more common than the opposite.
        found.sort_by_key(IpAddr::is_ipv6);
        found.dedup();
        found.truncate(self.max_tried);
        Ok(found)
    }

    fn may_connect(&self, ip: IpAddr) -> bool {
        address::may_connect(ip, self.allow_private) && !self.refused.iter().any(|net| net.contains(&ip))
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let mut name = Name::from_ascii(name).map_err(|_| Failure::NoSuchName)?;
        // Without this the system's search list would make `api.example.com` a name of our own network first.
        name.set_fqdn(true);
        match self.resolver.lookup_ip(name).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => Err(Failure::NoSuchName),
            Err(error) => {
                tracing::debug!(%error, "a name could not be resolved");
                Err(Failure::Dns)
            }
        }
    }
}

fn server(at: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .into_iter()
        .map(|mut connection| {
            connection.port = at.port();
            connection
        })
        .collect();
    NameServerConfig::new(at.ip(), true, connections)
}

fn options(options: &mut ResolverOpts, settings: &Settings) {
    // Both families, so that a private address in one is seen although the other would be used.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = Duration::from_secs(2);
    options.attempts = 2;
    options.cache_size = settings.cached_names;
    let longest = Duration::from_secs(settings.max_dns_ttl_secs);
    options.positive_max_ttl = Some(longest);
    options.negative_max_ttl = Some(longest.min(Duration::from_secs(10)));
    options.max_active_requests = 1_024;
    options.case_randomization = false;
}
