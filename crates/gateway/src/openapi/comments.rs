//! Comments of the contract, as they stand in `proto/`, taken apart: text, summary, example, bounds.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

type Places = HashMap<Vec<i32>, String>;

/// All comments by file and place.
pub struct Comments(HashMap<String, Places>);

/// A comment.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The text without its example.
    pub text: String,
    /// What stands behind `Example:`.
    pub example: Option<String>,
}

impl Comments {
    /// The comments of all files.
    #[must_use]
    pub fn of(pool: &DescriptorPool) -> Self {
        Self(
            pool.files()
                .map(|file| (file.name().to_owned(), places(&file)))
                .collect(),
        )
    }

    /// Of a message.
    #[must_use]
    pub fn message(&self, of: &MessageDescriptor) -> Comment {
        self.at(&of.parent_file(), of.path())
    }

    /// Of a field.
    #[must_use]
    pub fn field(&self, of: &FieldDescriptor) -> Comment {
        self.at(&of.parent_message().parent_file(), of.path())
    }

    /// Of a method.
    #[must_use]
    pub fn method(&self, of: &MethodDescriptor) -> Comment {
        self.at(&of.parent_file(), of.path())
    }

    /// Of a service.
    #[must_use]
    pub fn service(&self, of: &ServiceDescriptor) -> Comment {
        self.at(&of.parent_file(), of.path())
    }

    /// Of an enumeration, with those of its values.
    #[must_use]
    pub fn enumeration(&self, of: &EnumDescriptor, prefix: &str) -> String {
        let mut text = self.at(&of.parent_file(), of.path()).text;
        for value in of.values().filter(|v| v.number() != 0) {
            let name = value.name().strip_prefix(prefix).unwrap_or(value.name());
            let means = self.at(&of.parent_file(), value.path()).text;
            text.push_str(&format!("\n- `{name}`: {means}"));
        }
        text
    }

    fn at(&self, file: &FileDescriptor, path: &[i32]) -> Comment {
        let text = self.0.get(file.name()).and_then(|places| places.get(path));
        text.map_or_else(Comment::default, |text| Comment::read(text))
    }
}

fn places(file: &FileDescriptor) -> Places {
    let proto = file.file_descriptor_proto();
    let Some(info) = &proto.source_code_info else {
        return Places::new();
    };
    info.location
        .iter()
        .filter_map(|l| Some((l.path.clone(), l.leading_comments.clone()?)))
        .collect()
}

impl Comment {
    fn read(text: &str) -> Self {
        let (mut lines, mut example) = (Vec::new(), None);
        for line in text.lines().map(str::trim) {
            match line.strip_prefix("Example:") {
                Some(rest) => example = Some(rest.trim().to_owned()),
                None => lines.push(line),
            }
        }
        Self {
            text: lines.join(" ").trim().to_owned(),
            example,
        }
    }

    /// The first sentence, without its full stop.
    #[must_use]
    pub fn summary(&self) -> &str {
        let end = self.text.find(". ").unwrap_or(self.text.len());
        self.text[..end].trim_end_matches('.')
    }

    /// The words in backquotes.
    pub fn quoted(&self) -> Vec<&str> {
        self.text.split('`').skip(1).step_by(2).collect()
    }

    /// The words of a closed set: a first sentence of nothing but words in backquotes, commas, `or`, and remarks in brackets.
    #[must_use]
    pub fn closed_set(&self) -> Option<Vec<&str>> {
        let first = self.summary();
        let mut outside = String::new();
        let mut depth = 0;
        for (n, part) in first.split('`').enumerate() {
            for c in part.chars().filter(|_| n % 2 == 0) {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    c if depth == 0 => outside.push(c),
                    _ => {}
                }
            }
        }
        let only_joints = outside
            .split_whitespace()
            .all(|word| matches!(word, "," | "or" | ",or"));
        let words: Vec<_> = first.split('`').skip(1).step_by(2).collect();
        (only_joints && words.len() > 1).then_some(words)
    }

    /// `1 to 200` as numbers, and whether they count characters.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64, bool)> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        words.windows(3).enumerate().find_map(|(n, three)| {
            let [low, "to", high] = three else { return None };
            let unit =
                words.get(n + 3).is_some_and(|w| w.starts_with("characters")) || high.ends_with("characters");
            Some((number(low)?, number(high)?, unit))
        })
    }

    /// `at most 200 characters`.
    #[must_use]
    pub fn at_most_characters(&self) -> Option<u64> {
        let (_, behind) = self
            .text
            .split_once("t most ")
            .filter(|(before, _)| before.ends_with('a') || before.ends_with('A'))?;
        let mut words = behind.split_whitespace();
        let (count, unit) = (words.next()?, words.next()?);
        unit.starts_with("characters").then(|| number(count))?
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim_end_matches([';', '.', ',', ':'])
        .replace(',', "")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Comment {
        Comment::read(text)
    }

    #[test]
    fn a_comment_gives_its_parts() {
        let comment =
            read(" A name for people; 1 to 200 characters. Required.\n Example: Our repositories\n");
        assert_eq!(comment.summary(), "A name for people; 1 to 200 characters");
        assert_eq!(comment.example.as_deref(), Some("Our repositories"));
        assert_eq!(comment.range(), Some((1, 200, true)));
        assert_eq!(
            read("Number of employees, 1 to 10,000,000.").range(),
            Some((1, 10_000_000, false))
        );
        assert_eq!(
            read("Industry, at most 100 characters; empty removes it.").at_most_characters(),
            Some(100)
        );
    }

    #[test]
    fn closed_sets_are_told_from_examples() {
        assert_eq!(
            read("`active`, `paused` (what it `receives` is refused) or `error`.")
                .closed_set()
                .map(|w| w.len()),
            Some(4)
        );
        assert_eq!(
            read("`active` or `paused`.").closed_set().unwrap(),
            ["active", "paused"]
        );
        assert_eq!(read("What happened, for example `a` or `b`.").closed_set(), None);
        assert_eq!(
            read("`totalCount` adds the number of matches.").closed_set(),
            None
        );
    }
}
