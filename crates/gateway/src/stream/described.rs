//! What the event stream is, for the OpenAPI document.

use serde_json::json;

use crate::http::ByHand;
use crate::openapi::problems_of;

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let mut operation = json!({
        "operationId": "streamEvents", "tags": ["Events"],
        "summary": "Events of the organization, as they happen",
        "description": "Server-sent events, from now on or after a place; with `wait`, one answer of a long poll. Every event comes at least once; a repeat has the same `id` in its JSON.",
        "parameters": [
            {"name": "types", "in": "query", "schema": {"type": "string"}, "description": "Only these types, by commas: names, or `deal.*`.",
             "examples": {"scores": {"value": "account.score_changed"}}},
            {"name": "objects", "in": "query", "schema": {"type": "string"}, "description": "Only events that name one of these objects, by commas: `account:<id>`."},
            {"name": "after", "in": "query", "schema": {"type": "string"}, "description": "The cursor to go on after: the id of an event here, or a cursor of any other interface."},
            {"name": "wait", "in": "query", "schema": {"type": "string"}, "description": "Long poll: answer with what is there, or with the first events that come within so many seconds, `0s` to `60s`."},
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}, "description": "Long poll: most events in the answer; 50 if not given."},
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}, "description": "The same as `after`, as browsers send it."},
            {"$ref": "#/components/parameters/Version"},
        ],
        "responses": {"200": {
            "description": "A stream that does not end by itself; with `wait`, events and where to go on.",
            "content": {
                "text/event-stream": {"schema": {"type": "string"}},
                "application/json": {"schema": {
                    "type": "object",
                    "properties": {
                        "data": {"type": "array", "items": {"type": "object"}, "description": "Events; see `docs/asyncapi.json`."},
                        "nextCursor": {"type": "string", "description": "Go on after this."},
                        "hasMore": {"type": "boolean", "description": "Whether there may be more at once."},
                    },
                    "required": ["data", "nextCursor", "hasMore"],
                    "additionalProperties": false,
                }},
            },
        }},
    });
    for (status, problem) in problems_of(&[400, 401, 403, 410, 429, 500, 503]) {
        operation["responses"][status] = problem;
    }
    let mut socket = json!({
        "operationId": "openEventSocket", "tags": ["Events"],
        "summary": "Events of the organization by WebSocket",
        "description": "A WebSocket handshake. The frames are described in the AsyncAPI document, `/api/v1/asyncapi.json`. Without the `Authorization` header the first frame names the caller.",
        "security": [{}, {"apiKey": []}],
        "responses": {"101": {"description": "The connection is a WebSocket now."}},
    });
    for (status, problem) in problems_of(&[400, 401, 429, 500, 503]) {
        socket["responses"][status] = problem;
    }
    let route = |path, operation| ByHand {
        method: "GET",
        path,
        public: false,
        operation: Some(operation),
    };
    vec![
        route("/api/v1/events", operation),
        route("/api/v1/events/ws", socket),
    ]
}
