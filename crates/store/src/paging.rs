//! Keyset paging: limits, cursors that belong to one list, pages.

use errors::ApiError;
use ids::OrgId;

/// Page size when the caller names none.
pub const DEFAULT_LIMIT: u32 = 50;
/// Largest page size.
pub const MAX_LIMIT: u32 = 200;
/// `totalCount` is exact up to one less than this, which stands for "more".
pub const COUNT_CAP: i64 = 10_001;

/// What a cursor is bound to: organization, method, sort and filters of the list. With another list it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// The fingerprint of a list. `filters` as the caller gave them, in any order.
    #[must_use]
    pub fn new(_org: OrgId, _method: &str, _sort: &str, _filters: &[(String, String)]) -> Self {
        todo!()
    }
}

/// A position in a list: the values of the sort key and the id of the last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(pub Vec<serde_json::Value>);

impl Cursor {
    /// As opaque text: base64url of the fingerprint and a compact JSON array.
    #[must_use]
    pub fn encode(&self, _fingerprint: Fingerprint) -> String {
        todo!()
    }

    /// # Errors
    /// `invalid_cursor`: not made by [`Cursor::encode`], or for another list.
    pub fn decode(_text: &str, _fingerprint: Fingerprint) -> Result<Self, ApiError> {
        todo!()
    }
}

/// A checked request for a page.
#[derive(Debug, Clone, PartialEq)]
pub struct PageRequest {
    /// Rows wanted, 1 to 200.
    pub limit: u32,
    /// After which row.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// # Errors
    /// `invalid_parameter` at `?limit`, `invalid_cursor` at `?cursor`.
    pub fn parse(_limit: Option<i32>, _cursor: Option<&str>, _fingerprint: Fingerprint) -> Result<Self, ApiError> {
        todo!()
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_more: bool,
    /// The number of matches if asked for, at most [`COUNT_CAP`].
    pub total_count: Option<i64>,
}

impl<T> Page<T> {
    /// The page of `rows` that were read with a `LIMIT` of `request.limit + 1`; `key` gives a row's position.
    #[must_use]
    pub fn of(
        _rows: Vec<T>,
        _request: &PageRequest,
        _fingerprint: Fingerprint,
        _key: impl FnOnce(&T) -> Cursor,
    ) -> Self {
        todo!()
    }

    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            next_cursor: self.next_cursor,
            has_more: self.has_more,
            total_count: self.total_count,
        }
    }
}
