//! From the bytes of a file to chunks of rows: decodes, parses, and writes the rows anew as CSV in UTF-8, so that each chunk can be
//! read by itself.
//!
//! Contract: memory is bounded by the largest row and one chunk, whatever the file is.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use encoding_rs::{Decoder, Encoding};

/// Most columns.
pub const MAX_COLUMNS: usize = 500;
/// Largest row, in bytes of UTF-8. What is larger is a quote that was never closed.
pub const MAX_ROW: usize = 1 << 20;
/// Largest chunk, in bytes of CSV.
const MAX_CHUNK: usize = 4 << 20;
/// Longest name of a column, in characters.
const MAX_HEADER: usize = 200;

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Nothing in it.
    #[error("the file has no header")]
    Empty,
    /// Too many columns.
    #[error("a file has at most {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// A row that does not end.
    #[error("the row at line {0} is longer than 1 MiB; a quote may not be closed")]
    RowTooLong(u64),
    /// Bytes that the encoding does not have.
    #[error("the file is not written in {0}")]
    NotEncoded(&'static str),
}

/// Some rows of a file.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Number of the first row, from 1.
    pub first_row: i64,
    /// How many rows.
    pub rows: usize,
    /// The rows as CSV.
    pub csv: Vec<u8>,
}

/// Takes a file in, part by part.
pub struct Shredder {
    decoder: Decoder,
    encoding: &'static Encoding,
    /// Whether bytes that cannot be are an error.
    strict: bool,
    reader: Reader,
    cells: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    fields: usize,
    row_line: u64,
    header: Option<Vec<String>>,
    samples: Vec<Vec<String>>,
    chunk_rows: usize,
    next_row: i64,
    chunk: Chunk,
    full: Vec<Chunk>,
    text: Vec<u8>,
}

impl Shredder {
    /// A shredder of chunks of `chunk_rows` rows.
    #[must_use]
    pub fn new(encoding: &'static Encoding, strict: bool, separator: u8, chunk_rows: usize) -> Self {
        Self {
            decoder: encoding.new_decoder(),
            encoding,
            strict,
            reader: ReaderBuilder::new().delimiter(separator).build(),
            cells: vec![0; 4 << 10],
            used: 0,
            ends: vec![0; MAX_COLUMNS + 1],
            fields: 0,
            row_line: 1,
            header: None,
            samples: Vec::new(),
            chunk_rows,
            next_row: 1,
            chunk: Chunk::default(),
            full: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Takes the next bytes; `last` when there are no more. Answers the chunks that are full.
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn feed(&mut self, mut bytes: &[u8], last: bool) -> Result<Vec<Chunk>, Unreadable> {
        loop {
            self.text.resize(64 << 10, 0);
            let mut text = std::mem::take(&mut self.text);
            let (state, read, written, odd) = self.decoder.decode_to_utf8(bytes, &mut text, last);
            if odd && self.strict {
                return Err(Unreadable::NotEncoded(self.encoding.name()));
            }
            self.parse(&text[..written])?;
            self.text = text;
            bytes = &bytes[read..];
            if state == encoding_rs::CoderResult::InputEmpty {
                break;
            }
        }
        if last {
            self.end()?;
        }
        Ok(std::mem::take(&mut self.full))
    }

    /// The names of the columns; absent before the first row was read.
    #[must_use]
    pub fn header(&self) -> Option<&[String]> {
        self.header.as_deref()
    }

    /// The first cells of each column that are not empty.
    #[must_use]
    pub fn samples(&self) -> &[Vec<String>] {
        &self.samples
    }

    /// How many rows there were.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.next_row - 1
    }

    fn parse(&mut self, mut text: &[u8]) -> Result<(), Unreadable> {
        while !text.is_empty() {
            let read = self.step(text)?;
            text = &text[read..];
        }
        Ok(())
    }

    /// One step of the parser; an empty text ends the file.
    fn step(&mut self, text: &[u8]) -> Result<usize, Unreadable> {
        let (result, read, written, ended) =
            self.reader
                .read_record(text, &mut self.cells[self.used..], &mut self.ends[self.fields..]);
        self.used += written;
        self.fields += ended;
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => {
                if self.cells.len() >= MAX_ROW {
                    return Err(Unreadable::RowTooLong(self.row_line));
                }
                let larger = self.cells.len() * 2;
                self.cells.resize(larger, 0);
            }
            ReadRecordResult::OutputEndsFull => return Err(Unreadable::TooManyColumns),
            ReadRecordResult::Record => self.record()?,
            ReadRecordResult::End => {}
        }
        if self.used > MAX_ROW {
            return Err(Unreadable::RowTooLong(self.row_line));
        }
        Ok(read)
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        // The parser asks for the end until it has given everything.
        for _ in 0..40 {
            let before = (self.next_row, self.header.is_some());
            self.step(&[])?;
            if (self.next_row, self.header.is_some()) == before && self.used == 0 {
                break;
            }
        }
        if self.header.is_none() {
            return Err(Unreadable::Empty);
        }
        self.close();
        Ok(())
    }

