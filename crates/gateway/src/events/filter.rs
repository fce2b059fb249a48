//! Which events a client wants: by type, and by object. The same words on every interface.

use std::collections::HashSet;

use errors::{ApiError, ErrorCode, FieldError};
use uuid::Uuid;

use super::catalogue::Catalogue;
use super::render::PublicEvent;

/// Most types or objects in a filter.
const MAX: usize = 100;

/// Keeps some events. An empty list keeps all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    types: HashSet<String>,
    /// By kind and id.
    objects: HashSet<(String, String)>,
    asked: Asked,
}

/// The filter as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    types: Vec<String>,
    objects: Vec<String>,
}

/// Where the lists of a filter stand in a request, for errors.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Of the types.
    pub types: &'static str,
    /// Of the objects.
    pub objects: &'static str,
    /// The code of an error there.
    pub code: ErrorCode,
}

impl Places {
    /// Parameters of a query.
    pub const QUERY: Self = Self {
        types: "?types",
        objects: "?objects",
        code: ErrorCode::InvalidParameter,
    };
    /// Fields of a message.
    pub const BODY: Self = Self {
        types: "/types",
        objects: "/objects",
        code: ErrorCode::ValidationFailed,
    };
}

impl Filter {
    /// Reads a filter: types by name or `deal.*`, objects as `account:<id>`.
    ///
    /// # Errors
    /// `invalid_parameter` or `validation_failed`, naming the place.
    pub fn read(
        catalogue: &Catalogue,
        types: &[String],
        objects: &[String],
        places: Places,
    ) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for (list, at) in [(types, places.types), (objects, places.objects)] {
            if list.len() > MAX {
                return Err(refused(
                    places,
                    at,
                    "out_of_range",
                    format!("at most {MAX} of them"),
                ));
            }
        }
        for given in types {
            let named = of_pattern(catalogue, given);
            if named.is_empty() {
                let message = format!("there is no event type `{}`", cut(given));
                return Err(refused(places, places.types, "unknown_value", message));
            }
            filter.types.extend(named);
        }
        for given in objects {
            filter.objects.insert(of_object(catalogue, given, places)?);
        }
        filter.asked = Asked {
            types: types.to_vec(),
            objects: objects.to_vec(),
        };
        Ok(filter)
    }

    /// Whether an event is wanted.
    #[must_use]
    pub fn wants(&self, event: &PublicEvent) -> bool {
        (self.types.is_empty() || self.types.contains(event.kind()))
            && (self.objects.is_empty()
                || event.objects.iter().any(|o| {
                    self.objects
                        .iter()
                        .any(|(kind, id)| **kind == *o.kind && *id == o.id)
                }))
    }

    /// The types as they were asked for.
    #[must_use]
    pub fn types(&self) -> &[String] {
        &self.asked.types
    }

    /// The objects as they were asked for.
    #[must_use]
    pub fn objects(&self) -> &[String] {
        &self.asked.objects
    }
}

/// The types that a name or pattern stands for; none when there are none.
fn of_pattern(catalogue: &Catalogue, given: &str) -> Vec<String> {
    if given == "*" {
        return catalogue.types().map(|of| of.name.clone()).collect();
    }
    match given.strip_suffix(".*") {
        Some(object) => {
            let names = catalogue.types().map(|of| &of.name);
            names
                .filter(|name| name.split('.').next() == Some(object))
                .cloned()
                .collect()
        }
        None => catalogue
            .get(given)
            .map(|of| of.name.clone())
            .into_iter()
            .collect(),
    }
}

fn of_object(catalogue: &Catalogue, given: &str, places: Places) -> Result<(String, String), ApiError> {
    let refuse = |code: &str, message: String| Err(refused(places, places.objects, code, message));
    let Some((kind, id)) = given.split_once(':') else {
        let message = format!("`{}` is not of the form `account:<id>`", cut(given));
        return refuse("invalid_object", message);
    };
    if !catalogue.kinds().any(|known| known == kind) {
        let known: Vec<_> = catalogue.kinds().collect();
        let message = format!(
            "there is no kind of object `{}`; there are {}",
            cut(kind),
            known.join(", ")
        );
        return refuse("unknown_value", message);
    }
    match Uuid::try_parse(id) {
        Ok(uuid) if id.len() == 36 => Ok((kind.to_owned(), uuid.to_string())),
        _ => refuse("invalid_id", format!("the id of `{}` is not a UUID", cut(given))),
    }
}

fn refused(places: Places, at: &str, code: &str, message: String) -> ApiError {
    let mut error = ApiError::new(places.code, message.clone());
    error.fields = vec![FieldError::new(at, code, message)];
    error
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
