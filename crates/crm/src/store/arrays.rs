//! Arrays as Postgres writes them, for columns of arrays of many rows: arrays of arrays cannot be unnested row by row.

use std::fmt::Write as _;

/// Of texts.
pub(super) fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut literal = String::from("{");
    for (index, item) in texts.enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(c);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// Of numbers.
pub(super) fn of_numbers(numbers: &[i32]) -> String {
    let mut literal = String::with_capacity(2 + 12 * numbers.len());
    literal.push('{');
    for (index, number) in numbers.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing into a text does not fail.
        let _ = write!(literal, "{comma}{number}");
    }
    literal.push('}');
    literal
}

#[cfg(test)]
mod tests {
    use super::{of_numbers, of_texts};

    #[test]
    fn arrays_are_written_as_postgres_reads_them() {
        assert_eq!(of_texts([].into_iter()), "{}");
        assert_eq!(
            of_texts(["a", "b c", "q\"\\,{}"].into_iter()),
            r#"{"a","b c","q\"\\,{}"}"#
        );
        assert_eq!(
            (of_numbers(&[]), of_numbers(&[1, -2])),
            ("{}".to_owned(), "{1,-2}".to_owned())
        );
    }
}
