//! The contract for people and programs: the OpenAPI document, and pages that show it, all from this binary.
//!
//! Owns: these files and the policy that keeps the pages from asking any other host. Must not: need credentials.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http::ByHand;

/// Nothing but our own files, in no other site's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const DOCUMENT: &str = "/api/v1/openapi.json";
const EVENTS: &str = "/api/v1/asyncapi.json";

struct File {
    path: &'static str,
    media_type: &'static str,
    content: Bytes,
    etag: HeaderValue,
}

/// The files. Cheap to clone.
#[derive(Clone)]
pub struct Docs(Arc<[File]>);

impl Docs {
    /// The pages, and these documents: of the API, and of its events.
    #[must_use]
    pub fn new(document: &Value, events: &Value) -> Self {
        let own = |text: &'static str| Bytes::from_static(text.as_bytes());
        let html = "text/html; charset=utf-8";
        let script = "text/javascript; charset=utf-8";
        let files = [
            (DOCUMENT, "application/json", Bytes::from(document.to_string())),
            (EVENTS, "application/json", Bytes::from(events.to_string())),
            ("/docs", html, own(include_str!("../assets/docs.html"))),
            ("/docs/docs.js", script, own(include_str!("../assets/docs.js"))),
            (
                "/docs/style.css",
                "text/css; charset=utf-8",
                own(include_str!("../assets/style.css")),
            ),
            ("/account", html, own(include_str!("../assets/account.html"))),
            (
                "/docs/account.js",
                script,
                own(include_str!("../assets/account.js")),
            ),
            ("/graphql", html, own(include_str!("../assets/graphql.html"))),
            (
                "/docs/graphql.js",
                script,
                own(include_str!("../assets/graphql.js")),
            ),
        ];
        Self(
            files
                .into_iter()
                .map(|(path, media_type, content)| File {
                    etag: etag(&content),
                    path,
                    media_type,
                    content,
                })
                .collect(),
        )
    }

    /// Whether one of the files is at a path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.0.iter().any(|file| file.path == path)
    }

    /// The file at a path.
    #[must_use]
    pub fn page(&self, path: &str, request: &HttpRequest) -> HttpResponse {
        let Some(file) = self.0.iter().find(|file| file.path == path) else {
            return HttpResponse::new(StatusCode::NOT_FOUND);
        };
        let known = request
            .headers()
            .get_all(IF_NONE_MATCH)
            .any(|tag| tag == file.etag);
        let mut response = if known {
            HttpResponse::new(StatusCode::NOT_MODIFIED)
        } else {
            let body = actix_web::body::BoxBody::new(file.content.clone());
            HttpResponse::with_body(StatusCode::OK, body)
        };
        let headers = response.headers_mut();
        let fixed = |text: &'static str| HeaderValue::from_static(text);
        headers.insert(CONTENT_TYPE, fixed(file.media_type));
        headers.insert(CONTENT_SECURITY_POLICY, fixed(POLICY));
        headers.insert(REFERRER_POLICY, fixed("no-referrer"));
        headers.insert(HeaderName::from_static("x-frame-options"), fixed("DENY"));
        headers.insert(CACHE_CONTROL, fixed("no-cache"));
        headers.insert(ETAG, file.etag.clone());
        response
    }
}

fn etag(content: &[u8]) -> HeaderValue {
    let digest = hex(&Sha256::digest(content)[..12]);
    HeaderValue::from_str(&format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The routes of this module.
#[must_use]
pub fn described() -> Vec<ByHand> {
    let page = |path, operation| ByHand {
        method: "GET",
        path,
        public: true,
        operation,
    };
    let document = json!({
        "operationId": "getOpenApi", "tags": ["Health"], "summary": "This document",
        "responses": {
            "200": {"description": "The OpenAPI 3.1 document.", "content": {"application/json": {"schema": {"type": "object"}}}},
            "304": {"description": "The client has it already."},
        },
    });
    let events = json!({
        "operationId": "getAsyncApi", "tags": ["Events"], "summary": "The AsyncAPI document of the events",
        "responses": {
            "200": {"description": "The AsyncAPI 3.0 document.", "content": {"application/json": {"schema": {"type": "object"}}}},
            "304": {"description": "The client has it already."},
        },
    });
    vec![
        page(DOCUMENT, Some(document)),
        page(EVENTS, Some(events)),
        page("/docs", None),
        page("/docs/docs.js", None),
        page("/docs/style.css", None),
        page("/docs/graphql.js", None),
        page("/account", None),
        page("/docs/account.js", None),
    ]
}
