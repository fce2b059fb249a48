//! Partners at a broker of their own: what they reach, what they do not, quotas, and the end of a credential.

use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::pull;
use eventbus::partners::{DOMAIN, Partners};
use futures::StreamExt as _;
use test_kit::wait_for;
use uuid::Uuid;

use crate::harness::{LATER, SOON, org};
use crate::partner_world::{PASSWORD, World, forbidden, read};

#[tokio::test]
async fn a_partner_reads_its_organizations_events_in_order_and_no_other() {
    let world = World::start().await;
    let (all, deals) = (
        world.credential(org(1), &[]).await,
        world.credential(org(1), &["deal.created", "deal.closed"]).await,
    );
    let other = world.credential(org(2), &[]).await;
    for n in 0..10 {
        world
            .tell(org(1), "contact.created", &format!("contact {n}"))
            .await;
        world.tell(org(1), "deal.created", &format!("deal {n}")).await;
        world.tell(org(2), "deal.created", &format!("secret {n}")).await;
    }
    let events = read(&world.connect(all.credential).await, &all, 100).await;
    let expected: Vec<_> = (0..10)
        .flat_map(|n| {
            [
                (format!("evt.{}.contact.created", org(1)), format!("contact {n}")),
                (format!("evt.{}.deal.created", org(1)), format!("deal {n}")),
            ]
        })
        .collect();
    assert_eq!(events, expected);
    let events = read(&world.connect(deals.credential).await, &deals, 100).await;
    assert!(events.len() == 10 && events.iter().all(|(_, text)| text.starts_with("deal")));
    let events = read(&world.connect(other.credential).await, &other, 100).await;
    assert!(events.len() == 10 && events.iter().all(|(_, text)| text.starts_with("secret")));
    world.wait_acknowledged(&other).await;
}

