//! Events with their cursors, made once for all who are told them at the same time.

use std::sync::OnceLock;

use bytes::Bytes;
use contracts::convert;
use contracts::events::v1 as wire;
use eventbus::Position;
use prost::Message as _;

use super::cursor::{Cursors, Place};
use crate::events::{Catalogue, PublicEvent};

/// An event, and the place after it.
#[derive(Debug)]
pub struct Told {
    /// The event.
    pub event: PublicEvent,
    /// The place after it.
    pub place: Place,
    /// The same, as clients hold it.
    pub cursor: String,
    message: OnceLock<Bytes>,
}

impl Told {
    /// The encoded `SubscribeResponse`.
    pub fn message(&self) -> &Bytes {
        self.message.get_or_init(|| {
            let event = &self.event;
            let data = prost_types::Any {
                type_url: format!("type.googleapis.com/{}", event.of.message.full_name()),
                value: event.message.to_vec(),
            };
            let response = wire::SubscribeResponse {
                cursor: self.cursor.clone(),
                event: Some(wire::Event {
                    id: event.id.to_string(),
                    r#type: event.kind().to_owned(),
                    timestamp: Some(convert::timestamp(event.time)),
                    organization_id: event.org.to_string(),
                    data: Some(data),
                }),
            };
            response.encode_to_vec().into()
        })
    }

    /// About what it takes.
    pub fn weight(&self) -> usize {
        2 * (self.event.json.len() + self.event.message.len()) + 512
    }
}

/// The events of a message of the bus.
pub fn tell(
    catalogue: &Catalogue,
    cursors: &Cursors,
    position: Position,
    envelope: &contracts::Envelope,
) -> Vec<Told> {
    let events = catalogue.render(envelope);
    let count = events.len();
    let each = events.into_iter().enumerate().map(|(at, event)| {
        let passed = if at + 1 == count {
            Place::WHOLE
        } else {
            u32::try_from(at + 1).unwrap_or(Place::WHOLE)
        };
        let place = Place { position, passed };
        Told {
            cursor: cursors.write(event.org, &place),
            event,
            place,
            message: OnceLock::new(),
        }
    });
    each.collect()
}
