//! From a response's bytes to JSON, by a plan made once of the descriptors: the JSON that [`super::to_json`] gives of a message by
//! descriptor, without making one.

mod write;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{FieldDescriptor, Kind as Declared, MessageDescriptor};
use serde_json::{Map, Value as Out};

use super::field_value;

/// The bytes are not a message of this plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not such a message")]
pub struct Garbled;

impl From<prost::DecodeError> for Garbled {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// A message and all that it uses; the first is the message itself.
#[derive(Debug)]
pub struct Plan(Vec<Message>);

#[derive(Debug, Default)]
struct Message {
    /// As declared.
    fields: Vec<Field>,
    by_number: HashMap<u32, usize>,
    well_known: Option<WellKnown>,
}

/// Messages of `google.protobuf` that have a JSON of their own.
#[derive(Debug, Clone, Copy)]
enum WellKnown {
    Timestamp,
    Struct,
    List,
    Value,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    shape: Shape,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Left out when it is not there, or null.
    Optional {
        null: bool,
    },
    /// The default when it is not there.
    Plain,
    List,
    Map,
}

#[derive(Debug)]
enum Kind {
    Bool,
    I32,
    I64,
    U32,
    U64,
    S32,
    S64,
    F32,
    F64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    String,
    Bytes,
    /// What is written for each number.
    Enum(HashMap<i32, Out>),
    /// By its place in the plan.
    Message(usize),
}

impl Plan {
    /// The plan of a message.
    #[must_use]
    pub fn new(of: &MessageDescriptor) -> Self {
        let mut messages = Vec::new();
        add(of, &mut messages, &mut HashMap::new());
        Self(messages)
    }

    /// The JSON of a message's bytes.
    ///
    /// # Errors
    /// They are none.
    pub fn to_json(&self, bytes: &[u8]) -> Result<Out, Garbled> {
        self.message(0, bytes)
    }

