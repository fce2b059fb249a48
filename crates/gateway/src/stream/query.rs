//! The parameters of `GET /api/v1/events`.

use std::time::Duration;

use actix_web::HttpRequest;
use errors::{ApiError, ErrorCode, FieldError};

use super::open::Start;
use crate::events::{Catalogue, Filter, Places};
use crate::http::unknown_parameter;
use crate::transcode::decode_parameter;

/// Longest wait of a long poll.
const MAX_WAIT_SECS: u64 = 60;
/// Events in one answer of a long poll.
const LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What the client asked for.
pub struct Wanted {
    /// Where to begin.
    pub start: Start,
    /// Which events.
    pub filter: Filter,
    /// A long poll, if it is one.
    pub poll: Option<Poll>,
}

/// How long to wait for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// How long to wait for a first event.
    pub wait: Duration,
    /// Most events in the answer.
    pub limit: usize,
}

impl Wanted {
    /// Reads the query, and `Last-Event-ID`.
    ///
    /// # Errors
    /// `invalid_parameter`, naming it.
    pub fn of(request: &HttpRequest, catalogue: &Catalogue) -> Result<Self, ApiError> {
        let mut given: [Option<String>; 5] = Default::default();
        for part in request.query_string().split('&').filter(|part| !part.is_empty()) {
            let (name, text) = decode_parameter(part)?;
            let names = ["after", "types", "objects", "wait", "limit"];
            let slot = names.iter().position(|known| *known == name);
            match slot.and_then(|at| given.get_mut(at)) {
                Some(slot) if slot.is_none() => *slot = Some(text),
                _ => {
                    return Err(unknown_parameter(
                        &name,
                        "after, types, objects, wait, limit, each once",
                    ));
                }
            }
        }
        let [mut after, types, objects, wait, limit] = given;
        let poll = poll(wait.as_deref(), limit.as_deref())?;
        // A browser that reconnects repeats the address and adds the header: the header is newer.
        let last = request.headers().get("last-event-id").filter(|v| !v.is_empty());
        if let (Some(last), None) = (last, poll) {
            after = Some(last.to_str().unwrap_or("?").to_owned());
        }
        Ok(Self {
            start: after.map_or(Start::Now, Start::After),
            filter: Filter::read(catalogue, &list(types), &list(objects), Places::QUERY)?,
            poll,
        })
    }
}

fn poll(wait: Option<&str>, limit: Option<&str>) -> Result<Option<Poll>, ApiError> {
    let wait = wait.map(|text| {
        let number = text.strip_suffix('s').unwrap_or(text);
        let digits = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let secs = digits.then(|| number.parse().ok()).flatten();
        let message = "expected seconds, 0s to 60s";
        secs.filter(|secs| *secs <= MAX_WAIT_SECS)
            .ok_or_else(|| refused("?wait", message))
    });
    let limit = limit.map(|text| {
        let number = text.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
        number.ok_or_else(|| refused("?limit", "expected 1 to 200"))
    });
    match (wait.transpose()?, limit.transpose()?) {
        (Some(secs), limit) => Ok(Some(Poll {
            wait: Duration::from_secs(secs),
            limit: limit.unwrap_or(LIMIT),
        })),
        (None, Some(_)) => Err(refused(
            "?limit",
            "`limit` belongs to a long poll: add `wait`, for example wait=30s",
        )),
        (None, None) => Ok(None),
    }
}

fn refused(at: &str, message: &str) -> ApiError {
    let mut error = ApiError::new(ErrorCode::InvalidParameter, message);
    error.fields = vec![FieldError::new(at, "invalid", message)];
    error
}

fn list(text: Option<String>) -> Vec<String> {
    text.map(|text| text.split(',').map(str::to_owned).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_and_a_limit_needs_it() {
        let asked = poll(Some("30s"), Some("7")).unwrap().unwrap();
        assert_eq!((asked.wait.as_secs(), asked.limit), (30, 7));
        assert_eq!(poll(Some("0"), None).unwrap().unwrap().limit, LIMIT);
        assert_eq!(poll(None, None).unwrap(), None);
        for (wait, limit) in [
            (Some("61s"), None),
            (Some("-1s"), None),
            (Some("+1"), None),
            (Some("1m"), None),
            (Some(""), None),
            (Some("s"), None),
            (Some("999999999999s"), None),
            (None, Some("5")),
            (Some("1s"), Some("0")),
            (Some("1s"), Some("201")),
            (Some("1s"), Some("x")),
        ] {
            assert!(poll(wait, limit).is_err(), "{wait:?} {limit:?}");
        }
    }
}
