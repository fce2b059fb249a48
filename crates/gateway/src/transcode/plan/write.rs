//! The same JSON as text, without values in between: for answers that are given as they are.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::Serialize;

use super::{Field, Garbled, Kind, Message, Plan, Shape, fixed, piece, well_known};

/// A field as it is in the bytes: which of the message's, how it is written, and the value without its length.
type Part<'b> = (usize, WireType, &'b [u8]);

impl Plan {
    /// The JSON text of a message's bytes: that of [`Plan::to_json`].
    ///
    /// # Errors
    /// They are none.
    pub fn to_text(&self, bytes: &[u8]) -> Result<String, Garbled> {
        let mut text = Vec::with_capacity(bytes.len().saturating_mul(2));
        self.write(0, bytes, &mut text)?;
        String::from_utf8(text).map_err(|_| Garbled)
    }

    /// The JSON text of the record in a field of the message, and the record's `version`, if it has one.
    ///
    /// # Errors
    /// The bytes are no such message, or there is no record.
    pub fn record_to_text(&self, bytes: &[u8], number: u32) -> Result<(String, Option<i64>), Garbled> {
        let root = &self.0[0];
        let place = *root.by_number.get(&number).ok_or(Garbled)?;
        let Kind::Message(at) = root.fields[place].kind else {
            return Err(Garbled);
        };
        let all = parts(root, bytes)?;
        let (.., record) = *all.iter().rfind(|part| part.0 == place).ok_or(Garbled)?;
        let mut text = Vec::with_capacity(record.len().saturating_mul(2));
        self.write(at, record, &mut text)?;
        let fields = &self.0[at].fields;
        let version = fields
            .iter()
            .position(|field| field.name == "version" && field.kind.wire() != WireType::LengthDelimited);
        let version = match version.map(|place| (place, &fields[place])) {
            None => None,
            Some((place, field)) => {
                let parts = parts(&self.0[at], record)?;
                match (parts.iter().rfind(|part| part.0 == place), field.shape) {
                    (Some((_, wire, bytes)), _) => self.value(&field.kind, *wire, &mut { *bytes })?.as_i64(),
                    (None, Shape::Plain) => self.default_of(&field.kind)?.as_i64(),
                    (None, _) => None,
                }
            }
        };
        Ok((String::from_utf8(text).map_err(|_| Garbled)?, version))
    }

    fn write(&self, at: usize, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), Garbled> {
        let message = &self.0[at];
        if let Some(kind) = message.well_known {
            return put(&well_known(kind, bytes)?, text);
        }
        let parts = parts(message, bytes)?;
        let mut before = b'{';
        for (place, field) in message.fields.iter().enumerate() {
            let mut own = parts.iter().filter(|part| part.0 == place).peekable();
            if own.peek().is_none() && matches!(field.shape, Shape::Optional { null: false }) {
                continue;
            }
            text.push(before);
            before = b',';
            put(&field.name, text)?;
            text.push(b':');
            self.write_field(field, own, text)?;
        }
        if before == b'{' {
            text.push(b'{');
        }
        text.push(b'}');
        Ok(())
    }

    fn write_field<'p, 'b: 'p>(
        &self,
        field: &Field,
        parts: impl Iterator<Item = &'p Part<'b>>,
        text: &mut Vec<u8>,
    ) -> Result<(), Garbled> {
        match field.shape {
            Shape::Optional { .. } => match parts.last() {
                Some(part) => self.write_value(&field.kind, *part, text),
                None => put(&(), text),
            },
            Shape::Plain => match parts.last() {
                Some(part) => self.write_value(&field.kind, *part, text),
                None => put(&self.default_of(&field.kind)?, text),
            },
            Shape::List => {
                let mut before = None;
                text.push(b'[');
                for (place, wire, bytes) in parts.copied() {
                    let mut packed = bytes;
                    let is_packed = wire == WireType::LengthDelimited && field.kind.wire() != wire;
                    while !is_packed || !packed.is_empty() {
                        text.extend(before);
                        before = Some(b',');
                        if !is_packed {
                            self.write_value(&field.kind, (place, wire, bytes), text)?;
                            break;
                        }
                        put(&self.value(&field.kind, field.kind.wire(), &mut packed)?, text)?;
                    }
                }
                text.push(b']');
                Ok(())
            }
            Shape::Map => {
                let entries = parts.map(|(_, _, bytes)| self.entry(&field.kind, bytes));
                let entries: std::collections::BTreeMap<_, _> = entries.collect::<Result<_, _>>()?;
                put(&entries, text)
            }
        }
    }

    fn write_value(
        &self,
        kind: &Kind,
        (_, wire, bytes): Part<'_>,
        text: &mut Vec<u8>,
    ) -> Result<(), Garbled> {
        if wire != kind.wire() {
            return Err(Garbled);
        }
        match kind {
            Kind::Message(at) => self.write(*at, bytes, text),
            Kind::String => put(std::str::from_utf8(bytes).map_err(|_| Garbled)?, text),
            Kind::Bytes => put(&super::encoded(bytes), text),
            _ => put(&self.value(kind, wire, &mut { bytes })?, text),
        }
    }
}

/// The parts of a message that the plan knows, as they come.
fn parts<'b>(message: &Message, mut bytes: &'b [u8]) -> Result<Vec<Part<'b>>, Garbled> {
    let mut parts = Vec::with_capacity(message.fields.len());
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes)?;
        let Some(place) = message.by_number.get(&number) else {
            skip_field(wire, number, &mut bytes, DecodeContext::default())?;
            continue;
        };
        let whole = bytes;
        let part = match wire {
            WireType::LengthDelimited => piece(&mut bytes)?,
            WireType::Varint => {
                decode_varint(&mut bytes)?;
                &whole[..whole.len() - bytes.len()]
            }
            WireType::ThirtyTwoBit => {
                fixed::<4>(&mut bytes)?;
                &whole[..4]
            }
            WireType::SixtyFourBit => {
                fixed::<8>(&mut bytes)?;
                &whole[..8]
            }
            WireType::StartGroup | WireType::EndGroup => return Err(Garbled),
        };
        parts.push((*place, wire, part));
    }
    Ok(parts)
}

fn put<T: Serialize + ?Sized>(value: &T, text: &mut Vec<u8>) -> Result<(), Garbled> {
    serde_json::to_writer(text, value).map_err(|_| Garbled)
}
