//! Which events there are: the option `(devsignal.options.v1.event)` of the messages, read once at start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prost_reflect::{DynamicMessage, ExtensionDescriptor, MessageDescriptor, ReflectMessage as _, Value};

use super::render::Object;
use crate::contract::Contract;
use crate::error::StartError;
use crate::openapi::Comments;

/// One type of event.
#[derive(Debug)]
pub struct EventType {
    /// `<object>.<action>`.
    pub name: String,
    /// Counts up when its message changes in a way that breaks readers; the `1` of `devsignal.events.v1`.
    pub version: u32,
    /// Type of the message on the bus that it comes from: its own, or a batch.
    pub carrier: String,
    /// Its data.
    pub message: MessageDescriptor,
    /// What it tells, in a sentence or more.
    pub description: String,
    objects: Vec<(Arc<str>, Vec<String>)>,
}

impl EventType {
    /// The kinds of objects that it names: first the one whose order is kept.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().map(|(kind, _)| &**kind)
    }

    /// Type and version, as a receiver pins them: `account.score_changed/1`.
    #[must_use]
    pub fn schema_name(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }

    /// The objects that a message of this type names.
    pub(super) fn objects(&self, message: &DynamicMessage) -> Vec<Object> {
        let named = self.objects.iter().filter_map(|(kind, path)| {
            let id = text_at(message, path).filter(|id| !id.is_empty())?;
            Some(Object {
                kind: Arc::clone(kind),
                id,
            })
        });
        named.collect()
    }
}

/// All types. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue(Arc<Types>);

struct Types {
    by_name: BTreeMap<String, Arc<EventType>>,
    carried: HashMap<String, Carried>,
    kinds: BTreeSet<String>,
}

/// What comes out of a message of the bus.
pub(super) enum Carried {
    /// The event itself.
    Itself(Arc<EventType>),
    /// The events of a batch's signals.
    Batch(MessageDescriptor),
}

impl Catalogue {
    /// Reads the option of all messages.
    ///
    /// # Errors
    /// The descriptors do not hold together.
    pub fn new(contract: &Contract) -> Result<Self, StartError> {
        let pool = contract.pool();
        let option = pool
            .get_extension_by_name("devsignal.options.v1.event")
            .ok_or_else(|| StartError::Descriptors("the option `event` is missing".to_owned()))?;
        let comments = Comments::of(pool);
        let (mut by_name, mut carried) = (BTreeMap::new(), HashMap::new());
        for message in pool.all_messages() {
            let Some(rule) = rule_of(&message, &option) else {
                continue;
            };
            let name = text_of(&rule, "type");
            match carriage_of(&rule).as_str() {
                "EVENT_CARRIAGE_BATCH" => {
                    carried.insert(name, Carried::Batch(message));
                    continue;
                }
                "EVENT_CARRIAGE_PUBLIC" | "EVENT_CARRIAGE_CARRIED" => {}
                _ => continue,
            }
            let comment = comments.message(&message).text;
            let of = Arc::new(EventType {
                version: version_of(&message),
                carrier: Some(text_of(&rule, "carrier"))
                    .filter(|carrier| !carrier.is_empty())
                    .unwrap_or_else(|| name.clone()),
                description: told(&comment, &name),
                objects: objects_of(&rule),
                name: name.clone(),
                message,
            });
            if of.carrier == name {
                carried.insert(name.clone(), Carried::Itself(Arc::clone(&of)));
            }
            if by_name.insert(name.clone(), of).is_some() {
                return Err(StartError::Descriptors(format!(
                    "the event {name} is there twice"
                )));
            }
        }
        let named = by_name
            .values()
            .flat_map(|of| of.kinds().map(str::to_owned).collect::<Vec<_>>());
        let kinds = named.collect();
        Ok(Self(Arc::new(Types {
            by_name,
            carried,
            kinds,
        })))
    }

    /// All types, by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<EventType>> {
        self.0.by_name.values()
    }

    /// A type by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<EventType>> {
        self.0.by_name.get(name)
    }

    /// The kinds of objects that events name.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.kinds.iter().map(String::as_str)
    }

    /// What a message of the bus is.
    pub(super) fn carried(&self, bus_type: &str) -> Option<&Carried> {
        self.0.carried.get(bus_type)
    }
}

fn rule_of(message: &MessageDescriptor, option: &ExtensionDescriptor) -> Option<DynamicMessage> {
    let options = message.options();
    if !options.has_extension(option) {
        return None;
    }
    match options.get_extension(option).into_owned() {
        Value::Message(rule) => Some(rule),
        _ => None,
    }
}

fn text_of(rule: &DynamicMessage, name: &str) -> String {
    let value = rule.get_field_by_name(name);
    value
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn carriage_of(rule: &DynamicMessage) -> String {
    let number = rule
        .get_field_by_name("carriage")
        .and_then(|v| v.as_enum_number())
        .unwrap_or_default();
    let field = rule.descriptor().get_field_by_name("carriage");
    let value = field.and_then(|f| f.kind().as_enum().and_then(|e| e.get_value(number)));
    value.map(|v| v.name().to_owned()).unwrap_or_default()
}

fn objects_of(rule: &DynamicMessage) -> Vec<(Arc<str>, Vec<String>)> {
    let Some(list) = rule.get_field_by_name("objects") else {
        return Vec::new();
    };
    let objects = list
        .as_list()
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_message);
    let split = objects.map(|object| {
        let path = text_of(object, "field");
        (
            text_of(object, "kind").into(),
            path.split('.').map(str::to_owned).collect(),
        )
    });
    split.collect()
}

/// The number behind the `v` of the package.
fn version_of(message: &MessageDescriptor) -> u32 {
    let last = message.package_name().rsplit('.').next().unwrap_or_default();
    last.trim_start_matches('v').parse().unwrap_or(1)
}

/// The comment without ``Event `name`: ``.
fn told(comment: &str, name: &str) -> String {
    let text = comment
        .strip_prefix(&format!("Event `{name}`: "))
        .unwrap_or(comment);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

fn text_at(message: &DynamicMessage, path: &[String]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let value = message.get_field_by_name(first)?;
    if rest.is_empty() {
        return value.as_str().map(str::to_owned);
    }
    text_at(value.as_message()?, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_event_is_described_and_names_its_object_first() {
        let catalogue = Catalogue::new(&Contract::load().unwrap()).unwrap();
        assert!(catalogue.types().count() > 25);
        for of in catalogue.types() {
            assert!(
                of.description.ends_with('.') && of.description.len() > 15,
                "{}",
                of.name
            );
            assert!(
                !of.description.starts_with("Event"),
                "{}: {}",
                of.name,
                of.description
            );
            assert!(of.kinds().next().is_some(), "{} is about nothing", of.name);
            assert!(
                of.message.full_name().starts_with("devsignal.events.v1."),
                "{}",
                of.name
            );
            let carried = contracts::type_of(&of.carrier).map(|(_, stream)| stream);
            assert_eq!(carried, Some(contracts::StreamKind::Events), "{}", of.name);
        }
        for internal in ["signals.recorded", "signals.accepted", "people.stated"] {
            assert!(catalogue.get(internal).is_none(), "{internal}");
        }
        assert_eq!(
            catalogue.get("deal.closed").unwrap().schema_name(),
            "deal.closed/1"
        );
    }
}
