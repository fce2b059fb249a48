//! The process's metrics, named `devsignal_<service>_<name>_<unit>`.
//!
//! Invariant: a name is one collector of one kind with one set of labels; who asks again gets the
//! same one. Label values must be few and known (never ids, addresses or free text).

use std::{any::Any, collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

use crate::TelemetryError;

/// Buckets for durations in seconds, from 0.5 ms to 30 s: fine around the promised latencies,
/// coarse beyond them.
pub const SECONDS_BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The units that a name may end in, so that no graph has to guess.
const UNITS: &[&str] = &[
    "total",
    "seconds",
    "bytes",
    "items",
    "ratio",
    "connections",
    "info",
];

/// Makes and renders metrics. A clone shares the registry; there is one per process, and each
/// service in it has its own name through [`Metrics::for_service`].
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
    service: Arc<str>,
}

#[derive(Default)]
struct Shared {
    registry: Registry,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    labels: Vec<String>,
    collector: Box<dyn Any + Send>,
}

impl Metrics {
    /// A new registry, seen from the service `service`.
    pub fn new(service: &str) -> Self {
        Self {
            shared: Arc::default(),
            service: underscored(service),
        }
    }

    /// The same registry, seen from another service.
    #[must_use]
    pub fn for_service(&self, service: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            service: underscored(service),
        }
    }

    /// A counter; `name` ends in `_total`.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, TelemetryError> {
        let name = self.counter_name(name)?;
        self.make(name, &[], |name| IntCounter::new(name, help))
    }

    /// A counter with labels; `name` ends in `_total`.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn counter_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, TelemetryError> {
        let name = self.counter_name(name)?;
        self.make(name, labels, |name| {
            IntCounterVec::new(Opts::new(name, help), labels)
        })
    }

    /// A gauge; `name` ends in its unit.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, TelemetryError> {
        let name = self.full_name(name)?;
        self.make(name, &[], |name| IntGauge::new(name, help))
    }

    /// A gauge with labels; `name` ends in its unit.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, TelemetryError> {
        let name = self.full_name(name)?;
        self.make(name, labels, |name| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        })
    }

    /// A histogram with upper bounds `buckets`, see [`SECONDS_BUCKETS`]; `name` ends in its unit.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, TelemetryError> {
        let name = self.full_name(name)?;
        self.make(name, &[], |name| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
        })
    }

    /// A histogram with labels and upper bounds `buckets`; `name` ends in its unit.
    ///
    /// # Errors
    /// A name against the rules, or used for something else.
    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, TelemetryError> {
        let name = self.full_name(name)?;
        self.make(name, labels, |name| {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            HistogramVec::new(opts, labels)
        })
    }

    /// All metrics of the process in Prometheus' text format
    /// (`text/plain; version=0.0.4`), for `/metrics`.
    ///
    /// # Errors
    /// A collector gave something that the format cannot hold.
    pub fn render(&self) -> Result<String, TelemetryError> {
        TextEncoder::new()
            .encode_to_string(&self.shared.registry.gather())
            .map_err(TelemetryError::Render)
    }

    fn counter_name(&self, name: &str) -> Result<String, TelemetryError> {
        let full = self.full_name(name)?;
        if full.ends_with("_total") {
            Ok(full)
        } else {
            Err(TelemetryError::MetricName {
                name: full,
                reason: "a counter ends in _total",
            })
        }
    }

    fn full_name(&self, name: &str) -> Result<String, TelemetryError> {
        let full = format!("devsignal_{}_{name}", self.service);
        let refuse = |name, reason| Err(TelemetryError::MetricName { name, reason });
        if !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            return refuse(full, "only a-z, 0-9 and _ are allowed");
        }
        let unit = name.rsplit_once('_').map_or("", |(_, unit)| unit);
        if !UNITS.contains(&unit) {
            return refuse(
                full,
                "it must end in its unit: _total, _seconds, _bytes, _items, _ratio, _connections or _info",
            );
        }
        Ok(full)
    }

    /// The collector of that name, made and registered if it is new.
    fn make<C: Collector + Clone + Send + 'static>(
        &self,
        name: String,
        labels: &[&str],
        new: impl FnOnce(&str) -> Result<C, prometheus::Error>,
    ) -> Result<C, TelemetryError> {
        let mut known = self.shared.known.lock();
        if let Some(existing) = known.get(&name) {
            return match existing.collector.downcast_ref::<C>() {
                Some(collector) if existing.labels == labels => Ok(collector.clone()),
                _ => Err(TelemetryError::MetricConflict(name)),
            };
        }
        let refuse = |source| TelemetryError::Metric {
            name: name.clone(),
            source,
        };
        let collector = new(&name).map_err(refuse)?;
        self.shared
            .registry
            .register(Box::new(collector.clone()))
            .map_err(refuse)?;
        let entry = Known {
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            collector: Box::new(collector.clone()),
        };
        known.insert(name, entry);
        Ok(collector)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

fn underscored(service: &str) -> Arc<str> {
    Arc::from(service.replace('-', "_"))
}
