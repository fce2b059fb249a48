//! The services behind the gateway: channels, and requests that say on whose behalf they are made.
//!
//! Owns: which service answers for which proto package. Must not: know their messages.

use contracts::access::{Permission, rule_of};
use errors::{ApiError, ErrorCode};
use ids::Clock;
use prost_reflect::MethodDescriptor;
use rpc::{InProcess, PRINCIPAL_KEY, Principal, REQUEST_ID_KEY, Signer, Target};
use std::sync::Arc;
use telemetry::TraceContext;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::audit::{Asked, Audit, Open};
use crate::config::{BackendSettings, SecuritySettings};
use crate::error::StartError;
use crate::members::Members;

/// Metadata key of the client's network address.
pub const ADDRESS_KEY: &str = "devsignal-address";

/// Channels to all services, and the key that signs principals. Cheap to clone.
#[derive(Clone)]
pub struct Backends {
    channels: Channels,
    intake: Target,
    settings: Arc<(BackendSettings, rpc::ChannelSettings)>,
    members: Members,
    audit: Audit,
    signer: Signer,
    system: Principal,
}

/// One channel or two to each service.
#[derive(Clone)]
struct Channels {
    signal_ingest: Channel,
    signal_streams: Channel,
    identity_resolver: Channel,
    crm: Channel,
    crm_streams: Channel,
    scoring: Channel,
    access: Channel,
}

impl Channels {
    fn new(settings: &BackendSettings, access: &rpc::ChannelSettings) -> Result<Self, StartError> {
        Ok(Self {
            signal_ingest: rpc::channel(&settings.signal_ingest)?,
            signal_streams: rpc::stream_channel(&settings.signal_ingest)?,
            identity_resolver: rpc::channel(&settings.identity_resolver)?,
            crm: rpc::channel(&settings.crm)?,
            crm_streams: rpc::stream_channel(&settings.crm)?,
            scoring: rpc::channel(&settings.scoring)?,
            access: rpc::channel(access)?,
        })
    }
}

impl Backends {
    /// Channels that connect when first used. Signals are handed to `intake`, where signal-ingest runs in this process.
    ///
    /// # Errors
    /// A URL or the signing key cannot be used.
    pub fn new(
        settings: &BackendSettings,
        security: &SecuritySettings,
        clock: Arc<dyn Clock>,
        (access_url, intake): (String, Option<InProcess>),
        (members, audit): (Members, Audit),
    ) -> Result<Self, StartError> {
        let access = rpc::ChannelSettings {
            url: access_url,
            ..settings.crm.clone()
        };
        let channels = Channels::new(settings, &access)?;
        let intake = match intake {
            Some(methods) => Target::in_process(methods, &settings.signal_ingest),
            None => channels.signal_ingest.clone().into(),
        };
        Ok(Self {
            channels,
            intake,
            settings: Arc::new((settings.clone(), access)),
            members,
            audit,
            signer: Signer::new(&security.signing_key, clock)?,
            system: Principal::system("gateway"),
        })
    }

    /// The same services over connections that live on the runtime that this is called on: a call from there wakes no other
    /// thread on its way out and back.
    #[must_use]
    pub fn near(&self) -> Self {
        let (settings, access) = &*self.settings;
        Self {
            // The same settings made channels before.
            channels: Channels::new(settings, access).unwrap_or_else(|_| self.channels.clone()),
            ..self.clone()
        }
    }

    /// The service that takes signals in. It may run within its caller's task, so it is called on [`crate::home::Home`] only,
    /// never on a runtime of HTTP.
    #[must_use]
    pub fn intake(&self) -> Target {
        self.intake.clone()
    }

    /// crm, for calls that last as long as a file takes.
    #[must_use]
    pub fn crm_streams(&self) -> Channel {
        self.channels.crm_streams.clone()
    }

    /// The service that answers for a gRPC service, by its package.
    #[must_use]
    pub fn of_service(&self, full_name: &str) -> Option<&Channel> {
        match full_name.rsplit_once('.')?.0 {
            "devsignal.signals.v1" => Some(&self.channels.signal_ingest),
            "devsignal.crm.v1" => Some(&self.channels.crm),
            "devsignal.access.v1" | "devsignal.events.v1" | "devsignal.webhooks.v1" => {
                Some(&self.channels.access)
            }
            "devsignal.scores.v1" => Some(&self.channels.scoring),
            _ => None,
        }
    }

