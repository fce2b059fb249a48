//! The signals of an account, read from signal-ingest on behalf of the caller.
//!
//! Owns the seam [`SignalSource`] and the call behind it. Must not: know the timeline's order beyond what the contract
//! of `ListSignals` gives: newest first, and behind a cursor what follows.

use std::time::Instant;

use contracts::convert;
use contracts::signals::v1::signal_service_client::SignalServiceClient;
use contracts::signals::v1::{Actor, ListSignalsRequest, ListSignalsResponse, Signal};
use errors::{ApiError, ErrorCode};
use ids::{AccountId, SignalId};
use jiff::Timestamp;
use prost::Message as _;
use rpc::Caller;
use serde_json::{Map, Value, json};
use telemetry::{Histogram, Metrics, TelemetryError};
use tonic::transport::Channel;

use crate::domain;
use crate::domain::timeline::{Entry, Position, SIGNAL, SignalPage, signal_title};
use crate::metrics;
use crate::store::About;

/// 200 signals of 64 KiB each, and their framing.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Larger metadata is left out of timeline entries, so that a page of 200 stays far below the 4 MiB of one answer; the
/// signal itself has it.
const MAX_METADATA_BYTES: usize = 8 * 1024;

/// A time in which the signals of an account are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The account.
    pub account: AccountId,
    /// From then on.
    pub from: Timestamp,
    /// Before then.
    pub to: Timestamp,
}

/// Where the signals of accounts and contacts are read.
#[tonic::async_trait]
pub trait SignalSource: Send + Sync + 'static {
    /// At most `limit` (1 to 200) signals of the account or contact behind `cursor`, newest first.
    ///
    /// # Errors
    /// `unavailable` when they cannot be read; whatever signal-ingest refuses.
    async fn page(
        &self,
        caller: &Caller,
        about: About,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<SignalPage, ApiError>;

    /// At most `limit` (1 to 200) signals of the account from `from` to before `to`, behind `cursor`, newest first.
    ///
    /// # Errors
    /// As [`SignalSource::page`].
    async fn window(
        &self,
        caller: &Caller,
        window: Window,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<ListSignalsResponse, ApiError>;
}

/// signal-ingest, over gRPC.
pub struct RemoteSignals {
    client: SignalServiceClient<Channel>,
    seconds: Histogram,
}

impl RemoteSignals {
    /// signal-ingest behind `channel`.
    ///
    /// # Errors
    /// A conflict of metrics.
    pub fn new(channel: Channel, metrics: &Metrics) -> Result<Self, TelemetryError> {
        let client = SignalServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self {
            client,
            seconds: metrics::signal_calls(metrics)?,
        })
    }
}

impl RemoteSignals {
    async fn ask(
        &self,
        caller: &Caller,
        message: ListSignalsRequest,
    ) -> Result<ListSignalsResponse, ApiError> {
        let request = rpc::outgoing(message, caller).map_err(|status| refused(&status))?;
        let begun = Instant::now();
        let answer = self.client.clone().list_signals(request).await;
        self.seconds.observe(begun.elapsed().as_secs_f64());
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| refused(&status))
    }
}

#[tonic::async_trait]
impl SignalSource for RemoteSignals {
    async fn page(
        &self,
        caller: &Caller,
        about: About,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<SignalPage, ApiError> {
        let mut message = newest_first(cursor, i32::try_from(limit).ok());
        match about {
            About::Account(account) => message.account_id = Some(account.to_string()),
            About::Contact(contact) => {
                message.filter.insert("contactId".to_owned(), contact.to_string());
            }
            About::Deal(_) => return Ok(SignalPage::default()),
        }
        let answer = self.ask(caller, message).await?;
        let entries = answer
            .data
            .into_iter()
            .map(entry)
            .collect::<Option<_>>()
            .ok_or_else(|| {
                tracing::error!("signal-ingest sent a signal without a readable id or time");
                ApiError::internal()
            })?;
        Ok(SignalPage {
            entries,
            next_cursor: answer.next_cursor.filter(|_| answer.has_more),
        })
    }

    async fn window(
        &self,
        caller: &Caller,
        window: Window,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<ListSignalsResponse, ApiError> {
        let message = ListSignalsRequest {
            account_id: Some(window.account.to_string()),
            from: Some(convert::timestamp(window.from)),
            to: Some(convert::timestamp(window.to)),
            ..newest_first(cursor, Some(limit))
        };
        self.ask(caller, message).await
    }
}

fn newest_first(cursor: Option<&str>, limit: Option<i32>) -> ListSignalsRequest {
    ListSignalsRequest {
        limit,
        cursor: cursor.map(str::to_owned),
        sort: Some("-timestamp".to_owned()),
        ..ListSignalsRequest::default()
    }
}

/// signal-ingest's own refusals are passed on; whatever else failed means that it cannot be read just now.
fn refused(status: &tonic::Status) -> ApiError {
    let error = ApiError::from_status(status);
    let passed_on = matches!(
        error.code,
        ErrorCode::PermissionDenied
            | ErrorCode::Unauthenticated
            | ErrorCode::InvalidCursor
            | ErrorCode::RateLimited
    );
    if passed_on {
        return error;
    }
    tracing::warn!(code = ?status.code(), message = status.message(), "the signals of a timeline cannot be read");
    ApiError::unavailable("the signals of the timeline cannot be read just now")
}

/// The signal as an entry; `None` without a readable id or time.
fn entry(signal: Signal) -> Option<Entry> {
    let id: SignalId = signal.id.parse().ok()?;
    let at = signal.timestamp.as_ref().and_then(convert::from_timestamp)?;
    let title = signal_title(&signal.r#type, signal.actor.as_ref().and_then(who));
    let contact = signal.contact_id.as_deref().and_then(|id| id.parse().ok());
    Some(Entry {
        position: Position {
            at: domain::micros(at),
            id: id.uuid(),
        },
        kind: SIGNAL,
        title,
        contact,
        data: data(signal),
    })
}

/// What names the actor best.
fn who(actor: &Actor) -> Option<&str> {
    let names = [
        &actor.email,
        &actor.github,
        &actor.npm,
        &actor.pypi,
        &actor.twitter,
        &actor.linkedin,
        &actor.user_id,
        &actor.name,
        &actor.phone,
    ];
    names
        .into_iter()
        .flatten()
        .map(String::as_str)
        .find(|name| !name.is_empty())
}

fn data(signal: Signal) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("type".into(), json!(signal.r#type));
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), Value::String(value));
        }
    };
    put("sourceId", signal.source_id);
    put("anonymousId", signal.anonymous_id);
    if let Some(actor) = signal.actor {
        put("email", actor.email);
        put("github", actor.github);
        put("actorName", actor.name);
    }
    if let Some(metadata) = signal.metadata {
        if metadata.encoded_len() <= MAX_METADATA_BYTES {
            data.insert("metadata".into(), Value::Object(convert::from_struct(&metadata)));
        } else {
            data.insert("metadataOmitted".into(), json!(true));
        }
    }
    data
}