    fn message(&self, at: usize, mut bytes: &[u8]) -> Result<Out, Garbled> {
        let message = &self.0[at];
        if let Some(kind) = message.well_known {
            return well_known(kind, bytes);
        }
        let mut found: Vec<Option<Out>> = vec![None; message.fields.len()];
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes)?;
            let Some(place) = message.by_number.get(&number) else {
                skip_field(wire, number, &mut bytes, DecodeContext::default())?;
                continue;
            };
            self.field(&message.fields[*place], &mut found[*place], wire, &mut bytes)?;
        }
        let mut out = Map::with_capacity(found.len());
        for (field, found) in message.fields.iter().zip(found) {
            let value = match (found, field.shape) {
                (Some(Out::Object(entries)), Shape::Map) => sorted(entries),
                (Some(value), _) => value,
                (None, Shape::Optional { null: false }) => continue,
                (None, Shape::Optional { null: true }) => Out::Null,
                (None, Shape::Plain) => self.default_of(&field.kind)?,
                (None, Shape::List) => Out::Array(Vec::new()),
                (None, Shape::Map) => Out::Object(Map::new()),
            };
            out.insert(field.name.clone(), value);
        }
        Ok(Out::Object(out))
    }

    fn field(
        &self,
        field: &Field,
        found: &mut Option<Out>,
        wire: WireType,
        bytes: &mut &[u8],
    ) -> Result<(), Garbled> {
        match field.shape {
            Shape::Optional { .. } | Shape::Plain => *found = Some(self.value(&field.kind, wire, bytes)?),
            Shape::List => {
                let Out::Array(items) = found.get_or_insert_with(|| Out::Array(Vec::new())) else {
                    return Err(Garbled);
                };
                if wire == WireType::LengthDelimited && field.kind.wire() != wire {
                    let mut packed = piece(bytes)?;
                    while !packed.is_empty() {
                        items.push(self.value(&field.kind, field.kind.wire(), &mut packed)?);
                    }
                } else {
                    items.push(self.value(&field.kind, wire, bytes)?);
                }
            }
            Shape::Map => {
                let (key, value) = self.entry(&field.kind, piece(bytes)?)?;
                let Out::Object(entries) = found.get_or_insert_with(|| Out::Object(Map::new())) else {
                    return Err(Garbled);
                };
                entries.insert(key, value);
            }
        }
        Ok(())
    }

    /// An entry of a map: its message has the fields `key` and `value`.
    fn entry(&self, kind: &Kind, bytes: &[u8]) -> Result<(String, Out), Garbled> {
        let Kind::Message(at) = kind else {
            return Err(Garbled);
        };
        let Out::Object(mut entry) = self.message(*at, bytes)? else {
            return Err(Garbled);
        };
        let key = match entry.remove("key") {
            Some(Out::String(key)) => key,
            Some(key) => key.to_string(),
            None => return Err(Garbled),
        };
        let value = match entry.remove("value") {
            Some(value) => value,
            None => self.default_of(&self.0[*at].fields.get(1).ok_or(Garbled)?.kind)?,
        };
        Ok((key, value))
    }

    fn value(&self, kind: &Kind, wire: WireType, bytes: &mut &[u8]) -> Result<Out, Garbled> {
        if wire != kind.wire() {
            return Err(Garbled);
        }
        Ok(match kind {
            Kind::Bool => Out::Bool(decode_varint(bytes)? != 0),
            Kind::I32 => low(decode_varint(bytes)?).cast_signed().into(),
            Kind::I64 => decode_varint(bytes)?.cast_signed().into(),
            Kind::U32 => low(decode_varint(bytes)?).into(),
            Kind::U64 => decode_varint(bytes)?.into(),
            Kind::S32 => {
                let number = low(decode_varint(bytes)?);
                ((number >> 1).cast_signed() ^ -(number & 1).cast_signed()).into()
            }
            Kind::S64 => {
                let number = decode_varint(bytes)?;
                ((number >> 1).cast_signed() ^ -(number & 1).cast_signed()).into()
            }
            Kind::F32 => contracts::convert::number(f32::from_le_bytes(fixed(bytes)?).into()),
            Kind::F64 => contracts::convert::number(f64::from_le_bytes(fixed(bytes)?)),
            Kind::Fixed32 => u32::from_le_bytes(fixed(bytes)?).into(),
            Kind::Fixed64 => u64::from_le_bytes(fixed(bytes)?).into(),
            Kind::Sfixed32 => i32::from_le_bytes(fixed(bytes)?).into(),
            Kind::Sfixed64 => i64::from_le_bytes(fixed(bytes)?).into(),
            Kind::String => Out::String(
                std::str::from_utf8(piece(bytes)?)
                    .map_err(|_| Garbled)?
                    .to_owned(),
            ),
            Kind::Bytes => Out::String(encoded(piece(bytes)?)),
            Kind::Enum(names) => enumerator(names, low(decode_varint(bytes)?).cast_signed()),
            Kind::Message(at) => self.message(*at, piece(bytes)?)?,
        })
    }

    fn default_of(&self, kind: &Kind) -> Result<Out, Garbled> {
        Ok(match kind {
            Kind::Bool => Out::Bool(false),
            Kind::String | Kind::Bytes => Out::String(String::new()),
            Kind::Enum(names) => enumerator(names, 0),
            Kind::Message(at) => self.message(*at, &[])?,
            _ => 0.into(),
        })
    }
}

impl Kind {
    fn wire(&self) -> WireType {
        match self {
            Self::F32 | Self::Fixed32 | Self::Sfixed32 => WireType::ThirtyTwoBit,
            Self::F64 | Self::Fixed64 | Self::Sfixed64 => WireType::SixtyFourBit,
            Self::String | Self::Bytes | Self::Message(_) => WireType::LengthDelimited,
            _ => WireType::Varint,
        }
    }
}

/// Adds a message and all that it uses; gives its place.
fn add(of: &MessageDescriptor, messages: &mut Vec<Message>, known: &mut HashMap<String, usize>) -> usize {
    if let Some(at) = known.get(of.full_name()) {
        return *at;
    }
    let at = messages.len();
    known.insert(of.full_name().to_owned(), at);
    messages.push(Message::default());
    let well_known = match of.full_name() {
        field_value::TIMESTAMP => Some(WellKnown::Timestamp),
        "google.protobuf.Struct" => Some(WellKnown::Struct),
        "google.protobuf.ListValue" => Some(WellKnown::List),
        "google.protobuf.Value" => Some(WellKnown::Value),
        _ => None,
    };
    if well_known.is_some() {
        messages[at].well_known = well_known;
        return at;
    }
    let fields: Vec<Field> = of
        .fields()
        .map(|field| planned(&field, messages, known))
        .collect();
    let numbers = of.fields().map(|field| field.number());
    messages[at].by_number = numbers
        .enumerate()
        .map(|(place, number)| (number, place))
        .collect();
    messages[at].fields = fields;
    at
}

