//! Values as people write them in tables: dates, amounts, numbers, lists.

use serde_json::{Value, json};

use super::mapping::DateOrder;
use crate::domain::custom::{Definition, Type, fits_money};
use crate::domain::deal::Money;

/// A day: ISO (also with a time behind it), or with slashes, dots or hyphens in the order that is set. Dots mean day first; a number
/// above 12 decides by itself.
#[must_use]
pub fn day(text: &str, order: DateOrder) -> Option<String> {
    let date = text.split(['T', ' ']).next().unwrap_or(text);
    if let Ok(day) = date.parse::<jiff::civil::Date>() {
        return (0..=9999).contains(&day.year()).then(|| day.to_string());
    }
    let separator = ['/', '.', '-'].into_iter().find(|c| date.contains(*c))?;
    let parts: Vec<i16> = date
        .split(separator)
        .map(|p| p.parse().ok())
        .collect::<Option<_>>()?;
    let [one, two, year] = parts[..] else { return None };
    let year = if (0..100).contains(&year) {
        2000 + year
    } else {
        year
    };
    let day_first = separator == '.' || order == DateOrder::Dmy;
    let (month, day) = match (day_first, one > 12, two > 12) {
        (_, true, false) => (two, one),
        (_, false, true) => (one, two),
        (true, ..) => (two, one),
        (false, ..) => (one, two),
    };
    let day = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(day.to_string())
}

/// A decimal number without what groups its digits: `1,234.50`, `1.234,50`, `1 234,5`. A lone separator before exactly three digits
/// groups.
#[must_use]
pub fn decimal(text: &str) -> Option<String> {
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\'')
        .collect();
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or(("", text.as_str()), |rest| ("-", rest));
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',') {
        return None;
    }
    let last = digits.rfind(['.', ',']);
    let (whole, fraction) = match last {
        None => (digits, ""),
        Some(at) => {
            let (before, after) = (&digits[..at], &digits[at + 1..]);
            let mark = &digits[at..=at];
            let only = !before.contains(['.', ',']);
            let groups = before.contains(mark) || (only && after.len() == 3 && mark == ",");
            if groups { (digits, "") } else { (before, after) }
        }
    };
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    let whole = if whole.is_empty() { "0" } else { &whole };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

/// An amount: with its currency as three letters or a sign, before or behind, or with the one that stands elsewhere.
#[must_use]
pub fn amount(text: &str, elsewhere: Option<&str>) -> Option<Money> {
    let text = text.trim();
    let sign = [("$", "USD"), ("€", "EUR"), ("£", "GBP")]
        .into_iter()
        .find(|(sign, _)| text.contains(sign));
    let letters: String = text.chars().filter(|c| c.is_ascii_alphabetic()).collect();
    let currency = if letters.len() == 3 {
        letters.to_uppercase()
    } else if !letters.is_empty() {
        return None;
    } else if let Some((_, code)) = sign {
        code.to_owned()
    } else {
        elsewhere?.trim().to_uppercase()
    };
    let number: String = text
        .chars()
        .filter(|c| !c.is_ascii_alphabetic() && !matches!(c, '$' | '€' | '£'))
        .collect();
    let number = decimal(&number)?;
    let (units, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let units: i64 = units.parse().ok()?;
    let nanos: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    fits_money(&currency, units, i64::from(nanos)).then_some(Money {
        currency,
        units,
        nanos,
    })
}

/// What a cell stands for in an own field; what cannot be read is handed on as it is, for the field to refuse.
#[must_use]
pub fn own_value(field: &Definition, text: &str, order: DateOrder) -> Value {
    let as_it_is = || Value::from(text);
    match field.kind {
        Type::Number => decimal(text)
            .and_then(|n| serde_json::from_str(&n).ok())
            .unwrap_or_else(as_it_is),
        Type::Bool => match text.to_lowercase().as_str() {
            "true" | "yes" | "y" | "1" => Value::Bool(true),
            "false" | "no" | "n" | "0" => Value::Bool(false),
            _ => as_it_is(),
        },
        Type::Date => day(text, order).map_or_else(as_it_is, Value::from),
        Type::List => Value::from(list(text)),
        Type::Currency => match amount(text, None) {
            Some(money) => json!({"currency": money.currency, "units": money.units, "nanos": money.nanos}),
            None => as_it_is(),
        },
        _ => as_it_is(),
    }
}

/// The elements of a cell with several, between semicolons.
#[must_use]
pub fn list(text: &str) -> Vec<String> {
    text.split(';')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The host of an address, or what was given.
#[must_use]
pub fn host(text: &str) -> &str {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or(text);
    rest.split(['/', '?', '#', ':']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_people_write_them() {
        let mdy = |text: &str| day(text, DateOrder::Mdy);
        assert_eq!(mdy("2026-03-04").as_deref(), Some("2026-03-04"));
        assert_eq!(mdy("2026-03-04 10:11").as_deref(), Some("2026-03-04"));
        assert_eq!(mdy("2026-03-04T10:11:12Z").as_deref(), Some("2026-03-04"));
        assert_eq!(mdy("3/4/2026").as_deref(), Some("2026-03-04"));
        assert_eq!(day("3/4/2026", DateOrder::Dmy).as_deref(), Some("2026-04-03"));
        assert_eq!(mdy("31/4/2026"), None);
        assert_eq!(mdy("30/4/26").as_deref(), Some("2026-04-30"));
        assert_eq!(mdy("3.4.2026").as_deref(), Some("2026-04-03"));
        for bad in ["", "soon", "1/2", "2026-13-01", "1/2/3/4"] {
            assert_eq!(mdy(bad), None, "{bad}");
        }
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let of = |text: &str| amount(text, Some("eur")).map(|m| (m.currency, m.units, m.nanos));
        assert_eq!(of("1,234.50"), Some(("EUR".into(), 1234, 500_000_000)));
        assert_eq!(of("1.234,50"), Some(("EUR".into(), 1234, 500_000_000)));
        assert_eq!(of("$1,000"), Some(("USD".into(), 1000, 0)));
        assert_eq!(of("1.5 CHF"), Some(("CHF".into(), 1, 500_000_000)));
        assert_eq!(of("12 000"), Some(("EUR".into(), 12_000, 0)));
        assert_eq!(amount("5", None), None);
        for bad in ["", "much", "-5", "1e9"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
