//! How a change by hand runs: one transaction, undone when it is refused or only tried.

use ::store::{OrgScope, Tx, retry};

use super::Records;
use crate::error::CrmError;

/// Who changes something, where, and whether for real.
#[derive(Debug, Clone)]
pub struct Write {
    /// The organization.
    pub scope: OrgScope,
    /// Who: `user:<id>`, `api_key:<id>` or `system:<name>`.
    pub by: String,
    /// Only tell what would happen.
    pub dry_run: bool,
}

/// What a create or upsert did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// A new record.
    Created,
    /// A known record has other values now.
    Updated,
    /// A known record has these values already.
    Noop,
}

impl Did {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Noop => "noop",
        }
    }
}

/// The body of a [`Records::write`], with `$tx` as `&mut Tx`. What it uses from outside must be references or `Copy`,
/// because it runs again when it met another in its way.
///
/// A closure over `&mut Tx` would be nicer, but the compiler cannot show such a future to be `Send`.
macro_rules! in_tx {
    ($tx:ident => $body:block) => {
        move |mut owned: ::store::Tx| async move {
            let done: Result<_, CrmError> = async {
                let $tx = &mut owned;
                $body
            }
            .await;
            (owned, done)
        }
    };
}
pub(super) use in_tx;

impl Records {
    /// Runs `work` in a transaction of the caller's organization, again when it met another in its way.
    pub(super) async fn write<T, W, F>(&self, write: &Write, work: W) -> Result<T, CrmError>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = (Tx, Result<T, CrmError>)>,
    {
        retry(|| self.write_once(write, &work)).await
    }

    async fn write_once<T, W, F>(&self, write: &Write, work: &W) -> Result<T, CrmError>
    where
        W: Fn(Tx) -> F,
        F: Future<Output = (Tx, Result<T, CrmError>)>,
    {
        let (tx, done) = work(self.db.begin(&write.scope).await?).await;
        match done {
            Ok(done) if write.dry_run => {
                tx.rollback().await;
                Ok(done)
            }
            Ok(done) => {
                tx.commit().await?;
                Ok(done)
            }
            Err(error) => {
                tx.rollback().await;
                Err(error)
            }
        }
    }
}
