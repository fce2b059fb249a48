//! `devsignal doctor`: what `up` needs, and a running installation if there is one.

use std::path::Path;
use std::time::Duration;

use crate::cli::DataDir;
use crate::endpoints::Endpoints;

/// Prints one line per check; fails if something that `up` needs is missing.
pub async fn run(args: &DataDir) -> anyhow::Result<()> {
    let mut missing = 0;
    for (what, found) in [
        ("Postgres", local_stack::postgres_bin_dir()),
        ("nats-server", local_stack::nats_server()),
    ] {
        match found {
            Ok(found) => crate::say(&format!(
                "ok       {what} {}.{} at {}",
                found.version.0,
                found.version.1,
                found.path.display()
            )),
            Err(error) => {
                missing += 1;
                crate::say(&format!("missing  {what}: {error}"));
            }
        }
    }
    installation(&args.data_dir).await;
    anyhow::ensure!(
        missing == 0,
        "{missing} of the programs that `devsignal up` needs are missing"
    );
    Ok(())
}

async fn installation(data_dir: &Path) {
    let Ok(endpoints) = Endpoints::read(data_dir) else {
        crate::say(&format!("note     nothing runs in {}", data_dir.display()));
        return;
    };
    for path in ["/health", "/health/signals"] {
        let url = format!("{}{path}", endpoints.http);
        let request = reqwest::Client::new()
            .get(&url)
            .timeout(Duration::from_secs(5))
            .send();
        match request.await {
            Ok(answer) => {
                let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
                let mark = if status.is_success() { "ok     " } else { "failing" };
                crate::say(&format!("{mark}  {url} answers {status}: {body}"));
            }
            Err(error) => crate::say(&format!("failing  {url}: {error}")),
        }
    }
}
