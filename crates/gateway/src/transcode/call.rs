//! Calls by path, with messages as bytes.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use errors::ApiError;
use http::uri::PathAndQuery;
use rpc::Principal;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use crate::audit::Asked;
use crate::backends::{ADDRESS_KEY, Backends, api_error_of};

/// Passes messages through as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// One call.
pub struct Call {
    /// The service's channel.
    pub channel: Channel,
    /// The method.
    pub path: PathAndQuery,
    /// On whose behalf.
    pub principal: Principal,
    /// The client's request.
    pub request_id: String,
    /// The client's network address.
    pub address: String,
    /// The encoded request.
    pub message: Bytes,
    /// Whether it only reads, so that it may be tried again when the connection breaks.
    pub reads: bool,
}

/// Tries of a read, and the pause between them: a service that restarts is back in a moment.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(60);

impl Call {
    /// Makes the call.
    ///
    /// # Errors
    /// What the service answered, or `unavailable`.
    pub async fn make(self, backends: &Backends) -> Result<Bytes, ApiError> {
        let asked = Asked {
            method: self.path.as_str(),
            principal: &self.principal,
            request_id: &self.request_id,
            address: &self.address,
            message: &self.message,
        };
        let open = Box::pin(backends.admit(asked)).await?;
        let answer = Box::pin(self.tried(backends)).await;
        if let Some(open) = open {
            Box::pin(open.close(answer.as_ref().map_err(|error| error.code))).await;
        }
        answer
    }

    /// Makes a call that only reads, for ourselves: it is not kept.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub async fn read(self, backends: &Backends) -> Result<Bytes, ApiError> {
        self.tried(backends).await
    }

    async fn tried(&self, backends: &Backends) -> Result<Bytes, ApiError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(backends).await? {
                Ok(answer) => return Ok(answer),
                Err(status) => {
                    let broke = crate::backends::connection_broke(&status);
                    if !(self.reads && broke && tried < TRIES) {
                        return Err(api_error_of(self.path.as_str(), &status));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn once(&self, backends: &Backends) -> Result<Result<Bytes, Status>, ApiError> {
        let mut request = tonic::Request::new(self.message.clone());
        backends.sign(request.metadata_mut(), &self.principal, &self.request_id)?;
        if let Ok(address) = MetadataValue::try_from(self.address.as_str()) {
            request.metadata_mut().insert(ADDRESS_KEY, address);
        }
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        if let Err(error) = grpc.ready().await {
            return Ok(Err(Status::from_error(Box::new(error))));
        }
        let answered = grpc.unary(request, self.path.clone(), RawCodec).await;
        Ok(answered.map(tonic::Response::into_inner))
    }
}

/// A page of 200 records of 64 KiB.
const MAX_ANSWER: usize = 16 << 20;
