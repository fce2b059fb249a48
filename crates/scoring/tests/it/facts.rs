//! What Postgres adds up is what the signals say.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use scoring::domain::facts::AccountFacts;
use scoring::domain::model::Model;
use scoring::domain::signal::{RecordedSignal, UsageReading};
use uuid::Uuid;

use crate::harness::{World, identified, new_id, new_org};
use crate::reference;

/// A small generator of its own, so that a failure names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn some_signals(dice: &mut Dice, actors: &[Uuid], now: Timestamp) -> Vec<RecordedSignal> {
    let count = dice.roll(150);
    let oldest = [3_000, 60_000, 250_000][usize::try_from(dice.roll(3)).unwrap()];
    (0..count)
        .map(|_| {
            let actor = usize::try_from(dice.roll(actors.len() as u64 + 1)).unwrap();
            RecordedSignal {
                id: new_id(),
                actor: actors.get(actor).copied().unwrap_or_default(),
                account: Uuid::nil(),
                // Seconds, and few of them: equal times happen.
                at: now - SignedDuration::from_mins(i64::try_from(dice.roll(oldest)).unwrap()),
                kind: format!("kind{}", dice.roll(4)),
                feature: if dice.roll(2) == 0 {
                    String::new()
                } else {
                    format!("feature{}", dice.roll(9))
                },
                competitor: if dice.roll(8) == 0 {
                    format!("rival{}", dice.roll(7))
                } else {
                    String::new()
                },
                usage: (dice.roll(4) == 0).then(|| UsageReading {
                    metric: format!("metric{}", dice.roll(3)),
                    used: f64::from(u32::try_from(dice.roll(120)).unwrap()),
                    limit: 100.0,
                }),
                title: None,
            }
        })
        .collect()
}

#[tokio::test]
async fn the_facts_from_the_database_equal_the_facts_from_the_signals() {
    let world = World::new().await;
    let (org, now) = (new_org(), world.now());
    let model = Model::built_in().unwrap();
    let mut dice = Dice(0x5EED_0F5C_0413_1175);
    let actors: Vec<Uuid> = (0..14).map(|_| new_id()).collect();
    let mut titles = BTreeMap::new();
    for (n, actor) in actors.iter().enumerate().take(8) {
        let title = ["CTO", "VP Sales", "Engineer"][n % 3];
        world.tell(org, &identified(*actor, 1, Some(title))).await;
        titles.insert(*actor, title.to_owned());
    }
    let mut accounts = Vec::new();
    let mut expected: Vec<AccountFacts> = Vec::new();
    for _ in 0..60 {
        let account = new_id();
        let signals: Vec<RecordedSignal> = some_signals(&mut dice, &actors, now)
            .into_iter()
            .map(|s| RecordedSignal { account, ..s })
            .collect();
        expected.push(reference::facts(&model, &signals, &titles, now));
        for part in signals.chunks(40) {
            let batch = scoring::store::rollup::Batch {
                id: new_id(),
                org: org.uuid(),
                signals: part.to_vec(),
            };
            scoring::store::rollup::add(&world.stores.pipeline, "test", &[batch], now)
                .await
                .unwrap();
        }
        accounts.push((org.uuid(), account));
    }
    let mut tx = world.stores.pipeline.begin().await.unwrap();
    let loaded = scoring::store::facts::load(&mut tx, &model, &accounts, now)
        .await
        .unwrap();
    tx.rollback().await;
    assert_eq!(loaded.len(), expected.len());
    for (n, (loaded, expected)) in loaded.into_iter().zip(expected).enumerate() {
        assert_eq!(loaded, expected, "account {n}");
    }
}
