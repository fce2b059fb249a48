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
        "description": "Server-sent events, from now on or behind a place. Every event comes at least once; a repeat has the same `id` in its JSON.",
        "parameters": [
            {"name": "types", "in": "query", "schema": {"type": "string"}, "description": "Only these types, by commas.",
             "examples": {"scores": {"value": "account.score_changed"}}},
            {"name": "after", "in": "query", "schema": {"type": "string"}, "description": "The id of the event to go on behind."},
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}, "description": "The same, as browsers send it."},
            {"$ref": "#/components/parameters/Version"},
        ],
        "responses": {"200": {
            "description": "A stream that does not end by itself.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }},
    });
    for (status, problem) in problems_of(&[400, 401, 403, 410, 429, 500, 503]) {
        operation["responses"][status] = problem;
    }
    vec![ByHand {
        method: "GET",
        path: "/api/v1/events",
        public: false,
        operation: Some(operation),
    }]
}
