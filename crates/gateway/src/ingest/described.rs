//! What the ingest routes are, for the OpenAPI document.

use serde_json::{Value, json};

use crate::http::ByHand;
use crate::openapi::{judged_alone, problems_of};

const PROBLEMS: [u16; 10] = [400, 401, 403, 413, 415, 429, 500, 501, 503, 504];

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let one = operation(
        "ingestSignal",
        "Accepts one signal",
        "The same as a batch of one; a signal that is refused is a problem here.",
        json!({"$message": "devsignal.signals.v1.SignalInput", "way": "in"}),
    );
    let many = operation(
        "ingestSignals",
        "Accepts up to 1,000 signals",
        "A duplicate or a bad item never fails its batch: each has its own verdict. When this answers, every `accepted` \
         signal is stored durably.",
        json!({
            "type": "object",
            // Items are judged one by one: an item that is no signal is rejected, not the batch.
            "properties": {"signals": {"type": "array", "minItems": 1, "maxItems": 1000, "items": judged_alone(&json!({"$message": "devsignal.signals.v1.SignalInput", "way": "in"}))}},
            "required": ["signals"],
        }),
    );
    let route = |path, operation| ByHand {
        method: "POST",
        path,
        public: false,
        operation: Some(operation),
    };
    vec![
        route("/api/v1/signals", one),
        route("/api/v1/signals/batch", many),
    ]
}

fn operation(id: &str, summary: &str, description: &str, schema: Value) -> Value {
    let mut operation = json!({
        "operationId": id, "tags": ["Signal"], "summary": summary, "description": description,
        "parameters": [{"$ref": "#/components/parameters/IdempotencyKey"}, {"$ref": "#/components/parameters/Version"}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
        "responses": {"202": {
            "description": "The verdicts. What is `accepted` is stored durably.",
            "content": {"application/json": {"schema": {"$message": "devsignal.signals.v1.IngestSignalsResponse"}}},
        }},
    });
    for (status, problem) in problems_of(&PROBLEMS) {
        operation["responses"][status] = problem;
    }
    operation
}
