//! Taking a file in: its bytes are kept as they come; when all are there, encoding and separator are known, and they are written anew as
//! chunks of rows.

use ::store::OrgScope;
use encoding_rs::Encoding;
use errors::{ApiError, ErrorCode};
use uuid::Uuid;

use crate::config::ImportSettings;
use crate::domain::extras::Object;
use crate::domain::transfer::layout::{self, Layout};
use crate::domain::transfer::mapping::Column;
use crate::domain::transfer::shred::{Shredder, Unreadable};
use crate::domain::transfer::sniff::{SEPARATORS, Sniffer};
use crate::error::CrmError;
use crate::store::{Found, Import, Records, Write};

/// Bytes that are kept in one row.
const PART: usize = 1 << 20;

/// What is said of a file before it comes.
#[derive(Debug, Clone)]
pub struct UploadHead {
    /// What its rows are.
    pub object: Object,
    /// Its name.
    pub file_name: Option<String>,
    /// Its encoding, if it is known.
    pub encoding: Option<&'static Encoding>,
    /// Its separator, if it is known.
    pub separator: Option<u8>,
}

impl UploadHead {
    /// Reads what a caller says.
    ///
    /// # Errors
    /// Everything that is not allowed.
    pub fn read(
        object: &str,
        file_name: Option<String>,
        encoding: Option<&str>,
        separator: Option<&str>,
    ) -> Result<Self, CrmError> {
        let mut problems = crate::domain::edit::Problems::default();
        let object = Object::parse(object);
        if object.is_none() {
            problems.add(
                "/object",
                "unknown_value",
                "it is one of: account, contact, deal".to_owned(),
            );
        }
        let file_name = problems.removable("/fileName", file_name, 255).flatten();
        let known = encoding.and_then(|label| Encoding::for_label(label.as_bytes()));
        if encoding.is_some() && known.is_none() {
            problems.add(
                "/encoding",
                "unknown_value",
                "it is a label of the WHATWG encoding standard".to_owned(),
            );
        }
        let separator = separator.map(|text| if text == "tab" { "\t" } else { text });
        let byte = separator.and_then(|text| {
            text.bytes()
                .next()
                .filter(|b| text.len() == 1 && SEPARATORS.contains(b))
        });
        if separator.is_some() && byte.is_none() {
            problems.add(
                "/separator",
                "unknown_value",
                "it is one of: `,`, `;`, `|`, `tab`".to_owned(),
            );
        }
        let object = object.unwrap_or(Object::Contact);
        problems
            .unless(Self {
                object,
                file_name,
                encoding: known,
                separator: byte,
            })
            .map_err(CrmError::Invalid)
    }
}

/// A file that is being taken in.
pub struct Upload {
    records: Records,
    scope: OrgScope,
    head: UploadHead,
    id: Uuid,
    max_bytes: u64,
    chunk_rows: usize,
    sniffer: Sniffer,
    buffer: Vec<u8>,
    parts: i32,
    bytes: u64,
}

impl Upload {
    /// Begins.
    ///
    /// # Errors
    /// Of the database.
    pub async fn begin(
        records: &Records,
        settings: &ImportSettings,
        write: &Write,
        head: UploadHead,
    ) -> Result<Self, CrmError> {
        let id = records
            .begin_upload(write, head.object, head.file_name.as_deref())
            .await?;
        Ok(Self {
            records: records.clone(),
            scope: write.scope,
            head,
            id,
            max_bytes: settings.max_bytes,
            chunk_rows: settings.chunk_rows,
            sniffer: Sniffer::default(),
            buffer: Vec::with_capacity(PART),
            parts: 0,
            bytes: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `too_large`, or of the database.
    pub async fn take(&mut self, mut bytes: &[u8]) -> Result<(), CrmError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            let message = format!("a file has at most {} bytes", self.max_bytes);
            return Err(CrmError::Api(ApiError::new(ErrorCode::TooLarge, message)));
        }
        self.sniffer.feed(bytes);
        while !bytes.is_empty() {
            let room = (PART - self.buffer.len()).min(bytes.len());
            self.buffer.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            if self.buffer.len() == PART {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), CrmError> {
        self.records
            .keep_part(&self.scope, self.id, self.parts, &self.buffer)
            .await?;
        self.parts += 1;
        self.buffer.clear();
        Ok(())
    }

    /// Reads the file, now that it is whole.
    ///
    /// # Errors
    /// A file that cannot be read, or of the database.
    pub async fn end(mut self) -> Result<Import, CrmError> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        let encoding = match self.head.encoding {
            Some(encoding) => encoding,
            None => self.sniffer.encoding(),
        };
        let separator = self
            .head
            .separator
            .unwrap_or_else(|| self.sniffer.separator(encoding));
        let strict = self.head.encoding.is_some();
        let mut shredder = Shredder::new(encoding, strict, separator, self.chunk_rows);
        let mut chunks = 0;
        for part in 0..=self.parts {
            let last = part == self.parts;
            let bytes = match last {
                true => Vec::new(),
                false => self.records.take_part(&self.scope, self.id, part).await?,
            };
            let full = shredder.feed(&bytes, last).map_err(|error| unreadable(&error))?;
            self.records
                .keep_chunks(&self.scope, self.id, chunks, &full)
                .await?;
            chunks += i32::try_from(full.len()).unwrap_or(0);
        }
        let header = shredder.header().unwrap_or_default();
        let own = self.records.own_fields(&self.scope, self.head.object).await?;
        let found = Layout::of(header);
        let fields = layout::propose(self.head.object, found, header, &own);
        let columns = header.iter().zip(fields).zip(shredder.samples());
        let found = Found {
            layout: found.name(),
            encoding: encoding.name(),
            separator: char::from(separator),
            bytes: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            rows: shredder.rows(),
            chunks,
            columns: columns
                .map(|((header, field), samples)| Column {
                    header: header.clone(),
                    field,
                    samples: samples.clone(),
                })
                .collect(),
        };
        self.records.end_upload(&self.scope, self.id, &found).await
    }

    /// Forgets it, after a failure.
    pub async fn give_up(records: &Records, scope: &OrgScope, id: Uuid) {
        if let Err(error) = records.give_upload_up(scope, id).await {
            // It is forgotten later, by the task that looks for such.
            tracing::warn!(error = %format!("{:#}", anyhow::Error::new(error)), "a failed upload could not be forgotten yet");
        }
    }

    /// The import's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }
}

fn unreadable(error: &Unreadable) -> CrmError {
    let code = match error {
        Unreadable::Empty => "empty",
        Unreadable::TooManyColumns => "too_many_columns",
        Unreadable::RowTooLong(_) => "unclosed_quote",
        Unreadable::NotEncoded(_) => "wrong_encoding",
    };
    CrmError::Api(ApiError::invalid("/content", code, error.to_string()))
}
