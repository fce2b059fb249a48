//! What is given up on is kept, and can be tried again.

use bytes::Bytes;
use store::dead_letters::{self, NewDeadLetter, Redrive};

use crate::support::{new_id, org, stores};

fn letter(consumer: &str) -> NewDeadLetter {
    NewDeadLetter {
        message_id: new_id(),
        org: Some(org().org()),
        consumer: consumer.into(),
        subject: "evt.x.signals.recorded".into(),
        headers: serde_json::json!({"ce-id": "1"}),
        payload: Bytes::from_static(b"\x00\xff"),
        reason: "no such account".into(),
        attempts: 8,
    }
}

#[tokio::test]
async fn a_letter_is_kept_as_it_was_and_listed_oldest_first() {
    let stores = stores().await;
    let (one, two) = (letter("a"), letter("b"));
    let first = dead_letters::insert(&stores.pipeline, &one).await.unwrap();
    let second = dead_letters::insert(&stores.pipeline, &two).await.unwrap();
    let all = dead_letters::list(&stores.pipeline, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        all.iter()
            .map(|kept| (kept.id, kept.letter.clone()))
            .collect::<Vec<_>>(),
        [(first, one), (second, two)]
    );
    let rest = dead_letters::list(&stores.pipeline, None, Some(first), 10)
        .await
        .unwrap();
    assert_eq!(rest.iter().map(|kept| kept.id).collect::<Vec<_>>(), [second]);
    let of_a = dead_letters::list(&stores.pipeline, Some("a"), None, 10)
        .await
        .unwrap();
    assert_eq!(of_a.iter().map(|kept| kept.id).collect::<Vec<_>>(), [first]);
    let waiting = dead_letters::waiting(&stores.pipeline).await.unwrap();
    assert_eq!(
        waiting
            .iter()
            .map(|w| (w.consumer.as_str(), w.count))
            .collect::<Vec<_>>(),
        [("a", 1), ("b", 1)]
    );
}

#[tokio::test]
async fn what_fails_again_is_one_letter_that_waits_again() {
    let stores = stores().await;
    let mut kept = letter("a");
    let id = dead_letters::insert(&stores.pipeline, &kept).await.unwrap();
    assert_eq!(
        dead_letters::request_redrive(&stores.pipeline, &Redrive::All)
            .await
            .unwrap(),
        1
    );
    let mut tx = stores.pipeline.begin().await.unwrap();
    let taken = dead_letters::take_redrivable(&mut tx, "a", 10).await.unwrap();
    assert_eq!(taken.iter().map(|t| t.id).collect::<Vec<_>>(), [id]);
    dead_letters::mark_redriven(&mut tx, &[id]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(dead_letters::waiting(&stores.pipeline).await.unwrap().is_empty());

    kept.reason = "still".into();
    assert_eq!(dead_letters::insert(&stores.pipeline, &kept).await.unwrap(), id);
    let all = dead_letters::list(&stores.pipeline, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        (all[0].letter.reason.as_str(), all[0].letter.attempts, all.len()),
        ("still", 16, 1)
    );
    assert_eq!((all[0].redrive_requested_at, all[0].redriven_at), (None, None));
}

#[tokio::test]
async fn a_letter_is_handed_to_one_replica_only_and_back_if_that_fails() {
    let stores = stores().await;
    let id = dead_letters::insert(&stores.pipeline, &letter("a"))
        .await
        .unwrap();
    let other = dead_letters::insert(&stores.pipeline, &letter("b"))
        .await
        .unwrap();
    assert_eq!(
        dead_letters::request_redrive(&stores.pipeline, &Redrive::Ids(vec![id]))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        dead_letters::request_redrive(&stores.pipeline, &Redrive::Consumer("a".into()))
            .await
            .unwrap(),
        0
    );
    let mut one = stores.pipeline.begin().await.unwrap();
    let mut two = stores.pipeline.begin().await.unwrap();
    assert_eq!(
        dead_letters::take_redrivable(&mut one, "a", 10)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        dead_letters::take_redrivable(&mut two, "a", 10)
            .await
            .unwrap()
            .len(),
        0
    );
    one.rollback().await;
    assert_eq!(
        dead_letters::take_redrivable(&mut two, "a", 10)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        dead_letters::take_redrivable(&mut two, "b", 10).await.unwrap(),
        [],
        "{other} was not asked for"
    );
}

#[tokio::test]
async fn no_text_is_too_strange_to_be_kept() {
    let stores = stores().await;
    let strange = NewDeadLetter {
        org: None,
        subject: "a\0b".into(),
        reason: format!("\0{}", "é".repeat(10_000)),
        headers: serde_json::json!({"k\0": ["v\0", {"n": 1}]}),
        payload: Bytes::new(),
        ..letter("a")
    };
    dead_letters::insert(&stores.pipeline, &strange).await.unwrap();
    let all = dead_letters::list(&stores.pipeline, None, None, 10)
        .await
        .unwrap();
    assert_eq!(
        all[0].letter.headers,
        serde_json::json!({"k\u{FFFD}": ["v\u{FFFD}", {"n": 1}]})
    );
    assert!(all[0].letter.reason.len() <= 8 * 1024 + 2);
}
