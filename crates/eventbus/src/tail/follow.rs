//! The machine behind a tail: one ephemeral consumer at a time, made again whenever order or connection is in doubt.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use contracts::{Envelope, StreamKind};
use futures::Stream;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{TailError, TailFilter, TailStart};
use crate::{Bus, BusError, Position, StreamEdges, attach, bus::chain, message, pull::Puller, time};

/// Messages asked for at once.
const BATCH: usize = 64;
/// Before the consumer is made again after an error.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The broker forgets a consumer that nobody pulls from.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// A stream that was made anew is read from so long before the last message, since clocks and outboxes differ.
const OVERLAP: SignedDuration = SignedDuration::from_mins(2);
/// A tail that yields nothing still moves its place along, so that an old place does not expire under a quiet filter.
const ADVANCE_EVERY: Duration = Duration::from_secs(30);

/// Where to go on.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    New,
    Since(Timestamp),
    After(Position),
}

/// The consumer that messages come from at this moment.
struct Source {
    puller: Puller,
    created: Timestamp,
    /// Name that the broker gave the consumer.
    consumer: String,
    /// Messages delivered to us by this consumer; the next one has the next number, or something was lost.
    received: u64,
}

struct Follower {
    bus: Bus,
    filters: Vec<String>,
    cursor: Cursor,
    source: Option<Source>,
    epochs: watch::Receiver<u64>,
    advanced: Instant,
    pause: Duration,
}

/// What `step` came to.
enum Step {
    Yield(Position, Envelope),
    Again,
    End(TailError),
}

pub(super) fn follow(
    bus: Bus,
    start: TailStart,
    filter: TailFilter,
) -> impl Stream<Item = Result<(Position, Envelope), TailError>> + Send {
    let cursor = match start {
        TailStart::New => Cursor::New,
        TailStart::Since(at) => Cursor::Since(at),
        TailStart::After(position) => Cursor::After(position),
    };
    let state = subjects(&bus, &filter).map(|filters| Follower {
        epochs: bus.epochs(),
        bus,
        filters,
        cursor,
        source: None,
        advanced: Instant::now(),
        pause: PAUSE,
    });
    futures::stream::unfold(Some(state), |state| async move {
        let mut follower = match state? {
            Ok(follower) => follower,
            Err(error) => return Some((Err(error), None)),
        };
        loop {
            match follower.step().await {
                Step::Yield(position, envelope) => {
                    return Some((Ok((position, envelope)), Some(Ok(follower))));
                }
                Step::Again => {}
                Step::End(error) => return Some((Err(error), None)),
            }
        }
    })
}

fn subjects(bus: &Bus, filter: &TailFilter) -> Result<Vec<String>, TailError> {
    let org = filter.org.map_or_else(|| "*".to_owned(), |org| org.to_string());
    let root = StreamKind::Events.root();
    if filter.types.is_empty() {
        return Ok(vec![bus.names().qualified(&format!("{root}.{org}.>"))]);
    }
    let known = |kind: &String| match contracts::type_of(kind) {
        Some((kind, StreamKind::Events)) => Ok(bus.names().qualified(&format!("{root}.{org}.{kind}"))),
        _ => Err(TailError::UnknownType(kind.clone())),
    };
    let mut filters = filter.types.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    // The broker refuses filters that overlap, the same one twice included.
    filters.sort();
    filters.dedup();
    Ok(filters)
}

