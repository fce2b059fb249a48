//! From a response message to the answer: status, body, `ETag`, `Location`.

use std::sync::Arc;

use bytes::Bytes;
use errors::ApiError;
use serde_json::Value as Out;

use super::plan::Garbled;
use super::routes::{OUTCOME, Route};
use super::sparse::Fields;
use super::{Answer, conditional};

/// How a response becomes the answer.
pub struct Shape {
    /// The route.
    pub route: Arc<Route>,
    /// The request's path, for `Location`.
    pub path: String,
    /// The fields wanted.
    pub fields: Option<Fields>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

impl Shape {
    /// The text and the version of an answer that is given as it is: a record that was read, or a page, with all fields.
    fn plain(&self, bytes: &[u8]) -> Option<Result<(String, Option<i64>), Garbled>> {
        let Route { plan, output, .. } = &*self.route;
        if !self.route.reads || self.fields.is_some() {
            return None;
        }
        match &self.route.record {
            Some(field) => Some(plan.record_to_text(bytes, field.number())),
            None if output.get_field_by_name("next_cursor").is_some() => {
                Some(plan.to_text(bytes).map(|text| (text, None)))
            }
            None => None,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// `internal`: the response is not what the contract says.
    pub fn answer(&self, bytes: Bytes) -> Result<Answer, ApiError> {
        if self.route.http_method == "DELETE" {
            return Ok(Answer::Done {
                status: 204,
                body: None,
                etag: None,
                location: None,
                dry_run: self.dry_run,
            });
        }
        let unreadable = || {
            tracing::error!(method = %self.route.grpc_path, "a service's answer cannot be read");
            ApiError::internal()
        };
        if let Some(text) = self.plain(&bytes) {
            let (body, version) = text.map_err(|_| unreadable())?;
            return Ok(Answer::Done {
                status: 200,
                body: Some(body),
                etag: version.map(conditional::tag),
                location: None,
                dry_run: self.dry_run,
            });
        }
        let mut json = self.route.plan.to_json(&bytes).map_err(|_| unreadable())?;
        if let Some(field) = &self.route.record {
            let record = json
                .as_object_mut()
                .and_then(|answer| answer.remove(field.json_name()));
            json = record.ok_or_else(unreadable)?;
        }
        let upserted = self.route.upserted();
        let place = upserted.as_ref().map(|(record, _)| record.json_name());
        let record = place.and_then(|name| json.get(name)).unwrap_or(&json);
        let etag = conditional::etag(record);
        let id = record.get("id").and_then(Out::as_str).map(str::to_owned);
        let created = match &upserted {
            Some(_) => json.get(OUTCOME).and_then(Out::as_str) == Some("created"),
            None => self.route.creates,
        };
        if let Some(fields) = &self.fields {
            let wanted = match place {
                Some(name) => json.get_mut(name),
                None if self.route.record.is_none() => json.get_mut("data"),
                None => None,
            };
            match wanted {
                Some(part) => fields.apply(part),
                None => fields.apply(&mut json),
            }
        }
        let real = created && !self.dry_run;
        let location = id.filter(|_| real).map(|id| format!("{}/{id}", self.path));
        Ok(Answer::Done {
            status: match real {
                _ if self.route.tells_of_each() => 207,
                true => 201,
                false => 200,
            },
            body: Some(json.to_string()),
            etag,
            location,
            dry_run: self.dry_run,
        })
    }
}
