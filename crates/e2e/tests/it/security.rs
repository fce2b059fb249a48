//! The security checklist, where it takes the whole system; `docs/SECURITY.md` lists the tests of all rows.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::{StreamKind, TOLD};
use devsignal::broker::LOGINS;
use e2e::cluster::Cluster;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn s_04_no_schema_has_a_hole_in_the_walls_between_tenants() {
    let (cluster, _) = cluster().await;
    let mut sql = cluster.sql().await.unwrap();
    for schema in devsignal::wiring::SCHEMAS {
        let violations = store::catalog::violations(&mut sql, schema).await.unwrap();
        assert_eq!(violations, Vec::<String>::new(), "{schema}");
    }
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE (rolbypassrls OR rolsuper) \
         AND (rolname LIKE '%\\_app' OR rolname LIKE '%\\_pipeline' OR rolname LIKE '%\\_owner')",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(loose, Vec::<String>::new());
}

/// A client that speaks the broker's protocol by hand: what is refused shows as it is.
struct Wire {
    stream: BufReader<TcpStream>,
    info: serde_json::Value,
}

impl Wire {
    async fn open(cluster: &Cluster) -> Self {
        let address = cluster.wiring().nats_url.trim_start_matches("nats://").to_owned();
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let info = line(&mut stream).await;
        let info = serde_json::from_str(info.trim_start_matches("INFO ")).unwrap();
        Self { stream, info }
    }

    async fn login(cluster: &Cluster, user: &str, password: &str) -> Self {
        let mut wire = Self::open(cluster).await;
        let connect = json!({"verbose": false, "user": user, "pass": password, "headers": true});
        let told = wire.say(&[format!("CONNECT {connect}")]).await;
        assert_eq!(told, Vec::<String>::new(), "{user}");
        wire
    }

    /// Sends the lines; what the server says until it has read them, or has hung up.
    async fn say(&mut self, lines: &[String]) -> Vec<String> {
        for line in lines {
            self.stream
                .write_all(format!("{line}\r\n").as_bytes())
                .await
                .unwrap();
        }
        // Whoever is refused is hung up on, perhaps before this.
        let _hung_up = self.stream.write_all(b"PING\r\n").await;
        let mut told = Vec::new();
        loop {
            match line(&mut self.stream).await {
                end if end == "PONG" || end.is_empty() => return told,
                ping if ping == "PING" => {}
                other => told.push(other),
            }
        }
    }

