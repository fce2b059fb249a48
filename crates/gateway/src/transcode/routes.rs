//! The routes, from `google.api.http` annotations (<https://google.aip.dev/127>).

use std::sync::Arc;

use contracts::access::{Rule, rule_of};
use errors::ApiError;
use http::uri::PathAndQuery;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::path;
use super::plan::Plan;
use crate::contract::Contract;
use crate::error::StartError;

/// One endpoint.
#[derive(Debug)]
pub struct Route {
    /// Who may use it.
    pub rule: &'static Rule,
    /// HTTP method.
    pub http_method: &'static str,
    segments: Vec<Segment>,
    /// Full name of the gRPC service.
    pub service: String,
    /// Path of the gRPC method.
    pub grpc_path: PathAndQuery,
    /// The request.
    pub input: MessageDescriptor,
    /// The response.
    pub output: MessageDescriptor,
    /// How it becomes JSON.
    pub plan: Arc<Plan>,
    /// Whether the request's fields come from a JSON body (`body: "*"`).
    pub has_body: bool,
    /// The field of the response that is the answer; without it, the response itself.
    pub record: Option<FieldDescriptor>,
    /// Whether it creates a record: answered with 201 and `Location`.
    pub creates: bool,
    /// Whether nothing is changed by it, whatever its HTTP method.
    pub reads: bool,
    /// Whether it takes up to a thousand requests of the method at once.
    pub batch: Option<Batch>,
    /// The method.
    pub method: MethodDescriptor,
    /// The path as in the annotation, with `{field_name}`.
    pub template: String,
}

/// How the items of a batch become requests of a method for one record.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The field that an item's `id` is for; without it, items have no `id`.
    pub id: Option<FieldDescriptor>,
}

/// Methods that change nothing begin with one of these words.
const READS: [&str; 7] = ["List", "Get", "BatchGet", "Search", "Query", "Preview", "Export"];

/// The response field that tells what an upsert did.
pub const OUTCOME: &str = "outcome";

#[derive(Debug, Clone)]
enum Segment {
    Literal(String),
    Field(FieldDescriptor),
}

/// A route with the values of its path.
pub struct Matched {
    /// The route.
    pub route: Arc<Route>,
    /// The fields that the path gives.
    pub path_fields: Vec<(FieldDescriptor, String)>,
}

