//! What our streams look like, and making them so.

use std::time::Duration;

use async_nats::jetstream::{
    Context, ErrorCode,
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use contracts::StreamKind;

use crate::{BusError, BusSettings, names::Names};

/// The streams of this namespace as they should be.
pub(crate) fn wanted(settings: &BusSettings, names: &Names) -> Vec<Config> {
    let stream = |name, subjects, max_bytes, max_age_secs| Config {
        name,
        subjects,
        max_bytes,
        max_age: Duration::from_secs(max_age_secs),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        storage: StorageType::File,
        // Not WorkQueue or Interest: those forget message ids at a restart (nats-server issue 3272).
        retention: RetentionPolicy::Limits,
        // A full stream refuses: the outbox keeps what it refuses. DiscardOld would acknowledge and drop the oldest.
        discard: DiscardPolicy::New,
        num_replicas: settings.replicas,
        duplicate_window: Duration::from_secs(settings.duplicate_window_secs.min(max_age_secs)),
        ..Config::default()
    };
    let kept = |kind, max_bytes, max_age_secs| {
        stream(
            names.stream(kind),
            vec![names.stream_subjects(kind)],
            max_bytes,
            max_age_secs,
        )
    };
    vec![
        kept(
            StreamKind::Pipeline,
            settings.pipeline_max_bytes,
            settings.pipeline_max_age_secs,
        ),
        kept(
            StreamKind::Events,
            settings.events_max_bytes,
            settings.events_max_age_secs,
        ),
        Config {
            // Advisories come by core publish: nobody could repeat a refused one, so the oldest goes.
            discard: DiscardPolicy::Old,
            ..stream(
                names.advisories(),
                names.advisory_subjects(),
                settings.advisories_max_bytes,
                settings.events_max_age_secs,
            )
        },
    ]
}

/// What a look at the streams showed.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) infos: Vec<Info>,
    /// A stream was made or changed.
    pub(crate) changed: bool,
}

/// Makes every stream that is missing, and brings one that differs back to its settings.
pub(crate) async fn ensure_all(
    js: &Context,
    settings: &BusSettings,
    names: &Names,
) -> Result<Looked, BusError> {
    let mut looked = Looked {
        infos: Vec::new(),
        changed: false,
    };
    for config in wanted(settings, names) {
        let (info, changed) = ensure(js, config).await?;
        looked.infos.push(info);
        looked.changed |= changed;
    }
    Ok(looked)
}

async fn ensure(js: &Context, config: Config) -> Result<(Info, bool), BusError> {
    match js.get_stream(&config.name).await {
        Ok(stream) if same(&stream.cached_info().config, &config) => {
            Ok((stream.cached_info().clone(), false))
        }
        Ok(stream) => {
            let found = &stream.cached_info().config;
            tracing::warn!(stream = %config.name, ?found, "stream differs from its settings; updating it");
            update(js, config).await
        }
        Err(error) if is_missing(&error.kind()) => create(js, config).await,
        Err(error) => Err(BusError::broker("get stream", error)),
    }
}

async fn create(js: &Context, config: Config) -> Result<(Info, bool), BusError> {
    match js.create_stream(&config).await {
        Ok(stream) => {
            tracing::info!(stream = %config.name, "stream created");
            Ok((stream.cached_info().clone(), true))
        }
        // Another service was faster, with other settings.
        Err(error) if name_in_use(&error.kind()) => update(js, config).await,
        Err(error) => Err(BusError::broker("create stream", error)),
    }
}

async fn update(js: &Context, config: Config) -> Result<(Info, bool), BusError> {
    match js.update_stream(config).await {
        Ok(info) => Ok((info, true)),
        Err(error) => Err(BusError::broker("update stream", error)),
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn name_in_use(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

/// Whether the broker has what we want. Only what we set is compared: the broker fills in the rest.
fn same(found: &Config, wanted: &Config) -> bool {
    let mut subjects = found.subjects.clone();
    let mut expected = wanted.subjects.clone();
    subjects.sort();
    expected.sort();
    subjects == expected
        && found.max_bytes == wanted.max_bytes
        && found.max_age == wanted.max_age
        && found.max_messages == wanted.max_messages
        && found.discard == wanted.discard
        && found.num_replicas == wanted.num_replicas
        && found.duplicate_window == wanted.duplicate_window
}
