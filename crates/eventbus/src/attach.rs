//! Making sure that a durable consumer is at the broker as its specification says, and pulling from it.

use async_nats::jetstream::{
    consumer::{self, AckPolicy, DeliverPolicy, pull},
    context::{ConsumerInfoError, ConsumerInfoErrorKind},
};

use crate::{Bus, BusError, pull::Puller};

/// Finds, updates or makes the consumer, and opens a pull on it.
pub(crate) async fn attach(bus: &Bus, stream: &str, wanted: pull::Config) -> Result<Puller, BusError> {
    let durable = wanted.durable_name.clone().unwrap_or_default();
    ensure(bus, stream, &durable, wanted).await?;
    Puller::open(bus.js(), stream, &durable)
        .await
        .map_err(|error| BusError::broker("subscribe", error))
}

/// What a durable consumer with these limits looks like. It begins at the start of the stream: a consumer that was lost
/// sees everything again, which the inbox (kept longer than the stream) makes harmless.
///
/// A single filter is part of the request's subject, so that a login's permissions can hold it.
pub(crate) fn durable_config(durable: &str, mut filters: Vec<String>) -> pull::Config {
    let filter_subject = match filters.len() {
        1 => filters.remove(0),
        _ => String::new(),
    };
    pull::Config {
        durable_name: Some(durable.to_owned()),
        filter_subject,
        filter_subjects: filters,
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    }
}

/// What the broker knows of a consumer.
pub(crate) async fn info(
    bus: &Bus,
    stream: &str,
    consumer: &str,
) -> Result<consumer::Info, ConsumerInfoError> {
    let stream = bus.js().get_stream_no_info(stream).await;
    let stream =
        stream.map_err(|e| ConsumerInfoError::with_source(ConsumerInfoErrorKind::StreamNotFound, e))?;
    stream.consumer_info(consumer).await
}

async fn ensure(bus: &Bus, stream: &str, durable: &str, wanted: pull::Config) -> Result<(), BusError> {
    match info(bus, stream, durable).await {
        Ok(info) if same(&info.config, &wanted) => return Ok(()),
        Ok(_) => tracing::info!(
            consumer = durable,
            "consumer differs from its specification; updating it"
        ),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {
            tracing::info!(consumer = durable, stream, "consumer created");
        }
        Err(error) => return Err(BusError::broker("get consumer", error)),
    }
    let created = bus.js().create_consumer_on_stream(wanted, stream).await;
    // Creates or updates; another replica doing the same at the same time does no harm.
    created.map_err(|error| BusError::broker("create consumer", error))?;
    Ok(())
}

/// Only what we set is compared: the broker fills in the rest.
fn same(found: &consumer::Config, wanted: &pull::Config) -> bool {
    let mut filters = found.filter_subjects.clone();
    if !found.filter_subject.is_empty() {
        filters.push(found.filter_subject.clone());
    }
    let mut expected = wanted.filter_subjects.clone();
    if !wanted.filter_subject.is_empty() {
        expected.push(wanted.filter_subject.clone());
    }
    filters.sort();
    expected.sort();
    filters == expected
        && found.ack_wait == wanted.ack_wait
        && found.max_deliver == wanted.max_deliver
        && found.max_ack_pending == wanted.max_ack_pending
}
