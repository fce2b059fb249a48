//! Fields of `Query` and `Mutation` from routes.

use std::sync::Arc;

use async_graphql::Value;
use async_graphql::dynamic::{Field, FieldFuture, FieldValue, InputValue, ResolverContext, TypeRef};
use errors::ApiError;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind};

use super::arguments::{self, INPUT};
use super::errors::{contained, of_api};
use super::schema::Ask;
use super::types::{Shape, Types, give};
use crate::transcode::{CONTROL, IF_VERSION, Route, call, to_json};

/// What a field gives of the response.
#[derive(Debug, Clone)]
enum Gives {
    /// This field of it.
    Record(FieldDescriptor),
    /// All of it.
    Whole,
    /// That it was done.
    Done,
}

/// The field of a route, unless a route of the same method made it already.
pub fn field(route: &Arc<Route>, types: &mut Types<'_>) -> Option<(String, Field)> {
    if route.batch.is_some() || route.tells_of_each() {
        return None;
    }
    let name = field_name(route);
    let gives = match &route.record {
        Some(record) => Gives::Record(record.clone()),
        None if route.http_method == "DELETE" || route.output.fields().len() == 0 => Gives::Done,
        None => Gives::Whole,
    };
    let ty = match &gives {
        Gives::Record(field) => match field.kind() {
            Kind::Message(record) => TypeRef::named(types.object(&record)),
            _ => return None,
        },
        Gives::Whole => TypeRef::named(types.object(&route.output)),
        Gives::Done => TypeRef::named(TypeRef::BOOLEAN),
    };
    let from_path: Vec<FieldDescriptor> = route.path_fields().cloned().collect();
    let paths: Vec<String> = from_path
        .iter()
        .map(|field| path_argument(route, field))
        .collect();
    let about = types.comments().method(&route.method).text;
    let (asked, names) = (Arc::clone(route), paths.clone());
    let mut made = Field::new(&name, ty, move |ctx| {
        let (route, gives) = (Arc::clone(&asked), gives.clone());
        let message = arguments::request(&route, &names, &ctx.args);
        FieldFuture::new(async move {
            let answered = match message {
                Ok(message) => answer(&ctx, &route, &message).await,
                Err(error) => Err(error),
            };
            let shaped = answered
                .map_err(|error| of_api(&error))
                .and_then(|answer| shaped(&answer, &gives));
            contained(&ctx, shaped)
        })
    })
    .description(about);
    for (field, name) in from_path.iter().zip(&paths) {
        let argument = InputValue::new(name, TypeRef::named_nn(TypeRef::ID));
        made = made.argument(argument.description(types.comments().field(field).text));
    }
    for argument in others(route, &from_path, types) {
        made = made.argument(argument);
    }
    Some((name, made))
}

async fn answer(
    ctx: &ResolverContext<'_>,
    route: &Route,
    message: &DynamicMessage,
) -> Result<DynamicMessage, ApiError> {
    let ask = ctx.data::<Ask>().map_err(|_| ApiError::internal())?;
    let bytes = call(&ask.backends, route, message, &ask.who)?
        .make(&ask.backends)
        .await?;
    DynamicMessage::decode(route.output.clone(), bytes).map_err(|_| ApiError::internal())
}

fn shaped(
    answer: &DynamicMessage,
    gives: &Gives,
) -> Result<Option<FieldValue<'static>>, async_graphql::Error> {
    match gives {
        Gives::Done => Ok(Some(FieldValue::value(Value::Boolean(true)))),
        Gives::Whole => give(to_json(answer), Shape::Object),
        Gives::Record(field) => match answer.get_field(field).as_message() {
            Some(record) => give(to_json(record), Shape::Object),
            None => Err(of_api(&ApiError::internal())),
        },
    }
}

/// Arguments that are not of the path: of a read all fields of the request; of a write `input`, and those that say how.
fn others(route: &Route, from_path: &[FieldDescriptor], types: &mut Types<'_>) -> Vec<InputValue> {
    let rest: Vec<_> = route.input.fields().filter(|f| !from_path.contains(f)).collect();
    if route.reads || !route.has_body {
        return rest.iter().map(|field| types.argument(field)).collect();
    }
    let how = |field: &FieldDescriptor| CONTROL.contains(&field.name()) || field.name() == IF_VERSION;
    let mut without: Vec<String> = from_path.iter().map(|f| f.name().to_owned()).collect();
    without.extend(rest.iter().filter(|f| how(f)).map(|f| f.name().to_owned()));
    let mut arguments: Vec<InputValue> = types
        .input(&route.input, &without)
        .map(|input| InputValue::new(INPUT, TypeRef::named_nn(input)))
        .into_iter()
        .collect();
    arguments.extend(rest.iter().filter(|f| how(f)).map(|field| types.argument(field)));
    arguments
}

/// `GetAccount` is `account`, `ListAccounts` is `accounts`; anything else keeps its verb.
fn field_name(route: &Route) -> String {
    let method = route.method.name();
    let noun = ["Get", "List"].into_iter().find_map(|verb| {
        method
            .strip_prefix(verb)
            .filter(|noun| noun.starts_with(|c: char| c.is_ascii_uppercase()))
    });
    let mut letters = noun.unwrap_or(method).chars();
    let first = letters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

/// The id of the record that the method is about is `id`; other ids keep their names.
fn path_argument(route: &Route, field: &FieldDescriptor) -> String {
    let method = route.method.name();
    let noun = method.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let noun = &noun[noun.find(|c: char| c.is_ascii_uppercase()).unwrap_or(noun.len())..];
    let mut snake = String::new();
    for c in noun.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    if field.name() == format!("{snake}_id") {
        "id".to_owned()
    } else {
        field.json_name().to_owned()
    }
}
