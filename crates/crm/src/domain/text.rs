//! Text as it is stored: without control characters, bounded, and the form that lists sort by.

/// Longest name of an account or a contact, in characters.
pub const MAX_NAME: usize = 200;
/// Longest industry, in characters.
pub const MAX_INDUSTRY: usize = 100;
/// Longest funding stage, in characters.
pub const MAX_FUNDING_STAGE: usize = 50;
/// Longest title and company of a contact, in characters.
pub const MAX_TITLE: usize = 200;
/// Longest URL, in characters.
pub const MAX_URL: usize = 2_000;

/// How much of a name counts for its place in a list, in characters.
const KEY_CHARS: usize = 64;

/// Learnt text: control characters (Postgres refuses NUL) become spaces, the ends are trimmed, what is too long is cut.
/// `None` when nothing is left. Learnt text is bounded rather than refused: one odd value must not hold up the event.
#[must_use]
pub fn learnt(text: Option<&str>, max_chars: usize) -> Option<String> {
    let cleaned: String = text?
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let cut: String = cleaned.trim().chars().take(max_chars).collect();
    let cut = cut.trim_end();
    (!cut.is_empty()).then(|| cut.to_owned())
}

/// The form of a name that lists sort by: lower case, so that `acme` stands beside `Acme`, and short, so that cursors
/// stay short. Names that differ only behind the cut are in order of their ids.
#[must_use]
pub fn sort_key(name: &str) -> String {
    name.to_lowercase().chars().take(KEY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learnt_text_is_cleaned_and_cut() {
        assert_eq!(learnt(Some(" a\0b\n"), 10).as_deref(), Some("a b"));
        assert_eq!(learnt(Some("äöü"), 2).as_deref(), Some("äö"));
        assert_eq!(learnt(Some(" \u{7}\t "), 10), None);
        assert_eq!(learnt(None, 10), None);
    }

    #[test]
    fn the_sort_key_ignores_case_and_is_short() {
        assert_eq!(sort_key("Acme"), sort_key("aCME"));
        assert_eq!(sort_key(&"x".repeat(500)).len(), 64);
    }
}
