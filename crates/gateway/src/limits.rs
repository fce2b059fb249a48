//! Rate limits: one bucket per key and one per organization, apart for reads, writes and ingest.
//!
//! Owns: the buckets. They live in the memory of one gateway; several gateways each allow the rate. Must not: know HTTP.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use errors::{ApiError, ErrorCode};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use ids::{ApiKeyId, OrgId};
use moka::sync::Cache;

use crate::config::{LimitSettings, Rate};

/// Which bucket a request is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// GET and HEAD.
    Read,
    /// POST, PATCH, DELETE.
    Write,
    /// Signals.
    Ingest,
}

/// What a caller is told with every answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The bucket's size.
    pub limit: u32,
    /// Requests left at once.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_secs: u64,
    /// Requests per minute in the long run.
    pub per_minute: u32,
    /// Whether this request was refused, and then after how many seconds it may be repeated.
    pub refused_for_secs: Option<u64>,
}

impl Standing {
    /// The refusal, if it is one.
    ///
    /// # Errors
    /// `rate_limited` with the seconds to wait.
    pub fn check(&self) -> Result<(), ApiError> {
        match self.refused_for_secs {
            None => Ok(()),
            Some(secs) => Err(ApiError::new(ErrorCode::RateLimited, "too many requests").retry_after(secs)),
        }
    }
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

#[derive(Debug)]
struct Limiter {
    bucket: Bucket,
    rate: Rate,
}

impl Limiter {
    fn new(rate: Rate, factor: u32) -> Self {
        let scaled = |n: u32| NonZeroU32::new(n.saturating_mul(factor)).unwrap_or(NonZeroU32::MIN);
        let rate = Rate {
            per_minute: scaled(rate.per_minute).get(),
            burst: scaled(rate.burst).get(),
        };
        let quota = Quota::per_minute(scaled_of(rate.per_minute)).allow_burst(scaled_of(rate.burst));
        Self {
            bucket: RateLimiter::direct(quota).with_middleware(),
            rate,
        }
    }

    fn take(&self) -> Standing {
        let (remaining, refused_for_secs) = match self.bucket.check() {
            Ok(snapshot) => (snapshot.remaining_burst_capacity(), None),
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                (0, Some(whole_secs(wait).max(1)))
            }
        };
        let missing = u64::from(self.rate.burst.saturating_sub(remaining));
        Standing {
            limit: self.rate.burst,
            remaining,
            reset_secs: (missing * 60).div_ceil(u64::from(self.rate.per_minute)),
            per_minute: self.rate.per_minute,
            refused_for_secs,
        }
    }
}

fn scaled_of(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN)
}

fn whole_secs(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The three buckets of a key or an organization.
#[derive(Debug)]
struct Trio {
    read: Limiter,
    write: Limiter,
    ingest: Limiter,
}

impl Trio {
    fn new(settings: &LimitSettings, factor: u32) -> Self {
        Self {
            read: Limiter::new(settings.read, factor),
            write: Limiter::new(settings.write, factor),
            ingest: Limiter::new(settings.ingest, factor),
        }
    }

    fn of(&self, class: Class) -> &Limiter {
        match class {
            Class::Read => &self.read,
            Class::Write => &self.write,
            Class::Ingest => &self.ingest,
        }
    }
}

/// The buckets that a request by some key is taken from.
#[derive(Debug, Clone)]
pub struct Buckets {
    key: Arc<Trio>,
    org: Arc<Trio>,
}

impl Buckets {
    /// Takes one request from both buckets, and tells of the tighter one.
    #[must_use]
    pub fn take(&self, class: Class) -> Standing {
        let key = self.key.of(class).take();
        if key.refused_for_secs.is_some() {
            return key;
        }
        let org = self.org.of(class).take();
        let org_is_tighter = org.refused_for_secs.is_some() || org.remaining < key.remaining;
        if org_is_tighter { org } else { key }
    }
}

/// A bucket not used for so long is full again, and is forgotten.
const FORGET: Duration = Duration::from_secs(15 * 60);
const REMEMBERED: u64 = 200_000;

/// All buckets of one gateway. Cheap to clone.
#[derive(Clone)]
pub struct Limits {
    settings: Arc<LimitSettings>,
    keys: Cache<ApiKeyId, Arc<Trio>>,
    orgs: Cache<OrgId, Arc<Trio>>,
}

impl Limits {
    /// Full buckets.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        Self {
            settings: Arc::new(settings),
            keys: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(FORGET)
                .build(),
            orgs: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(FORGET)
                .build(),
        }
    }

    /// The buckets of a key; the same ones as long as the key is in use.
    #[must_use]
    pub fn buckets(&self, org: OrgId, key: ApiKeyId) -> Buckets {
        let s = &self.settings;
        Buckets {
            key: self.keys.get_with(key, || Arc::new(Trio::new(s, 1))),
            org: self
                .orgs
                .get_with(org, || Arc::new(Trio::new(s, s.organization_factor))),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn limits(burst: u32) -> Limits {
        let rate = Rate {
            per_minute: 60,
            burst,
        };
        Limits::new(LimitSettings {
            organization_factor: 2,
            read: rate,
            write: rate,
            ingest: rate,
        })
    }

    #[test]
    fn a_key_has_its_burst_and_is_then_told_when_to_return() {
        let buckets = limits(3).buckets(OrgId(Uuid::from_u128(1)), ApiKeyId(Uuid::from_u128(2)));
        for left in [2, 1, 0] {
            let standing = buckets.take(Class::Read);
            assert_eq!((standing.remaining, standing.refused_for_secs), (left, None));
        }
        let refused = buckets.take(Class::Read);
        assert_eq!(refused.refused_for_secs, Some(1));
        assert_eq!(refused.reset_secs, 3);
        assert_eq!(
            buckets.take(Class::Write).refused_for_secs,
            None,
            "classes are apart"
        );
    }

    #[test]
    fn an_organization_is_limited_over_all_its_keys() {
        let limits = limits(2);
        let org = OrgId(Uuid::from_u128(1));
        let takes: Vec<_> = (0..6_u128)
            .map(|n| {
                limits
                    .buckets(org, ApiKeyId(Uuid::from_u128(n)))
                    .take(Class::Write)
                    .refused_for_secs
            })
            .collect();
        assert_eq!(
            takes.iter().filter(|r| r.is_none()).count(),
            4,
            "twice the burst of one key"
        );
    }
}
