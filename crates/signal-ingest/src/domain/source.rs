//! What a source may look like.

use contracts::signals::v1::{CreateSourceRequest, UpdateSourceRequest};
use errors::{ApiError, FieldError};
use ids::{OrgId, SourceId};
use prost::Message as _;
use prost_types::Struct;

use super::seal::Place;
use super::text::{self, Fault};
use super::validate::check_struct;

/// The types a source can have.
pub const TYPES: &[&str] = &[
    "github",
    "npm",
    "pypi",
    "website",
    "docs",
    "product_api",
    "segment",
    "custom_webhook",
];
/// Longest name.
const MAX_NAME: usize = 200;
/// Most bytes of free-form settings, encoded.
const MAX_CONFIG_BYTES: usize = 16 * 1024;
/// Deepest nesting of free-form settings.
const CONFIG_DEPTH: usize = 16;

/// Where the secret of a source is kept: what it is sealed for.
#[must_use]
pub fn secret_place(org: OrgId, id: SourceId) -> Place<'static> {
    Place {
        org,
        table: "sources",
        column: "secret",
        id: id.uuid(),
    }
}

/// A secret made of random bytes, in letters and digits that survive being pasted.
#[must_use]
pub fn made_secret(random: [u8; 32]) -> String {
    hex::encode(random)
}

/// Checks a new source and tidies its name.
///
/// # Errors
/// Every place that is wrong.
pub fn check_new(request: CreateSourceRequest) -> Result<CreateSourceRequest, ApiError> {
    let mut faults = Vec::new();
    let kind = request.r#type.as_str();
    if kind.is_empty() {
        note(&mut faults, "/type", text::fault("required", "type is required"));
    } else if !TYPES.contains(&kind) {
        let message = format!("must be one of {}", TYPES.join(", "));
        note(&mut faults, "/type", text::fault("unknown_type", message));
    }
    let name = text::trimmed(request.name);
    note(&mut faults, "/name", check_name(&name));
    if let Some(config) = &request.config {
        check_config(&mut faults, config);
    }
    if let Some(secret) = &request.secret {
        note(&mut faults, "/secret", check_secret(secret));
    }
    done(faults, CreateSourceRequest { name, ..request })
}

/// Checks changes and tidies the new name.
///
/// # Errors
/// Every place that is wrong.
pub fn check_update(request: UpdateSourceRequest) -> Result<UpdateSourceRequest, ApiError> {
    let mut faults = Vec::new();
    let name = request.name.map(text::trimmed);
    if let Some(name) = &name {
        note(&mut faults, "/name", check_name(name));
    }
    if let Some(config) = &request.config {
        check_config(&mut faults, config);
    }
    if let Some(status) = request.status.as_deref()
        && !["active", "paused"].contains(&status)
    {
        note(
            &mut faults,
            "/status",
            text::fault("unknown_status", "must be active or paused"),
        );
    }
    done(faults, UpdateSourceRequest { name, ..request })
}

fn done<T>(faults: Vec<FieldError>, checked: T) -> Result<T, ApiError> {
    if faults.is_empty() {
        Ok(checked)
    } else {
        Err(ApiError::fields(faults))
    }
}

fn note(faults: &mut Vec<FieldError>, pointer: &str, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        faults.push(FieldError::new(pointer, fault.code, fault.message));
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() {
        return text::fault("required", "name is required");
    }
    text::plain(name, MAX_NAME)
}

fn check_secret(secret: &str) -> Result<(), Fault> {
    if secret.chars().count() < 16 {
        return text::fault("too_short", "must have at least 16 characters");
    }
    text::plain(secret, 255)
}

fn check_config(faults: &mut Vec<FieldError>, config: &Struct) {
    if config.encoded_len() > MAX_CONFIG_BYTES {
        let message = format!("must have at most {MAX_CONFIG_BYTES} bytes");
        note(faults, "/config", text::fault("too_large", message));
    } else if let Err((pointer, fault)) = check_struct(config, CONFIG_DEPTH) {
        note(faults, &format!("/config{pointer}"), Err(fault));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(error: ApiError) -> Vec<(String, String)> {
        error.fields.into_iter().map(|f| (f.pointer, f.code)).collect()
    }

    #[test]
    fn every_fault_of_a_new_source_is_named() {
        let request = CreateSourceRequest {
            r#type: "gopher".into(),
            name: "  ".into(),
            config: Some(Struct {
                fields: [("a".to_owned(), prost_types::Value { kind: None })].into(),
            }),
            secret: Some("short".into()),
            dry_run: None,
        };
        let want = [
            ("/type", "unknown_type"),
            ("/name", "required"),
            ("/config/a", "required"),
            ("/secret", "too_short"),
        ];
        let want = want.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()));
        assert_eq!(codes(check_new(request).unwrap_err()), want);
    }

    #[test]
    fn a_good_source_is_tidied() {
        let request = CreateSourceRequest {
            r#type: "github".into(),
            name: " Hooks ".into(),
            ..Default::default()
        };
        assert_eq!(check_new(request).unwrap().name, "Hooks");
        let change = UpdateSourceRequest {
            status: Some("error".into()),
            ..Default::default()
        };
        assert_eq!(codes(check_update(change).unwrap_err())[0].1, "unknown_status");
    }
}
