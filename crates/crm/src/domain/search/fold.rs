//! Text as search compares it: lower case, without accents, in words.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Longest word that is told apart, in characters; what is behind counts for nothing.
pub(super) const WORD_CHARS: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Folded.
    pub text: String,
    /// For each folded character the place in the original, in characters, and behind the last one the word's end.
    pub places: Vec<usize>,
}

/// The words of a text, in order. A word is a run of letters and digits.
pub fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let mut chars = text.chars().enumerate().peekable();
    std::iter::from_fn(move || {
        let mut word = Word {
            text: String::new(),
            places: Vec::new(),
        };
        let mut length = 0;
        while let Some(&(place, c)) = chars.peek() {
            let part = fold(c);
            if part.is_empty() && is_combining_mark(c) {
                // An accent belongs to the letter before it.
                chars.next();
                continue;
            }
            if part.is_empty() {
                if length > 0 {
                    break;
                }
                chars.next();
                continue;
            }
            for c in part.chars().take(WORD_CHARS.saturating_sub(length)) {
                word.text.push(c);
                word.places.push(place);
                length += 1;
            }
            chars.next();
            if let Some(end) = word.places.last().copied().filter(|_| length >= WORD_CHARS) {
                // The rest of an overlong word is passed over.
                while chars.next_if(|(_, c)| !fold(*c).is_empty()).is_some() {}
                word.places.push(end + 1);
                return Some(word);
            }
        }
        let last = word.places.last().copied()?;
        word.places.push(last + 1);
        Some(word)
    })
}

/// The text as one: its words with a space between.
#[must_use]
pub fn folded(text: &str) -> String {
    words(text).map(|word| word.text).collect::<Vec<_>>().join(" ")
}

/// A character in lower case and without accents; empty for what is no letter or digit.
fn fold(c: char) -> String {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase().to_string()
        } else {
            String::new()
        };
    }
    std::iter::once(c)
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|c| c.is_alphanumeric())
        .fold(String::new(), |mut text, c| {
            match plain(c) {
                Some(letters) => text.push_str(letters),
                None => text.push(c),
            }
            text
        })
}

/// Letters that no decomposition takes apart.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ı' => "i",
        'ħ' => "h",
        _ => return None,
    })
}
