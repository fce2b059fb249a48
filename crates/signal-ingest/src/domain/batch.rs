//! Packs accepted signals into batches: the message `SignalsAccepted`, compressed.

use bytes::Bytes;
use contracts::signals::v1::{Signal, SignalsAccepted};
use contracts::{codec, convert};
use ids::{BatchId, IdGen, OrgId, SignalId};
use jiff::Timestamp;
use prost::Message as _;

use super::prepared::Prepared;

/// Most signals in one batch; part of the contract (`proto/devsignal/signals/v1/pipeline.proto`).
pub const MAX_SIGNALS: usize = 512;
/// Most bytes of one batch before compression. The same signals travel uncompressed as `signals.recorded`, with what was
/// resolved, in a message of at most 1 MiB.
pub const MAX_BYTES: usize = 700 * 1024;
/// Above this, the ids, times and lengths that acceptance adds to one signal.
const STAMP_BYTES: usize = 192;
/// Field 3 of `SignalsAccepted`, length-delimited.
const SIGNALS_TAG: u8 = 3 << 3 | 2;

/// One batch, ready to be stored and sent.
#[derive(Debug)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Its organization.
    pub org: OrgId,
    /// How many signals it holds.
    pub count: usize,
    /// `SignalsAccepted`, zstd.
    pub payload: Bytes,
}

/// Packs the new signals of one transaction.
pub struct Packer<'a> {
    ids: &'a dyn IdGen,
    accepted_at: Timestamp,
    plain: Vec<u8>,
}

impl<'a> Packer<'a> {
    /// A packer of signals that are accepted at `accepted_at`.
    #[must_use]
    pub fn new(ids: &'a dyn IdGen, accepted_at: Timestamp) -> Self {
        Self {
            ids,
            accepted_at,
            plain: Vec::new(),
        }
    }

    /// Packs the signals of one organization, in order, into as few batches as the bounds allow.
    ///
    /// # Errors
    /// Compression failed.
    pub fn pack(&mut self, org: OrgId, signals: &[(SignalId, &Prepared)]) -> std::io::Result<Vec<Batch>> {
        let mut batches = Vec::new();
        let mut rest = signals;
        while !rest.is_empty() {
            let count = fitting(rest);
            let (now, later) = rest.split_at(count);
            batches.push(self.pack_one(org, now)?);
            rest = later;
        }
        Ok(batches)
    }

    fn pack_one(&mut self, org: OrgId, signals: &[(SignalId, &Prepared)]) -> std::io::Result<Batch> {
        let id = BatchId::new(self.ids);
        let accepted_at = Some(convert::timestamp(self.accepted_at));
        let mut stamp = Signal {
            organization_id: org.to_string(),
            batch_id: id.to_string(),
            received_at: accepted_at,
            ..Signal::default()
        };
        let head = SignalsAccepted {
            batch_id: stamp.batch_id.clone(),
            organization_id: stamp.organization_id.clone(),
            signals: Vec::new(),
        };
        self.plain.clear();
        // A growing vector never refuses to be written to.
        let _ = head.encode(&mut self.plain);
        for (signal_id, signal) in signals {
            stamp.id = signal_id.to_string();
            stamp.timestamp = if signal.dated { None } else { accepted_at };
            self.plain.push(SIGNALS_TAG);
            let length = signal.encoded.len() + stamp.encoded_len();
            let _ = prost::encode_length_delimiter(length, &mut self.plain);
            self.plain.extend_from_slice(&signal.encoded);
            let _ = stamp.encode(&mut self.plain);
        }
        let payload = codec::compress(&self.plain)?.into();
        Ok(Batch {
            id,
            org,
            count: signals.len(),
            payload,
        })
    }
}

/// How many of `signals` fit into one batch; at least one.
fn fitting(signals: &[(SignalId, &Prepared)]) -> usize {
    let mut bytes = 0;
    let mut count = 0;
    for (_, signal) in signals.iter().take(MAX_SIGNALS) {
        bytes += signal.encoded.len() + STAMP_BYTES;
        if count > 0 && bytes > MAX_BYTES {
            break;
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use contracts::signals::v1::SignalInput;
    use ids::SeededIds;
    use uuid::Uuid;

    use super::*;
    use crate::domain::limits::Limits;
    use crate::domain::validate::validate;

    const NOW: i64 = 1_800_000_000;

    fn prepared(kind: &str, metadata_bytes: usize, dated: bool) -> Prepared {
        let now = Timestamp::from_second(NOW).unwrap();
        let text = prost_types::Value {
            kind: Some(prost_types::value::Kind::StringValue("x".repeat(metadata_bytes))),
        };
        let input = SignalInput {
            r#type: kind.into(),
            timestamp: dated.then_some(prost_types::Timestamp {
                seconds: NOW - 60,
                nanos: 0,
            }),
            idempotency_key: Some(format!("key-{kind}")),
            metadata: Some(prost_types::Struct {
                fields: [("t".to_owned(), text)].into(),
            }),
            ..SignalInput::default()
        };
        Prepared::new(validate(input, &Limits::default(), now).unwrap(), None)
    }

    fn pack(signals: &[Prepared]) -> Vec<SignalsAccepted> {
        let now = Timestamp::from_second(NOW).unwrap();
        let ids = SeededIds::from(now);
        let numbered: Vec<_> = signals.iter().map(|s| (SignalId::new(&ids), s)).collect();
        let mut packer = Packer::new(&ids, now);
        let batches = packer.pack(OrgId(Uuid::from_u128(9)), &numbered).unwrap();
        batches
            .iter()
            .map(|batch| {
                let plain = codec::decompress(&batch.payload).unwrap();
                let read = SignalsAccepted::decode(&plain[..]).unwrap();
                assert_eq!(
                    (read.batch_id.clone(), read.signals.len()),
                    (batch.id.to_string(), batch.count)
                );
                assert!(plain.len() <= MAX_BYTES || batch.count == 1);
                read
            })
            .collect()
    }

    #[test]
    fn a_packed_batch_reads_as_whole_signals() {
        let batch = pack(&[prepared("a", 3, true), prepared("b", 3, false)]).remove(0);
        let [a, b] = &batch.signals[..] else {
            panic!("two signals")
        };
        assert_eq!(a.timestamp.unwrap().seconds, NOW - 60);
        assert_eq!(b.timestamp.unwrap().seconds, NOW);
        for signal in [a, b] {
            assert_eq!(signal.batch_id, batch.batch_id);
            assert_eq!(signal.organization_id, batch.organization_id);
            assert_eq!(signal.received_at.unwrap().seconds, NOW);
            assert_eq!(signal.idempotency_key, Some(format!("key-{}", signal.r#type)));
            assert!(signal.metadata.is_some());
        }
        assert!(a.id < b.id);
        // Appending parts gives what encoding the whole would give.
        let whole = Signal::decode(&a.encode_to_vec()[..]).unwrap();
        assert_eq!(&whole, a);
    }

    #[test]
    fn batches_are_split_by_count_and_by_size() {
        let small: Vec<_> = (0..1_025).map(|n| prepared(&n.to_string(), 1, false)).collect();
        let sizes: Vec<_> = pack(&small).iter().map(|b| b.signals.len()).collect();
        assert_eq!(sizes, [512, 512, 1]);
        let large: Vec<_> = (0..30).map(|n| prepared(&n.to_string(), 60_000, false)).collect();
        let batches = pack(&large);
        assert!(batches.len() > 2);
        let order: Vec<String> = batches
            .into_iter()
            .flat_map(|b| b.signals)
            .map(|s| s.r#type)
            .collect();
        assert_eq!(order, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
