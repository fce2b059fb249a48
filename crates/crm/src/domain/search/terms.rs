//! The terms that a record is found by: numbers in one array, so that Postgres' own GIN index over arrays serves every kind of
//! match without an extension.
//!
//! A term is a hash of organization, kind of term and text. The organization is part of it, because an index over arrays cannot
//! begin with a column: of other organizations nothing is even looked at. Two texts with one hash cost a candidate, never a
//! wrong answer: [`super::rank`] reads the text.

use std::collections::BTreeSet;

use ids::OrgId;
use sha2::{Digest as _, Sha256};

use super::document::{Document, Kind};
use super::fold::{folded, words};
use super::query::Query;

/// Most terms of one record: of a long note the words at its beginning count.
const MAX_TERMS: usize = 4_000;
/// Of so many different words mistyped ones are found.
pub(super) const TYPO_WORDS: usize = 40;
/// Shorter words are not searched mistyped: nearly all of them are neighbours of one another.
pub(super) const TYPO_CHARS: usize = 4;
/// Longer words are not searched mistyped.
pub(super) const TYPO_MAX_CHARS: usize = 32;

/// Kinds of terms.
#[derive(Debug, Clone, Copy)]
enum Sort {
    /// A field as a whole.
    Exact = 1,
    /// Three letters in a row, as in `pg_trgm`: two spaces stand before a word, one behind it.
    Gram = 2,
    /// A word without one of its letters, or whole: words that are one edit apart share one of them.
    Near = 3,
    /// The kind of record.
    Kind = 4,
}

/// Makes terms of one organization.
struct Maker(Sha256);

impl Maker {
    fn new(org: OrgId) -> Self {
        Self(Sha256::new().chain_update(org.uuid().as_bytes()))
    }

    fn term(&self, sort: Sort, text: &str) -> i32 {
        let digest: [u8; 32] = self
            .0
            .clone()
            .chain_update([sort as u8])
            .chain_update(text.as_bytes())
            .finalize()
            .into();
        i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn exact(&self, text: &str) -> i32 {
        self.term(Sort::Exact, text)
    }

    fn near(&self, word: &str) -> Vec<i32> {
        let letters: Vec<char> = word.chars().collect();
        if !(TYPO_CHARS..=TYPO_MAX_CHARS).contains(&letters.len()) {
            return Vec::new();
        }
        let without = |left_out: usize| -> String {
            let kept = letters.iter().enumerate().filter(|(n, _)| *n != left_out);
            kept.map(|(_, c)| *c).collect()
        };
        // The one that leaves out none is the word itself.
        let variants: BTreeSet<String> = (0..=letters.len()).map(without).collect();
        variants
            .iter()
            .map(|variant| self.term(Sort::Near, variant))
            .collect()
    }

    fn grams(&self, padded: &str) -> Vec<i32> {
        let letters: Vec<char> = padded.chars().collect();
        letters
            .windows(3)
            .map(|three| self.term(Sort::Gram, &three.iter().collect::<String>()))
            .collect()
    }

    fn kind(&self, kind: Kind) -> i32 {
        self.term(Sort::Kind, kind.name())
    }
}

/// The terms of a record, sorted, each once.
#[must_use]
pub fn of_document(org: OrgId, document: &Document) -> Vec<i32> {
    let maker = Maker::new(org);
    let mut terms = BTreeSet::from([
        maker.kind(document.kind),
        maker.exact(&folded(&document.id.to_string())),
    ]);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let texts = std::iter::once(&document.title).chain(document.fields.iter().map(|(_, text)| text));
    for text in texts {
        let mut whole = String::new();
        for word in words(text) {
            if terms.len() >= MAX_TERMS {
                break;
            }
            if !whole.is_empty() {
                whole.push(' ');
            }
            whole.push_str(&word.text);
            if seen.insert(word.text.clone()) {
                terms.extend(maker.grams(&format!("  {} ", word.text)));
                if seen.len() <= TYPO_WORDS {
                    terms.extend(maker.near(&word.text));
                }
            }
        }
        terms.insert(maker.exact(&whole));
    }
    terms.into_iter().collect()
}

/// The terms of kinds of records, to keep to these.
#[must_use]
pub fn of_kinds(org: OrgId, kinds: &[Kind]) -> Vec<i32> {
    let maker = Maker::new(org);
    kinds.iter().map(|kind| maker.kind(*kind)).collect()
}

/// What a record must have for one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordTerms {
    /// All of these for a word that has it somewhere.
    pub inside: Vec<i32>,
    /// One of these for a word that differs by one letter; empty when that is not asked for.
    pub near: Vec<i32>,
}

/// What to look for, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A field is exactly what was asked.
    pub exact: i32,
    /// All of these: has all words.
    pub whole: Vec<i32>,
    /// All of these: for each word has one that begins so.
    pub begins: Vec<i32>,
    /// All of these: has each word somewhere.
    pub inside: Vec<i32>,
    /// Each of these: words can be mistyped.
    pub mistyped: Vec<WordTerms>,
}

/// What to look for.
#[must_use]
pub fn wanted(org: OrgId, query: &Query) -> Wanted {
    let maker = Maker::new(org);
    let all = |pad: &dyn Fn(&str) -> String| -> Vec<i32> {
        let terms: BTreeSet<i32> = query
            .words()
            .iter()
            .flat_map(|word| maker.grams(&pad(word)))
            .collect();
        terms.into_iter().collect()
    };
    let inside = |word: &str| {
        if word.chars().count() >= 3 {
            word.to_owned()
        } else {
            // Too short to be looked for within words.
            format!("  {word}")
        }
    };
    Wanted {
        exact: maker.exact(&query.words().join(" ")),
        whole: all(&|word| format!("  {word} ")),
        begins: all(&|word| format!("  {word}")),
        inside: all(&inside),
        mistyped: query
            .words()
            .iter()
            .map(|word| WordTerms {
                inside: maker.grams(&inside(word)),
                near: maker.near(word),
            })
            .collect(),
    }
}