fn planned(
    field: &FieldDescriptor,
    messages: &mut Vec<Message>,
    known: &mut HashMap<String, usize>,
) -> Field {
    let shape = if field.is_map() {
        Shape::Map
    } else if field.is_list() {
        Shape::List
    } else if field.supports_presence() {
        Shape::Optional {
            null: field.name() == "next_cursor",
        }
    } else {
        Shape::Plain
    };
    let kind = match field.kind() {
        Declared::Bool => Kind::Bool,
        Declared::Int32 => Kind::I32,
        Declared::Int64 => Kind::I64,
        Declared::Uint32 => Kind::U32,
        Declared::Uint64 => Kind::U64,
        Declared::Sint32 => Kind::S32,
        Declared::Sint64 => Kind::S64,
        Declared::Float => Kind::F32,
        Declared::Double => Kind::F64,
        Declared::Fixed32 => Kind::Fixed32,
        Declared::Fixed64 => Kind::Fixed64,
        Declared::Sfixed32 => Kind::Sfixed32,
        Declared::Sfixed64 => Kind::Sfixed64,
        Declared::String => Kind::String,
        Declared::Bytes => Kind::Bytes,
        Declared::Enum(of) => {
            let prefix = field_value::prefix_of(&of);
            let named = |value: prost_reflect::EnumValueDescriptor| match value.number() {
                // Unspecified says nothing.
                0 => (0, Out::Null),
                number => (
                    number,
                    value.name().strip_prefix(&prefix).unwrap_or(value.name()).into(),
                ),
            };
            Kind::Enum(of.values().map(named).collect())
        }
        Declared::Message(of) => Kind::Message(add(&of, messages, known)),
    };
    Field {
        name: field.json_name().to_owned(),
        kind,
        shape,
    }
}

fn well_known(kind: WellKnown, bytes: &[u8]) -> Result<Out, Garbled> {
    Ok(match kind {
        WellKnown::Timestamp => {
            let wire = prost_types::Timestamp::decode(bytes)?;
            contracts::convert::from_timestamp(&wire).map_or(Out::Null, |at| Out::String(at.to_string()))
        }
        WellKnown::Struct => {
            let free = prost_types::Struct::decode(bytes)?;
            Out::Object(contracts::convert::from_struct(&free))
        }
        WellKnown::List => {
            let free = prost_types::ListValue::decode(bytes)?;
            Out::Array(free.values.iter().map(contracts::convert::from_value).collect())
        }
        WellKnown::Value => contracts::convert::from_value(&prost_types::Value::decode(bytes)?),
    })
}

fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What is written for an enumerator; the number of one of a newer release.
fn enumerator(names: &HashMap<i32, Out>, number: i32) -> Out {
    names.get(&number).cloned().unwrap_or_else(|| number.into())
}

/// The lower half: 32-bit integers are sent as 64-bit ones.
#[expect(clippy::cast_possible_truncation, reason = "as the format wants it")]
fn low(number: u64) -> u32 {
    number as u32
}

/// Bytes with their length before them.
fn piece<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], Garbled> {
    let length = usize::try_from(decode_varint(bytes)?).map_err(|_| Garbled)?;
    let (piece, rest) = bytes.split_at_checked(length).ok_or(Garbled)?;
    *bytes = rest;
    Ok(piece)
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Garbled> {
    let (piece, rest) = bytes.split_first_chunk::<N>().ok_or(Garbled)?;
    *bytes = rest;
    Ok(*piece)
}

fn sorted(entries: Map<String, Out>) -> Out {
    let mut entries: Vec<(String, Out)> = entries.into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Out::Object(entries.into_iter().collect())
}

#[cfg(test)]
mod tests;
