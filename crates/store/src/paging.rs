//! Keyset paging: limits, cursors that belong to one list, pages.
//!
//! A cursor is opaque, not secret: it holds a position in a list that its caller has just seen. Its tag tells cursors
//! that were altered, or made for another organization, method, sort or filter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use errors::{ApiError, ErrorCode, FieldError};
use ids::OrgId;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Page size when the caller names none.
pub const DEFAULT_LIMIT: u32 = 50;
/// Largest page size.
pub const MAX_LIMIT: u32 = 200;
/// `totalCount` is exact up to one less than this, which stands for "more".
pub const COUNT_CAP: i64 = 10_001;

/// Longest cursor that is read: a sort key of 1,000 characters, four bytes each, and the rest.
const CURSOR_CHARS: usize = 8_192;
const TAG_BYTES: usize = 8;

/// What a cursor is bound to: organization, method, sort and filters of the list. With another list it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a list. `filters` as the caller gave them, in any order.
    #[must_use]
    pub fn new(org: OrgId, method: &str, sort: &str, filters: &[(String, String)]) -> Self {
        let mut filters: Vec<_> = filters.iter().collect();
        filters.sort();
        let mut hash = Sha256::new();
        hash.update(org.uuid().as_bytes());
        // With lengths, so that no two lists give the same bytes.
        let texts = [method, sort]
            .into_iter()
            .chain(filters.iter().flat_map(|(n, v)| [n.as_str(), v.as_str()]));
        for text in texts {
            hash.update(text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.finalize().into())
    }

    fn tag(&self, position: &[u8]) -> [u8; TAG_BYTES] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(self.0)
            .chain_update(position)
            .finalize()
            .into();
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest[..TAG_BYTES]);
        tag
    }
}

/// A position in a list: the values of the sort key and the id of the last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(pub Vec<Value>);

impl Cursor {
    /// As opaque text: base64url of a tag and a compact JSON array.
    #[must_use]
    pub fn encode(&self, fingerprint: Fingerprint) -> String {
        let position = Value::Array(self.0.clone()).to_string();
        let mut bytes = fingerprint.tag(position.as_bytes()).to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] made.
    ///
    /// # Errors
    /// `invalid_cursor`: not made by [`Cursor::encode`], altered, or for another list.
    pub fn decode(text: &str, fingerprint: Fingerprint) -> Result<Self, ApiError> {
        Self::read(text, fingerprint).ok_or_else(invalid_cursor)
    }

    fn read(text: &str, fingerprint: Fingerprint) -> Option<Self> {
        if text.len() > CURSOR_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, position) = bytes.split_at_checked(TAG_BYTES)?;
        if tag != fingerprint.tag(position) {
            return None;
        }
        serde_json::from_slice(position).ok().map(Self)
    }
}

/// The error for a cursor that cannot be used here.
#[must_use]
pub fn invalid_cursor() -> ApiError {
    refused(
        ErrorCode::InvalidCursor,
        "?cursor",
        "invalid_cursor",
        "the cursor is not one of this list with this sort and these filters; begin again without it"
            .to_owned(),
    )
}

/// The error for a query parameter.
#[must_use]
pub fn invalid_parameter(pointer: &str, code: &str, message: String) -> ApiError {
    refused(ErrorCode::InvalidParameter, pointer, code, message)
}

