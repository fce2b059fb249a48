//! GraphQL types from messages.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_graphql::dynamic::{
    Enum, EnumItem, Field, FieldFuture, FieldValue, InputObject, InputValue, Object, Scalar, TypeRef,
};
use async_graphql::{Error, Value};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;
use std::sync::Arc;

use crate::openapi::Comments;
use crate::transcode::{field_value, is_required};

/// A record while its fields are resolved.
pub struct Node(pub Arc<Json>);

/// Scalars beside GraphQL's own.
pub const SCALARS: [(&str, &str); 4] = [
    (
        "DateTime",
        "An RFC 3339 time in UTC, for example `2026-01-31T12:00:00Z`.",
    ),
    ("Long", "A whole number of 64 bits."),
    ("JSON", "Any JSON."),
    (
        "Money",
        "An amount: `{currency, units, nanos}`, as `google.type.Money`.",
    ),
];

/// How a field's value is given on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A scalar or an enumeration.
    Leaf,
    /// An object.
    Object,
    /// A list of objects.
    Objects,
}

/// All types made so far.
pub struct Types<'c> {
    comments: &'c Comments,
    names: HashMap<String, String>,
    taken: BTreeSet<String>,
    /// Object types by name, to be extended by relations.
    pub objects: BTreeMap<String, Object>,
    /// Input types by name.
    pub inputs: BTreeMap<String, InputObject>,
    /// Enumerations by name.
    pub enums: BTreeMap<String, Enum>,
}

impl<'c> Types<'c> {
    /// None yet.
    pub fn new(comments: &'c Comments) -> Self {
        Self {
            comments,
            names: HashMap::new(),
            taken: BTreeSet::new(),
            objects: BTreeMap::new(),
            inputs: BTreeMap::new(),
            enums: BTreeMap::new(),
        }
    }

