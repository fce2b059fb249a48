//! How well a record fits what was asked, and why.

use std::collections::BTreeSet;

use super::document::{Document, Kind};
use super::fold::{Word, words};
use super::query::Query;
use super::terms::{TYPO_WORDS, can_be_mistyped};

/// Longest excerpt, in characters.
const SNIPPET_CHARS: usize = 160;
/// How much of an excerpt stands before what matched, in characters.
const LEAD_CHARS: usize = 40;
/// Most places told of one record.
const MAX_PLACES: usize = 3;
/// Of records that fit equally well a shorter title is nearer; this is how much that can count.
const TITLE_SHARE: f64 = 0.02;

/// How something matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// One letter differs.
    Similar,
    /// A word contains it.
    Partial,
    /// A word begins with it.
    Prefix,
    /// It is a word of the field.
    Word,
    /// It is the field.
    Exact,
}

impl Reason {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Similar => "similar",
            Self::Partial => "partial",
            Self::Prefix => "prefix",
            Self::Word => "word",
            Self::Exact => "exact",
        }
    }
}

/// A place that matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    /// The field.
    pub field: String,
    /// The weakest match of the words in it.
    pub reason: Reason,
    /// An excerpt of the field.
    pub snippet: String,
    /// What matched in it: begin and end, in characters.
    pub ranges: Vec<(usize, usize)>,
}

/// A record that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// From 0 to 1.
    pub score: f64,
    /// Where and how, the best first.
    pub places: Vec<Highlight>,
}

/// A match of one word that was asked for.
#[derive(Debug, Clone, Copy)]
struct Hit {
    reason: Reason,
    points: f64,
    begin: usize,
    end: usize,
}

struct Field<'d> {
    name: &'d str,
    text: &'d str,
    words: Vec<Word>,
    weight: f64,
}

/// How well `document` fits, or `None` when it lacks one of the words.
#[must_use]
pub fn rank(document: &Document, query: &Query) -> Option<Found> {
    let fields = fields(document);
    let near = near_words(&fields);
    let mut best = vec![(0.0_f64, Reason::Word); query.words().len()];
    let mut exact = 0.0_f64;
    let mut places: Vec<(f64, Highlight)> = Vec::new();
    for field in &fields {
        let mut hits: Vec<Hit> = Vec::new();
        for (asked, best) in query.words().iter().zip(&mut best) {
            if let Some(hit) = best_hit(asked, field, &near) {
                let points = hit.points * field.weight;
                if points > best.0 {
                    *best = (points, hit.reason);
                }
                hits.push(hit);
            }
        }
        let Some(weakest) = hits.iter().map(|hit| hit.reason).min() else {
            continue;
        };
        let is_exact = weakest == Reason::Word
            && field.words.len() == query.words().len()
            && field
                .words
                .iter()
                .zip(query.words())
                .all(|(word, asked)| word.text == *asked);
        if is_exact {
            exact = exact.max(field.weight);
        }
        let reason = if is_exact { Reason::Exact } else { weakest };
        let points: f64 = hits.iter().map(|hit| hit.points).sum::<f64>() * field.weight;
        places.push((points, highlight(field, reason, &hits)));
    }
    if query.id() == Some(document.id) {
        return Some(by_id(document.id.to_string()));
    }
    // Parts of words and mistyped words at once are not looked for: nearly anything would fit.
    let has = |reason| best.iter().any(|(_, known)| *known == reason);
    if best.iter().any(|(points, _)| *points == 0.0) || has(Reason::Partial) && has(Reason::Similar) {
        return None;
    }
    places.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mean = best.iter().map(|(points, _)| points).sum::<f64>() / best.len() as f64;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = query.words().len() as f64 / fields[0].words.len().max(query.words().len()) as f64;
    let fit = if exact > 0.0 {
        0.95 + 0.02 * exact
    } else {
        mean * 0.9
    };
    Some(Found {
        score: (fit + TITLE_SHARE * share + of_kind(document.kind)).min(1.0),
        places: places
            .into_iter()
            .take(MAX_PLACES)
            .map(|(_, place)| place)
            .collect(),
    })
}

/// Of records that fit equally well companies come before persons, and these before the rest.
fn of_kind(kind: Kind) -> f64 {
    match kind {
        Kind::Account => 0.01,
        Kind::Contact => 0.005,
        Kind::Deal | Kind::Record | Kind::Note => 0.0,
    }
}