    /// The service that answers for a method. Methods that take a stream have a channel of their own, without a time for
    /// the whole call.
    #[must_use]
    pub fn of_method(&self, method: &MethodDescriptor) -> Option<&Channel> {
        let service = method.parent_service().full_name().to_owned();
        match (method.is_client_streaming(), service.as_str()) {
            (true, "devsignal.signals.v1.SignalService") => Some(&self.channels.signal_streams),
            (true, "devsignal.crm.v1.ImportService") => Some(&self.channels.crm_streams),
            _ => self.of_service(&service),
        }
    }

    /// What comes before every call: whoever it names is a member, and if it is a write, it is in the audit log.
    ///
    /// # Errors
    /// A write that names somebody who is no member; `unavailable` when it cannot be looked up or kept: nothing may be
    /// changed then.
    pub async fn admit(&self, asked: Asked<'_>) -> Result<Option<Open>, ApiError> {
        let Asked {
            method,
            principal,
            message,
            ..
        } = asked;
        self.members.check(method, principal.org, message).await?;
        self.audit.open(asked, self).await
    }

    /// All services by name, in the order of the pipeline.
    #[must_use]
    pub fn all(&self) -> [(&'static str, Channel); 4] {
        [
            ("signal-ingest", self.channels.signal_ingest.clone()),
            ("identity-resolver", self.channels.identity_resolver.clone()),
            ("scoring", self.channels.scoring.clone()),
            ("crm", self.channels.crm.clone()),
        ]
    }

    /// A request on the gateway's own behalf.
    ///
    /// # Errors
    /// `internal` when it cannot be signed.
    pub fn system_request<T>(&self, message: T) -> Result<Request<T>, ApiError> {
        let mut request = Request::new(message);
        self.sign(request.metadata_mut(), &self.system, "")?;
        Ok(request)
    }

    /// Says on whose behalf a request is made, under which request id, in which trace.
    ///
    /// # Errors
    /// `internal` when it cannot be signed.
    pub fn sign(
        &self,
        metadata: &mut MetadataMap,
        principal: &Principal,
        request_id: &str,
    ) -> Result<(), ApiError> {
        let token = self.signer.token(principal).map_err(|error| {
            tracing::error!(%error, "a principal cannot be signed");
            ApiError::internal()
        })?;
        let ascii = |text: &str| MetadataValue::try_from(text).map_err(|_| ApiError::internal());
        metadata.insert(PRINCIPAL_KEY, ascii(&token)?);
        metadata.insert(REQUEST_ID_KEY, ascii(request_id)?);
        TraceContext::current().inject(|name, value| {
            if let Ok(value) = MetadataValue::try_from(value) {
                metadata.insert(name, value);
            }
        });
        Ok(())
    }
}

/// Whether a status was made on our side because the connection to the service broke, so that the service never gave an
/// answer of its own.
#[must_use]
pub fn connection_broke(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// As [`api_error`]; a refusal by a method that needs no credentials is one of what was sent, and meant for the client.
#[must_use]
pub fn api_error_of(method: &str, status: &Status) -> ApiError {
    let open = rule_of(method).is_some_and(|rule| rule.permission == Permission::Public);
    if open && status.code() == tonic::Code::Unauthenticated && !connection_broke(status) {
        return ApiError::from_status(status);
    }
    api_error(status)
}

/// The error of a call to a service, with nothing of our own insides in it.
#[must_use]
pub fn api_error(status: &Status) -> ApiError {
    if connection_broke(status) {
        tracing::warn!(code = ?status.code(), message = status.message(), "a service cannot be reached");
        return ApiError::unavailable("a part that is needed is not reachable just now");
    }
    let error = ApiError::from_status(status);
    match error.code {
        ErrorCode::Internal => {
            tracing::error!(code = ?status.code(), message = status.message(), "a service failed");
            error
        }
        // The services verify our signature, never the client's key: their refusal is a fault of the set-up.
        ErrorCode::Unauthenticated => {
            tracing::error!(
                message = status.message(),
                "a service does not accept our principal"
            );
            ApiError::internal()
        }
        _ => error,
    }
}
