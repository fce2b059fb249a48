//! A process that owns servers and is killed, in the role of `devsignal up`.

use std::{fs, path::PathBuf, time::Duration};

use local_stack::{Nats, NatsOptions, Postgres, PostgresOptions};

use crate::support::{alive, eventually, open_directory, send, spawn_owner};

/// Not a test of its own: run by the others through [`spawn_owner`].
#[tokio::test]
#[ignore = "run by other tests as a separate process"]
async fn holds_servers_until_killed() {
    let directory = PathBuf::from(std::env::var_os("LOCAL_STACK_OWNER_DIR").unwrap());
    let mut options = PostgresOptions::new(directory.join("postgres"));
    options.durable = false;
    let postgres = Postgres::start(options).await.unwrap();
    let nats = Nats::start(NatsOptions::new(directory.join("nats")))
        .await
        .unwrap();
    let pids = format!("{} {}", postgres.pid().unwrap(), nats.pid().unwrap());
    fs::write(directory.join("pids.new"), pids).unwrap();
    fs::rename(directory.join("pids.new"), directory.join("pids")).unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn servers_end_when_their_owner_is_killed_and_the_next_start_recovers() {
    let directory = open_directory();
    let mut owner = spawn_owner(directory.path());
    let pid_file = directory.path().join("pids");
    eventually("the owner starts its servers", || pid_file.exists());
    let text = fs::read_to_string(&pid_file).unwrap();
    let pids: Vec<u32> = text.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| alive(*pid)), "{pids:?}");

    send(owner.id(), "KILL");
    owner.wait().unwrap();
    // At once, while the servers may still be on their way out.
    let mut options = PostgresOptions::new(directory.path().join("postgres"));
    options.durable = false;
    let mut postgres = Postgres::start(options).await.unwrap();
    let mut nats = Nats::start(NatsOptions::new(directory.path().join("nats")))
        .await
        .unwrap();
    eventually("the killed owner's servers end", || {
        !pids.iter().any(|pid| alive(*pid))
    });
    postgres.stop().await.unwrap();
    nats.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_with_a_living_owner_is_refused_and_left_alone() {
    let directory = open_directory();
    let mut owner = spawn_owner(directory.path());
    eventually("the owner starts its servers", || {
        directory.path().join("pids").exists()
    });
    let data_dir = directory.path().join("postgres");
    let refusal = Postgres::start(PostgresOptions::new(&data_dir))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains(&format!("in use by process {}", owner.id())),
        "{refusal}"
    );
    let removal = Postgres::remove_data(&data_dir).unwrap_err();
    assert!(removal.to_string().contains("in use"), "{removal}");
    assert!(data_dir.join("owner.lock").exists());
    let refusal = Nats::start(NatsOptions::new(directory.path().join("nats")))
        .await
        .unwrap_err();
    assert!(refusal.to_string().contains("in use"), "{refusal}");
    send(owner.id(), "KILL");
    owner.wait().unwrap();
}
