//! Text as people and clients send it: trimmed, composed (NFC), bounded; empty is absent.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Trimmed, in composed form (Unicode NFC). `None` when nothing is left, or when it holds control characters (a zero
/// byte among them, which Postgres refuses).
pub(super) fn clean(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Some(Cow::Borrowed(text));
    }
    Some(Cow::Owned(text.nfc().collect()))
}

/// [`clean`], cut to `max` characters: for names and titles, where the beginning is as good as the whole.
pub(super) fn cut(text: &str, max: usize) -> Option<Cow<'_, str>> {
    let text = clean(text)?;
    match text.char_indices().nth(max) {
        None => Some(text),
        Some((end, _)) => Some(Cow::Owned(text[..end].trim_end().to_owned())),
    }
}

/// [`clean`], refused above `max` bytes: for identifiers, where a part is another thing.
pub(super) fn within(text: &str, max: usize) -> Option<Cow<'_, str>> {
    clean(text).filter(|text| text.len() <= max)
}

/// Lower case; borrowed when it is already.
pub(super) fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            text
        }
    } else {
        // Lower-casing can take composed text apart (İ), so it is composed again.
        Cow::Owned(text.chars().flat_map(char::to_lowercase).nfc().collect())
    }
}

/// Lines of an embedded list; `#` begins a comment.
pub(super) fn lines(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_composed_and_bounded() {
        assert_eq!(clean("  a b ").as_deref(), Some("a b"));
        assert_eq!(clean(" \t "), None);
        assert_eq!(clean("a\0b"), None);
        assert_eq!(clean("e\u{301}").as_deref(), Some("é"));
        assert_eq!(cut("ab cd", 3).as_deref(), Some("ab"));
        assert_eq!(cut("äöü", 2).as_deref(), Some("äö"));
        assert_eq!(within("abc", 2), None);
        assert_eq!(lower("ÄB".into()), "äb");
    }
}
