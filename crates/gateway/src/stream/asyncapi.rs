//! The AsyncAPI 3.0 document: every event, and every way in which it can be followed over HTTP and WebSocket.
//!
//! Served as it was made, committed as `docs/asyncapi.json`, compared by a test.

use serde_json::{Map, Value, json};

use super::frames;
use crate::contract::Contract;
use crate::error::StartError;
use crate::events::{Catalogue, schema};
use crate::openapi::{Comments, Schemas, Way};

const ABOUT: &str = "Events of an organization, as they happen. Each event has the same JSON on every interface and as a \
                     webhook: `id`, `type`, `timestamp`, `organizationId`, `data`. It is told at least once; a repeat \
                     has the same `id`. All interfaces share one opaque cursor. See `docs/EVENTS.md`; the same events \
                     by gRPC are `devsignal.events.v1.EventService.Subscribe`.";

/// The document.
///
/// # Errors
/// The descriptors do not hold together.
pub fn document(contract: &Contract) -> Result<Value, StartError> {
    let catalogue = Catalogue::new(contract)?;
    let comments = Comments::of(contract.pool());
    let mut schemas = Schemas::new(&comments);
    let (mut messages, mut told) = (Map::new(), Map::new());
    for of in catalogue.types() {
        let data = schemas.message(&of.message, Way::Out);
        let message = json!({
            "name": of.name,
            "title": of.name,
            "summary": of.description,
            "contentType": "application/json",
            "payload": schema::envelope(of, data),
            "examples": [{"name": "event", "payload": schema::sample(of, &comments)}],
        });
        messages.insert(of.name.clone(), message);
        told.insert(of.name.clone(), reference("messages", &of.name));
    }
    let mut spoken = Map::new();
    for (name, frame) in frames::described() {
        messages.insert(name.to_owned(), frame);
        spoken.insert(name.to_owned(), reference("messages", name));
    }
    let mut document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "DevSignal events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "http": server("https", "Server-sent events and long poll."),
            "socket": server("wss", "WebSocket."),
        },
        "channels": {
            "events": {
                "address": "/api/v1/events",
                "title": "Server-sent events, and long poll with `wait`",
                "description": "The `id` of each server-sent event is its cursor.",
                "servers": [{"$ref": "#/servers/http"}],
                "messages": told,
                "bindings": {"http": {"bindingVersion": "0.3.0"}},
            },
            "socket": {
                "address": "/api/v1/events/ws",
                "title": "WebSocket",
                "description": frames::ABOUT,
                "servers": [{"$ref": "#/servers/socket"}],
                "messages": spoken,
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
            },
        },
        "operations": operations(&catalogue),
        "components": {
            "messages": messages,
            "schemas": schemas.into_components(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "description": "An API key or an access token."}},
        },
    });
    schema::opened(&mut document, "#/components/schemas/");
    Ok(document)
}

fn server(protocol: &str, about: &str) -> Value {
    json!({
        "host": "{host}",
        "protocol": protocol,
        "description": about,
        "variables": {"host": {"description": "This installation.", "default": "localhost:8080"}},
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    })
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// What this application sends and receives.
fn operations(catalogue: &Catalogue) -> Value {
    let on = |channel: &str, name: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    let events: Vec<Value> = catalogue.types().map(|of| on("events", &of.name)).collect();
    let frames = |from_client: bool| -> Vec<Value> {
        let all = frames::NAMES.iter().filter(|(_, client)| *client == from_client);
        all.map(|(name, _)| on("socket", name)).collect()
    };
    json!({
        "tellEvents": {
            "action": "send",
            "channel": {"$ref": "#/channels/events"},
            "summary": "Events of the organization, in the order in which they were told.",
            "messages": events,
        },
        "tellBySocket": {
            "action": "send",
            "channel": {"$ref": "#/channels/socket"},
            "summary": "What the server says.",
            "messages": frames(false),
        },
        "hearBySocket": {
            "action": "receive",
            "channel": {"$ref": "#/channels/socket"},
            "summary": "What the client says.",
            "messages": frames(true),
        },
    })
}
