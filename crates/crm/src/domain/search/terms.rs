//! The terms that a record is found by: numbers in one array, so that Postgres' own GIN index over arrays serves every kind of
//! match without an extension.
//!
//! A term is a hash of organization, kind of term and text. The organization is part of it, because an index over arrays cannot
//! begin with a column: of other organizations nothing is even looked at. Two texts with one hash cost a candidate, never a
//! wrong answer: [`super::rank`] reads the text.

use std::collections::{BTreeSet, HashSet};

use ids::OrgId;
use sha2::{Digest as _, Sha256};

use super::document::{Document, Kind};
use super::fold::words;
use super::query::Query;

/// Most terms of one record: of a long note the words at its beginning count.
const MAX_TERMS: usize = 4_000;
/// Of so many different words mistyped ones are found.
pub(super) const TYPO_WORDS: usize = 40;
/// Shorter words are not searched mistyped: nearly all of them are neighbours of one another.
const TYPO_CHARS: usize = 4;
/// Longer words are not searched mistyped.
const TYPO_MAX_CHARS: usize = 32;

/// Kinds of terms.
#[derive(Debug, Clone, Copy)]
enum Sort {
    /// A field as a whole.
    Exact = 1,
    /// Three letters in a row within a word.
    Gram = 2,
    /// A word without one of its letters, or whole: words that are one edit apart share one of them.
    Near = 3,
    /// The kind of record.
    Kind = 4,
    /// A word.
    Word = 5,
    /// A beginning of a word, of a length of [`BEGINNINGS`].
    Begin = 6,
    /// A word of a record of the sample.
    SampleWord = 7,
    /// A beginning of a word of a record of the sample.
    SampleBegin = 8,
}

/// One record in so many has its words and beginnings once more, as terms of the sample. What is in a tenth of all records is
/// then found in the sample alone, whose lists are short: an index over arrays cannot stop when it has enough.
const SAMPLE: u8 = 16;

/// Lengths of beginnings that have a term. Each condition is one term for each word, and not all its trigrams: an index scan
/// that intersects ten lists of which nine are long costs ten times as much.
const BEGINNINGS: std::ops::RangeInclusive<usize> = 1..=8;
/// Most trigrams of a word that are looked for, its last ones; the rest is left to the text.
const INSIDE_GRAMS: usize = 3;

/// Whether a word is also found with one letter wrong. Not with digits in it: such words are mostly one record's alone (logins,
/// numbers), each with keys of its own in the index, and those are what writing costs.
pub(super) fn can_be_mistyped(word: &str) -> bool {
    (TYPO_CHARS..=TYPO_MAX_CHARS).contains(&word.chars().count()) && !word.chars().any(char::is_numeric)
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
        if !can_be_mistyped(word) {
            return Vec::new();
        }
        // The one that leaves out none is the word itself.
        let mut terms = vec![self.term(Sort::Near, word)];
        let mut variant = String::with_capacity(word.len());
        for (at, left_out) in word.char_indices() {
            variant.clear();
            variant.push_str(&word[..at]);
            variant.push_str(&word[at + left_out.len_utf8()..]);
            terms.push(self.term(Sort::Near, &variant));
        }
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    fn word(&self, word: &str) -> i32 {
        self.term(Sort::Word, word)
    }

    /// The longest beginning that has a term.
    fn longest_begin(&self, word: &str) -> i32 {
        self.term(Sort::Begin, longest(word))
    }

    fn grams(&self, word: &str) -> Vec<i32> {
        // Where letters begin, and where the last one ends.
        let places: Vec<usize> = word
            .char_indices()
            .map(|(at, _)| at)
            .chain([word.len()])
            .collect();
        let three = places.windows(4).map(|places| &word[places[0]..places[3]]);
        three.map(|three| self.term(Sort::Gram, three)).collect()
    }

    fn kind(&self, kind: Kind) -> i32 {
        self.term(Sort::Kind, kind.name())
    }
}

/// The longest beginning that has a term.
fn longest(word: &str) -> &str {
    beginnings(word).last().unwrap_or(word)
}

