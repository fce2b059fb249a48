//! `devsignal top`: accounts by score, as a table.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Deserialize;

use crate::cli::TopArgs;
use crate::client::Client;

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Account>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    id: String,
    name: String,
    domain: Option<String>,
    score: Option<i32>,
    tier: Option<String>,
    trend: Option<String>,
    #[serde(default)]
    contact_count: i64,
}

/// Prints the table.
pub async fn run(args: &TopArgs) -> anyhow::Result<()> {
    let client = Client::of(&args.target)?;
    let mut query = vec![("sort", "-score".to_owned()), ("limit", args.limit.to_string())];
    if let Some(tier) = &args.tier {
        query.push(("filter[tier]", tier.to_uppercase()));
    }
    let page: Page = client.get("/api/v1/accounts", &query).await?;
    if page.data.is_empty() {
        crate::say("No accounts yet. Send signals with `devsignal seed` or POST /api/v1/signals.");
        return Ok(());
    }
    crate::say(&table(&page.data).to_string());
    Ok(())
}

fn table(accounts: &[Account]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["SCORE", "TIER", "TREND", "ACCOUNT", "DOMAIN", "CONTACTS", "ID"]);
    for account in accounts {
        let number = |n: Option<i64>| n.map_or_else(|| "–".to_owned(), |n| n.to_string());
        table.add_row([
            Cell::new(number(account.score.map(i64::from))).set_alignment(CellAlignment::Right),
            Cell::new(account.tier.as_deref().unwrap_or("–")),
            Cell::new(account.trend.as_deref().unwrap_or("–")),
            Cell::new(&account.name),
            Cell::new(account.domain.as_deref().unwrap_or("–")),
            Cell::new(account.contact_count).set_alignment(CellAlignment::Right),
            Cell::new(&account.id),
        ]);
    }
    table
}
