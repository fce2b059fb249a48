//! A signal ready to be stored: encoded as far as it can be before it is accepted.
//!
//! The fields that only acceptance gives (ids, batch, time) are appended later as a second, short encoding: a protobuf
//! message is the concatenation of its parts, in any order. So the accepting transaction never touches a signal's content.

use contracts::convert;
use contracts::signals::v1::Signal;
use ids::SourceId;
use prost::Message as _;

use super::validate::NewSignal;

/// Begins the ledger keys that were derived from a request's own key. A sender's key has no control characters, so the
/// two never meet.
const DERIVED: char = '\u{1f}';

/// A checked and encoded signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The `Signal` message without what acceptance adds.
    pub(crate) encoded: Vec<u8>,
    /// What a repeat is recognised by.
    pub(crate) ledger_key: Option<String>,
    /// The source it came through.
    pub(crate) source_id: Option<SourceId>,
    /// Whether the sender told when it happened.
    pub(crate) dated: bool,
}

impl Prepared {
    /// Encodes a signal. `from_request` is the key of the whole request and the signal's place in it: a signal without a
    /// key of its own is recognised by that.
    #[must_use]
    pub fn new(signal: NewSignal, from_request: Option<(&str, usize)>) -> Self {
        let derived = || from_request.map(|(key, index)| format!("{DERIVED}{key}#{index}"));
        let ledger_key = signal.idempotency_key.clone().or_else(derived);
        let dated = signal.occurred_at.is_some();
        let encoded = Signal {
            source_id: signal.source_id.map(|id| id.to_string()),
            r#type: signal.kind,
            timestamp: signal.occurred_at.map(convert::timestamp),
            idempotency_key: signal.idempotency_key,
            anonymous_id: signal.anonymous_id,
            actor: signal.actor,
            account: signal.account,
            metadata: signal.metadata,
            ..Signal::default()
        }
        .encode_to_vec();
        Self {
            encoded,
            ledger_key,
            source_id: signal.source_id,
            dated,
        }
    }
}
