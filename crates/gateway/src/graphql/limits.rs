//! What a query may ask for, decided before anything is read.
//!
//! Cost counts records: a field that reads a list costs its `limit`, `first` or `last`, times the lists around it.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Variables;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::{Positioned, Value};
use errors::{ApiError, ErrorCode};

use super::relations;
use crate::config::GraphqlSettings;

/// Nesting of brackets that the parser is given at most: it recurses.
const MAX_BRACKETS: usize = 40;
/// Fields looked at, with those of fragments as often as they are spread.
const MAX_VISITED: usize = 5_000;
/// Directives in one document.
const MAX_DIRECTIVES: usize = 20;
/// Introspection is deep by its nature and costs nothing.
const INTROSPECTION_DEPTH: usize = 24;

/// What an operation is, once it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weighed {
    /// Query, mutation or subscription.
    pub kind: OperationType,
    /// Fields at the root: requests, for the rate limit.
    pub roots: u32,
}

fn refuse(code: &'static str, message: String) -> ApiError {
    ApiError::invalid("/query", code, message)
}

/// Refuses text that the parser should not see.
///
/// # Errors
/// `validation_failed` or `too_large`.
pub fn check_text(query: &str, settings: &GraphqlSettings) -> Result<(), ApiError> {
    if query.len() > settings.max_query_bytes {
        let detail = format!("a query may have at most {} bytes", settings.max_query_bytes);
        return Err(ApiError::new(ErrorCode::TooLarge, detail));
    }
    let (mut depth, mut bytes) = (0_usize, query.bytes().peekable());
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => while bytes.next_if(|b| *b != b'\n').is_some() {},
            // Strings end at their line at the latest; of block strings every line counts as one.
            b'"' => {
                while let Some(inner) = bytes.next_if(|b| *b != b'\n') {
                    match inner {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if depth > MAX_BRACKETS {
            let message = format!("brackets may be nested {MAX_BRACKETS} deep");
            return Err(refuse("too_deep", message));
        }
    }
    Ok(())
}

/// Weighs the operation that is to run.
///
/// # Errors
/// `validation_failed`: no such operation, or too deep, too costly, too many aliases or directives.
pub fn weigh(
    document: &ExecutableDocument,
    operation: Option<&str>,
    variables: &Variables,
    settings: &GraphqlSettings,
) -> Result<Weighed, ApiError> {
    let operation = pick(&document.operations, operation)?;
    let mut walk = Walk {
        fragments: &document.fragments,
        variables,
        operation,
        settings,
        visited: 0,
        aliases: 0,
        directives: 0,
        cost: 0,
        spread: Vec::new(),
    };
    let roots = walk.set(&operation.selection_set.node, 1, 1, settings.max_depth)?;
    Ok(Weighed {
        kind: operation.ty,
        roots,
    })
}

fn pick<'d>(
    operations: &'d DocumentOperations,
    name: Option<&str>,
) -> Result<&'d OperationDefinition, ApiError> {
    let unknown = || {
        refuse(
            "unknown_operation",
            "name one of the document's operations".to_owned(),
        )
    };
    match (operations, name) {
        (DocumentOperations::Single(one), None) => Ok(&one.node),
        (DocumentOperations::Single(_), Some(_)) => Err(unknown()),
        (DocumentOperations::Multiple(many), Some(name)) => {
            many.get(name).map(|one| &one.node).ok_or_else(unknown)
        }
        (DocumentOperations::Multiple(many), None) => match (many.len(), many.values().next()) {
            (1, Some(one)) => Ok(&one.node),
            _ => Err(unknown()),
        },
    }
}

struct Walk<'d> {
    fragments: &'d HashMap<Name, Positioned<FragmentDefinition>>,
    variables: &'d Variables,
    operation: &'d OperationDefinition,
    settings: &'d GraphqlSettings,
    visited: usize,
    aliases: usize,
    directives: usize,
    cost: u64,
    spread: Vec<&'d str>,
}