fn refused(kind: ErrorCode, pointer: &str, code: &str, message: String) -> ApiError {
    let mut error = ApiError::new(kind, message.clone());
    error.fields = vec![FieldError::new(pointer, code, message)];
    error
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
    /// Checks limit and cursor. An empty cursor is none.
    ///
    /// # Errors
    /// `invalid_parameter` at `?limit`, `invalid_cursor` at `?cursor`.
    pub fn parse(
        limit: Option<i32>,
        cursor: Option<&str>,
        fingerprint: Fingerprint,
    ) -> Result<Self, ApiError> {
        let limit = match limit {
            None => DEFAULT_LIMIT,
            Some(limit) => u32::try_from(limit)
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| {
                    invalid_parameter(
                        "?limit",
                        "out_of_range",
                        format!("limit must be from 1 to {MAX_LIMIT}"),
                    )
                })?,
        };
        let after = match cursor {
            None | Some("") => None,
            Some(text) => Some(Cursor::decode(text, fingerprint)?),
        };
        Ok(Self { limit, after })
    }

    /// What to put into `LIMIT`: one more than wanted tells whether there is a next page.
    #[must_use]
    pub fn fetch_limit(&self) -> i64 {
        i64::from(self.limit) + 1
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
    /// The page of `rows` that were read with [`PageRequest::fetch_limit`]; `key` gives a row's position.
    #[must_use]
    pub fn of(
        mut rows: Vec<T>,
        request: &PageRequest,
        fingerprint: Fingerprint,
        key: impl FnOnce(&T) -> Cursor,
    ) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| has_more)
            .map(|last| key(last).encode(fingerprint));
        Self {
            items: rows,
            next_cursor,
            has_more,
            total_count: None,
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn fingerprint(org: u128, method: &str, sort: &str, filters: &[(&str, &str)]) -> Fingerprint {
        let filters: Vec<_> = filters
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Fingerprint::new(OrgId(Uuid::from_u128(org)), method, sort, &filters)
    }

    #[test]
    fn a_limit_outside_of_1_to_200_is_refused_at_its_parameter() {
        let print = fingerprint(1, "m", "s", &[]);
        for bad in [i32::MIN, -1, 0, 201, i32::MAX] {
            let error = PageRequest::parse(Some(bad), None, print).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidParameter);
            assert_eq!(error.fields[0].pointer, "?limit");
        }
        assert_eq!(PageRequest::parse(None, None, print).unwrap().limit, 50);
        assert_eq!(
            PageRequest::parse(Some(200), Some(""), print).unwrap(),
            PageRequest {
                limit: 200,
                after: None
            }
        );
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let print = fingerprint(
            1,
            "ListSignals",
            "-timestamp",
            &[("type", "a"), ("sourceId", "b")],
        );
        let text = Cursor(vec![Value::from("2026-01-01T00:00:00Z"), Value::from("x")]).encode(print);
        let reordered = fingerprint(
            1,
            "ListSignals",
            "-timestamp",
            &[("sourceId", "b"), ("type", "a")],
        );
        assert!(Cursor::decode(&text, reordered).is_ok());
        for other in [
            fingerprint(
                2,
                "ListSignals",
                "-timestamp",
                &[("type", "a"), ("sourceId", "b")],
            ),
            fingerprint(
                1,
                "ListAccounts",
                "-timestamp",
                &[("type", "a"), ("sourceId", "b")],
            ),
            fingerprint(1, "ListSignals", "timestamp", &[("type", "a"), ("sourceId", "b")]),
            fingerprint(1, "ListSignals", "-timestamp", &[("type", "a")]),
            fingerprint(
                1,
                "ListSignals",
                "-timestamp",
                &[("type", "as"), ("ourceId", "b")],
            ),
            fingerprint(1, "ListSignals", "-timestamp", &[]),
        ] {
            assert_eq!(
                Cursor::decode(&text, other).unwrap_err().code,
                ErrorCode::InvalidCursor
            );
        }
    }

    #[test]
    fn a_page_ends_where_the_extra_row_begins() {
        let print = fingerprint(1, "m", "s", &[]);
        let request = PageRequest {
            limit: 2,
            after: None,
        };
        let key = |n: &i32| Cursor(vec![Value::from(*n)]);
        let page = Page::of(vec![1, 2, 3], &request, print, key);
        assert_eq!((page.items.as_slice(), page.has_more), ([1, 2].as_slice(), true));
        assert_eq!(
            Cursor::decode(&page.next_cursor.unwrap(), print).unwrap(),
            Cursor(vec![Value::from(2)])
        );
        let page = Page::of(vec![1, 2], &request, print, key);
        assert_eq!((page.next_cursor, page.has_more), (None, false));
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text_and_no_other_text_is_read(key in ".*", n in any::<i64>(), flip in any::<(usize, u8)>()) {
            let print = fingerprint(7, "m", "s", &[]);
            let cursor = Cursor(vec![Value::from(key), Value::from(n), Value::Null]);
            let text = cursor.encode(print);
            prop_assert_eq!(Cursor::decode(&text, print).unwrap(), cursor);
            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1.max(1);
            prop_assert!(Cursor::decode(&URL_SAFE_NO_PAD.encode(bytes), print).is_err());
        }

        #[test]
        fn garbage_is_an_invalid_cursor(text in ".*") {
            let error = Cursor::decode(&text, fingerprint(7, "m", "s", &[])).unwrap_err();
            prop_assert_eq!(error.code, ErrorCode::InvalidCursor);
        }
    }
}
