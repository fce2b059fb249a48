//! The report of an import as CSV, chunk by chunk.

use ::store::OrgScope;
use futures::{Stream, stream};

use crate::domain::transfer::cells::write_line;
use crate::error::CrmError;
use crate::store::{Import, Records, Reported};

/// Parts of the report; memory is that of one chunk.
pub fn report(
    records: Records,
    scope: OrgScope,
    import: Import,
) -> impl Stream<Item = Result<Vec<u8>, CrmError>> + Send + 'static {
    let mut head = Vec::new();
    let own = ["row", "outcome", "id", "problems", "undo"];
    let columns = import.columns.iter().map(|column| column.header.as_str());
    write_line(&mut head, own.into_iter().chain(columns));
    let chunks = stream::unfold(
        (records, scope, import, 0),
        |(records, scope, import, chunk)| async move {
            if chunk >= import.chunks {
                return None;
            }
            let part = records
                .reported_chunk(&scope, import.id, chunk)
                .await
                .map(|rows| {
                    let mut part = Vec::new();
                    for row in &rows {
                        line(&mut part, &import, row);
                    }
                    part
                });
            let next = if part.is_err() { i32::MAX } else { chunk + 1 };
            Some((part, (records, scope, import, next)))
        },
    );
    futures::StreamExt::chain(stream::iter([Ok(head)]), chunks)
}

fn line(into: &mut Vec<u8>, import: &Import, row: &Reported) {
    let result = row.result.as_ref();
    let problems = result.map(|result| {
        let one = |problem: &crate::domain::transfer::result::Problem| {
            format!("{}: {} ({})", problem.field, problem.message, problem.code)
        };
        result.problems.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    let undo = row.undo.as_ref().map(|undo| match undo.kept.as_slice() {
        [] => "undone".to_owned(),
        kept => format!("undo_conflict: {}", kept.join(" ")),
    });
    let mut cells = vec![
        row.row.to_string(),
        result
            .map(|result| result.outcome.name().to_owned())
            .unwrap_or_default(),
        result
            .and_then(|result| result.id)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        problems.unwrap_or_default(),
        undo.unwrap_or_default(),
    ];
    let width = import.columns.len().max(row.cells.len());
    cells.extend((0..width).map(|place| row.cells.get(place).unwrap_or_default().to_owned()));
    write_line(into, cells);
}
