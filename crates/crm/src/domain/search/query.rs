//! What was asked.

use uuid::Uuid;

use super::fold::words;

/// Longest text to search for, in characters.
pub const MAX_CHARS: usize = 200;
/// Fewest letters and digits: one letter is in nearly everything.
const MIN_CHARS: usize = 2;

/// Words to search for: at least one, of at least two letters or digits together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<String>);

/// Why a text cannot be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Fewer than two letters or digits.
    TooShort,
    /// More than [`MAX_CHARS`].
    TooLong,
}

impl Query {
    /// The words of a text.
    ///
    /// # Errors
    /// Why it cannot be searched for.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().count() > MAX_CHARS {
            return Err(Refusal::TooLong);
        }
        let words: Vec<String> = words(text).map(|word| word.text).collect();
        let letters: usize = words.iter().map(|word| word.chars().count()).sum();
        if letters < MIN_CHARS {
            return Err(Refusal::TooShort);
        }
        Ok(Self(words))
    }

    /// The id that was asked for, if it was one.
    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        Uuid::try_parse(&self.0.join("-")).ok()
    }

    /// The words, folded, in order.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}
