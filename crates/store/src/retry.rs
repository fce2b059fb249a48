//! Running a transaction again when Postgres asks for it.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};

use crate::{Class, StoreError};

/// Whether the same work can succeed when it is done again at once. A service's error type implements it to be used
/// with [`retry`].
pub trait Transient {
    /// [`Class::Retryable`].
    fn is_transient(&self) -> bool;
}

impl Transient for StoreError {
    fn is_transient(&self) -> bool {
        self.class() == Class::Retryable
    }
}

/// Attempts in all.
const ATTEMPTS: usize = 6;

/// Does `work` (a whole transaction, from begin to commit) until it succeeds, fails for good, or has been tried six
/// times, with jittered pauses of 5 ms doubling to 100 ms. For [`Class::Retryable`] only: whatever
/// else failed is returned at once.
///
/// # Errors
/// The last error of `work`.
pub async fn retry<T, E, F, Work>(work: F) -> Result<T, E>
where
    E: Transient,
    F: FnMut() -> Work,
    Work: Future<Output = Result<T, E>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(5))
        .with_max_delay(Duration::from_millis(100))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter();
    work.retry(pauses).when(E::is_transient).await
}
