//! One leader among the replicas of a service.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::timeout;

use crate::pool::connect_options;
use crate::settings::Role;
use crate::tx::timed_out;
use crate::{DbSettings, StoreError};

/// How long the server has to answer before the leadership counts as lost.
const ANSWER: Duration = Duration::from_secs(2);

/// The leadership, held as a session-level advisory lock on a connection of its own: the server gives it up when the
/// connection ends, however it ends. Dropping it closes the connection.
///
/// A leader whose connection is cut does not notice by itself: it calls [`Leadership::check`] before each piece of
/// work, and keeps each piece so that doing it twice is harmless.
pub struct Leadership {
    connection: PgConnection,
    name: String,
}

/// Takes the lock if it is free.
pub(crate) async fn acquire(settings: &DbSettings, name: &str) -> Result<Option<Leadership>, StoreError> {
    let options = connect_options(settings, Role::Pipeline)
        .application_name(&format!("{}-leader-{name}", settings.schema));
    let attempt = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        // Advisory locks are per database, and the schemas share it: the key is made of schema and name.
        let taken: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
            .bind(format!("{}/{name}", settings.schema))
            .fetch_one(&mut connection)
            .await?;
        Ok::<_, sqlx::Error>((connection, taken))
    };
    let (connection, taken) = timeout(ANSWER, attempt)
        .await
        .unwrap_or_else(|_| Err(timed_out(ANSWER)))?;
    if taken {
        return Ok(Some(Leadership {
            connection,
            name: name.to_owned(),
        }));
    }
    let _ = timeout(ANSWER, connection.close()).await;
    Ok(None)
}

impl Leadership {
    /// Asks the server whether it still knows this session, and with it the lock.
    ///
    /// # Errors
    /// The connection is gone or silent: the leadership is lost, or will be.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        timeout(ANSWER, self.connection.ping())
            .await
            .unwrap_or_else(|_| Err(timed_out(ANSWER)))?;
        Ok(())
    }

    /// Gives the leadership up, and returns when the server knows it.
    pub async fn resign(mut self) {
        let _ = timeout(ANSWER, self.connection.execute("SELECT pg_advisory_unlock_all()")).await;
        let _ = timeout(ANSWER, self.connection.close()).await;
    }
}

impl std::fmt::Debug for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leadership")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