impl Route {
    fn new(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Self, StartError> {
        let input = method.input();
        let fail = |what: &str| StartError::Descriptors(format!("{}: {what}", method.full_name()));
        let text = |name: &str| {
            rule.get_field_by_name(name)
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let (http_method, template) = [
            ("GET", "get"),
            ("POST", "post"),
            ("PUT", "put"),
            ("PATCH", "patch"),
            ("DELETE", "delete"),
        ]
        .into_iter()
        .map(|(http_method, field)| (http_method, text(field)))
        .find(|(_, template)| !template.is_empty())
        .ok_or_else(|| fail("the annotation has no path"))?;
        let path = template
            .strip_prefix('/')
            .ok_or_else(|| fail("a path begins with /"))?;
        let segments = path
            .split('/')
            .map(
                |part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                    None => Ok(Segment::Literal(part.to_owned())),
                    Some(name) => input
                        .get_field_by_name(name)
                        .map(Segment::Field)
                        .ok_or_else(|| fail("no such field")),
                },
            )
            .collect::<Result<Vec<_>, _>>()?;
        let record = match text("response_body").as_str() {
            "" => None,
            name => Some(
                method
                    .output()
                    .get_field_by_name(name)
                    .ok_or_else(|| fail("no such response field"))?,
            ),
        };
        let has_body = match text("body").as_str() {
            "" => false,
            "*" => true,
            _ => return Err(fail("only `body: \"*\"` is supported")),
        };
        let service = method.parent_service().full_name().to_owned();
        let grpc_path: PathAndQuery = format!("/{service}/{}", method.name())
            .parse()
            .map_err(|_| fail("the name is not a path"))?;
        let rule = rule_of(grpc_path.as_str()).ok_or_else(|| fail("no rule says who may call it"))?;
        Ok(Self {
            rule,
            http_method,
            segments,
            service,
            grpc_path,
            plan: Arc::new(Plan::new(&method.output())),
            output: method.output(),
            has_body,
            creates: http_method == "POST" && record.is_some() && method.name().starts_with("Create"),
            reads: http_method == "GET" || READS.iter().any(|word| begins_with_word(method.name(), word)),
            batch: None,
            method: method.clone(),
            template,
            record,
            input,
        })
    }

    /// The record and the outcome, for an answer that tells both.
    #[must_use]
    pub fn upserted(&self) -> Option<(FieldDescriptor, FieldDescriptor)> {
        let outcome = self.output.get_field_by_name(OUTCOME)?;
        let record = self
            .output
            .fields()
            .find(|f| matches!(f.kind(), Kind::Message(_)) && !f.is_list() && !f.is_map())?;
        (self.record.is_none() && !self.reads).then_some((record, outcome))
    }

    /// Whether the answer tells what became of each of many items.
    #[must_use]
    pub fn tells_of_each(&self) -> bool {
        let results = self
            .output
            .get_field_by_name("results")
            .filter(FieldDescriptor::is_list);
        let of = match results.map(|f| f.kind()) {
            Some(Kind::Message(of)) => of,
            _ => return false,
        };
        let is_number = |name: &str| {
            of.get_field_by_name(name)
                .is_some_and(|f| f.kind() == Kind::Int32)
        };
        !self.reads && is_number("index") && is_number("status")
    }

    /// The route that does the same for many records, where that makes sense.
    fn batched(&self) -> Option<Self> {
        let one_record = self.record.is_some() || self.upserted().is_some();
        if !(one_record && self.has_body) || self.reads {
            return None;
        }
        let mut segments = self.segments.clone();
        let id = match (self.http_method, segments.last()) {
            ("POST", Some(Segment::Literal(_))) if self.creates => None,
            ("PUT", Some(Segment::Literal(_))) => None,
            ("PATCH" | "PUT", Some(Segment::Field(field))) => {
                let field = field.clone();
                segments.pop();
                Some(field)
            }
            _ => return None,
        };
        segments.push(Segment::Literal("batch".to_owned()));
        let stem = match &id {
            Some(_) => self.template.rsplit_once('/').map_or("", |(stem, _)| stem),
            None => &self.template,
        };
        Some(Self {
            rule: self.rule,
            http_method: self.http_method,
            template: format!("{stem}/batch"),
            segments,
            service: self.service.clone(),
            grpc_path: self.grpc_path.clone(),
            input: self.input.clone(),
            output: self.output.clone(),
            plan: Arc::clone(&self.plan),
            has_body: true,
            record: self.record.clone(),
            creates: false,
            reads: false,
            batch: Some(Batch { id }),
            method: self.method.clone(),
        })
    }

    /// The fields that the path gives.
    pub fn path_fields(&self) -> impl Iterator<Item = &FieldDescriptor> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Field(field) => Some(field),
            Segment::Literal(_) => None,
        })
    }

    fn fields_of(&self, path: &[String]) -> Option<Vec<(FieldDescriptor, String)>> {
        if path.len() != self.segments.len() {
            return None;
        }
        let mut fields = Vec::new();
        for (segment, text) in self.segments.iter().zip(path) {
            match segment {
                Segment::Literal(literal) if literal == text => {}
                Segment::Literal(_) => return None,
                Segment::Field(field) => fields.push((field.clone(), text.clone())),
            }
        }
        Some(fields)
    }

    /// Literal segments win over fields, from the left: `/signals/sources` is not a signal's id.
    fn order(&self) -> Vec<bool> {
        self.segments
            .iter()
            .map(|s| matches!(s, Segment::Field(_)))
            .collect()
    }
}

