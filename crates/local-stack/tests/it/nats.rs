//! nats-server alone, spoken to in its plain text protocol.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use local_stack::{Nats, NatsOptions, StackError};

use crate::support::{alive, eventually, open_directory};

/// One connection of a NATS client, as much of it as these tests need.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects with the user and password of a URL `nats://user:password@host:port`.
    fn connect(url: &str) -> Self {
        let (login, address) = url.strip_prefix("nats://").unwrap().split_once('@').unwrap();
        let (user, password) = login.split_once(':').unwrap();
        Self::connect_with(
            address,
            &format!(r#"{{"verbose":false,"user":"{user}","pass":"{password}"}}"#),
        )
    }

    fn connect_with(address: &str, options: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        assert!(client.line().starts_with("INFO "));
        client.send(&format!("CONNECT {options}\r\nPING\r\n"));
        client
    }

    fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// One request, one answer.
    fn request(&mut self, subject: &str, body: &str) -> String {
        self.send(&format!(
            "SUB answers 1\r\nUNSUB 1 1\r\nPUB {subject} answers {}\r\n{body}\r\n",
            body.len()
        ));
        loop {
            let line = self.line();
            if let Some(length) = line.strip_prefix("MSG ").and_then(|l| l.rsplit(' ').next()) {
                let mut answer = vec![0; length.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut answer).unwrap();
                return String::from_utf8(answer).unwrap();
            }
            assert!(!line.starts_with("-ERR"), "{line}");
        }
    }
}

async fn start(directory: &Path) -> Nats {
    Nats::start(NatsOptions::new(directory)).await.unwrap()
}

fn create_stream_with_a_message(server: &Nats) {
    let mut client = Client::connect(&server.url());
    let created = client.request(
        "$JS.API.STREAM.CREATE.kept",
        r#"{"name":"kept","subjects":["kept"],"storage":"file"}"#,
    );
    assert!(created.contains(r#""name":"kept""#), "{created}");
    let stored = client.request("kept", "hello");
    assert!(stored.contains(r#""seq":1"#), "{stored}");
}

fn messages(server: &Nats) -> String {
    Client::connect(&server.url()).request("$JS.API.STREAM.INFO.kept", "")
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let directory = open_directory();
    let server = start(directory.path()).await;
    let address = format!("127.0.0.1:{}", server.port());
    for options in ["{}", r#"{"user":"devsignal","pass":"wrong"}"#] {
        let mut client = Client::connect_with(&address, options);
        let answer = client.line();
        assert!(answer.contains("Authorization Violation"), "{options}: {answer}");
    }
    let account = Client::connect(&server.url()).request("$JS.API.INFO", "");
    assert!(account.contains(r#""streams":0"#), "{account}");
    for file in ["nats.conf", "nats.password", "nats.log"] {
        use std::os::unix::fs::MetadataExt;
        let mode = fs::metadata(directory.path().join(file)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn what_was_stored_before_a_kill_is_there_after_the_restart_on_the_same_port() {
    let directory = open_directory();
    let mut server = start(directory.path()).await;
    let (port, url) = (server.port(), server.url());
    create_stream_with_a_message(&server);
    for _ in 0..3 {
        server.kill().await.unwrap();
        assert_eq!(server.pid(), None);
        server.restart().await.unwrap();
        assert_eq!(server.port(), port);
        assert!(messages(&server).contains(r#""messages":1"#));
    }
    server.stop().await.unwrap();
    drop(server);

    let mut again = NatsOptions::new(directory.path());
    again.port = Some(port);
    let server = Nats::start(again).await.unwrap();
    assert_eq!(server.url(), url);
    assert!(messages(&server).contains(r#""messages":1"#));
}

#[tokio::test]
async fn a_wiped_store_comes_back_empty_and_only_a_stopped_one_is_wiped() {
    let directory = open_directory();
    let mut server = start(directory.path()).await;
    create_stream_with_a_message(&server);
    let refusal = server.wipe_store().await.unwrap_err();
    assert!(matches!(refusal, StackError::StillRunning { .. }), "{refusal}");
    server.kill().await.unwrap();
    server.wipe_store().await.unwrap();
    server.restart().await.unwrap();
    assert!(messages(&server).contains("stream not found"));
}

#[tokio::test]
async fn a_nats_server_left_running_by_somebody_is_stopped_before_the_start() {
    let directory = open_directory();
    let mut server = start(directory.path()).await;
    create_stream_with_a_message(&server);
    let port = server.port();
    server.stop().await.unwrap();
    drop(server);
    let executable = local_stack::nats_server().unwrap().path;
    let config = fs::canonicalize(directory.path()).unwrap().join("nats.conf");
    let mut leftover = Command::new(executable)
        .arg("--config")
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the leftover listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok() && directory.path().join("nats.pid").exists()
    });

    let server = start(directory.path()).await;
    assert!(leftover.wait().is_ok());
    assert!(messages(&server).contains(r#""messages":1"#));
}

#[tokio::test]
async fn a_stranger_on_the_wanted_port_is_not_taken_for_ours() {
    let directory = open_directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wanted = NatsOptions::new(directory.path());
    wanted.port = Some(taken.local_addr().unwrap().port());
    let refusal = Nats::start(wanted.clone()).await.unwrap_err();
    assert!(matches!(refusal, StackError::PortTaken { .. }), "{refusal}");
    drop(taken);
    assert!(Nats::start(wanted).await.is_ok());
}

#[tokio::test]
async fn dropping_the_handle_ends_the_server_and_its_data_can_be_removed() {
    let directory = open_directory();
    let data_dir = directory.path().join("nats");
    let server = start(&data_dir).await;
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!alive(pid));
    Nats::remove_data(&data_dir).unwrap();
    assert!(!data_dir.exists());
}
