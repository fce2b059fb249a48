//! Postgres alone.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use local_stack::{Postgres, PostgresOptions, StackError};
use sqlx::{Connection, PgConnection};

use crate::support::{alive, eventually, is_root, open_directory, send, set_mode};

fn options(data_dir: &Path) -> PostgresOptions {
    let mut options = PostgresOptions::new(data_dir);
    options.durable = false;
    options
}

async fn connect(server: &Postgres) -> PgConnection {
    PgConnection::connect(&server.superuser_url("postgres"))
        .await
        .unwrap()
}

async fn run(server: &Postgres, sql: &'static str) {
    let mut connection = connect(server).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

async fn ask(server: &Postgres, sql: &'static str) -> String {
    let mut connection = connect(server).await;
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_durable_server_asks_for_a_password_and_flushes() {
    let directory = open_directory();
    let server = Postgres::start(PostgresOptions::new(directory.path()))
        .await
        .unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("data_checksums", "on"),
        ("max_connections", "200"),
        ("shared_buffers", "256MB"),
        ("max_wal_size", "4GB"),
        ("jit", "off"),
        ("idle_in_transaction_session_timeout", "10s"),
    ] {
        let mut connection = connect(&server).await;
        let shown: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(shown, value, "{setting}");
    }
    assert_eq!(ask(&server, "SELECT lower('ÄÉ')").await, "äé");

    let wrong = server.url_as("postgres", "wrong", "postgres");
    let refusal = PgConnection::connect(&wrong).await.unwrap_err();
    assert!(refusal.to_string().contains("password"), "{refusal}");
    let on_socket = format!(
        "postgres://postgres:wrong@localhost:{}/postgres?host={}",
        server.port(),
        server.socket_dir().display()
    );
    let refusal = PgConnection::connect(&on_socket).await.unwrap_err();
    assert!(refusal.to_string().contains("password"), "{refusal}");

    for file in ["superuser.password", "postgres.log"] {
        use std::os::unix::fs::MetadataExt;
        let mode = fs::metadata(directory.path().join(file)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    if is_root() {
        let user = Command::new("ps")
            .args(["-o", "uid=", "-p", &server.pid().unwrap().to_string()])
            .output()
            .unwrap();
        assert_ne!(String::from_utf8_lossy(&user.stdout).trim(), "0");
    }
}

#[tokio::test]
async fn a_second_start_keeps_data_and_password_and_is_quick() {
    let directory = open_directory();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    run(&server, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)").await;
    let url = server.superuser_url("postgres");
    server.stop().await.unwrap();
    assert_eq!(server.pid(), None);
    let port = server.port();
    drop(server);

    let began = Instant::now();
    let mut again = options(directory.path());
    again.port = Some(port);
    let server = Postgres::start(again).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(server.superuser_url("postgres"), url);
    assert_eq!(ask(&server, "SELECT n::text FROM kept").await, "7");
}

#[tokio::test]
async fn what_was_committed_before_a_kill_is_there_after_the_restart_on_the_same_port() {
    let directory = open_directory();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    let port = server.port();
    run(&server, "CREATE TABLE counted (n int)").await;
    for _ in 0..3 {
        run(&server, "INSERT INTO counted VALUES (1)").await;
        // A backend that is busy when its postmaster dies must not stand in the way.
        let mut busy = connect(&server).await;
        let sleeper = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(
                    sqlx::raw_sql("SELECT count(*) FROM generate_series(1, 2000000000)").execute(&mut busy),
                )
                .is_err()
        });
        let pid = server.pid().unwrap();
        server.kill().await.unwrap();
        assert!(!alive(pid));
        server.restart().await.unwrap();
        assert!(sleeper.join().unwrap(), "the busy backend was ended");
        assert_eq!(server.port(), port);
    }
    assert_eq!(ask(&server, "SELECT count(*)::text FROM counted").await, "3");
    server.restart().await.unwrap();
    assert_eq!(ask(&server, "SELECT count(*)::text FROM counted").await, "3");
}

#[tokio::test]
async fn an_unexpected_end_of_the_server_is_noticed() {
    let directory = open_directory();
    let server = Postgres::start(options(directory.path())).await.unwrap();
    send(server.pid().unwrap(), "KILL");
    server.ended().await;
    assert_eq!(server.pid(), None);
}

#[tokio::test]
async fn dropping_the_handle_ends_the_server() {
    let directory = open_directory();
    let server = Postgres::start(options(directory.path())).await.unwrap();
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_server_left_running_by_somebody_is_stopped_before_the_start() {
    let directory = open_directory();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    run(&server, "CREATE TABLE kept (n int)").await;
    // Takes its exact command line, then starts it without a supervisor.
    let pid = server.pid().unwrap();
    let line = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let line = String::from_utf8(line.stdout).unwrap();
    let mut words = line.split_whitespace();
    let mut leftover = Command::new(words.next().unwrap());
    leftover.args(words).current_dir("/").stderr(Stdio::null());
    if is_root() {
        use std::os::unix::{fs::MetadataExt, process::CommandExt};
        let owner = fs::metadata(directory.path().join("pgdata")).unwrap();
        leftover.uid(owner.uid()).gid(owner.gid());
    }
    server.stop().await.unwrap();
    // The socket directory is removed with the handle; a leftover still has its own.
    let port = server.port();
    let mut leftover = leftover.spawn().unwrap();
    eventually("the leftover listens", || {
        TcpListener::bind(("127.0.0.1", port)).is_err()
    });
    drop(server);

    let mut again = options(directory.path());
    again.port = Some(port);
    let server = Postgres::start(again).await.unwrap();
    assert!(leftover.wait().is_ok());
    assert_ne!(server.pid(), Some(leftover.id()));
    assert_eq!(ask(&server, "SELECT count(*)::text FROM kept").await, "0");
}

#[tokio::test]
async fn a_pid_file_that_names_an_unrelated_process_harms_neither() {
    let directory = open_directory();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    server.kill().await.unwrap();
    drop(server);
    let pid_file = directory.path().join("pgdata/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    let mut bystander = Command::new("sleep").arg("60").spawn().unwrap();
    let rest = text.split_once('\n').unwrap().1;
    fs::write(&pid_file, format!("{}\n{rest}", bystander.id())).unwrap();

    let server = Postgres::start(options(directory.path())).await.unwrap();
    assert!(server.pid().is_some());
    assert!(alive(bystander.id()));
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn an_interrupted_first_start_is_made_good() {
    let directory = open_directory();
    let half = directory.path().join("pgdata.unfinished");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "1").unwrap();
    Postgres::start(options(directory.path())).await.unwrap();
    assert!(!half.exists());
    assert!(!directory.path().join("initdb.password").exists());
}

#[tokio::test]
async fn a_cluster_of_another_major_version_is_refused_with_the_remedy() {
    let directory = open_directory();
    let mut server = Postgres::start(options(directory.path())).await.unwrap();
    server.stop().await.unwrap();
    drop(server);
    fs::write(directory.path().join("pgdata/PG_VERSION"), "9.6\n").unwrap();
    let refusal = Postgres::start(options(directory.path())).await.unwrap_err();
    let message = refusal.to_string();
    assert!(
        message.contains("made by Postgres 9.6") && message.contains("./dev reset"),
        "{message}"
    );
}

#[tokio::test]
async fn a_taken_port_is_named_and_nothing_is_left_running() {
    let directory = open_directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wanted = options(directory.path());
    wanted.port = Some(taken.local_addr().unwrap().port());
    let refusal = Postgres::start(wanted.clone()).await.unwrap_err();
    assert!(matches!(refusal, StackError::PortTaken { .. }), "{refusal}");
    drop(taken);
    assert!(Postgres::start(wanted).await.is_ok());
}

#[tokio::test]
async fn a_broken_setting_is_reported_with_the_servers_own_words() {
    let directory = open_directory();
    let mut broken = options(directory.path());
    broken.settings = vec![("shared_buffers".to_owned(), "many".to_owned())];
    let refusal = Postgres::start(broken).await.unwrap_err().to_string();
    assert!(refusal.contains("invalid value for parameter"), "{refusal}");
    assert!(Postgres::start(options(directory.path())).await.is_ok());
}

#[tokio::test]
async fn a_very_long_path_still_gets_a_socket() {
    let directory = open_directory();
    let long = directory.path().join("long".repeat(20)).join("er".repeat(40));
    let server = Postgres::start(options(&long)).await.unwrap();
    let sockets = server.socket_dir();
    assert!(sockets.join(format!(".s.PGSQL.{}", server.port())).exists());
    drop(server);
    assert!(!sockets.exists());
}

#[tokio::test]
async fn below_a_directory_that_its_user_cannot_enter_the_cluster_lives_elsewhere() {
    if !is_root() {
        return; // only root runs Postgres as somebody else
    }
    let hostile = open_directory();
    set_mode(hostile.path(), 0o700);
    let data_dir = hostile.path().join("data");
    let mut server = Postgres::start(options(&data_dir)).await.unwrap();
    run(&server, "CREATE TABLE kept (n int)").await;
    let marker = fs::read_to_string(data_dir.join("relocated-to")).unwrap();
    let elsewhere = Path::new(marker.trim()).to_path_buf();
    assert!(elsewhere.join("pgdata/PG_VERSION").exists());
    assert!(!data_dir.join("pgdata").exists());
    server.kill().await.unwrap();
    drop(server);

    let mut server = Postgres::start(options(&data_dir)).await.unwrap();
    assert_eq!(ask(&server, "SELECT count(*)::text FROM kept").await, "0");
    server.stop().await.unwrap();
    drop(server);

    // A data directory removed by hand takes its contents with it, wherever they were.
    fs::remove_dir_all(&data_dir).unwrap();
    let server = Postgres::start(options(&data_dir)).await.unwrap();
    let tables = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'kept'";
    assert_eq!(ask(&server, tables).await, "0");
    drop(server);

    Postgres::remove_data(&data_dir).unwrap();
    assert!(!data_dir.exists());
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn a_directory_that_became_unreachable_is_refused_and_not_replaced_by_an_empty_one() {
    if !is_root() {
        return; // only root runs Postgres as somebody else
    }
    let directory = open_directory();
    let data_dir = directory.path().join("data");
    drop(Postgres::start(options(&data_dir)).await.unwrap());
    set_mode(directory.path(), 0o700);
    let refusal = Postgres::start(options(&data_dir)).await.unwrap_err();
    assert!(refusal.to_string().contains("cannot pass through"), "{refusal}");
    set_mode(directory.path(), 0o755);
    Postgres::start(options(&data_dir)).await.unwrap();
}