#[tokio::test]
async fn an_ordered_consumer_gets_one_event_at_a_time_and_the_same_again_until_it_is_done() {
    let world = World::start().await;
    let own = world.ordered(org(1)).await;
    for n in 0..5 {
        world.tell(org(1), "deal.created", &format!("{n}")).await;
    }
    let client = world.connect(own.credential).await;
    let js = async_nats::jetstream::with_domain(client.clone(), DOMAIN);
    let consumer: async_nats::jetstream::consumer::PullConsumer =
        js.get_consumer_from_stream(own.name(), "EVENTS").await.unwrap();
    let mut seen = Vec::new();
    for refusals in [2, 0, 1, 0, 0] {
        for again in (0..=refusals).rev() {
            let batch = consumer
                .fetch()
                .max_messages(5)
                .expires(Duration::from_millis(300));
            let mut messages = batch.messages().await.unwrap();
            let message = messages.next().await.unwrap().unwrap();
            assert!(messages.next().await.is_none(), "more than one in hand");
            let kind = async_nats::jetstream::AckKind::Nak(None);
            if again > 0 {
                message.ack_with(kind).await.unwrap()
            } else {
                message.ack().await.unwrap()
            }
            client.flush().await.unwrap();
            seen.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
    }
    assert_eq!(seen, ["0", "0", "0", "1", "2", "2", "3", "4"]);
}

#[tokio::test]
async fn nothing_else_than_its_own_consumers_is_within_a_partners_reach() {
    let world = World::start().await;
    let (own, other) = (
        world.credential(org(1), &[]).await,
        world.credential(org(2), &[]).await,
    );
    world.tell(org(1), "deal.created", "ours").await;
    world.tell(org(2), "deal.created", "theirs").await;
    let client = world.connect(own.credential).await;
    let before = (world.stored().await, world.consumers().await);
    let asked = forbidden(&own, &other);
    assert!(asked.len() > 70, "{}", asked.len());
    let answers = asked.into_iter().map(|(subject, body)| {
        let client = client.clone();
        async move { (subject.clone(), client.request(subject, body.into()).await) }
    });
    for (subject, answer) in futures::future::join_all(answers).await {
        assert!(answer.is_err(), "{subject} was answered: {answer:?}");
    }
    assert_eq!((world.stored().await, world.consumers().await), before);
    let state = world.partners.state(&other).await.unwrap().unwrap();
    assert_eq!(
        (state.pending, state.unacknowledged),
        (1, 0),
        "nobody touched the other's consumer"
    );
    // And it still may what it may.
    assert_eq!(read(&client, &own, 10).await.len(), 1);
}

#[tokio::test]
async fn nothing_but_its_own_inbox_is_heard() {
    let world = World::start().await;
    let (own, other) = (
        world.credential(org(1), &[]).await,
        world.credential(org(2), &[]).await,
    );
    let client = world.connect(own.credential).await;
    let mut heard = Vec::new();
    for subject in [
        ">".to_owned(),
        "*".into(),
        "*.>".into(),
        "evt.>".into(),
        format!("evt.{}.>", org(1)),
        format!("evt.{}.>", org(2)),
        "pipeline.>".into(),
        "_INBOX.>".into(),
        format!("{}.>", Partners::inbox_of(other.credential)),
        "_R_.>".into(),
        "$SYS.>".into(),
        "$JS.>".into(),
        "$JS.EVENT.>".into(),
        "$JS.ACK.>".into(),
    ] {
        // One at a time: a connection may have eight.
        let mut subscription = client.subscribe(subject.clone()).await.unwrap();
        client.flush().await.unwrap();
        world.tell(org(1), "deal.created", "ours").await;
        world.tell(org(2), "deal.created", "theirs").await;
        let theirs = world.connect(other.credential).await;
        read(&theirs, &other, 10).await;
        if let Ok(Some(message)) = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await
        {
            heard.push((subject, message.subject));
        }
        subscription.unsubscribe().await.unwrap();
    }
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test]
async fn an_answer_cannot_be_sent_to_somebody_elses_subject() {
    let world = World::start().await;
    let own = world.credential(org(1), &[]).await;
    for n in 0..20 {
        world.tell(org(1), "deal.created", &format!("{n}")).await;
    }
    let mut watch = world.client.subscribe("*.>").await.unwrap();
    world.client.flush().await.unwrap();
    let before = world.stored().await;
    let client = world.connect(own.credential).await;
    let next = format!("$JS.{DOMAIN}.API.CONSUMER.MSG.NEXT.EVENTS.{}", own.name());
    let replies = [
        format!("evt.{}.deal.closed", org(2)),
        format!("evt.{}.deal.closed", org(1)),
        format!("pipeline.{}.signals.accepted", org(2)),
        "$JS.API.STREAM.DELETE.EVENTS".into(),
        "$JS.API.STREAM.PURGE.EVENTS".into(),
        "plain".into(),
    ];
    for reply in &replies {
        client
            .publish_with_reply(
                next.clone(),
                reply.clone(),
                r#"{"batch":2,"no_wait":true}"#.into(),
            )
            .await
            .unwrap();
        let info = format!("$JS.{DOMAIN}.API.CONSUMER.INFO.EVENTS.{}", own.name());
        client
            .publish_with_reply(info, reply.clone(), "".into())
            .await
            .unwrap();
    }
    client.flush().await.unwrap();
    world.tell(org(1), "deal.created", "last").await;
    // What our own account saw until then: the requests that crossed by the exports, and the last event.
    while let Some(message) = watch.next().await {
        let subject = message.subject.as_str();
        assert!(
            !replies.iter().any(|reply| reply == subject),
            "an answer reached {subject}"
        );
        if message.payload == "last" {
            break;
        }
    }
    assert_eq!(world.stored().await, before + 1);
}

#[tokio::test]
async fn only_a_good_credential_with_its_password_is_let_in() {
    let world = World::start().await;
    let own = world.credential(org(1), &[]).await;
    let id = own.credential.to_string();
    for options in [
        ConnectOptions::new(),
        ConnectOptions::with_user_and_password(id.clone(), "wrong".into()),
        ConnectOptions::with_user_and_password(id.clone(), String::new()),
        ConnectOptions::with_user_and_password(Uuid::from_u128(5).to_string(), PASSWORD.into()),
        ConnectOptions::with_user_and_password("devsignal".into(), PASSWORD.into()),
        ConnectOptions::with_user_and_password("system".into(), PASSWORD.into()),
        ConnectOptions::with_user_and_password("x' OR '1'='1".into(), PASSWORD.into()),
        ConnectOptions::with_token(PASSWORD.into()),
    ] {
        assert!(world.try_connect(options).await.is_err());
    }
    world.connect(own.credential).await;
    world.known.0.lock().grants.clear();
    assert!(world.try_connect(world.options(own.credential)).await.is_err());
}

#[tokio::test]
async fn a_revoked_credentials_connections_and_consumers_end_within_five_seconds() {
    let world = World::start().await;
    let (own, other) = (
        world.credential(org(1), &[]).await,
        world.credential(org(2), &[]).await,
    );
    let (gone, stays) = (
        world.connect(own.credential).await,
        world.connect(other.credential).await,
    );
    world.tell(org(1), "deal.created", "before").await;
    assert_eq!(read(&gone, &own, 1).await.len(), 1);

    world.known.0.lock().grants.remove(&own.credential);
    world.partners.changed();
    let revoked = Instant::now();
    wait_for("the connection ended", SOON, async || {
        let connected = gone.connection_state() == async_nats::connection::State::Connected;
        (!connected).then_some(())
    })
    .await;
    println!(
        "revoked credential: connection ended after {:?}",
        revoked.elapsed()
    );
    wait_for("its consumer is gone", SOON, async || {
        (world.consumers().await == [other.name()]).then_some(())
    })
    .await;
    println!("revoked credential: consumer gone after {:?}", revoked.elapsed());
    assert!(world.try_connect(world.options(own.credential)).await.is_err());
    world.tell(org(2), "deal.created", "after").await;
    assert_eq!(read(&stays, &other, 1).await.len(), 1, "others are not touched");
}

#[tokio::test]
async fn connections_and_subscriptions_above_the_quota_do_not_last() {
    let world = World::start().await;
    let own = world.credential(org(1), &[]).await;
    let (first, second) = (
        world.connect(own.credential).await,
        world.connect(own.credential).await,
    );
    // The third is refused once the two were counted, and ended if it came before.
    wait_for("a third connection is refused", SOON, async || {
        world
            .try_connect(world.options(own.credential))
            .await
            .is_err()
            .then_some(())
    })
    .await;
    for client in [&first, &second] {
        client.flush().await.unwrap();
        assert_eq!(
            client.connection_state(),
            async_nats::connection::State::Connected,
            "the oldest stay"
        );
    }
    let inbox = Partners::inbox_of(own.credential);
    let mut held = Vec::new();
    for n in 0..20 {
        held.push(first.subscribe(format!("{inbox}.{n}.>")).await.unwrap());
    }
    let ended = wait_for(
        "the broker ends what is above the quota of subscriptions",
        SOON,
        async || {
            let dropped = held
                .iter_mut()
                .skip(8)
                .all(|s| futures::FutureExt::now_or_never(s.next()).is_none_or(|m| m.is_none()));
            let lost = first.connection_state() != async_nats::connection::State::Connected;
            (dropped || lost).then_some(())
        },
    );
    ended.await;
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_was_after_weeks_and_after_the_broker_restarted() {
    let mut world = World::start().await;
    let own = world.credential(org(1), &[]).await;
    let mut seen = Vec::new();
    for n in 0..30 {
        world.tell(org(1), "deal.created", &format!("{n}")).await;
    }
    let client = world.connect(own.credential).await;
    seen.extend(read(&client, &own, 10).await);
    world.wait_acknowledged(&own).await;
    drop(client);
    for n in 30..60 {
        world.tell(org(1), "deal.created", &format!("{n}")).await;
    }
    world.nats.restart().await.unwrap();
    let client = wait_for("the partner is let in again", LATER, async || {
        world.try_connect(world.options(own.credential)).await.ok()
    })
    .await;
    seen.extend(read(&client, &own, 100).await);
    let texts: Vec<String> = seen.into_iter().map(|(_, text)| text).collect();
    let expected: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected, "no gap, no repetition");
}

#[tokio::test]
async fn a_consumer_that_the_broker_lost_is_made_again_and_misses_nothing() {
    let world = World::start().await;
    let own = world.credential(org(1), &[]).await;
    for n in 0..5 {
        world.tell(org(1), "deal.created", &format!("{n}")).await;
    }
    let client = world.connect(own.credential).await;
    assert_eq!(read(&client, &own, 3).await.len(), 3);
    world
        .js
        .delete_consumer_from_stream(own.name(), "EVENTS")
        .await
        .unwrap();
    world.partners.changed();
    wait_for("it is there again", SOON, async || {
        world.partners.state(&own).await.unwrap().map(|_| ())
    })
    .await;
    assert_eq!(
        read(&client, &own, 10).await.len(),
        5,
        "from its start: again, and none missed"
    );
    // Somebody else's consumer of a like name stays, an orphan of ours goes.
    let config = |name: &str| pull::Config {
        durable_name: Some(name.into()),
        ..pull::Config::default()
    };
    for name in ["crm_x", "partner_orphan"] {
        world
            .js
            .create_consumer_on_stream(config(name), "EVENTS")
            .await
            .unwrap();
    }
    world.partners.changed();
    wait_for("the orphan is gone", SOON, async || {
        (world.consumers().await == ["crm_x".to_owned(), own.name()]).then_some(())
    })
    .await;
    world.life.stop(Duration::from_secs(5)).await.unwrap();
}