    /// The answer to a request, as JSON.
    async fn ask(&mut self, subject: &str) -> serde_json::Value {
        let lines = [
            "SUB _INBOX.answer 1".to_owned(),
            format!("PUB {subject} _INBOX.answer 0\r\n"),
        ];
        let mut told = self.say(&lines).await;
        while !told.iter().any(|line| line.starts_with('{')) {
            told.push(line(&mut self.stream).await);
        }
        let body = told.iter().find(|line| line.starts_with('{')).unwrap();
        serde_json::from_str(body).unwrap()
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut line));
    match read.await.expect("nats-server answers") {
        Ok(_) => line.trim_end().to_owned(),
        // Hung up on with something of ours unread: no line either.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_nobody_uses_the_broker_without_its_password() {
    let (cluster, _) = cluster().await;
    for connect in [
        r#"CONNECT {"verbose":false}"#,
        r#"CONNECT {"user":"devsignal","pass":""}"#,
        r#"CONNECT {"user":"devsignal","pass":"wrong"}"#,
        r#"CONNECT {"user":"crm","pass":"wrong"}"#,
        r#"CONNECT {"auth_token":"x"}"#,
    ] {
        let mut wire = Wire::open(&cluster).await;
        let told = wire.say(&[connect.to_owned()]).await.concat();
        assert!(told.contains("Authorization Violation"), "{connect}: {told}");
        assert_eq!(wire.info["auth_required"], true, "{}", wire.info);
        let version = wire.info["version"].as_str().unwrap();
        let numbers: Vec<u32> = version.split('.').take(2).map(|n| n.parse().unwrap()).collect();
        assert!(numbers >= vec![2, 12], "{version}");
        assert!(wire.info.get("ws_connect_urls").is_none(), "no WebSocket");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_no_service_publishes_the_events_of_another() {
    let (cluster, api) = cluster().await;
    for login in LOGINS {
        let password = &cluster.wiring().secrets.broker[login.service];
        let mut wire = Wire::login(&cluster, login.service, password).await;
        let foreign = TOLD.iter().filter(|told| told.source != login.service);
        let subjects: Vec<String> = foreign
            .map(|told| format!("{}.{}.{}", told.stream.root(), api.org, told.kind))
            .collect();
        let said: Vec<String> = subjects.iter().map(|s| format!("PUB {s} 0\r\n")).collect();
        let told = wire.say(&said).await;
        let refused: Vec<String> = subjects
            .iter()
            .map(|s| format!("-ERR 'Permissions Violation for Publish to \"{s}\"'"))
            .collect();
        assert_eq!(told, refused, "{}", login.service);
    }
    // Whoever may do everything finds only what was told by whose it is.
    let url = cluster.nats_operator_url();
    let (user, rest) = url.trim_start_matches("nats://").split_once(':').unwrap();
    let mut operator = Wire::login(&cluster, user, rest.split_once('@').unwrap().0).await;
    let info = operator.ask("$JS.API.STREAM.INFO.EVENTS").await;
    assert_eq!(info["config"]["name"], "EVENTS", "{info}");
    // A consumer that is not listed could not be made, and one that is listed in vain is a permission too many.
    for stream in [StreamKind::Pipeline, StreamKind::Events] {
        let subject = format!("$JS.API.CONSUMER.NAMES.{}", stream.name());
        let names = operator.ask(&subject).await;
        let names = names["consumers"].as_array().unwrap().iter();
        let durable: BTreeSet<&str> = names
            .filter_map(serde_json::Value::as_str)
            .filter(|name| {
                LOGINS
                    .iter()
                    .any(|login| name.starts_with(&format!("{}_", login.service)))
            })
            .collect();
        let listed: BTreeSet<String> = LOGINS
            .iter()
            .flat_map(|login| login.consumes.iter().map(|event| (login.service, *event)))
            .filter(|(_, event)| contracts::type_of(event).unwrap().1 == stream)
            .map(|(service, event)| format!("{service}_{}", event.replace('.', "_")))
            .collect();
        assert_eq!(durable, listed.iter().map(String::as_str).collect());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_08_no_service_does_more_at_the_broker_than_it_must() {
    let (cluster, api) = cluster().await;
    for login in LOGINS {
        let password = &cluster.wiring().secrets.broker[login.service];
        let mut wire = Wire::login(&cluster, login.service, password).await;
        let other = if login.service == "crm" { "scoring" } else { "crm" };
        let heard = [
            ">".to_owned(),
            "$SYS.>".to_owned(),
            "$JS.>".to_owned(),
            format!("evt.{}.>", api.org),
            "pipeline.>".to_owned(),
            format!("_INBOX_{other}.>"),
            "_INBOX.>".to_owned(),
        ];
        let said = [
            "$JS.API.STREAM.DELETE.EVENTS".to_owned(),
            "$JS.API.STREAM.PURGE.PIPELINE".to_owned(),
            "$JS.API.STREAM.MSG.DELETE.EVENTS".to_owned(),
            "$JS.API.STREAM.SNAPSHOT.EVENTS".to_owned(),
            "$JS.API.STREAM.CREATE.OTHER".to_owned(),
            "$JS.API.STREAM.LIST".to_owned(),
            "$JS.API.ACCOUNT.PURGE.DEVSIGNAL".to_owned(),
            "$JS.API.INFO".to_owned(),
            format!("$JS.API.CONSUMER.CREATE.PIPELINE.{other}_signals_accepted"),
            format!(
                "$JS.API.CONSUMER.CREATE.PIPELINE.{}_x.pipeline.x.y",
                login.service
            ),
            format!("$JS.API.CONSUMER.DELETE.PIPELINE.{other}_x"),
            format!("$JS.ACK.PIPELINE.{other}_signals_accepted.1.1.1.1.1"),
            "$SYS.REQ.SERVER.PING".to_owned(),
            "$SYS.REQ.USER.AUTH".to_owned(),
            "_INBOX_x.y".to_owned(),
            "anything".to_owned(),
        ];
        let mut lines: Vec<String> = (1..).zip(&heard).map(|(n, s)| format!("SUB {s} {n}")).collect();
        lines.extend(
            said.iter()
                .map(|s| format!("PUB {s} _INBOX_{}.1 0\r\n", login.service)),
        );
        let told = wire.say(&lines).await;
        let mut refused: Vec<String> = heard
            .iter()
            .map(|s| format!("-ERR 'Permissions Violation for Subscription to \"{s}\"'"))
            .collect();
        refused.extend(
            said.iter()
                .map(|s| format!("-ERR 'Permissions Violation for Publish to \"{s}\"'")),
        );
        assert_eq!(told, refused, "{}", login.service);
    }
}
