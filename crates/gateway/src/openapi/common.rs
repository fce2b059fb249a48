//! What all operations share: parameters, headers, problems, the security scheme.

use std::collections::BTreeMap;

use errors::ErrorCode;
use serde_json::{Map, Value, json};

use crate::http::VERSIONS;
use crate::transcode::{IF_VERSION, Route};

/// Schemas, parameters, headers and the security scheme, beside the messages.
pub fn components(mut schemas: Value) -> Value {
    schemas["Problem"] = problem_schema();
    schemas["ProblemPlace"] = json!({
        "type": "object",
        "description": "One place in the request that is wrong.",
        "properties": {
            "pointer": {"type": "string", "description": "JSON pointer into the body, `?name` for a parameter, or the name of a header.", "examples": ["/name"]},
            "code": {"type": "string", "description": "A stable word.", "examples": ["required"]},
            "message": {"type": "string", "description": "What is wrong and what would be right, for a person."},
        },
        "required": ["pointer", "code", "message"],
        "additionalProperties": false,
    });
    schemas["BatchAnswer"] = batch_answer();
    json!({
        "securitySchemes": {"apiKey": {
            "type": "http", "scheme": "bearer",
            "description": "An API key of the organization (`dsk_…`), or an access token of a login.",
        }},
        "schemas": schemas,
        "parameters": parameters(),
        "headers": headers(),
        "responses": responses(),
    })
}

fn problem_schema() -> Value {
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). Branch on `code`.",
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "Names the kind of problem."},
            "title": {"type": "string", "description": "The kind of problem, for a person."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": {"type": "string", "description": "What happened this time."},
            "code": {"type": "string", "enum": codes, "description": "The stable code, the same in REST, gRPC and GraphQL."},
            "requestId": {"type": "string", "description": "Finds the request in the logs."},
            "retryable": {"type": "boolean", "description": "Whether the same request may succeed later unchanged."},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ProblemPlace"}},
            "earliestCursor": {"type": "string", "description": "With `cursor_expired` of events: the cursor of the earliest events that are still kept."},
        },
        "required": ["type", "title", "status", "detail", "code", "requestId", "retryable", "errors"],
        "additionalProperties": false,
    })
}

fn batch_answer() -> Value {
    json!({
        "type": "object",
        "description": "What became of each item.",
        "properties": {"results": {"type": "array", "items": {
            "type": "object",
            "properties": {
                "index": {"type": "integer", "description": "Position in the request, from 0."},
                "status": {"type": "integer", "description": "The HTTP status that the item alone would have got."},
                "id": {"type": "string", "description": "The record."},
                "outcome": {"type": "string", "enum": ["created", "updated", "noop"]},
                "error": {
                    "type": "object",
                    "properties": {
                        "code": {"type": "string"},
                        "detail": {"type": "string"},
                        "retryable": {"type": "boolean"},
                        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/ProblemPlace"}},
                    },
                    "required": ["code", "detail", "retryable", "errors"],
                    "additionalProperties": false,
                },
            },
            "required": ["index", "status"],
            "additionalProperties": false,
        }}},
        "required": ["results"],
        "additionalProperties": false,
    })
}

fn parameters() -> Value {
    json!({
        "Fields": {
            "name": "fields", "in": "query", "schema": {"type": "string"},
            "examples": {"two": {"value": "id,name"}},
            "description": "Only these fields of each record, by commas; `a.b` for a field within a field.",
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "Makes a repeat harmless for 24 hours: it gets the first answer, with `Idempotent-Replay: true`.",
        },
        "IfMatch": {
            "name": "If-Match", "in": "header", "schema": {"type": "string", "pattern": "^(\\*|\"[0-9]{1,18}\")$"},
            "description": "The `ETag` of the record as it was read: 412 if somebody else was first.",
        },
        "IfNoneMatch": {
            "name": "If-None-Match", "in": "header", "schema": {"type": "string"},
            "description": "The `ETag` of the record as it is known: 304 while nothing changed.",
        },
        "Version": {
            "name": "DevSignal-Version", "in": "header", "schema": {"type": "string", "enum": VERSIONS},
            "description": "The dated version of this API that the request is for.",
        },
    })
}

fn headers() -> Value {
    let text = |about: &str| json!({"description": about, "schema": {"type": "string"}});
    let number = |about: &str| json!({"description": about, "schema": {"type": "integer", "minimum": 0}});
    json!({
        "Request-Id": text("The request's id; also in the logs."),
        "DevSignal-Version": text("The version that was answered in."),
        "ETag": text("The record's version."),
        "Location": text("Where the new record is."),
        "Retry-After": number("Seconds to wait before the next try."),
        "RateLimit-Limit": number("Size of the tighter bucket."),
        "RateLimit-Remaining": number("Requests left at once."),
        "RateLimit-Reset": number("Seconds until the bucket is full again."),
        "RateLimit-Policy": text("Requests per window, and the burst."),
    })
}

fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// The headers of a success.
pub fn success_headers(versioned: bool) -> Value {
    let mut names = vec![
        "Request-Id",
        "DevSignal-Version",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "RateLimit-Reset",
        "RateLimit-Policy",
    ];
    if versioned {
        names.push("ETag");
    }
    Value::Object(names.into_iter().map(|n| (n.to_owned(), header(n))).collect())
}

/// The problems that a route can answer with, by status.
pub fn problems(route: &Route) -> Vec<(String, Value)> {
    let mut statuses = vec![400, 401, 403, 404, 406, 429, 500, 501, 503, 504];
    if route.has_body {
        statuses.extend([413, 415]);
    }
    if !route.reads {
        statuses.extend([409, 422]);
    }
    if route.input.get_field_by_name(IF_VERSION).is_some() || !route.reads {
        statuses.push(412);
    }
    if route.input.get_field_by_name("cursor").is_some() {
        statuses.push(410);
    }
    problems_of(&statuses)
}

/// Problems with these statuses.
pub fn problems_of(statuses: &[u16]) -> Vec<(String, Value)> {
    let mut sorted = statuses.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
        .into_iter()
        .map(|status| {
            let name = format!("#/components/responses/Problem{status}");
            (status.to_string(), json!({ "$ref": name }))
        })
        .collect()
}

fn responses() -> Value {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in ErrorCode::ALL {
        by_status.entry(code.http_status()).or_default().push(*code);
    }
    let named = |(status, codes): (u16, Vec<ErrorCode>)| (format!("Problem{status}"), problem(&codes));
    Value::Object(by_status.into_iter().map(named).collect())
}

fn problem(codes: &[ErrorCode]) -> Value {
    let told: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.as_str(), code.title()))
        .collect();
    let mut headers = Map::new();
    headers.insert("Request-Id".to_owned(), header("Request-Id"));
    headers.insert("DevSignal-Version".to_owned(), header("DevSignal-Version"));
    if codes.iter().any(|code| code.is_retryable()) {
        headers.insert("Retry-After".to_owned(), header("Retry-After"));
    }
    json!({
        "description": told.join(". "),
        "headers": headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    })
}
