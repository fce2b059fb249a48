//! What an endpoint is asked to be, checked field by field; everything that is wrong is told at once.

use contracts::convert;
use contracts::webhooks::v1 as wire;
use errors::{ApiError, FieldError};
use outbound::{Policy, Target};
use prost_types::value::Kind;
use serde_json::Value;
use uuid::Uuid;

use super::parts::Parts;
use crate::events::Catalogue;
use crate::secrets::Sealer;
use crate::webhooks::domain::filter::Filter;
use crate::webhooks::domain::headers;
use crate::webhooks::store::endpoints::Endpoint;
use crate::webhooks::store::secrets::headers_place;
use crate::webhooks::{SCHEMA_VERSION, is_event_type};

const MAX_EVENTS: usize = 100;
const MAX_FILTER_BYTES: usize = 16 << 10;

/// What is given; `None` stays as it is.
#[derive(Default)]
pub struct Given {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub description: Option<String>,
    pub filter: Option<prost_types::Struct>,
    pub payload: Option<String>,
    pub schema_version: Option<i32>,
    pub headers: Option<prost_types::Struct>,
    pub rate_per_second: Option<i32>,
    pub max_in_flight: Option<i32>,
    pub ordered: Option<bool>,
}

impl From<&wire::CreateWebhookRequest> for Given {
    fn from(asked: &wire::CreateWebhookRequest) -> Self {
        Self {
            url: Some(asked.url.clone()),
            events: Some(asked.events.clone()),
            description: asked.description.clone(),
            filter: asked.filter.clone(),
            payload: asked.payload.clone(),
            schema_version: asked.schema_version,
            headers: asked.headers.clone(),
            rate_per_second: asked.rate_per_second,
            max_in_flight: asked.max_in_flight,
            ordered: asked.ordered,
        }
    }
}

impl Given {
    /// Of a change.
    ///
    /// # Errors
    /// The list of types has something else in it.
    pub fn of_change(asked: wire::UpdateWebhookRequest) -> Result<Self, ApiError> {
        let events = asked.events.map(|list| {
            let texts = list
                .values
                .into_iter()
                .enumerate()
                .map(|(n, value)| match value.kind {
                    Some(Kind::StringValue(text)) => Ok(text),
                    _ => Err(ApiError::invalid(
                        format!("/events/{n}"),
                        "wrong_type",
                        "expected text",
                    )),
                });
            texts.collect::<Result<Vec<_>, _>>()
        });
        Ok(Self {
            url: asked.url,
            events: events.transpose()?,
            description: asked.description,
            filter: asked.filter,
            payload: asked.payload,
            schema_version: asked.schema_version,
            headers: asked.headers,
            rate_per_second: asked.rate_per_second,
            max_in_flight: asked.max_in_flight,
            ordered: asked.ordered,
        })
    }

    /// Makes of `endpoint` what is asked.
    ///
    /// # Errors
    /// Everything that is wrong, each at its place.
    pub fn apply(self, endpoint: &mut Endpoint, org: Uuid, parts: &Parts) -> Result<(), ApiError> {
        let mut wrong = Vec::new();
        if let Some(url) = self.url {
            endpoint.url = url;
            check_url(&endpoint.url, &parts.policy, &mut wrong);
        }
        if let Some(events) = self.events {
            check_events(&parts.catalogue, &events, &mut wrong);
            endpoint.events = events;
        }
        if let Some(text) = self.description {
            let text = text.trim().to_owned();
            if text.chars().count() > 500 || text.chars().any(|c| c.is_control() && c != '\n') {
                wrong.push(FieldError::new(
                    "/description",
                    "too_long",
                    "at most 500 characters",
                ));
            }
            endpoint.description = (!text.is_empty()).then_some(text);
        }
        if let Some(filter) = self.filter {
            let filter = convert::from_struct(&filter);
            if Value::Object(filter.clone()).to_string().len() > MAX_FILTER_BYTES {
                wrong.push(FieldError::new("/filter", "too_long", "at most 16 KiB"));
            } else if let Err(error) = Filter::parse(&filter) {
                wrong.extend(error.fields);
            }
            endpoint.filter = (!filter.is_empty()).then_some(filter);
        }
        if let Some(payload) = self.payload {
            if !matches!(payload.as_str(), "full" | "thin") {
                wrong.push(FieldError::new("/payload", "unknown_value", "`full` or `thin`"));
            }
            endpoint.payload = payload;
        }
        if let Some(version) = self.schema_version {
            if version != SCHEMA_VERSION {
                let message = format!("there is version {SCHEMA_VERSION} only");
                wrong.push(FieldError::new("/schemaVersion", "out_of_range", message));
            }
            endpoint.schema_version = version;
        }
        if let Some(given) = self.headers {
            set_headers(endpoint, org, &given, &parts.sealer, &mut wrong);
        }
        if let Some(rate) = self.rate_per_second {
            range("/ratePerSecond", rate, 0..=10_000, &mut wrong);
            endpoint.rate_per_second = (rate > 0).then_some(rate);
        }
        if let Some(most) = self.max_in_flight {
            range("/maxInFlight", most, 1..=256, &mut wrong);
            endpoint.max_in_flight = most;
        }
        endpoint.ordered = self.ordered.unwrap_or(endpoint.ordered);
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ApiError::fields(wrong))
    }
}

fn check_url(url: &str, policy: &Policy, wrong: &mut Vec<FieldError>) {
    if url.chars().count() > 2_000 {
        wrong.push(FieldError::new("/url", "too_long", "at most 2,000 characters"));
    } else if let Err(error) = Target::parse(url, policy) {
        wrong.push(FieldError::new("/url", error.code(), error.to_string()));
    }
}

fn check_events(catalogue: &Catalogue, events: &[String], wrong: &mut Vec<FieldError>) {
    if events.len() > MAX_EVENTS {
        let message = format!("at most {MAX_EVENTS} types");
        wrong.push(FieldError::new("/events", "too_many", message));
        return;
    }
    for (n, kind) in events.iter().enumerate() {
        let at = format!("/events/{n}");
        if !is_event_type(catalogue, kind) {
            wrong.push(FieldError::new(
                at,
                "unknown_value",
                "there are no events of this type",
            ));
        } else if events[..n].contains(kind) {
            wrong.push(FieldError::new(at, "repeated", "this type is given twice"));
        }
    }
}

fn range(at: &str, given: i32, allowed: std::ops::RangeInclusive<i32>, wrong: &mut Vec<FieldError>) {
    if !allowed.contains(&given) {
        let message = format!("{} to {}", allowed.start(), allowed.end());
        wrong.push(FieldError::new(at, "out_of_range", message));
    }
}

fn set_headers(
    endpoint: &mut Endpoint,
    org: Uuid,
    given: &prost_types::Struct,
    sealer: &Sealer,
    wrong: &mut Vec<FieldError>,
) {
    let checked = match headers::check(&convert::from_struct(given)) {
        Ok(checked) => checked,
        Err(error) => {
            wrong.extend(error.fields);
            return;
        }
    };
    endpoint.header_names = checked.iter().map(|(name, _)| name.clone()).collect();
    endpoint.headers_sealed = None;
    if !checked.is_empty() {
        let plain = serde_json::to_vec(&checked).unwrap_or_default();
        endpoint.headers_sealed = sealer.seal(&plain, &headers_place(org, endpoint.id));
    }
}