impl Follower {
    async fn step(&mut self) -> Step {
        let Some(source) = &mut self.source else {
            return self.reopen().await;
        };
        let pulled = tokio::select! {
            changed = self.epochs.changed() => {
                if changed.is_err() {
                    // The bus is gone with its process; nothing comes any more.
                    std::future::pending::<()>().await;
                }
                self.source = None;
                return Step::Again;
            }
            pulled = source.puller.next(BATCH) => pulled,
        };
        match pulled {
            Ok(Some(message)) => self.take(&message),
            Ok(None) => {
                self.advance().await;
                Step::Again
            }
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a tail's pull is set up again");
                self.source = None;
                self.rest().await;
                Step::Again
            }
        }
    }

    /// Makes a consumer at the place where we are.
    async fn reopen(&mut self) -> Step {
        self.epochs.mark_unchanged();
        match self.open().await {
            Ok(Ok(source)) => {
                self.source = Some(source);
                self.pause = PAUSE;
                Step::Again
            }
            Ok(Err(expired)) => Step::End(expired),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a tail cannot be set up yet");
                self.bus.complain();
                self.rest().await;
                Step::Again
            }
        }
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    async fn open(&mut self) -> Result<Result<Source, TailError>, BusError> {
        let edges = self.bus.first_and_last(StreamKind::Events).await?;
        if let Cursor::New = self.cursor {
            // From here on the place is known, so that an outage right after the start loses nothing.
            let time = self.bus.now();
            self.cursor = Cursor::After(Position {
                stream_created: edges.created,
                seq: edges.last_seq,
                time,
            });
        }
        let policy = match start_of(&self.cursor, &edges) {
            Ok(policy) => policy,
            Err(expired) => return Ok(Err(expired)),
        };
        let stream = self.bus.names().stream(StreamKind::Events);
        let handle = self
            .bus
            .js()
            .get_stream_no_info(&stream)
            .await
            .map_err(|e| BusError::broker("get stream", e))?;
        let config = pull::Config {
            filter_subjects: self.filters.clone(),
            deliver_policy: policy,
            ack_policy: AckPolicy::None,
            inactive_threshold: FORGOTTEN_AFTER,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = handle
            .create_consumer(config)
            .await
            .map_err(|e| BusError::broker("create consumer", e))?;
        let name = consumer.cached_info().name.clone();
        let puller = Puller::open(self.bus.js(), &stream, &name)
            .await
            .map_err(|e| BusError::broker("subscribe", e))?;
        Ok(Ok(Source {
            puller,
            created: edges.created,
            consumer: name,
            received: 0,
        }))
    }

    fn take(&mut self, message: &jetstream::Message) -> Step {
        let (Some(source), Ok(info)) = (&mut self.source, message.info()) else {
            return Step::Again;
        };
        if info.consumer_sequence != source.received + 1 {
            // Something between was lost on the way; ask for it again.
            self.source = None;
            return Step::Again;
        }
        source.received += 1;
        let position = Position {
            stream_created: source.created,
            seq: info.stream_sequence,
            time: time::timestamp(info.published),
        };
        self.cursor = Cursor::After(position);
        self.advanced = Instant::now();
        match message::envelope(&message.message, self.bus.names()) {
            Ok(envelope) => Step::Yield(position, envelope),
            Err(error) => {
                tracing::warn!(seq = position.seq, %error, "a tail skips a message that is not an event of ours");
                Step::Again
            }
        }
    }

    /// Moves the place to the end of the stream when everything before it was looked at.
    async fn advance(&mut self) {
        if self.advanced.elapsed() < ADVANCE_EVERY {
            return;
        }
        self.advanced = Instant::now();
        let (Some(source), Cursor::After(position)) = (&self.source, self.cursor) else {
            return;
        };
        let Ok(edges) = self.bus.first_and_last(StreamKind::Events).await else {
            return;
        };
        let stream = self.bus.names().stream(StreamKind::Events);
        let Ok(info) = attach::info(&self.bus, &stream, &source.consumer).await else {
            return;
        };
        // Nothing waits at the broker, and nothing is on its way to us.
        let caught_up = info.num_pending == 0 && info.delivered.consumer_sequence == source.received;
        if caught_up && edges.created == source.created && edges.last_seq > position.seq {
            // Messages published after the look have higher sequences and are still to come.
            self.cursor = Cursor::After(Position {
                seq: edges.last_seq,
                ..position
            });
        }
    }
}

/// Where a new consumer must begin.
fn start_of(cursor: &Cursor, edges: &StreamEdges) -> Result<DeliverPolicy, TailError> {
    let since = |at: Timestamp| match time::datetime(at) {
        Some(start_time) => DeliverPolicy::ByStartTime { start_time },
        None => DeliverPolicy::All,
    };
    match *cursor {
        Cursor::New => Ok(DeliverPolicy::New),
        Cursor::Since(at) => Ok(since(at)),
        Cursor::After(position) => {
            let same_stream = position.stream_created == edges.created && position.seq <= edges.last_seq;
            if !same_stream {
                // Made anew, or cut back by a power loss: sequences mean something else now, times do not.
                let overlapped = position
                    .time
                    .checked_sub(OVERLAP)
                    .unwrap_or(Timestamp::UNIX_EPOCH);
                return Ok(since(overlapped));
            }
            if position.seq + 1 < edges.first_seq {
                return Err(TailError::Expired {
                    earliest: edges.first_time,
                });
            }
            Ok(DeliverPolicy::ByStartSequence {
                start_sequence: position.seq + 1,
            })
        }
    }
}
