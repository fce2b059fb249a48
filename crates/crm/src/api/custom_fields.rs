//! `devsignal.crm.v1.CustomFieldService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::custom_field_service_server::CustomFieldService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{list_of, plain_id, writing};
use super::{answer, enter, serve};
use crate::domain::custom::{Definition, MAX_PATTERN, Type, compiled};
use crate::domain::edit::Problems;
use crate::domain::extras::Object;
use crate::error::CrmError;
use crate::store::{FieldEdit, Records};
use crate::wire;

/// Longest key and option, in characters.
const MAX_KEY: usize = 50;
/// Longest label and option, in characters.
const MAX_LABEL: usize = 100;
/// Most options.
const MAX_OPTIONS: usize = 200;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "custom_fields";

/// Fields of an organization's own.
pub struct CustomFieldApi {
    records: Records,
}

impl CustomFieldApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListCustomFieldsRequest>,
    ) -> Result<crm::ListCustomFieldsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let page = self.records.list_fields(&scope, &list_of!(asked)).await?;
        Ok(crm::ListCustomFieldsResponse {
            data: page.items.iter().map(wire::custom_field).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(
        &self,
        request: Request<crm::GetCustomFieldRequest>,
    ) -> Result<crm::GetCustomFieldResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("customFieldId", &request.get_ref().custom_field_id)?;
        let found = self.records.field(&scope, id).await?;
        Ok(crm::GetCustomFieldResponse {
            custom_field: Some(wire::custom_field(&found)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteCustomFieldRequest>,
    ) -> Result<crm::DeleteCustomFieldResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("customFieldId", &asked.custom_field_id)?;
        self.records
            .delete_field(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteCustomFieldResponse {})
    }

    async fn create(
        &self,
        request: Request<crm::CreateCustomFieldRequest>,
    ) -> Result<crm::CreateCustomFieldResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let field = self.records.create_field(&write, &definition(asked)?).await?;
        Ok(crm::CreateCustomFieldResponse {
            custom_field: Some(wire::custom_field(&field)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateCustomFieldRequest>,
    ) -> Result<crm::UpdateCustomFieldResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let id = plain_id("customFieldId", &asked.custom_field_id)?;
        let mut problems = Problems::default();
        let default = asked.default_value.as_ref().map(contracts::convert::from_value);
        let edit = FieldEdit {
            label: problems.line("/label", asked.label, MAX_LABEL),
            required: asked.required,
            add_options: options(&mut problems, "/addOptions", asked.add_options),
            default: default.map(|value| (!value.is_null()).then_some(value)),
        };
        let edit = problems.unless(edit).map_err(CrmError::Invalid)?;
        let field = self
            .records
            .edit_field(&write, id, &edit, asked.if_version)
            .await?;
        Ok(crm::UpdateCustomFieldResponse {
            custom_field: Some(wire::custom_field(&field)),
        })
    }
}

fn definition(asked: crm::CreateCustomFieldRequest) -> Result<Definition, CrmError> {
    let mut problems = Problems::default();
    let object = Object::parse(&asked.object);
    if object.is_none() {
        problems.add(
            "/object",
            "unknown_value",
            "it is account, contact or deal".to_owned(),
        );
    }
    let kind = Type::parse(&asked.r#type);
    if kind.is_none() {
        let names: Vec<&str> = Type::ALL.iter().map(|kind| kind.name()).collect();
        problems.add(
            "/type",
            "unknown_value",
            format!("it is one of: {}", names.join(", ")),
        );
    }
    if !is_key(&asked.key) {
        let message = "a key has 1 to 50 characters of a-z, 0-9 and _, and begins with a letter";
        problems.add("/key", "invalid_key", message.to_owned());
    }
    let label = problems.line("/label", asked.label.filter(|label| !label.is_empty()), MAX_LABEL);
    let options = options(&mut problems, "/options", asked.options);
    let (Some(object), Some(kind)) = (object, kind) else {
        return Err(CrmError::Invalid(problems.unless(()).err().unwrap_or_default()));
    };
    let reference = reference(
        &mut problems,
        kind,
        asked.reference_object.as_deref().unwrap_or_default(),
    );
    check_limits(&mut problems, kind, &options, asked.unique.unwrap_or(false));
    let pattern = pattern(&mut problems, kind, asked.pattern.unwrap_or_default());
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    let mut field = Definition {
        id: uuid::Uuid::nil(),
        object,
        label: label.unwrap_or_else(|| asked.key.clone()),
        key: asked.key,
        kind,
        required: asked.required.unwrap_or(false),
        unique: asked.unique.unwrap_or(false),
        pattern,
        options,
        reference,
        default: None,
        created_at: epoch,
        updated_at: epoch,
        version: 0,
    };
    let default = asked.default_value.as_ref().map(contracts::convert::from_value);
    set_default(&mut problems, &mut field, default);
    problems.unless(field).map_err(CrmError::Invalid)
}

/// What only some types have.
fn check_limits(problems: &mut Problems, kind: Type, options: &[String], unique: bool) {
    match kind {
        Type::Enum if options.is_empty() => {
            problems.add("/options", "required", "an enum has options".to_owned());
        }
        Type::Enum | Type::List => {}
        _ if options.is_empty() => {}
        _ => problems.add(
            "/options",
            "not_allowed",
            "only an enum or a list has options".to_owned(),
        ),
    }
    if unique && !kind.can_be_unique() {
        let message = "only text, number, url, email and reference can be unique";
        problems.add("/unique", "not_allowed", message.to_owned());
    }
}

fn set_default(problems: &mut Problems, field: &mut Definition, default: Option<serde_json::Value>) {
    let Some(value) = default.filter(|value| !value.is_null() && problems.is_none()) else {
        return;
    };
    match field.check(&value) {
        Ok(_) if field.unique => {
            problems.add(
                "/defaultValue",
                "not_allowed",
                "a unique field has no default".to_owned(),
            );
        }
        Ok(value) => field.default = Some(value),
        Err(problem) => problems.add(
            &format!("/defaultValue{}", problem.place),
            problem.code,
            problem.message,
        ),
    }
}

fn is_key(key: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=MAX_KEY).contains(&key.len())
        && key.bytes().all(fits)
        && key.starts_with(|c: char| c.is_ascii_lowercase())
}

fn options(problems: &mut Problems, pointer: &str, given: Vec<String>) -> Vec<String> {
    if given.len() > MAX_OPTIONS {
        problems.add(
            pointer,
            "too_many",
            format!("at most {MAX_OPTIONS} options are allowed"),
        );
        return Vec::new();
    }
    let mut options: Vec<String> = Vec::with_capacity(given.len());
    for (index, option) in given.into_iter().enumerate() {
        let place = format!("{pointer}/{index}");
        match problems.line(&place, Some(option), MAX_LABEL) {
            Some(option) if options.contains(&option) => {
                problems.add(&place, "repeated", "an option stands once".to_owned());
            }
            Some(option) => options.push(option),
            None => {}
        }
    }
    options
}

fn reference(problems: &mut Problems, kind: Type, given: &str) -> Option<Object> {
    let reference = Object::parse(given);
    match (kind, reference) {
        (Type::Reference, None) => {
            let message = "a reference refers to account, contact or deal".to_owned();
            problems.add("/referenceObject", "required", message);
        }
        (Type::Reference, Some(_)) => {}
        _ if given.is_empty() => {}
        _ => problems.add(
            "/referenceObject",
            "not_allowed",
            "only a reference refers to something".to_owned(),
        ),
    }
    reference
}

fn pattern(problems: &mut Problems, kind: Type, given: String) -> Option<String> {
    if given.is_empty() {
        return None;
    }
    if kind != Type::Text {
        problems.add("/pattern", "not_allowed", "only a text has a pattern".to_owned());
        return None;
    }
    if given.chars().count() > MAX_PATTERN {
        problems.add(
            "/pattern",
            "too_long",
            format!("at most {MAX_PATTERN} characters are allowed"),
        );
        return None;
    }
    match compiled(&given) {
        Ok(_) => Some(given),
        Err(_) => {
            problems.add(
                "/pattern",
                "invalid_pattern",
                "it is no regular expression".to_owned(),
            );
            None
        }
    }
}

serve!(CustomFieldApi, CustomFieldService {
    list_custom_fields => list(ListCustomFieldsRequest) -> ListCustomFieldsResponse;
    get_custom_field => get(GetCustomFieldRequest) -> GetCustomFieldResponse;
    create_custom_field => create(CreateCustomFieldRequest) -> CreateCustomFieldResponse;
    update_custom_field => update(UpdateCustomFieldRequest) -> UpdateCustomFieldResponse;
    delete_custom_field => delete(DeleteCustomFieldRequest) -> DeleteCustomFieldResponse;
});
