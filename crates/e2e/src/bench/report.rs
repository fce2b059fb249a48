//! Results: rows of a table for people, and the same as JSON in a file.

use std::path::Path;

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure.
    pub measured: String,
    /// What it is compared with.
    pub ceiling: String,
    /// Figure to ceiling, where there is one.
    pub ratio: Option<f64>,
    /// The goal.
    pub goal: String,
    /// Whether the goal was reached in this run.
    pub reached: bool,
}

/// All lines.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// In the order of measurement.
    pub rows: Vec<Row>,
}

impl Results {
    /// Adds a line.
    pub fn add(&mut self, row: Row) {
        crate::bench::say(&line(&row));
        self.rows.push(row);
    }

    /// As a Markdown table.
    #[must_use]
    pub fn table(&self) -> String {
        let head = "| what | measured | ceiling | ratio | goal | reached |\n|---|---|---|---|---|---|\n";
        self.rows
            .iter()
            .fold(head.to_owned(), |table, row| table + &line(row) + "\n")
    }

    /// Writes the JSON document.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(std::fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }
}

fn line(row: &Row) -> String {
    let ratio = row.ratio.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
    let reached = if row.reached { "yes" } else { "no" };
    format!(
        "| {} | {} | {} | {ratio} | {} | {reached} |",
        row.what, row.measured, row.ceiling, row.goal
    )
}
