//! Imports as tests run them.

use ::store::OrgScope;
use crm::config::ImportSettings;
use crm::domain::extras::Object;
use crm::metrics::ImportMetrics;
use crm::store::{Import, ImportEdit, Reported, Write};
use crm::transfer::{ImportWorker, START, Upload, UploadHead};
use ids::OrgId;
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use crate::harness::World;

pub fn settings(chunk_rows: usize) -> ImportSettings {
    ImportSettings {
        max_bytes: 64 << 20,
        chunk_rows,
        lanes: 2,
        workers: 1,
        lease_secs: 15.0,
        poll_ms: 10,
    }
}

/// One organization's imports.
pub struct Desk<'a> {
    pub world: &'a World,
    pub write: Write,
    pub settings: ImportSettings,
    pub worker: ImportWorker,
}

impl<'a> Desk<'a> {
    pub fn new(world: &'a World, org: OrgId, chunk_rows: usize) -> Self {
        let settings = settings(chunk_rows);
        let metrics = ImportMetrics::new(&telemetry::Metrics::new("test")).unwrap();
        Self {
            worker: ImportWorker::new(world.records.clone(), settings.clone(), metrics),
            write: Write {
                scope: OrgScope::new(org),
                by: "user:1".to_owned(),
                dry_run: false,
            },
            settings,
            world,
        }
    }

    pub fn scope(&self) -> &OrgScope {
        &self.write.scope
    }

    pub async fn upload(&self, object: Object, file: &[u8]) -> Import {
        let head = UploadHead::read(object.name(), Some("f.csv".to_owned()), None, None).unwrap();
        let mut upload = Upload::begin(&self.world.records, &self.settings, &self.write, head)
            .await
            .unwrap();
        for part in file.chunks(1_000) {
            upload.take(part).await.unwrap();
        }
        upload.end().await.unwrap()
    }

    pub async fn set(&self, import: &Import, change: impl FnOnce(&mut ImportEdit)) {
        let mut edit = ImportEdit {
            options: Some(import.options),
            ..ImportEdit::default()
        };
        change(&mut edit);
        self.world
            .records
            .edit_import(&self.write, import.id, &edit, None)
            .await
            .unwrap();
    }

    pub async fn turn(&self, id: Uuid, from: &str, to: &str) {
        self.world
            .records
            .turn_import(&self.write, id, (&[from], to), None)
            .await
            .unwrap();
    }

    /// Commits it, to the end.
    pub async fn commit(&self, id: Uuid) -> Import {
        self.turn(id, "uploaded", "committing").await;
        while self.worker.work().await.unwrap() {}
        self.import(id).await
    }

    /// Undoes it, to the end.
    pub async fn undo(&self, id: Uuid) -> Import {
        self.turn(id, "committed", "undoing").await;
        while self.worker.work().await.unwrap() {}
        self.import(id).await
    }

    pub async fn import(&self, id: Uuid) -> Import {
        self.world.records.import(self.scope(), id).await.unwrap()
    }

    /// Uploads and commits with the mapping as proposed.
    pub async fn bring(&self, object: Object, file: &str) -> Import {
        let import = self.upload(object, file.as_bytes()).await;
        self.commit(import.id).await
    }

    pub async fn rows(&self, import: &Import) -> Vec<Reported> {
        let page = self
            .world
            .records
            .import_rows(self.scope(), import, (Some(200), None), &[])
            .await;
        page.unwrap().items
    }

    /// Lets search catch up with what was imported.
    pub async fn index(&self) {
        let mut place = START;
        while let Some(reached) = self.worker.index(place).await.unwrap() {
            place = reached;
        }
    }

