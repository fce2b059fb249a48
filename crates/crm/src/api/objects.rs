//! `devsignal.crm.v1.ObjectService`.

use contracts::convert;
use contracts::crm::v1 as crm;
use contracts::crm::v1::object_service_server::ObjectService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::field_checks::{Given, MAX_LABEL, is_key, rule};
use super::given::{list, writing_as};
use super::{answer, enter, objects_document, serve};
use crate::domain::custom::Type;
use crate::domain::edit::Problems;
use crate::domain::objects::{CustomObject, Field, MAX_FIELDS, Plan, RESERVED, Target};
use crate::error::CrmError;
use crate::store::{ObjectEdit, Records};
use crate::wire;

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// First half of the scopes that these methods need.
pub(super) const RESOURCE: &str = "objects";

/// Custom objects.
pub struct ObjectApi {
    records: Records,
}

impl ObjectApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListObjectsRequest>,
    ) -> Result<crm::ListObjectsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let wanted = list(
            asked.limit,
            &asked.cursor,
            &asked.sort,
            std::collections::HashMap::new(),
            &asked.include,
        );
        let page = self.records.list_objects(&scope, &wanted).await?;
        Ok(crm::ListObjectsResponse {
            data: page.items.iter().map(wire::object).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetObjectRequest>) -> Result<crm::GetObjectResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let object = self.records.object(&scope, &request.get_ref().object).await?;
        Ok(crm::GetObjectResponse {
            object: Some(wire::object(&object)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateObjectRequest>,
    ) -> Result<crm::CreateObjectResponse, CrmError> {
        let write = writing_as(&request, Access::Admin, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let object = self.records.create_object(&write, &draft(asked)?).await?;
        Ok(crm::CreateObjectResponse {
            object: Some(wire::object(&object)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateObjectRequest>,
    ) -> Result<crm::UpdateObjectResponse, CrmError> {
        let write = writing_as(&request, Access::Admin, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let (key, if_version) = (asked.object.clone(), asked.if_version);
        let edit = edit(asked)?;
        let (object, judged) = self.records.edit_object(&write, &key, &edit, if_version).await?;
        Ok(crm::UpdateObjectResponse {
            object: Some(wire::object(&object)),
            verdict: Some(wire::verdict(&judged)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteObjectRequest>,
    ) -> Result<crm::DeleteObjectResponse, CrmError> {
        let write = writing_as(&request, Access::Admin, RESOURCE)?;
        let asked = request.into_inner();
        self.records
            .delete_object(&write.tried(asked.dry_run), &asked.object, asked.if_version)
            .await?;
        Ok(crm::DeleteObjectResponse {})
    }

    async fn schemas(
        &self,
        request: Request<crm::ListObjectSchemasRequest>,
    ) -> Result<crm::ListObjectSchemasResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let page = self
            .records
            .list_schemas(&scope, &asked.object, asked.limit, asked.cursor.as_deref())
            .await?;
        Ok(crm::ListObjectSchemasResponse {
            data: page.items.iter().map(wire::object_schema).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    async fn document(
        &self,
        request: Request<crm::GetObjectsDocumentRequest>,
    ) -> Result<crm::GetObjectsDocumentResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let wanted = ::store::list::ListRequest {
            limit: Some(200),
            ..Default::default()
        };
        let page = self.records.list_objects(&scope, &wanted).await?;
        Ok(objects_document::document(&page.items))
    }
}

fn draft(asked: crm::CreateObjectRequest) -> Result<CustomObject, CrmError> {
    let mut problems = Problems::default();
    if !is_key(&asked.key) {
        let message = "a key has 1 to 50 characters of a-z, 0-9 and _, and begins with a letter";
        problems.add("/key", "invalid_key", message.to_owned());
    } else if RESERVED.contains(&asked.key.as_str()) {
        problems.add("/key", "reserved", "this word means something else".to_owned());
    }
    let label = asked.label.filter(|label| !label.is_empty());
    let label = problems.line("/label", label, MAX_LABEL);
    let description = problems.removable("/description", asked.description, MAX_DESCRIPTION);
    let fields = fields(&mut problems, asked.fields);
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    let object = CustomObject {
        id: uuid::Uuid::nil(),
        label: label.unwrap_or_else(|| asked.key.clone()),
        key: asked.key,
        description: description.flatten(),
        fields,
        schema_version: 0,
        created_at: epoch,
        updated_at: epoch,
        version: 0,
    };
    problems.unless(object).map_err(CrmError::Invalid)
}

fn edit(asked: crm::UpdateObjectRequest) -> Result<ObjectEdit, CrmError> {
    let mut problems = Problems::default();
    let given = !asked.fields.is_empty();
    let fields = fields(&mut problems, asked.fields);
    let plan = asked.plan.unwrap_or_default();
    let edit = ObjectEdit {
        label: problems.line("/label", asked.label, MAX_LABEL),
        description: problems.removable("/description", asked.description, MAX_DESCRIPTION),
        fields: given.then_some(fields),
        plan: Plan {
            drop: plan.drop,
            backfill: plan
                .backfill
                .as_ref()
                .map(convert::from_struct)
                .unwrap_or_default(),
        },
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

fn fields(problems: &mut Problems, given: Vec<crm::ObjectField>) -> Vec<Field> {
    if given.len() > MAX_FIELDS {
        problems.add(
            "/fields",
            "too_many",
            format!("an object has at most {MAX_FIELDS} fields"),
        );
        return Vec::new();
    }
    let mut fields: Vec<Field> = Vec::with_capacity(given.len());
    for (n, field) in given.into_iter().enumerate() {
        let at = format!("/fields/{n}");
        let target = field.reference_object.filter(|name| !name.is_empty());
        let is_reference = field.r#type == Type::Reference.name();
        let given = Given {
            key: field.key,
            label: field.label,
            kind: field.r#type,
            required: field.required.unwrap_or(false),
            unique: field.unique.unwrap_or(false),
            pattern: field.pattern,
            options: field.options,
            default: field.default_value.as_ref().map(convert::from_value),
        };
        let Some(rule) = rule(problems, &at, given) else {
            continue;
        };
        if fields.iter().any(|known| known.rule.key == rule.key) {
            problems.add(&format!("{at}/key"), "repeated", "a field stands once".to_owned());
            continue;
        }
        let pointer = format!("{at}/referenceObject");
        match (&target, is_reference) {
            (None, true) => {
                let message = "a reference refers to account, contact, deal or a custom object";
                problems.add(&pointer, "required", message.to_owned());
            }
            (Some(_), false) => {
                let message = "only a reference refers to something";
                problems.add(&pointer, "not_allowed", message.to_owned());
            }
            (Some(name), true) if name.contains('\0') => {
                problems.add(&pointer, "not_found", "there is no such object".to_owned());
            }
            _ => {}
        }
        fields.push(Field {
            rule,
            target: target.map(Target::from),
        });
    }
    fields
}

serve!(ObjectApi, ObjectService {
    list_objects => list(ListObjectsRequest) -> ListObjectsResponse;
    get_object => get(GetObjectRequest) -> GetObjectResponse;
    create_object => create(CreateObjectRequest) -> CreateObjectResponse;
    update_object => update(UpdateObjectRequest) -> UpdateObjectResponse;
    delete_object => delete(DeleteObjectRequest) -> DeleteObjectResponse;
    list_object_schemas => schemas(ListObjectSchemasRequest) -> ListObjectSchemasResponse;
    get_objects_document => document(GetObjectsDocumentRequest) -> GetObjectsDocumentResponse;
});
