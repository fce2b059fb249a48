//! Many at once: decisions have one order, whoever makes them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::harness::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_replicas_that_see_a_person_for_the_first_time_make_one() {
    let base = Base::create().await;
    let replicas: Vec<_> = (0..50).map(|_| base.replica()).collect();
    let first = replicas.iter().enumerate().map(async |(i, replica)| {
        replica
            .resolve(
                org(1),
                &[&format!(
                    "email=jane@acme.com; name=Jane {i}; company=Acme; anon=device-{i}"
                )],
            )
            .await
    });
    let batches = join_all(first).await;
    assert_eq!(
        base.count("SELECT count(*) FROM actors WHERE kind = 'person'")
            .await,
        1
    );
    assert_eq!(base.count("SELECT count(*) FROM accounts").await, 1);
    let told = base.told().await;
    let persons: BTreeSet<_> = batches
        .iter()
        .map(|id| told.batch(*id)[0].contact_id.clone().unwrap())
        .collect();
    let accounts: BTreeSet<_> = batches
        .iter()
        .map(|id| told.batch(*id)[0].account_id.clone().unwrap())
        .collect();
    assert_eq!((persons.len(), accounts.len()), (1, 1));
    // Each of the fifty told something new, so that each has a revision of its own.
    let revisions: BTreeSet<_> = told.contacts.iter().map(|contact| contact.revision).collect();
    assert_eq!(revisions, (1..=50).collect());
    assert_eq!(
        base.count("SELECT count(*) FROM decisions WHERE kind = 'person_created'")
            .await,
        1
    );
}

/// Persons with an e-mail, a login, a user id and two devices; signals that name some of them, in an order of chance,
/// through replicas that all know something else. In the end there is one actor per person, and every signal is theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_replica_sees_what_first_the_persons_are_the_same() {
    const PERSONS: usize = 40;
    let base = Base::create().await;
    let replicas: Vec<_> = (0..4).map(|_| base.replica()).collect();
    let mut chance = Chance(7);
    let mut signals: Vec<(usize, String)> = Vec::new();
    for person in 0..PERSONS {
        let own = [
            format!("email=p{person}@gmail.com"),
            format!("github=p{person}"),
            format!("user=u{person}"),
            format!("anon=d{person}"),
        ];
        // A chain through all of them, and each on its own.
        signals.extend(own.windows(2).map(|pair| (person, pair.join("; "))));
        signals.extend(own.iter().map(|one| (person, one.clone())));
    }
    chance.shuffle(&mut signals);
    let batches: Vec<Vec<(usize, String)>> = signals.chunks(7).map(<[_]>::to_vec).collect();
    let work = batches.iter().enumerate().map(async |(i, batch)| {
        let texts: Vec<&str> = batch.iter().map(|(_, text)| text.as_str()).collect();
        replicas[i % replicas.len()].resolve(org(1), &texts).await
    });
    let ids = join_all(work).await;

    let told = base.told().await;
    let mut actors: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (id, batch) in ids.iter().zip(&batches) {
        for (signal, (person, _)) in told.batch(*id).iter().zip(batch) {
            actors
                .entry(*person)
                .or_default()
                .insert(told.follow(signal.actor_id.as_ref().unwrap()));
        }
    }
    for (person, actors) in &actors {
        assert_eq!(actors.len(), 1, "person {person}");
    }
    let distinct: BTreeSet<_> = actors.values().flatten().collect();
    assert_eq!(distinct.len(), PERSONS);
    let alive = "SELECT count(DISTINCT actor_id) FROM identities";
    assert_eq!(base.count(alive).await, i64::try_from(PERSONS).unwrap());
    let dangling =
        "SELECT count(*) FROM identities i JOIN actors a ON a.org_id = i.org_id AND a.id = i.actor_id
                    WHERE a.merged_into IS NOT NULL";
    assert_eq!(base.count(dangling).await, 0);
}

/// A small generator, so that the test is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}
