//! Writing events into the outbox with the state that they tell of.

use contracts::Envelope;
use store::{StoreError, Tx};
use telemetry::TraceContext;

use crate::message;

/// Writes one event in the caller's transaction; the relay publishes it after the commit. An envelope without a trace
/// context gets the current span's.
///
/// # Errors
/// As [`store::outbox::enqueue`].
pub async fn enqueue(tx: &mut Tx, envelope: &Envelope) -> Result<(), StoreError> {
    enqueue_all(tx, std::slice::from_ref(envelope)).await
}

/// Writes many events with one statement. See [`enqueue`].
///
/// # Errors
/// As [`store::outbox::enqueue_all`]; nothing is written then.
pub async fn enqueue_all(tx: &mut Tx, envelopes: &[Envelope]) -> Result<(), StoreError> {
    let current = TraceContext::current().traceparent();
    let rows = envelopes.iter().map(|envelope| {
        let mut row = message::to_row(envelope);
        row.traceparent = row.traceparent.or_else(|| current.clone());
        row
    });
    store::outbox::enqueue_all(tx, &rows.collect::<Vec<_>>()).await
}
