//! `devsignal.crm.v1.CustomFieldService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::custom_field_service_server::CustomFieldService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::field_checks::{Given, MAX_LABEL, options, rule};
use super::given::{list_of, plain_id, writing};
use super::{answer, enter, serve};
use crate::domain::custom::{Definition, Type};
use crate::domain::edit::Problems;
use crate::domain::extras::Object;
use crate::error::CrmError;
use crate::store::{FieldEdit, Records};
use crate::wire;

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
    let given = Given {
        key: asked.key,
        label: asked.label,
        kind: asked.r#type,
        required: asked.required.unwrap_or(false),
        unique: asked.unique.unwrap_or(false),
        pattern: asked.pattern,
        options: asked.options,
        default: asked.default_value.as_ref().map(contracts::convert::from_value),
    };
    let rule = rule(&mut problems, "", given);
    let (Some(object), Some(rule)) = (object, rule) else {
        return Err(CrmError::Invalid(problems.unless(()).err().unwrap_or_default()));
    };
    let reference = reference(
        &mut problems,
        rule.kind,
        asked.reference_object.as_deref().unwrap_or_default(),
    );
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    let field = Definition {
        rule,
        object,
        reference,
        created_at: epoch,
        updated_at: epoch,
        version: 0,
    };
    problems.unless(field).map_err(CrmError::Invalid)
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

serve!(CustomFieldApi, CustomFieldService {
    list_custom_fields => list(ListCustomFieldsRequest) -> ListCustomFieldsResponse;
    get_custom_field => get(GetCustomFieldRequest) -> GetCustomFieldResponse;
    create_custom_field => create(CreateCustomFieldRequest) -> CreateCustomFieldResponse;
    update_custom_field => update(UpdateCustomFieldRequest) -> UpdateCustomFieldResponse;
    delete_custom_field => delete(DeleteCustomFieldRequest) -> DeleteCustomFieldResponse;
});