impl<'d> Walk<'d> {
    /// Walks a selection whose objects there are `many` times; returns how many fields it has itself.
    fn set(&mut self, set: &'d SelectionSet, depth: usize, many: u64, most: usize) -> Result<u32, ApiError> {
        if depth > most + 1 {
            return Err(refuse("too_deep", format!("a query may be {most} levels deep")));
        }
        let mut fields = 0_u32;
        for item in &set.items {
            self.count(item.node.directives().len())?;
            match &item.node {
                Selection::Field(field) => {
                    fields += 1;
                    self.field(&field.node, depth, many, most)?;
                }
                Selection::InlineFragment(inline) => {
                    fields += self.set(&inline.node.selection_set.node, depth, many, most)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    // Circles and unknown names are refused by the validation behind this.
                    let Some(fragment) = self.fragments.get(name).filter(|_| !self.spread.contains(&name))
                    else {
                        continue;
                    };
                    self.spread.push(name);
                    fields += self.set(&fragment.node.selection_set.node, depth, many, most)?;
                    self.spread.pop();
                }
            }
        }
        Ok(fields)
    }

    fn field(&mut self, field: &'d Field, depth: usize, many: u64, most: usize) -> Result<(), ApiError> {
        if field.alias.is_some() {
            self.aliases += 1;
            if self.aliases > self.settings.max_aliases {
                let message = format!("a query may have {} aliases", self.settings.max_aliases);
                return Err(refuse("too_many", message));
            }
        }
        let set = &field.selection_set.node;
        if set.items.is_empty() {
            return Ok(());
        }
        if field.name.node.starts_with("__") {
            self.set(set, depth + 1, 0, INTROSPECTION_DEPTH)?;
            return Ok(());
        }
        let many = many.saturating_mul(self.items(field));
        self.cost = self.cost.saturating_add(many);
        if self.cost > self.settings.max_cost {
            let message = format!(
                "a query may read up to {} records; ask for fewer with `limit`, `first` or `last`",
                self.settings.max_cost
            );
            return Err(refuse("too_costly", message));
        }
        self.set(set, depth + 1, many, most)?;
        Ok(())
    }

    fn count(&mut self, directives: usize) -> Result<(), ApiError> {
        self.visited += 1;
        self.directives += directives;
        if self.visited > MAX_VISITED || self.directives > MAX_DIRECTIVES {
            return Err(refuse(
                "too_many",
                "the query has too many fields or directives".to_owned(),
            ));
        }
        Ok(())
    }

    /// How many records a field can give.
    fn items(&self, field: &Field) -> u64 {
        let asked = field
            .arguments
            .iter()
            .find(|(name, _)| matches!(name.node.as_str(), "limit" | "first" | "last"))
            .and_then(|(_, value)| {
                let known = |name: Name| Ok::<_, std::convert::Infallible>(self.variable(&name));
                match value.node.clone().into_const_with(known) {
                    Ok(Value::Number(number)) => number.as_u64(),
                    _ => None,
                }
            });
        match asked {
            Some(number) => number.clamp(1, 1_000),
            None if relations::is_list(field.name.node.as_str()) || is_page(field) => {
                relations::DEFAULT_OF_EACH
            }
            None => 1,
        }
    }

    fn variable(&self, name: &Name) -> Value {
        if let Some(given) = self.variables.get(name) {
            return given.clone();
        }
        let mut definitions = self.operation.variable_definitions.iter();
        let definition = definitions.find(|d| d.node.name.node == *name);
        let default = definition.and_then(|d| d.node.default_value.as_ref());
        default.map_or(Value::Null, |value| value.node.clone())
    }
}

/// Pages hold their records in `data`.
fn is_page(field: &Field) -> bool {
    let is_data = |item: &Positioned<Selection>| matches!(&item.node, Selection::Field(f) if f.node.name.node == "data");
    field.selection_set.node.items.iter().any(is_data)
}
