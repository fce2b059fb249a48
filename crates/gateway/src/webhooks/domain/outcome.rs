//! What became of an attempt.

use std::time::Duration;

/// An attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// `delivered`, `http_status`, or the client's word for what failed.
    pub outcome: &'static str,
    /// For a person.
    pub error: Option<String>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What the endpoint asked for by `Retry-After`.
    pub asked: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It was not, and may be tried again.
    Failed,
    /// The endpoint says that it is gone: it gets nothing any more.
    Gone,
}

impl Attempted {
    /// The verdict: only `2xx` is success, redirects are not followed, `410` disables.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.status {
            Some(200..=299) if self.outcome == DELIVERED => Verdict::Delivered,
            Some(410) => Verdict::Gone,
            _ => Verdict::Failed,
        }
    }
}

/// The outcome of success.
pub const DELIVERED: &str = "delivered";
/// The outcome of an answer that is none.
pub const HTTP_STATUS: &str = "http_status";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_success_and_410_is_the_end() {
        for (status, verdict) in [
            (200, Verdict::Delivered),
            (201, Verdict::Delivered),
            (202, Verdict::Delivered),
            (204, Verdict::Delivered),
            (299, Verdict::Delivered),
            (301, Verdict::Failed),
            (302, Verdict::Failed),
            (308, Verdict::Failed),
            (400, Verdict::Failed),
            (401, Verdict::Failed),
            (404, Verdict::Failed),
            (410, Verdict::Gone),
            (429, Verdict::Failed),
            (500, Verdict::Failed),
            (503, Verdict::Failed),
        ] {
            let attempted = Attempted {
                status: Some(status),
                outcome: if (200..300).contains(&status) {
                    DELIVERED
                } else {
                    HTTP_STATUS
                },
                error: None,
                response: Vec::new(),
                asked: None,
                took: Duration::ZERO,
            };
            assert_eq!(attempted.verdict(), verdict, "{status}");
        }
    }
}
