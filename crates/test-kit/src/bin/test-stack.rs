//! Starts one Postgres and one nats-server for a whole test run and writes their addresses to the
//! file given; stops and removes them when standard input closes, or on SIGTERM or SIGINT.

use std::{io::Read, path::PathBuf};

use anyhow::{Context, Result, bail};
use test_kit::Servers;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let file: PathBuf = std::env::args_os()
        .nth(1)
        .context("usage: test-stack FILE")?
        .into();
    // Before the servers start: a signal must never find the default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (closed, input_closed) = oneshot::channel();
    // A thread of its own: the runtime would wait for a read that never returns.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = closed.send(());
    });

    let servers = Servers::start().await?;
    servers.write_file(&file)?;
    tokio::select! {
        _ = input_closed => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        which = servers.either_ended() => bail!("{which} ended by itself"),
    }
    Ok(())
}