fn begins_with_word(name: &str, word: &str) -> bool {
    name.strip_prefix(word)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Batches with handlers of their own.
const BY_HAND: [&str; 1] = ["/api/v1/signals/batch"];

/// All endpoints.
#[derive(Debug, Clone)]
pub struct Routes(Arc<[Arc<Route>]>);

impl Routes {
    /// The endpoints of all public services.
    ///
    /// # Errors
    /// An annotation that this crate does not support.
    pub fn new(contract: &Contract) -> Result<Self, StartError> {
        let mut routes = Vec::new();
        for service in contract.services() {
            for method in service.methods() {
                for rule in contract.rules(&method) {
                    routes.push(Arc::new(Route::new(&method, &rule)?));
                }
            }
        }
        let batches: Vec<_> = routes.iter().filter_map(|r: &Arc<Route>| r.batched()).collect();
        for batch in batches {
            let taken = routes
                .iter()
                .any(|r| r.http_method == batch.http_method && r.template == batch.template);
            if !taken && !BY_HAND.contains(&batch.template.as_str()) {
                routes.push(Arc::new(batch));
            }
        }
        routes.sort_by_key(|route| route.order());
        Ok(Self(routes.into()))
    }

    /// The route of a request.
    ///
    /// # Errors
    /// The path cannot be decoded.
    pub fn find(&self, http_method: &str, path: &str) -> Result<Option<Matched>, ApiError> {
        let Some(segments) = path::segments(path)? else {
            return Ok(None);
        };
        let found = self
            .at(&segments)
            .find(|(route, _)| route.http_method == http_method);
        Ok(found.map(|(route, path_fields)| Matched {
            route: Arc::clone(route),
            path_fields,
        }))
    }

    /// The HTTP methods that a path answers to.
    #[must_use]
    pub fn methods(&self, path: &str) -> Vec<&'static str> {
        let Ok(Some(segments)) = path::segments(path) else {
            return Vec::new();
        };
        self.at(&segments).map(|(route, _)| route.http_method).collect()
    }

    /// Whether a route has this path word by word.
    #[must_use]
    pub fn names(&self, path: &str) -> bool {
        self.0.iter().any(|route| route.template == path)
    }

    /// The routes of a path. Those with the most literal template own it, whatever the method: `/sources/query` is no source.
    fn at<'s>(
        &'s self,
        segments: &'s [String],
    ) -> impl Iterator<Item = (&'s Arc<Route>, Vec<(FieldDescriptor, String)>)> {
        let mut fitting = self
            .0
            .iter()
            .filter_map(move |route| Some((route, route.fields_of(segments)?)))
            .peekable();
        let best = fitting.peek().map(|(route, _)| route.order());
        fitting.filter(move |(route, _)| Some(route.order()) == best)
    }

    /// Every route.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        Routes::new(&Contract::load().unwrap()).unwrap()
    }

    #[test]
    fn literals_win_over_fields() {
        let routes = routes();
        let found = routes.find("GET", "/api/v1/signals/sources").unwrap().unwrap();
        assert_eq!(
            found.route.grpc_path.as_str(),
            "/devsignal.signals.v1.SourceService/ListSources"
        );
        let found = routes.find("GET", "/api/v1/signals/x").unwrap().unwrap();
        assert_eq!(
            found.route.grpc_path.as_str(),
            "/devsignal.signals.v1.SignalService/GetSignal"
        );
        assert_eq!(found.path_fields[0].1, "x");
    }

    #[test]
    fn only_annotated_methods_have_routes() {
        let routes = routes();
        assert!(routes.all().all(|r| !r.grpc_path.as_str().contains("Intake")));
        assert!(
            routes
                .find("GET", "/devsignal.signals.v1.IntakeService/AcceptJson")
                .unwrap()
                .is_none()
        );
        let mut methods = routes.methods("/api/v1/sources/1");
        methods.sort_unstable();
        assert_eq!(methods, ["DELETE", "GET", "PATCH"]);
    }

    #[test]
    fn what_writes_one_record_can_write_many() {
        let routes = routes();
        let found = |method: &str, path: &str| routes.find(method, path).unwrap().map(|m| m.route);
        let create = found("POST", "/api/v1/sources/batch").unwrap();
        assert!(create.batch.as_ref().unwrap().id.is_none());
        let change = found("PATCH", "/api/v1/sources/batch").unwrap();
        let id = change.batch.as_ref().unwrap().id.clone().unwrap();
        assert_eq!(id.name(), "source_id");
        // A method of its own takes the place.
        assert!(found("POST", "/api/v1/signals/batch").unwrap().batch.is_none());
        assert!(found("GET", "/api/v1/sources").unwrap().reads);
    }
}
