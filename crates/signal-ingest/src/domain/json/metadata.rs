//! Free-form data: JSON straight into the wire's `Struct`, numbers checked for exactness.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::escape;
use super::reader::{MAX_DEPTH, Malformed, Next, Reader};
use crate::domain::text::Fault;

/// The first value that cannot be kept, with the pointer to it from where reading began.
pub(super) type Spoiled = Option<(String, Fault)>;

/// Reads free-form data. Also the way to pass over what is not wanted: the document stays strict everywhere.
pub(super) struct FreeForm<'r, 'j> {
    pub(super) reader: &'r mut Reader<'j>,
    pub(super) spoiled: Spoiled,
}

impl FreeForm<'_, '_> {
    /// Reads any value. `level` is the nesting level that a container beginning here would have.
    pub(super) fn value(&mut self, next: Next, level: usize) -> Result<Value, Malformed> {
        let kind = match next {
            Next::Null => self.reader.null().map(|()| Kind::NullValue(0))?,
            Next::Bool(peek) => self.reader.bool(peek).map(Kind::BoolValue)?,
            Next::String => self.reader.text().map(Kind::StringValue)?,
            Next::Number(peek) => {
                let parsed = exact(self.reader.number(peek)?);
                Kind::NumberValue(parsed.unwrap_or_else(|fault| {
                    self.spoiled.get_or_insert((String::new(), fault));
                    0.0
                }))
            }
            Next::Array => self.list(level).map(Kind::ListValue)?,
            Next::Object => self.object(level).map(Kind::StructValue)?,
        };
        Ok(Value { kind: Some(kind) })
    }

    /// Reads an object.
    pub(super) fn object(&mut self, level: usize) -> Result<Struct, Malformed> {
        self.check_level(level)?;
        let mut fields = BTreeMap::new();
        let mut first = true;
        while let Some(key) = self.reader.key(first, str::to_owned)? {
            first = false;
            let clean_before = self.spoiled.is_none();
            let next = self.reader.peek()?;
            let value = self.value(next, level + 1)?;
            if clean_before && self.spoiled.is_some() {
                self.came_from(&escape(&key));
            }
            if let std::collections::btree_map::Entry::Vacant(slot) = fields.entry(key) {
                slot.insert(value);
            } else {
                return Err(self.reader.malformed("a key stands twice in one object"));
            }
        }
        Ok(Struct { fields })
    }

    fn list(&mut self, level: usize) -> Result<ListValue, Malformed> {
        self.check_level(level)?;
        let mut values = Vec::new();
        let mut element = self.reader.array()?;
        while let Some(next) = element {
            let clean_before = self.spoiled.is_none();
            let value = self.value(next, level + 1)?;
            if clean_before && self.spoiled.is_some() {
                self.came_from(&values.len().to_string());
            }
            values.push(value);
            element = self.reader.array_step()?;
        }
        Ok(ListValue { values })
    }

    fn check_level(&self, level: usize) -> Result<(), Malformed> {
        if level > MAX_DEPTH {
            return Err(self
                .reader
                .malformed(format!("it is nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }

    /// Puts the segment of the container in front of the pointer, on the way back up.
    fn came_from(&mut self, segment: &str) {
        if let Some((pointer, _)) = &mut self.spoiled {
            pointer.insert_str(0, &format!("/{segment}"));
        }
    }
}

/// The double that a JSON number stands for. Integers must be held exactly; decimals round as everywhere, but must neither
/// overflow nor vanish.
///
/// # Errors
/// `number_not_exact` or `number_out_of_range`.
pub(super) fn exact(digits: &str) -> Result<f64, Fault> {
    let is_integer = !digits.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'));
    // 15 digits always fit into the 53 bits of a double.
    if is_integer
        && digits.len() <= 15
        && digits != "-0"
        && let Ok(whole) = digits.parse::<i64>()
    {
        #[expect(clippy::cast_precision_loss, reason = "at most 15 digits")]
        return Ok(whole as f64);
    }
    let number = digits.parse::<f64>().unwrap_or(f64::INFINITY);
    if !number.is_finite() || (number == 0.0 && mantissa_is_not_zero(digits)) {
        let message = "must be a number within the range of an IEEE 754 double".to_owned();
        return Err(Fault {
            code: "number_out_of_range",
            message,
        });
    }
    // Rust writes every digit of a whole double, so equal texts mean that nothing was rounded away.
    if is_integer && format!("{number:.0}") != digits {
        let message = "must be exact in an IEEE 754 double; send large integers as strings".to_owned();
        return Err(Fault {
            code: "number_not_exact",
            message,
        });
    }
    Ok(number)
}

fn mantissa_is_not_zero(digits: &str) -> bool {
    let mantissa = digits.split(['e', 'E']).next().unwrap_or(digits);
    mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_exact_or_refused() {
        for text in [
            "0",
            "-0",
            "7",
            "-123456789012345",
            "9007199254740992",
            "9007199254740994",
            "18446744073709551616",
            "100000000000000000000000",
        ] {
            let outcome = exact(text);
            let fits = format!("{:.0}", text.parse::<f64>().unwrap()) == text;
            assert_eq!(outcome.is_ok(), fits, "{text}");
        }
        for text in [
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551617",
            "123456789012345678901",
        ] {
            assert_eq!(exact(text).unwrap_err().code, "number_not_exact", "{text}");
        }
    }

    #[test]
    fn decimals_round_but_stay_in_range() {
        assert_eq!(exact("0.1"), Ok(0.1));
        assert_eq!(exact("1e3"), Ok(1000.0));
        assert_eq!(exact("0e999"), Ok(0.0));
        assert_eq!(exact("0.000e-400"), Ok(0.0));
        for text in ["1e400", "-1E400", "1e-400", "0.1e-330"] {
            assert_eq!(exact(text).unwrap_err().code, "number_out_of_range", "{text}");
        }
        assert_eq!(exact(&"9".repeat(400)).unwrap_err().code, "number_out_of_range");
    }

    proptest! {
        #[test]
        fn every_double_is_read_as_itself(n in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let text = serde_json::to_string(&n).unwrap();
            prop_assert_eq!(exact(&text).unwrap().to_bits(), n.to_bits());
        }

        #[test]
        fn integers_up_to_two_to_the_53_are_exact(n in -9_007_199_254_740_992_i64..=9_007_199_254_740_992) {
            #[allow(clippy::cast_precision_loss, reason = "within 2^53")]
            let want = n as f64;
            prop_assert_eq!(exact(&n.to_string()), Ok(want));
        }
    }
}