/// The beginnings of a word that have a term.
fn beginnings(word: &str) -> impl Iterator<Item = &str> {
    let ends = word.char_indices().skip(1).map(|(at, _)| at).chain([word.len()]);
    ends.take(*BEGINNINGS.end()).map(|end| &word[..end])
}

/// The terms of a record, sorted, each once.
#[must_use]
pub fn of_document(org: OrgId, document: &Document) -> Vec<i32> {
    let maker = Maker::new(org);
    let mut terms = vec![maker.kind(document.kind)];
    let sampled = document.id.as_bytes()[15].is_multiple_of(SAMPLE);
    let mut seen: HashSet<String> = HashSet::new();
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
            if seen.contains(&word.text) {
                continue;
            }
            for beginning in beginnings(&word.text) {
                terms.push(maker.term(Sort::Begin, beginning));
                if sampled {
                    terms.push(maker.term(Sort::SampleBegin, beginning));
                }
            }
            terms.push(maker.word(&word.text));
            if sampled {
                terms.push(maker.term(Sort::SampleWord, &word.text));
            }
            terms.extend(maker.grams(&word.text));
            if seen.len() < TYPO_WORDS {
                terms.extend(maker.near(&word.text));
            }
            seen.insert(word.text);
        }
        terms.push(maker.exact(&whole));
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// The terms of kinds of records, to keep to these.
#[must_use]
pub fn of_kinds(org: OrgId, kinds: &[Kind]) -> Vec<i32> {
    let maker = Maker::new(org);
    kinds.iter().map(|kind| maker.kind(*kind)).collect()
}

/// What to look for, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// A field is exactly what was asked.
    pub exact: i32,
    /// All of these: has all words.
    pub whole: Vec<i32>,
    /// As `whole`, in the sample.
    pub sampled_whole: Vec<i32>,
    /// All of these: for each word has one that begins so.
    pub begins: Vec<i32>,
    /// As `begins`, in the sample.
    pub sampled_begins: Vec<i32>,
    /// All of these: has each word somewhere.
    pub inside: Vec<i32>,
    /// One of each of these: for each word has one that begins so or differs by one letter. Empty when no word can be mistyped.
    pub mistyped: Vec<Vec<i32>>,
}

/// What to look for.
#[must_use]
pub fn wanted(org: OrgId, query: &Query) -> Wanted {
    let maker = Maker::new(org);
    let all = |terms: &dyn Fn(&str) -> Vec<i32>| -> Vec<i32> {
        let terms: BTreeSet<i32> = query.words().iter().flat_map(|word| terms(word)).collect();
        terms.into_iter().collect()
    };
    let last = |word: &str, count: usize| {
        let mut grams = maker.grams(word);
        grams.drain(..grams.len().saturating_sub(count));
        grams
    };
    let inside = |word: &str| {
        let grams = last(word, INSIDE_GRAMS);
        // Too short to be looked for within words.
        if grams.is_empty() {
            vec![maker.longest_begin(word)]
        } else {
            grams
        }
    };
    let begins = |word: &str| {
        let mut terms = vec![maker.longest_begin(word)];
        if word.chars().count() > *BEGINNINGS.end() {
            // What is behind the longest beginning.
            terms.extend(last(word, 2));
        }
        terms
    };
    let mistyped = |word: &String| {
        let mut terms = maker.near(word);
        terms.push(maker.longest_begin(word));
        terms
    };
    let any = query.words().iter().any(|word| can_be_mistyped(word));
    Wanted {
        exact: maker.exact(&query.words().join(" ")),
        whole: all(&|word| vec![maker.word(word)]),
        sampled_whole: all(&|word| vec![maker.term(Sort::SampleWord, word)]),
        begins: all(&begins),
        sampled_begins: all(&|word| vec![maker.term(Sort::SampleBegin, longest(word))]),
        inside: all(&inside),
        mistyped: query.words().iter().filter(|_| any).map(mistyped).collect(),
    }
}
