//! `devsignal dead-letters`: what services gave up on, and having it handled again.

use lifecycle::Lifecycle;
use store::Stores;
use store::dead_letters::{self, DeadLetter, Redrive};
use telemetry::Metrics;

use crate::cli::{DeadLettersCommand, ServiceDb};
use crate::service_settings::{Schema, schemas};

/// Does what was asked for, in every service's schema or in the one named.
pub async fn run(command: DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List { db, limit } => {
            let mut found = 0;
            for (schema, stores) in connect(&db).await? {
                let letters = dead_letters::list(&stores.pipeline, None, None, limit).await?;
                found += letters.len();
                letters.iter().for_each(|letter| show(&schema, letter));
            }
            if found == 0 {
                crate::say("no dead letters");
            }
        }
        DeadLettersCommand::Redrive { db, ids, all } => {
            let which = if all { Redrive::All } else { Redrive::Ids(ids) };
            let mut asked = 0;
            for (_, stores) in connect(&db).await? {
                asked += dead_letters::request_redrive(&stores.pipeline, &which).await?;
            }
            anyhow::ensure!(asked > 0, "no such dead letters wait");
            crate::say(&format!(
                "{asked} will be handled again by their services within seconds"
            ));
        }
    }
    Ok(())
}

async fn connect(db: &ServiceDb) -> anyhow::Result<Vec<(Schema, Stores)>> {
    let mut all = Vec::new();
    for schema in schemas(db.service.as_deref(), db.config_dir.as_deref(), &db.data.data_dir)? {
        let stores = Stores::connect(&schema.database, &Lifecycle::new(), &Metrics::new("cli")).await?;
        all.push((schema, stores));
    }
    Ok(all)
}

fn show(schema: &Schema, letter: &DeadLetter) {
    let DeadLetter {
        id,
        letter,
        failed_at,
        redrive_requested_at,
        ..
    } = letter;
    let asked = if redrive_requested_at.is_some() {
        " (redrive asked for)"
    } else {
        ""
    };
    let head = format!("{id}  {failed_at}  {}  {}", schema.service, letter.consumer);
    crate::say(&format!(
        "{head}{asked}\n    {} after {} attempts: {}",
        letter.subject,
        letter.attempts,
        letter.reason.replace('\n', "\n    ")
    ));
}