    fn record(&mut self) -> Result<(), Unreadable> {
        let fields = std::mem::take(&mut self.fields);
        self.used = 0;
        self.row_line = self.reader.line();
        if fields > MAX_COLUMNS {
            return Err(Unreadable::TooManyColumns);
        }
        let mut begin = 0;
        let cells: Vec<std::borrow::Cow<'_, str>> = self.ends[..fields]
            .iter()
            .map(|end| {
                let cell = String::from_utf8_lossy(&self.cells[begin..*end]);
                begin = *end;
                cell
            })
            .collect();
        if self.header.is_none() {
            let name = |(index, cell): (usize, &std::borrow::Cow<'_, str>)| {
                let name: String = cell
                    .trim()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(MAX_HEADER)
                    .collect();
                if name.is_empty() {
                    format!("Column {}", index + 1)
                } else {
                    name
                }
            };
            self.header = Some(cells.iter().enumerate().map(name).collect());
            self.samples = vec![Vec::new(); fields];
            return Ok(());
        }
        for (samples, cell) in self.samples.iter_mut().zip(&cells) {
            if samples.len() < 3 && !cell.trim().is_empty() {
                samples.push(
                    cell.trim()
                        .chars()
                        .filter(|c| !c.is_control())
                        .take(100)
                        .collect(),
                );
            }
        }
        if self.chunk.rows == 0 {
            self.chunk.first_row = self.next_row;
        }
        write_row(&mut self.chunk.csv, cells.iter().map(|cell| cell.as_bytes()));
        self.chunk.rows += 1;
        self.next_row += 1;
        if self.chunk.rows >= self.chunk_rows || self.chunk.csv.len() >= MAX_CHUNK {
            self.close();
        }
        Ok(())
    }

    fn close(&mut self) {
        if self.chunk.rows > 0 {
            self.full.push(std::mem::take(&mut self.chunk));
        }
    }
}

/// Writes cells so that the same cells are read again.
fn write_row<'a>(into: &mut Vec<u8>, cells: impl Iterator<Item = &'a [u8]>) {
    let begin = into.len();
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            into.push(b',');
        }
        super::cells::write_cell(into, cell);
    }
    if into.len() == begin {
        // A row of one empty cell would be no row.
        into.extend_from_slice(b"\"\"");
    }
    into.push(b'\n');
}

/// The rows of a chunk.
///
/// # Errors
/// It was not written by [`Shredder`].
pub fn rows(csv: &[u8]) -> Result<Vec<csv::StringRecord>, csv::Error> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(csv)
        .into_records()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shred(
        bytes: &[u8],
        parts: usize,
        chunk_rows: usize,
    ) -> Result<(Vec<String>, Vec<Vec<String>>), Unreadable> {
        let mut shredder = Shredder::new(encoding_rs::UTF_8, false, b',', chunk_rows);
        let mut chunks = Vec::new();
        for part in bytes.chunks(parts.max(1)) {
            chunks.extend(shredder.feed(part, false)?);
        }
        chunks.extend(shredder.feed(&[], true)?);
        let mut read = Vec::new();
        for chunk in &chunks {
            assert_eq!(chunk.first_row, i64::try_from(read.len()).unwrap() + 1);
            let rows = rows(&chunk.csv).unwrap();
            assert_eq!(rows.len(), chunk.rows);
            read.extend(
                rows.iter()
                    .map(|row| row.iter().map(str::to_owned).collect::<Vec<_>>()),
            );
        }
        assert_eq!(shredder.rows(), i64::try_from(read.len()).unwrap());
        Ok((shredder.header().unwrap().to_vec(), read))
    }

    #[test]
    fn odd_files_are_read_or_refused() {
        let (header, rows) = shred(b"\xef\xbb\xbfa, b ,\r\n1,\"x\ny\"\rragged\n\n3,4,5,6", 3, 2).unwrap();
        assert_eq!(header, ["a", "b", "Column 3"]);
        let expected: [&[&str]; 3] = [&["1", "x\ny"], &["ragged"], &["3", "4", "5", "6"]];
        assert_eq!(rows, expected);
        assert_eq!(shred(b"", 1, 10).unwrap_err(), Unreadable::Empty);
        assert_eq!(shred(b"\n\n", 1, 10).unwrap_err(), Unreadable::Empty);
        assert_eq!(
            shred(&b"a,".repeat(1_000_000), 1 << 16, 10).unwrap_err(),
            Unreadable::TooManyColumns
        );
        let open = [b"a,b\n1,2\n3,\"".as_slice(), &b"x\n".repeat(1 << 20)].concat();
        assert!(matches!(
            shred(&open, 1 << 16, 10),
            Err(Unreadable::RowTooLong(3))
        ));
    }

    #[test]
    fn what_is_not_of_a_stated_encoding_is_refused() {
        let mut shredder = Shredder::new(encoding_rs::UTF_8, true, b',', 10);
        let error = shredder.feed(b"a\n\xff\xfe\xfd\n", true).unwrap_err();
        assert_eq!(error, Unreadable::NotEncoded("UTF-8"));
    }

    proptest! {
        #[test]
        fn every_table_comes_back_as_it_was(
            table in prop::collection::vec(prop::collection::vec("[a-c\",\r\n =é]{0,6}", 2..4), 1..20),
            parts in 1_usize..50,
            chunk_rows in 1_usize..5,
        ) {
            let mut file = b"h1,h2,h3\n".to_vec();
            for row in &table {
                write_row(&mut file, row.iter().map(String::as_bytes));
            }
            let (_, rows) = shred(&file, parts, chunk_rows).unwrap();
            prop_assert_eq!(rows, table);
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400), parts in 1_usize..50) {
            let _ = shred(&bytes, parts, 3);
        }
    }
}
