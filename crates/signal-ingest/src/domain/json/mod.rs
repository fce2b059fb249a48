//! Reads the JSON bodies of ingest requests: strict about the document, exact about each item.
//!
//! A document that is not JSON, or not JSON that has one meaning (duplicate keys, lone surrogates, too deep), is refused
//! as a whole. Everything else is a matter of the item it stands in. Rules about values are `validate`'s.

mod metadata;
mod reader;
mod request;
mod signal;
#[cfg(test)]
mod tests;

pub use request::{Item, oversized_item, read_batch, read_single, too_many_items};

/// A key as a segment of a JSON pointer (RFC 6901), shortened when absurdly long.
#[must_use]
pub fn escape(key: &str) -> String {
    const MAX: usize = 200;
    let mut segment = String::with_capacity(key.len().min(MAX));
    for c in key.chars() {
        if segment.len() >= MAX {
            segment.push('…');
            break;
        }
        match c {
            '~' => segment.push_str("~0"),
            '/' => segment.push_str("~1"),
            c => segment.push(c),
        }
    }
    segment
}
