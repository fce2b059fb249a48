//! Job titles and what they say about who decides.
//!
//! Owns the matching of titles against the model's levels. Must not hold any word itself: the words are the model's.

use super::model::{SeniorityLevel, SeniorityRule};

impl SeniorityRule {
    /// The first (most senior) level that the title matches. A pattern matches a run of whole words.
    #[must_use]
    pub fn level_of(&self, title: &str) -> Option<&SeniorityLevel> {
        let words = words(title);
        if self.except.iter().any(|pattern| has_run(&words, pattern)) {
            return None;
        }
        self.levels
            .iter()
            .find(|level| level.patterns.iter().any(|pattern| has_run(&words, pattern)))
    }
}

fn words(title: &str) -> Vec<String> {
    let lower = title.to_lowercase();
    lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn has_run(words: &[String], pattern: &str) -> bool {
    let wanted: Vec<&str> = pattern.split(' ').collect();
    words
        .windows(wanted.len())
        .any(|run| run.iter().zip(&wanted).all(|(word, wanted)| word == wanted))
}

#[cfg(test)]
mod tests {
    use super::super::Model;

    #[test]
    fn decision_makers_are_recognised_and_others_are_not() {
        let model = Model::built_in().unwrap();
        let level = |title: &str| model.seniority.level_of(title).map(|level| level.label.as_str());
        for title in [
            "CTO",
            "Co-Founder & CEO",
            "Chief Technology Officer",
            "founder",
            "Cofounder",
        ] {
            assert_eq!(level(title), Some("founder or C-level"), "{title}");
        }
        for title in [
            "VP Engineering",
            "Vice President, Platform",
            "SVP of Eng",
            "vice-president",
        ] {
            assert_eq!(level(title), Some("VP"), "{title}");
        }
        for title in [
            "Director of Engineering",
            "Head of Platform",
            "Engineering Director",
        ] {
            assert_eq!(level(title), Some("head or director"), "{title}");
        }
        for title in [
            "Software Engineer",
            "Assistant to the CEO",
            "Intern, office of the CTO",
            "Overhead",
            "",
            "—",
        ] {
            assert_eq!(level(title), None, "{title}");
        }
    }
}
