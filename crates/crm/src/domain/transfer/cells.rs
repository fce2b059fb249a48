//! Cells of CSV that we write (RFC 4180), harmless also in a spreadsheet.

/// Writes a cell, in quotes where it needs them.
pub fn write_cell(into: &mut Vec<u8>, cell: &[u8]) {
    let plain = cell.iter().all(|b| !matches!(b, b',' | b'"' | b'\r' | b'\n'));
    if plain {
        into.extend_from_slice(cell);
        return;
    }
    into.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            into.push(b'"');
        }
        into.push(*byte);
    }
    into.push(b'"');
}

/// A text as a cell that no spreadsheet takes for a formula: what begins one gets an apostrophe in front
/// (OWASP, CSV injection; ASVS 5.0 1.2.10). [`unescaped`] takes it away again.
#[must_use]
pub fn escaped(text: &str) -> String {
    let bare = text.trim_start_matches('\'');
    if begins_formula(bare) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// What [`escaped`] was given.
#[must_use]
pub fn unescaped(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if begins_formula(rest.trim_start_matches('\'')) => rest,
        _ => cell,
    }
}

fn begins_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0'])
}

/// Writes a row of texts, each made harmless, and ends the line.
pub fn write_line<S: AsRef<str>>(into: &mut Vec<u8>, cells: impl IntoIterator<Item = S>) {
    for (index, cell) in cells.into_iter().enumerate() {
        if index > 0 {
            into.push(b',');
        }
        write_cell(into, escaped(cell.as_ref()).as_bytes());
    }
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_cell_begins_a_formula_and_every_one_comes_back(row in prop::collection::vec("[=+@\t\r\n\0'\",a-b-]{0,6}|\\PC{0,8}", 1..5)) {
            let mut line = Vec::new();
            write_line(&mut line, &row);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_slice());
            let read = reader.records().next();
            if row == [""] {
                return Ok(());
            }
            let read = read.unwrap().unwrap();
            for cell in &read {
                prop_assert!(!begins_formula(cell), "{cell:?}");
            }
            let back: Vec<&str> = read.iter().map(unescaped).collect();
            prop_assert_eq!(back, row.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
