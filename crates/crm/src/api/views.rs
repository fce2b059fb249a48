//! `devsignal.crm.v1.ViewService`.

use std::collections::HashMap;

use contracts::convert::{timestamp, to_struct};
use contracts::crm::v1 as crm;
use contracts::crm::v1::view_service_server::ViewService;
use prost_types::Struct;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{list_of, plain_id, tree, writing};
use super::{answer, enter, serve};
use crate::domain::edit::Problems;
use crate::domain::extras::Object;
use crate::error::CrmError;
use crate::store::{Records, View, ViewEdit, ViewQuery, Write};
use crate::transfer::columns;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "views";
const MAX_NAME: usize = 100;
const MAX_COLUMNS: usize = 100;

/// Saved views.
pub struct ViewApi {
    records: Records,
}

impl ViewApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListViewsRequest>,
    ) -> Result<crm::ListViewsResponse, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let by = super::given::name_of(&caller);
        let mut asked = request.into_inner();
        let page = self.records.list_views(&scope, &by, &list_of!(asked)).await?;
        Ok(crm::ListViewsResponse {
            data: page.items.iter().map(message).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetViewRequest>) -> Result<crm::GetViewResponse, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("viewId", &request.get_ref().view_id)?;
        let by = super::given::name_of(&caller);
        let view = self.records.view(&scope, &by, id).await?;
        Ok(crm::GetViewResponse {
            view: Some(message(&view)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateViewRequest>,
    ) -> Result<crm::CreateViewResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        let object = Object::parse(&asked.object);
        if object.is_none() {
            problems.add(
                "/object",
                "unknown_value",
                "it is one of: account, contact, deal".to_owned(),
            );
        }
        let name = problems.line("/name", Some(asked.name.unwrap_or_default()), MAX_NAME);
        problems.unless(()).map_err(CrmError::Invalid)?;
        let object = object.unwrap_or(Object::Contact);
        let query = self
            .query(
                &write,
                object,
                (asked.filter, asked.r#where),
                (asked.sort, asked.columns),
            )
            .await?;
        let given = (name.unwrap_or_default(), asked.shared.unwrap_or(false));
        let view = self.records.create_view(&write, object, given, &query).await?;
        Ok(crm::CreateViewResponse {
            view: Some(message(&view)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateViewRequest>,
    ) -> Result<crm::UpdateViewResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let over = enter(&request, Access::Read, RESOURCE)?
            .0
            .require(Access::Admin, RESOURCE)
            .is_ok();
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let id = plain_id("viewId", &asked.view_id)?;
        let mut problems = Problems::default();
        let name = problems.line("/name", asked.name, MAX_NAME);
        problems.unless(()).map_err(CrmError::Invalid)?;
        let query = match asked.query {
            None => None,
            Some(given) => {
                let object = self.records.view(&write.scope, &write.by, id).await?.object;
                let what = (given.filter, given.r#where);
                Some(
                    self.query(&write, object, what, (given.sort, given.columns))
                        .await?,
                )
            }
        };
        let edit = ViewEdit {
            name,
            shared: asked.shared,
            query,
        };
        let view = self
            .records
            .edit_view(&write, id, (&edit, over), asked.if_version)
            .await?;
        Ok(crm::UpdateViewResponse {
            view: Some(message(&view)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteViewRequest>,
    ) -> Result<crm::DeleteViewResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let over = enter(&request, Access::Read, RESOURCE)?
            .0
            .require(Access::Admin, RESOURCE)
            .is_ok();
        let asked = request.into_inner();
        let id = plain_id("viewId", &asked.view_id)?;
        self.records
            .delete_view(&write.tried(asked.dry_run), id, over, asked.if_version)
            .await?;
        Ok(crm::DeleteViewResponse {})
    }

    /// What a view shows, checked against its list.
    async fn query(
        &self,
        write: &Write,
        object: Object,
        (filter, full): (HashMap<String, String>, Option<Struct>),
        (sort, shown): (Option<String>, Vec<String>),
    ) -> Result<ViewQuery, CrmError> {
        let own = self.records.own_fields(&write.scope, object).await?;
        let mut problems = Problems::default();
        if shown.len() > MAX_COLUMNS {
            problems.add(
                "/columns",
                "too_many",
                format!("at most {MAX_COLUMNS} columns are allowed"),
            );
        }
        for (index, name) in shown.iter().enumerate() {
            let known = match name.strip_prefix("custom.") {
                Some(key) => own.contains_key(key),
                None => columns(object).contains(&name.as_str()),
            };
            if !known {
                let message = format!("a {} has no field {name}", object.name());
                problems.add(&format!("/columns/{index}"), "unknown_field", message);
            }
        }
        let query = ViewQuery {
            filter: filter.into_iter().collect(),
            tree: tree(full.as_ref()),
            sort: sort.filter(|sort| !sort.is_empty()),
            columns: shown,
        };
        problems.unless(()).map_err(CrmError::Invalid)?;
        self.records.check_view(&write.scope, object, &query).await?;
        Ok(query)
    }
}

fn message(view: &View) -> crm::View {
    crm::View {
        id: view.id.to_string(),
        object: view.object.name().to_owned(),
        name: view.name.clone(),
        shared: view.shared,
        filter: view.query.filter.clone().into_iter().collect(),
        r#where: view.query.tree.clone().map(to_struct),
        sort: view.query.sort.clone(),
        columns: view.query.columns.clone(),
        created_by: view.created_by.clone(),
        created_at: Some(timestamp(view.created_at)),
        updated_at: Some(timestamp(view.updated_at)),
        version: view.version,
    }
}

serve!(ViewApi, ViewService {
    list_views => list(ListViewsRequest) -> ListViewsResponse;
    get_view => get(GetViewRequest) -> GetViewResponse;
    create_view => create(CreateViewRequest) -> CreateViewResponse;
    update_view => update(UpdateViewRequest) -> UpdateViewResponse;
    delete_view => delete(DeleteViewRequest) -> DeleteViewResponse;
});