fn by_id(id: String) -> Found {
    let end = id.chars().count();
    Found {
        score: 1.0,
        places: vec![Highlight {
            field: "id".to_owned(),
            reason: Reason::Exact,
            snippet: id,
            ranges: vec![(0, end)],
        }],
    }
}

fn fields(document: &Document) -> Vec<Field<'_>> {
    let title = match document.kind {
        Kind::Note | Kind::Record => "title",
        _ => "name",
    };
    let all = std::iter::once((title, document.title.as_str())).chain(
        document
            .fields
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    all.map(|(name, text)| Field {
        name,
        text,
        words: words(text).collect(),
        weight: weight(name),
    })
    .collect()
}

fn weight(field: &str) -> f64 {
    match field {
        "name" => 1.0,
        "email" | "domain" | "github" | "githubOrg" => 0.95,
        "title" => 0.9,
        "body" => 0.6,
        _ => 0.7,
    }
}

/// The words of which mistyped ones are found: the same as the index has.
fn near_words<'f>(fields: &'f [Field<'_>]) -> BTreeSet<&'f str> {
    let mut near = BTreeSet::new();
    let all = fields.iter().flat_map(|field| &field.words);
    for word in all {
        if near.len() >= TYPO_WORDS {
            break;
        }
        near.insert(word.text.as_str());
    }
    near
}

fn best_hit(asked: &str, field: &Field<'_>, near: &BTreeSet<&str>) -> Option<Hit> {
    let mut best: Option<Hit> = None;
    for word in &field.words {
        if let Some(hit) = hit(asked, word, near)
            && best.is_none_or(|best| hit.points > best.points)
        {
            let whole = hit.reason == Reason::Word;
            best = Some(hit);
            if whole {
                break;
            }
        }
    }
    best
}

fn hit(asked: &str, word: &Word, near: &BTreeSet<&str>) -> Option<Hit> {
    let place = |n: usize| word.places.get(n).copied().unwrap_or_default();
    let last = word.places.len().saturating_sub(1);
    if word.text == asked {
        return Some(Hit {
            reason: Reason::Word,
            points: 1.0,
            begin: place(0),
            end: place(last),
        });
    }
    let length = asked.chars().count();
    #[expect(clippy::cast_precision_loss, reason = "words are short")]
    let share = length as f64 / last.max(1) as f64;
    if let Some(at) = word.text.find(asked) {
        let begin = word.text[..at].chars().count();
        // Within words only what has three letters is looked for.
        if begin > 0 && length < 3 {
            return None;
        }
        let end = place((begin + length).saturating_sub(1)) + 1;
        return Some(if begin == 0 {
            Hit {
                reason: Reason::Prefix,
                points: 0.75 + 0.2 * share,
                begin: place(0),
                end,
            }
        } else {
            Hit {
                reason: Reason::Partial,
                points: 0.5 + 0.2 * share,
                begin: place(begin),
                end,
            }
        });
    }
    let close = last.abs_diff(length) <= 1
        && near.contains(word.text.as_str())
        && can_be_mistyped(asked)
        && can_be_mistyped(&word.text)
        && strsim::osa_distance(asked, &word.text) <= 1;
    close.then(|| Hit {
        reason: Reason::Similar,
        points: 0.45,
        begin: place(0),
        end: place(last),
    })
}

/// An excerpt around the first match.
fn highlight(field: &Field<'_>, reason: Reason, hits: &[Hit]) -> Highlight {
    let mut ranges: Vec<(usize, usize)> = hits.iter().map(|hit| (hit.begin, hit.end)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    let length = field.text.chars().count();
    let first = ranges.first().map_or(0, |range| range.0);
    let begin = if length <= SNIPPET_CHARS {
        0
    } else {
        first.saturating_sub(LEAD_CHARS).min(length - SNIPPET_CHARS)
    };
    let snippet: String = field.text.chars().skip(begin).take(SNIPPET_CHARS).collect();
    let shown = ranges
        .into_iter()
        .filter(|(from, to)| *from >= begin && *to <= begin + SNIPPET_CHARS)
        .map(|(from, to)| (from - begin, to - begin))
        .collect();
    Highlight {
        field: field.name.to_owned(),
        reason,
        snippet,
        ranges: shown,
    }
}