    /// The comments of the contract.
    pub fn comments(&self) -> &'c Comments {
        self.comments
    }

    /// The name of a message's object type, if it has one by now.
    pub fn name_of(&self, full_name: &str) -> Option<&String> {
        self.names.get(full_name)
    }

    /// The object type of a message, by its name.
    pub fn object(&mut self, of: &MessageDescriptor) -> String {
        if let Some(name) = self.names.get(of.full_name()) {
            return name.clone();
        }
        let name = self.free_name(of);
        self.names.insert(of.full_name().to_owned(), name.clone());
        // Its fields first: messages may contain themselves, and the name is known by now.
        let mut object = Object::new(&name).description(self.comments.message(of).text);
        for field in of.fields() {
            object = object.field(self.output(&field));
        }
        self.objects.insert(name.clone(), object);
        name
    }

    /// The object type of users, as records refer to them.
    pub fn owner(&mut self) -> String {
        let name = "Owner".to_owned();
        if self.taken.insert(name.clone()) {
            let id = read("id", "id", TypeRef::named_nn(TypeRef::ID), Shape::Leaf);
            let known = read("name", "name", TypeRef::named(TypeRef::STRING), Shape::Leaf);
            let about = "Name; null when they are no member.";
            let object = Object::new(&name).description("A user who looks after a record.");
            let object = object
                .field(id.description("The user's id."))
                .field(known.description(about));
            self.objects.insert(name.clone(), object);
        }
        name
    }

    fn free_name(&mut self, of: &MessageDescriptor) -> String {
        let own = match of
            .name()
            .strip_prefix("List")
            .and_then(|n| n.strip_suffix("Response"))
        {
            Some(listed) => format!("{listed}Page"),
            None => of
                .name()
                .strip_suffix("Response")
                .map_or(of.name(), |n| n)
                .to_owned(),
        };
        let name = if self.taken.contains(&own) {
            let domain = of.full_name().split('.').nth(1).unwrap_or_default();
            let mut letters = domain.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            format!("{}{}{own}", first.unwrap_or('X'), letters.as_str())
        } else {
            own
        };
        self.taken.insert(name.clone());
        name
    }

    fn output(&mut self, field: &FieldDescriptor) -> Field {
        let (of, shape) = self.kind(field);
        let json_name = field.json_name().to_owned();
        let is_id = field.name() == "id" && !field.is_list();
        let ty = match shape {
            Shape::Objects => TypeRef::named_nn_list(of),
            Shape::Leaf if field.is_list() => TypeRef::named_nn_list(of),
            _ if is_id && field.supports_presence() => TypeRef::named(TypeRef::ID),
            _ if is_id => TypeRef::named_nn(TypeRef::ID),
            _ => TypeRef::named(of),
        };
        let about = self.comments.field(field).text;
        read(field.json_name(), &json_name, ty, shape).description(about)
    }

    fn kind(&mut self, field: &FieldDescriptor) -> (String, Shape) {
        if field.is_map() {
            return ("JSON".to_owned(), Shape::Leaf);
        }
        let (name, shape) = match field.kind() {
            Kind::Bool => (TypeRef::BOOLEAN.to_owned(), Shape::Leaf),
            Kind::Double | Kind::Float => (TypeRef::FLOAT.to_owned(), Shape::Leaf),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (TypeRef::INT.to_owned(), Shape::Leaf),
            Kind::String | Kind::Bytes => (TypeRef::STRING.to_owned(), Shape::Leaf),
            Kind::Enum(of) => (self.enumeration(&of), Shape::Leaf),
            Kind::Message(of) => match scalar(&of) {
                Some(scalar) => (scalar.to_owned(), Shape::Leaf),
                None => (self.object(&of), Shape::Object),
            },
            _ => ("Long".to_owned(), Shape::Leaf),
        };
        match (shape, field.is_list()) {
            (Shape::Object, true) => (name, Shape::Objects),
            _ => (name, shape),
        }
    }

    fn enumeration(&mut self, of: &EnumDescriptor) -> String {
        let name = of.name().to_owned();
        if !self.enums.contains_key(&name) {
            let prefix = field_value::prefix_of(of);
            let mut made = Enum::new(&name).description(self.comments.enumeration(of, &prefix));
            for value in of.values().filter(|v| v.number() != 0) {
                let word = value.name().strip_prefix(&prefix).unwrap_or(value.name());
                made = made.item(EnumItem::new(word));
            }
            self.enums.insert(name.clone(), made);
        }
        name
    }

    /// The input type of a message without some of its fields; `None` when nothing is left.
    pub fn input(&mut self, of: &MessageDescriptor, without: &[String]) -> Option<String> {
        let stem = of.name().strip_suffix("Request").unwrap_or(of.name());
        let name = if stem.ends_with("Input") {
            stem.to_owned()
        } else {
            format!("{stem}Input")
        };
        if self.inputs.contains_key(&name) {
            return Some(name);
        }
        let fields: Vec<_> = of
            .fields()
            .filter(|f| !without.iter().any(|w| w == f.name()))
            .collect();
        if fields.is_empty() {
            return None;
        }
        self.inputs.insert(name.clone(), InputObject::new(&name));
        let mut input = InputObject::new(&name).description(self.comments.message(of).text);
        for field in fields {
            input = input.field(self.argument(&field));
        }
        self.inputs.insert(name.clone(), input);
        Some(name)
    }

    /// An argument or a field of an input type.
    pub fn argument(&mut self, field: &FieldDescriptor) -> InputValue {
        let name = match field.kind() {
            _ if field.is_map() => "JSON".to_owned(),
            Kind::Message(of) => match scalar(&of) {
                // Made of its parts, so that a mistake in them is told at its place.
                Some("Money") | None => self.input(&of, &[]).unwrap_or_else(|| "JSON".to_owned()),
                Some(scalar) => scalar.to_owned(),
            },
            _ => self.kind(field).0,
        };
        let ty = match (field.is_list(), is_required(field)) {
            (true, _) => TypeRef::named_nn_list(name),
            (false, true) => TypeRef::named_nn(name),
            (false, false) => TypeRef::named(name),
        };
        InputValue::new(field.json_name(), ty).description(self.comments.field(field).text)
    }

    /// The scalars.
    pub fn scalars() -> impl Iterator<Item = Scalar> {
        SCALARS
            .into_iter()
            .map(|(name, about)| Scalar::new(name).description(about))
    }
}

/// The scalar that stands for a message.
fn scalar(of: &MessageDescriptor) -> Option<&'static str> {
    match of.full_name() {
        field_value::TIMESTAMP => Some("DateTime"),
        "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => Some("JSON"),
        _ if of.name() == "Money" => Some("Money"),
        // A message without fields cannot be an object.
        _ if of.fields().len() == 0 => Some("JSON"),
        _ => None,
    }
}

/// A field that reads `key` of its record.
pub fn read(name: &str, key: &str, ty: TypeRef, shape: Shape) -> Field {
    let key = key.to_owned();
    Field::new(name, ty, move |ctx| {
        let found = ctx
            .parent_value
            .try_downcast_ref::<Node>()
            .map(|node| node.0.get(&key).cloned().unwrap_or(Json::Null));
        FieldFuture::new(async move { give(found?, shape) })
    })
}

/// A value of JSON as a field's value.
pub fn give(json: Json, shape: Shape) -> Result<Option<FieldValue<'static>>, Error> {
    Ok(match (shape, json) {
        (_, Json::Null) => None,
        (Shape::Leaf, json) => {
            let value = Value::from_json(json).map_err(|_| Error::new("internal: not a value"))?;
            Some(FieldValue::value(value))
        }
        (Shape::Object, json) => Some(FieldValue::owned_any(Node(Arc::new(json)))),
        (Shape::Objects, Json::Array(items)) => {
            let nodes = items
                .into_iter()
                .map(|item| FieldValue::owned_any(Node(Arc::new(item))));
            Some(FieldValue::list(nodes))
        }
        (Shape::Objects, _) => return Err(Error::new("internal: not a list")),
    })
}
