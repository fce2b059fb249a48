//! Rows as the API tells them.

use contracts::convert;
use contracts::webhooks::v1 as wire;

use crate::webhooks::store::endpoints::Endpoint;

/// A webhook, without its secret.
pub fn webhook(of: Endpoint) -> wire::Webhook {
    let disabled = of.disabled.as_ref();
    wire::Webhook {
        id: of.id.to_string(),
        url: of.url,
        description: of.description,
        events: of.events,
        filter: of.filter.map(convert::to_struct),
        payload: of.payload,
        schema_version: of.schema_version,
        signature: of.signature,
        header_names: of.header_names,
        rate_per_second: of.rate_per_second,
        max_in_flight: of.max_in_flight,
        ordered: of.ordered,
        status: if disabled.is_some() { "disabled" } else { "enabled" }.to_owned(),
        disabled_reason: disabled.map(|(reason, _)| reason.clone()),
        disabled_at: disabled.map(|(_, at)| convert::timestamp(*at)),
        failing_since: of.failing_since.map(convert::timestamp),
        last_sequence: of.last_sequence,
        created_at: Some(convert::timestamp(of.created_at)),
        updated_at: Some(convert::timestamp(of.updated_at)),
        version: of.version,
        secret: None,
        public_key: of.public_key,
        previous_secret_until: of.previous_secret_until.map(convert::timestamp),
    }
}
