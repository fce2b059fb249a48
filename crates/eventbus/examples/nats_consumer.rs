//! Reads an organization's events from the broker as a partner does, and goes on where it was when it is started again.
//!
//! ```text
//! NATS_URL=… NATS_USER=… NATS_PASSWORD=… NATS_STREAM=… NATS_CONSUMER=… cargo run -p eventbus --example nats_consumer
//! ```
//!
//! `STOP_AFTER=n` ends it after n events. Needs the crates async-nats, futures and tokio only.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, consumer::PullConsumer};
use futures::StreamExt as _;

fn env(name: &str) -> anyhow::Result<String> {
    std::env::var(name).map_err(|_| anyhow::anyhow!("{name} is not set"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let user = env("NATS_USER")?;
    let stop_after: usize = env("STOP_AFTER").map_or(Ok(usize::MAX), |n| n.parse())?;
    let options = ConnectOptions::with_user_and_password(user.clone(), env("NATS_PASSWORD")?)
        // Answers to any other inbox are not let through.
        .custom_inbox_prefix(format!("_INBOX_{}", user.replace('-', "")));
    let connection = options.connect(env("NATS_URL")?).await?;
    let jetstream = jetstream::with_domain(connection.clone(), "DEVSIGNAL");
    let consumer: PullConsumer = jetstream
        .get_consumer_from_stream(env("NATS_CONSUMER")?, env("NATS_STREAM")?)
        .await?;
    let mut left: usize = stop_after;
    while left > 0 {
        // No more than will be handled: what is in hand when a reader ends comes again half a minute later.
        let batch = consumer
            .fetch()
            .max_messages(left.min(100))
            .expires(Duration::from_secs(5));
        let mut events = batch.messages().await?;
        while let Some(event) = events.next().await {
            let event = event.map_err(|error| anyhow::anyhow!(error))?;
            // Store the id together with what the event leads to: an event may come twice, always with the same id.
            let header = |name: &str| {
                event
                    .headers
                    .as_ref()
                    .and_then(|headers| headers.get(name))
                    .map(|v| v.as_str().to_owned())
                    .unwrap_or_default()
            };
            println!(
                r#"{{"id":"{}","type":"{}","time":"{}","bytes":{}}}"#,
                header("ce-id"),
                header("ce-type"),
                header("ce-time"),
                event.payload.len()
            );
            event.ack().await.map_err(|error| anyhow::anyhow!(error))?;
            left -= 1;
        }
    }
    connection.flush().await?;
    Ok(())
}
