//! Passwords: argon2id off the async threads, a bounded number at a time.
//!
//! Owns: the stored form (salt and hash). Must not: know whose password it is.

use std::sync::Arc;

use argon2::{Argon2, Block};
use errors::ApiError;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

/// Hashes at the same time: each takes 19 MiB and some 20 ms of a core.
const AT_ONCE: usize = 4;
/// More than so many is an attack or an outage; the rest is told to come back.
const WAITING: usize = 256;
const SALT: usize = 16;
const HASH: usize = 32;

/// What is stored of a password.
pub type Stored = [u8; SALT + HASH];

/// Hashes and compares. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    nobody: Stored,
    /// Work areas that are not in use: taken anew for each hash, the allocator would keep one per thread.
    spare: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Passwords {
    /// With its own bounds.
    #[must_use]
    pub fn new() -> Self {
        let mut nobody = [0; SALT + HASH];
        rand::fill(&mut nobody);
        Self {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            nobody,
            spare: Arc::default(),
        }
    }

    /// What to store of a new password.
    ///
    /// # Errors
    /// `unavailable` when too many wait.
    pub async fn store(&self, password: &str) -> Result<Stored, ApiError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt);
        let hash = self.hash(password, salt).await?;
        let mut stored = [0; SALT + HASH];
        stored[..SALT].copy_from_slice(&salt);
        stored[SALT..].copy_from_slice(&hash);
        Ok(stored)
    }

    /// Whether it is the password. Without a stored one the answer is no, after the same work.
    ///
    /// # Errors
    /// `unavailable` when too many wait.
    pub async fn matches(&self, password: &str, stored: Option<Stored>) -> Result<bool, ApiError> {
        let against = stored.unwrap_or(self.nobody);
        let mut salt = [0; SALT];
        salt.copy_from_slice(&against[..SALT]);
        let hash = self.hash(password, salt).await?;
        Ok(bool::from(hash.ct_eq(&against[SALT..])) && stored.is_some())
    }

    async fn hash(&self, password: &str, salt: [u8; SALT]) -> Result<[u8; HASH], ApiError> {
        let busy = || ApiError::unavailable("too many people come in just now");
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        let _runs = self.running.acquire().await.map_err(|_| busy())?;
        let password = password.to_owned();
        let spare = Arc::clone(&self.spare);
        let work = move || {
            let (argon, mut hash) = (Argon2::default(), [0; HASH]);
            let kept = spare.lock().pop();
            let mut area = kept.unwrap_or_else(|| vec![Block::default(); argon.params().block_count()]);
            let done = argon.hash_password_into_with_memory(password.as_bytes(), &salt, &mut hash, &mut area);
            spare.lock().push(area);
            done.map(|()| hash)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(hash)) => Ok(hash),
            _ => Err(ApiError::internal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_itself_only_and_nobody_matches_nothing() {
        let passwords = Passwords::new();
        let stored = passwords.store("correct horse battery").await.unwrap();
        assert!(
            passwords
                .matches("correct horse battery", Some(stored))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .matches("correct horse batter", Some(stored))
                .await
                .unwrap()
        );
        assert!(!passwords.matches("correct horse battery", None).await.unwrap());
        assert_ne!(stored, passwords.store("correct horse battery").await.unwrap());
    }
}