    /// What readers can see of the organization once search caught up, versions and times of changes aside.
    #[expect(clippy::too_many_lines, reason = "one story, told in order")]
    pub async fn state(&self) -> Value {
        self.index().await;
        let org = self.scope().uuid();
        let mut admin = self.world.admin().await;
        let mut state = serde_json::Map::new();
        for (name, statement) in [
            (
                "contacts",
                "SELECT jsonb_build_array(id, name, name_key, email, title, company, account_id, edited_fields, owner_id, tags, custom, \
                 created_at, first_seen_at) FROM contacts WHERE org_id = $1 AND recorded ORDER BY id",
            ),
            (
                "deleted",
                "SELECT jsonb_build_array(id, deleted_at) FROM contacts WHERE org_id = $1 AND deleted_at IS NOT NULL ORDER BY id",
            ),
            (
                "identities",
                "SELECT jsonb_build_array(i.contact_id, i.type, i.value, i.position) FROM contact_identities i \
                 JOIN contacts c ON c.org_id = i.org_id AND c.id = i.contact_id \
                 WHERE i.org_id = $1 AND c.recorded ORDER BY i.contact_id, i.told_by, i.position",
            ),
            (
                "accounts",
                "SELECT jsonb_build_array(id, name, domain, employees, industry, country, edited_fields, owner_id, tags, custom, \
                 contact_count, created_at) FROM accounts WHERE org_id = $1 AND recorded ORDER BY id",
            ),
            (
                "deals",
                "SELECT jsonb_build_array(id, name, account_id, stage_id, status, amount_units, amount_currency, expected_close_on, \
                 close_reason, closed_at, stage_since, tags, custom) FROM deals WHERE org_id = $1 ORDER BY id",
            ),
            (
                "moves",
                "SELECT jsonb_build_array(deal_id, id, to_stage) FROM deal_moves WHERE org_id = $1 ORDER BY id",
            ),
            (
                "entries",
                "SELECT jsonb_build_array(about, id, title) FROM timeline_entries WHERE org_id = $1 ORDER BY about, id",
            ),
            (
                "members",
                "SELECT jsonb_build_array(deal_id, contact_id) FROM deal_contacts WHERE org_id = $1 ORDER BY 1",
            ),
            (
                "tags",
                "SELECT jsonb_build_array(id, name) FROM tags WHERE org_id = $1 ORDER BY id",
            ),
            (
                "tagged",
                "SELECT jsonb_build_array(record_id, tag_id) FROM record_tags WHERE org_id = $1 ORDER BY 1",
            ),
            (
                "values",
                "SELECT jsonb_build_array(record_id, field_id, key) FROM custom_values WHERE org_id = $1 ORDER BY 1",
            ),
            (
                "searched",
                "SELECT jsonb_build_array(id, title, texts) FROM search_documents WHERE org_id = $1 ORDER BY id",
            ),
            (
                "reached",
                "SELECT jsonb_build_array(account_id, milestone) FROM account_milestones WHERE org_id = $1 ORDER BY 1",
            ),
        ] {
            let rows = sqlx::query(statement)
                .bind(org)
                .fetch_all(&mut admin)
                .await
                .unwrap();
            let values: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
            state.insert(name.to_owned(), json!(values));
        }
        Value::Object(state)
    }
}

/// The outcome of each row, with the codes of its problems.
pub fn outcomes(rows: &[Reported]) -> Vec<String> {
    rows.iter()
        .map(|row| {
            let result = row.result.as_ref().unwrap();
            let codes: Vec<String> = result
                .problems
                .iter()
                .map(|problem| format!("{}:{}", problem.field, problem.code))
                .collect();
            let mut text = result.outcome.name().to_owned();
            if !codes.is_empty() {
                text = format!("{text} {}", codes.join(" "));
            }
            text
        })
        .collect()
}

/// A worker of another process.
pub fn another(desk: &Desk<'_>, lease_secs: f64) -> ImportWorker {
    let metrics = ImportMetrics::new(&telemetry::Metrics::new("other")).unwrap();
    let settings = ImportSettings {
        lease_secs,
        ..desk.settings.clone()
    };
    ImportWorker::new(desk.world.records.clone(), settings, metrics)
}

/// Ends a task wherever it is; what it answered, if it was quicker.
pub async fn killed_after<F: Future>(work: F, after: std::time::Duration) -> Option<F::Output> {
    tokio::time::timeout(after, work).await.ok()
}
