//! Between imports and the messages of the contract. Must not: decide anything.

use contracts::convert::timestamp;
use contracts::crm::v1 as crm;

use crate::domain::transfer::result::{Problem, RowResult};
use crate::store::{Import, Reported};

/// An import as callers see it.
#[must_use]
pub fn import(import: &Import) -> crm::Import {
    let column = |(index, column): (usize, &crate::domain::transfer::mapping::Column)| crm::ImportColumn {
        index: i32::try_from(index).unwrap_or(i32::MAX),
        header: column.header.clone(),
        field: column.field.clone(),
        samples: column.samples.clone(),
    };
    let [created, updated, noop, ambiguous, error, undone, undo_conflict] = import.counts;
    crm::Import {
        id: import.id.to_string(),
        object: import.object.name().to_owned(),
        state: import.state.clone(),
        layout: import.layout.clone(),
        encoding: import.encoding.clone(),
        separator: import.separator.clone(),
        rows: import.rows,
        columns: import.columns.iter().enumerate().map(column).collect(),
        options: Some(crm::ImportOptions {
            date_order: import.options.date_order.name().to_owned(),
            create_accounts: import.options.create_accounts,
            tell_events: import.options.tell_events,
        }),
        counts: Some(crm::ImportCounts {
            created,
            updated,
            noop,
            ambiguous,
            error,
            undone,
            undo_conflict,
        }),
        rows_done: import.rows_done,
        failure: import
            .failure
            .as_ref()
            .map(|_| "the import cannot be read any more".to_owned()),
        file_name: import.file_name.clone(),
        bytes: import.bytes,
        created_by: import.created_by.clone(),
        created_at: Some(timestamp(import.created_at)),
        updated_at: Some(timestamp(import.updated_at)),
        version: import.version,
    }
}

/// A row as callers see it; in a preview a record that is to be made has no id yet.
#[must_use]
pub fn import_row(import: &Import, row: &Reported, preview: bool) -> crm::ImportRow {
    let result = row.result.as_ref();
    let is_new = |result: &RowResult| preview && result.mark.is_some();
    let problem = |problem: &Problem| {
        let place = import
            .columns
            .iter()
            .position(|column| column.field.as_deref() == Some(problem.field.as_str()));
        crm::ImportProblem {
            column: place.and_then(|place| i32::try_from(place).ok()),
            header: place.and_then(|place| Some(import.columns.get(place)?.header.clone())),
            field: problem.field.clone(),
            code: problem.code.clone(),
            message: problem.message.clone(),
        }
    };
    crm::ImportRow {
        row: row.row,
        outcome: result
            .map(|result| result.outcome.name().to_owned())
            .unwrap_or_default(),
        id: result
            .filter(|result| !is_new(result))
            .and_then(|result| result.id)
            .map(|id| id.to_string()),
        problems: result
            .map(|result| result.problems.iter().map(problem).collect())
            .unwrap_or_default(),
        cells: row.cells.iter().map(str::to_owned).collect(),
        undo: row.undo.as_ref().map(|undo| {
            let whole = undo.kept.is_empty();
            if whole { "undone" } else { "undo_conflict" }.to_owned()
        }),
        kept_fields: row
            .undo
            .as_ref()
            .map(|undo| undo.kept.clone())
            .unwrap_or_default(),
    }
}
