//! What is known of one request while it is answered.

use std::cell::Cell;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use ids::IdGen;

use crate::limits::Standing;

/// Longest request id taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// One request's own data. Lives on the thread that serves the request.
pub struct Context {
    /// The request's id, the client's if it sent one that can be used.
    pub request_id: HeaderValue,
    /// The client's network address.
    pub address: String,
    /// The caller's rate limit, once the caller is known.
    pub standing: Cell<Option<Standing>>,
    /// The version of the API that is answered: the one named, else the key's, else the newest.
    pub version: Cell<Option<&'static str>>,
}

impl Context {
    /// The context of a request that just came.
    #[must_use]
    pub fn of(request: &HttpRequest, ids: &dyn IdGen) -> Self {
        Self {
            request_id: request_id(request, ids),
            address: request
                .peer_addr()
                .map(|peer| peer.ip().to_string())
                .unwrap_or_default(),
            standing: Cell::new(None),
            version: Cell::new(None),
        }
    }

    /// The request's id as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

fn request_id(request: &HttpRequest, ids: &dyn IdGen) -> HeaderValue {
    let sent = request.headers().get("request-id").filter(|value| {
        let bytes = value.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    sent.cloned().unwrap_or_else(|| {
        let mut buffer = uuid::Uuid::encode_buffer();
        let text = ids.next().hyphenated().encode_lower(&mut buffer);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
    })
}
