//! Which webhooks get which events. Pure.

use std::collections::HashMap;

use ids::IdGen;
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use crate::events::{Catalogue, PublicEvent};
use crate::webhooks::domain::filter::Filter;
use crate::webhooks::domain::types;
use crate::webhooks::store::endpoints::Endpoint;
use crate::webhooks::store::fanout::{Event, Wanted};

/// Events older than a webhook are not for it; clocks of two machines may differ by so much.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// The webhooks of some organizations, ready to be asked.
pub struct Plan {
    by_org: HashMap<Uuid, Vec<(Endpoint, Option<Filter>)>>,
}

/// What is to be stored.
#[derive(Default)]
pub struct Planned {
    /// Events that somebody gets.
    pub events: Vec<Event>,
    /// Who gets them.
    pub wanted: Vec<Wanted>,
}

impl Plan {
    /// Of these webhooks.
    #[must_use]
    pub fn new(endpoints: Vec<(Uuid, Endpoint)>) -> Self {
        let mut by_org = HashMap::<_, Vec<_>>::new();
        for (org, endpoint) in endpoints {
            // A filter was checked when it was given; one that no longer reads keeps nothing back.
            let filter = endpoint.filter.as_ref().and_then(|f| Filter::parse(f).ok());
            by_org.entry(org).or_default().push((endpoint, filter));
        }
        Self { by_org }
    }

    /// Whether a message of this type may become something that a webhook of the organization gets.
    #[must_use]
    pub fn wants(&self, catalogue: &Catalogue, org: Uuid, carrier: &str) -> bool {
        let Some(endpoints) = self.by_org.get(&org) else {
            return false;
        };
        let mut carried = catalogue.types().filter(|of| of.carrier == carrier);
        carried.any(|of| endpoints.iter().any(|(e, _)| types::wanted(&e.events, &of.name)))
    }

    /// Adds an event and its deliveries, if it has any.
    pub fn add(&self, event: PublicEvent, ids: &dyn IdGen, into: &mut Planned) {
        let org = event.org.uuid();
        let Some(endpoints) = self.by_org.get(&org) else {
            return;
        };
        let mut parsed: Option<Value> = None;
        let mut fits = |filter: &Filter| {
            let json = parsed.get_or_insert_with(|| serde_json::from_str(&event.json).unwrap_or_default());
            filter.fits(json)
        };
        let (at, before) = (into.events.len(), into.wanted.len());
        for (endpoint, filter) in endpoints {
            let is_older = event
                .time
                .checked_add(MARGIN)
                .is_ok_and(|latest| latest < endpoint.created_at);
            if is_older
                || !types::wanted(&endpoint.events, event.kind())
                || !filter.as_ref().is_none_or(&mut fits)
            {
                continue;
            }
            into.wanted.push(Wanted {
                id: ids.next(),
                event: at,
                webhook: endpoint.id,
                held: endpoint.disabled.is_some(),
                ordered: endpoint.ordered,
            });
        }
        if into.wanted.len() > before {
            let object = event
                .about()
                .map_or_else(|| event.id.to_string(), |o| format!("{}:{}", o.kind, o.id));
            into.events.push(Event {
                org,
                body_id: ids.next(),
                id: event.id,
                kind: event.of.name.clone(),
                object,
                body: event.json.into_bytes(),
            });
        }
    }
}
