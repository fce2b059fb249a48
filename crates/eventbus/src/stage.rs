//! How far a service is behind: its consumers, its outbox, its dead letters.

use std::collections::HashMap;

use contracts::ops::v1::{ListStagesRequest, ListStagesResponse, Stage, stage_service_server::StageService};
use errors::ErrorDomain as _;
use jiff::Timestamp;
use store::{Stores, dead_letters, outbox};
use tonic::{Request, Response, Status};

use crate::{Bus, BusError, attach, bus::Registered, time};

/// Answers `devsignal.ops.v1.StageService` for one service, from what runs in this process.
#[derive(Debug, Clone)]
pub struct StageReporter {
    service: &'static str,
    bus: Bus,
    stores: Stores,
}

impl StageReporter {
    /// Reports on the consumers that `service` started with [`crate::spawn_consumer`] on this bus, and on its outbox.
    #[must_use]
    pub fn new(service: &'static str, bus: &Bus, stores: &Stores) -> Self {
        Self {
            service,
            bus: bus.clone(),
            stores: stores.clone(),
        }
    }

    /// The stages: `<service>/outbox` first, then `<service>/<event>` for each consumer.
    ///
    /// # Errors
    /// Database or broker do not answer.
    pub async fn stages(&self) -> Result<Vec<Stage>, BusError> {
        let waiting = dead_letters::waiting(&self.stores.pipeline).await?;
        let dead: HashMap<&str, u64> = waiting.iter().map(|w| (w.consumer.as_str(), w.count)).collect();
        let dead_of = |consumer: &str| int(dead.get(consumer).copied().unwrap_or(0));
        let unpublished = outbox::unpublished_stats(&self.stores.pipeline).await?;
        let mut stages = vec![Stage {
            name: format!("{}/outbox", self.service),
            lag: int(unpublished.count),
            oldest_age_ms: unpublished.oldest.map_or(0, |oldest| self.age(oldest)),
            dead_letters: dead_of(&crate::relay::dead_letter_consumer(self.service)),
        }];
        for consumer in self.bus.registered(self.service) {
            let behind = self.behind(&consumer).await?;
            stages.push(Stage {
                name: format!("{}/{}", self.service, consumer.event),
                lag: int(behind.lag),
                oldest_age_ms: behind.oldest.map_or(0, |oldest| self.age(oldest)),
                dead_letters: dead_of(&consumer.durable),
            });
        }
        Ok(stages)
    }

    async fn behind(&self, consumer: &Registered) -> Result<Behind, BusError> {
        let stream_name = self.bus.names().stream(consumer.stream);
        let info = attach::info(&self.bus, &stream_name, &consumer.durable)
            .await
            .map_err(|error| BusError::broker("get consumer", error))?;
        let in_hand = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
        let lag = info.num_pending.saturating_add(in_hand);
        if lag == 0 {
            return Ok(Behind { lag, oldest: None });
        }
        // With nothing in hand, everything up to the last delivery is done (or given up on, which leaves the floor behind).
        let done = if in_hand == 0 {
            info.delivered.stream_sequence
        } else {
            info.ack_floor.stream_sequence
        };
        let filter = self.bus.names().filter(consumer.event, consumer.stream);
        let stream = self.bus.js().get_stream_no_info(&stream_name).await;
        let stream = stream.map_err(|error| BusError::broker("get stream", error))?;
        // A message that was handled since is no error: then nothing, or a younger one, is the oldest.
        let first = stream
            .get_first_raw_message_by_subject(&filter, done + 1)
            .await
            .ok();
        Ok(Behind {
            lag,
            oldest: first.map(|message| time::timestamp(message.time)),
        })
    }

    fn age(&self, since: Timestamp) -> i64 {
        i64::try_from(self.bus.now().duration_since(since).as_millis())
            .unwrap_or(i64::MAX)
            .max(0)
    }
}

/// How far one consumer is behind.
struct Behind {
    lag: u64,
    oldest: Option<Timestamp>,
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl StageService for StageReporter {
    async fn list_stages(
        &self,
        _request: Request<ListStagesRequest>,
    ) -> Result<Response<ListStagesResponse>, Status> {
        match self.stages().await {
            Ok(stages) => Ok(Response::new(ListStagesResponse { stages })),
            Err(error) => {
                tracing::warn!(service = self.service, error = %crate::bus::chain(&error), "stages cannot be listed");
                Err(error.to_api().to_status())
            }
        }
    }
}
