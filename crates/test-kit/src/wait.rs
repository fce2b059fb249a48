//! Waiting for something that other tasks or processes bring about. Must not be used to wait for
//! time to pass: time-dependent logic runs on a virtual clock.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// First pause between two looks.
const SHORTEST: Duration = Duration::from_millis(10);
/// Longest pause between two looks.
const LONGEST: Duration = Duration::from_millis(100);

/// Looks until the condition gives a value, and returns it.
///
/// For a plain yes or no: `async || ready().await.then_some(())`.
///
/// # Panics
/// With the description, when there is no value within `deadline`, also when one look takes longer
/// than that.
pub async fn wait_for<T>(
    description: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    let mut pause = SHORTEST;
    loop {
        match timeout_at(end, condition()).await {
            Ok(Some(value)) => return value,
            Ok(None) if Instant::now() < end => {}
            Ok(None) => panic!("not within {deadline:?}: {description}"),
            Err(_) => panic!("not within {deadline:?}, still looking: {description}"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_value_is_returned_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = wait_for("the third look", Duration::from_secs(1), async || {
            looks += 1;
            (looks == 3).then_some(looks)
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 1s: pigs fly")]
    async fn what_never_happens_is_named() {
        wait_for("pigs fly", Duration::from_secs(1), async || None::<()>).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still looking: a stuck look")]
    async fn a_look_that_hangs_does_not_hang_the_test() {
        wait_for("a stuck look", Duration::from_secs(1), async || {
            std::future::pending::<()>().await;
            Some(())
        })
        .await;
    }
}
