//! The event that identity-resolver listens to: `signals.accepted`.

use contracts::signals::v1::SignalsAccepted as Accepted;
use contracts::{Envelope, Event as _};
use eventbus::{Delivery as _, Handler, HandlerError};

use crate::error::ResolveError;
use crate::resolver::Resolver;

/// Type of the event.
pub const EVENT: &str = Accepted::TYPE;

/// Resolves each batch.
pub struct SignalsAccepted(pub Resolver);

impl Handler for SignalsAccepted {
    async fn handle(&self, envelope: Envelope) -> Result<(), HandlerError> {
        let batch: Accepted = envelope.read()?;
        envelope.check_org(&batch.organization_id)?;
        self.0
            .resolve(envelope.org(), batch)
            .await
            .map_err(ResolveError::into_handler)
    }
}
