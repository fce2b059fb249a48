//! Webhooks while gateway, broker and Postgres are killed: every accepted signal arrives, once in the log, under one id and one
//! sequence, and the sequences have no gap.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::cluster::{Api, Cluster};
use serde_json::{Value, json};
use sqlx::Row as _;
use test_kit::wait_for;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::a_moment;
use crate::support::cluster;

/// Until everything has arrived after the last restart: leases of the killed, and the pauses of what failed meanwhile.
const SETTLE: Duration = Duration::from_secs(120);
const BATCH: usize = 40;

/// What arrived: signals, and the sequences of each `webhook-id`.
#[derive(Default)]
pub(super) struct Arrived {
    pub(super) signals: HashSet<String>,
    sequences: HashMap<String, HashSet<String>>,
    /// Requests that arrive are left without an answer.
    pub(super) mute: bool,
    /// Requests without an answer.
    pub(super) unanswered: usize,
}

pub(super) type Book = Arc<Mutex<Arrived>>;

async fn receive(stream: TcpStream, book: Book) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            read.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.to_owned())),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        read.read_exact(&mut body).await.ok()?;
        let event: Value = serde_json::from_slice(&body).ok()?;
        {
            let mut book = book.lock().unwrap();
            let id = event["data"]["signal"]["id"].as_str()?.to_owned();
            book.signals.insert(id);
            let sequences = book.sequences.entry(headers["webhook-id"].clone()).or_default();
            sequences.insert(headers["devsignal-sequence"].clone());
            if book.mute {
                book.unanswered += 1;
                continue;
            }
        }
        write
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .ok()?;
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
pub(super) async fn receiver() -> (String, Book) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/h", listener.local_addr().unwrap());
    let book = Book::default();
    let shared = Arc::clone(&book);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, Arc::clone(&shared)));
        }
    });
    (url, book)
}

/// Sends a batch until it is accepted; gives the signals' ids.
pub(super) async fn accepted(api: &Api, round: usize) -> Vec<String> {
    let batch: Vec<Value> = (0..BATCH)
        .map(|n| json!({"type": "api_call", "idempotencyKey": format!("{round}-{n}"), "actor": {"email": format!("d{n}@acme.com")}}))
        .collect();
    wait_for("a batch is accepted", SETTLE, async || {
        let answer = api
            .post("/api/v1/signals/batch", &json!({"signals": batch}))
            .await
            .ok()?;
        let told = answer.json(202).ok()?;
        let ids = told["results"]
            .as_array()?
            .iter()
            .map(|r| r["id"].as_str().map(str::to_owned));
        ids.collect::<Option<Vec<_>>>()
    })
    .await
}

/// Waits until all of it arrived, and compares: one delivery of each, one id and sequence for all attempts of it, no gap.
pub(super) async fn arrived_once(cluster: &Cluster, book: &Book, wanted: &HashSet<String>, webhook: &str) {
    wait_for("every signal arrives", SETTLE, async || {
        let book = book.lock().unwrap();
        wanted.is_subset(&book.signals).then_some(())
    })
    .await;
    {
        let book = book.lock().unwrap();
        assert_eq!(&book.signals, wanted);
        assert!(book.sequences.values().all(|sequences| sequences.len() == 1));
    }
    let mut sql = cluster.sql().await.unwrap();
    let row = sqlx::query(
        "SELECT count(*) AS all_rows, count(DISTINCT event_id) AS events, count(DISTINCT sequence) AS sequences, \
             max(sequence) AS last FROM gateway.webhook_deliveries WHERE webhook_id = $1::text::uuid",
    )
    .bind(webhook)
    .fetch_one(&mut sql)
    .await
    .unwrap();
    let count = i64::try_from(wanted.len()).unwrap();
    for column in ["all_rows", "events", "sequences", "last"] {
        assert_eq!(row.get::<i64, _>(column), count, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_signal_arrives_once_in_the_log_whatever_is_killed() {
    let (mut cluster, api) = cluster().await;
    let (url, book) = receiver().await;
    let hook = json!({"url": url, "events": ["signal.received"]});
    let made = api
        .post("/api/v1/webhooks", &hook)
        .await
        .unwrap()
        .json(201)
        .unwrap();
    let mut wanted = HashSet::new();
    for round in 0..9 {
        wanted.extend(accepted(&api, round).await);
        a_moment().await;
        match round % 3 {
            0 => {
                cluster.kill("gateway").await.unwrap();
                cluster.restart("gateway").unwrap();
            }
            1 => {
                cluster.kill_postgres().await.unwrap();
                a_moment().await;
                cluster.restart_postgres().await.unwrap();
            }
            _ => {
                cluster.kill_nats().await.unwrap();
                if round > 4 {
                    cluster.wipe_nats().await.unwrap();
                }
                cluster.restart_nats().await.unwrap();
            }
        }
        cluster.wait_healthy().await;
    }
    arrived_once(&cluster, &book, &wanted, made["id"].as_str().unwrap()).await;
}
