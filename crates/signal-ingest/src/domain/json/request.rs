//! One ingest request: a single signal, or an envelope with a list of them.

use std::collections::HashSet;

use contracts::signals::v1::SignalInput;
use errors::{ApiError, ErrorCode, FieldError};

use super::metadata::FreeForm;
use super::reader::{Malformed, Next, Reader};
use super::{escape, signal};
use crate::domain::limits::Limits;

/// More faults of one envelope than anyone reads at once.
const MAX_FAULTS: usize = 20;

/// One item as read: a signal, or every place in it that is wrong.
pub type Item = Result<SignalInput, Vec<FieldError>>;

/// Why reading stopped.
enum Stop {
    Malformed(Malformed),
    Refused(ApiError),
}

impl From<Malformed> for Stop {
    fn from(fault: Malformed) -> Self {
        Self::Malformed(fault)
    }
}

/// Reads a body that is one signal.
///
/// # Errors
/// `malformed_json` or `too_large`: the request is refused as a whole. What is wrong with the signal's own values is in
/// the item.
pub fn read_single(body: &[u8], limits: &Limits) -> Result<Item, ApiError> {
    check_size(body, limits)?;
    let mut reader = Reader::new(body);
    let outcome = single(&mut reader, limits);
    outcome.map_err(|stop| refusal(&reader, stop))
}

/// Reads a body that is `{"signals": […]}`.
///
/// # Errors
/// `malformed_json`, `too_large` or `validation_failed`: the request is refused as a whole.
pub fn read_batch(body: &[u8], limits: &Limits) -> Result<Vec<Item>, ApiError> {
    check_size(body, limits)?;
    let mut reader = Reader::new(body);
    let outcome = envelope(&mut reader, limits);
    outcome.map_err(|stop| refusal(&reader, stop))
}

/// The refusal of a request with more items than allowed.
#[must_use]
pub fn too_many_items(limits: &Limits) -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("a batch has at most {} signals", limits.max_items),
    )
}

/// The fault of an item with more bytes than allowed.
#[must_use]
pub fn oversized_item(limits: &Limits) -> FieldError {
    FieldError::new(
        "",
        "too_large",
        format!("a signal has at most {} bytes", limits.max_signal_bytes),
    )
}

fn check_size(body: &[u8], limits: &Limits) -> Result<(), ApiError> {
    if body.len() > limits.max_body_bytes {
        let detail = format!(
            "the body has {} bytes; at most {} are allowed",
            body.len(),
            limits.max_body_bytes
        );
        return Err(ApiError::new(ErrorCode::TooLarge, detail));
    }
    Ok(())
}

fn refusal(reader: &Reader<'_>, stop: Stop) -> ApiError {
    match stop {
        Stop::Malformed(fault) => reader.refusal(&fault),
        Stop::Refused(error) => error,
    }
}

fn single(reader: &mut Reader<'_>, limits: &Limits) -> Result<Item, Stop> {
    let next = reader.peek()?;
    let item = sized_item(reader, next, limits)?;
    reader.finish()?;
    Ok(item)
}

fn sized_item(reader: &mut Reader<'_>, next: Next, limits: &Limits) -> Result<Item, Malformed> {
    let start = reader.at();
    let item = signal::read(reader, next)?;
    if reader.at() - start > limits.max_signal_bytes {
        return Ok(Err(vec![oversized_item(limits)]));
    }
    Ok(item)
}

fn envelope(reader: &mut Reader<'_>, limits: &Limits) -> Result<Vec<Item>, Stop> {
    let next = reader.peek()?;
    if next != Next::Object {
        FreeForm {
            reader,
            spoiled: None,
        }
        .value(next, 1)?;
        reader.finish()?;
        let message = format!(
            "the body must be an object with the field signals, not {}",
            next.name()
        );
        return Err(Stop::Refused(ApiError::invalid("", "wrong_type", message)));
    }
    let mut items: Option<Vec<Item>> = None;
    let mut faults = Vec::new();
    let mut strangers: HashSet<String> = HashSet::new();
    let mut first = true;
    while let Some(key) = reader.key(first, str::to_owned)? {
        first = false;
        let next = reader.peek()?;
        let twice = if key == "signals" {
            items.is_some()
        } else {
            strangers.contains(&key)
        };
        if twice {
            return Err(reader.malformed("a key stands twice in one object").into());
        }
        if key == "signals" {
            items = Some(list(reader, next, limits, &mut faults)?);
        } else {
            FreeForm {
                reader,
                spoiled: None,
            }
            .value(next, 2)?;
            let message = "is not a known field; allowed is signals";
            if faults.len() < MAX_FAULTS {
                faults.push(FieldError::new(
                    format!("/{}", escape(&key)),
                    "unknown_field",
                    message,
                ));
            }
            strangers.insert(key);
        }
    }
    reader.finish()?;
    let items = items.unwrap_or_default();
    if items.is_empty() && faults.iter().all(|fault| fault.pointer != "/signals") {
        let message = format!("a batch has from 1 to {} signals", limits.max_items);
        faults.insert(0, FieldError::new("/signals", "required", message));
    }
    if faults.is_empty() {
        Ok(items)
    } else {
        Err(Stop::Refused(ApiError::fields(faults)))
    }
}

fn list(
    reader: &mut Reader<'_>,
    next: Next,
    limits: &Limits,
    faults: &mut Vec<FieldError>,
) -> Result<Vec<Item>, Stop> {
    if next != Next::Array {
        FreeForm {
            reader,
            spoiled: None,
        }
        .value(next, 2)?;
        if next != Next::Null {
            let message = format!("must be an array of signals, not {}", next.name());
            faults.push(FieldError::new("/signals", "wrong_type", message));
        }
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut element = reader.array()?;
    while let Some(next) = element {
        if items.len() == limits.max_items {
            return Err(Stop::Refused(too_many_items(limits)));
        }
        items.push(sized_item(reader, next, limits)?);
        element = reader.array_step()?;
    }
    Ok(items)
}
