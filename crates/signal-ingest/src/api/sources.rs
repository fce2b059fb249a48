//! `SourceService`: how an organization sets its sources up.

use std::sync::Arc;

use ::store::list::ListRequest;
use ::store::{Db, OrgScope};
use contracts::convert;
use contracts::signals::v1::source_service_server::SourceService;
use contracts::signals::v1::{
    CreateSourceRequest, CreateSourceResponse, DeleteSourceRequest, DeleteSourceResponse, GetSourceRequest,
    GetSourceResponse, ListSourcesRequest, ListSourcesResponse, UpdateSourceRequest, UpdateSourceResponse,
};
use errors::{ApiError, ErrorCode};
use ids::{Clock, IdGen, SourceId};
use rand::TryRng as _;
use rand::rngs::SysRng;
use rpc::{Access, Caller};
use tonic::{Request, Response, Status};

use super::{path_id, status};
use crate::domain::seal::{NONCE_BYTES, Place, Sealer};
use crate::domain::source::{check_new, check_update, made_secret, secret_place};
use crate::error::IngestError;
use crate::sources::Directory;
use crate::store::sources::{self, Change, NewSource, SourceRow};

/// The service.
pub struct SourceApi {
    /// Where sources are kept.
    pub db: Db,
    /// What the hot path remembers of them.
    pub directory: Directory,
    /// Seals their secrets.
    pub sealer: Sealer,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdGen>,
    /// Sources of one organization.
    pub most: i64,
}

#[tonic::async_trait]
impl SourceService for SourceApi {
    async fn list_sources(
        &self,
        request: Request<ListSourcesRequest>,
    ) -> Result<Response<ListSourcesResponse>, Status> {
        let (_, scope) = allowed(&request, Access::Read)?;
        let request = request.into_inner();
        let wanted = ListRequest {
            limit: request.limit,
            cursor: request.cursor.as_deref(),
            sort: request.sort.as_deref(),
            filters: request.filter.into_iter().collect(),
            include: request.include.as_deref(),
        };
        let filter = request.r#where.as_ref().map(convert::from_struct);
        let page = sources::list(&self.db, &scope, &wanted, filter.as_ref())
            .await
            .map_err(|error| status(&error))?;
        let page = page.map(SourceRow::into_message);
        Ok(Response::new(ListSourcesResponse {
            data: page.items,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn create_source(
        &self,
        request: Request<CreateSourceRequest>,
    ) -> Result<Response<CreateSourceResponse>, Status> {
        let (_, scope) = allowed(&request, Access::Admin)?;
        let request = check_new(request.into_inner())?;
        let id = SourceId::new(&*self.ids);
        let (secret, made) = self.secret(&request).map_err(|error| status(&error))?;
        let sealed = secret
            .as_deref()
            .map(|secret| self.seal(secret, &secret_place(scope.org(), id)))
            .transpose()
            .map_err(|error| status(&error))?;
        let new = NewSource {
            id,
            kind: &request.r#type,
            name: &request.name,
            config: request.config.as_ref(),
            sealed_secret: sealed.as_deref(),
            at: self.clock.now(),
            dry_run: request.dry_run(),
        };
        let stored = sources::create(&self.db, &scope, &new, self.most)
            .await
            .map_err(|error| status(&error))?;
        let detail = || format!("an organization has at most {} sources", self.most);
        let stored = stored.ok_or_else(|| ApiError::new(ErrorCode::QuotaExceeded, detail()))?;
        let mut source = stored.into_message();
        source.secret = secret.filter(|_| made && !request.dry_run());
        self.directory.forget(scope.org(), id);
        Ok(Response::new(CreateSourceResponse { source: Some(source) }))
    }

    async fn get_source(
        &self,
        request: Request<GetSourceRequest>,
    ) -> Result<Response<GetSourceResponse>, Status> {
        let (_, scope) = allowed(&request, Access::Read)?;
        let id = path_id(&request.get_ref().source_id, "source")?;
        let found = sources::get(&self.db, &scope, id)
            .await
            .map_err(|error| status(&error))?;
        let source = found.ok_or_else(|| ApiError::not_found("source"))?.into_message();
        Ok(Response::new(GetSourceResponse { source: Some(source) }))
    }

    async fn update_source(
        &self,
        request: Request<UpdateSourceRequest>,
    ) -> Result<Response<UpdateSourceResponse>, Status> {
        let (_, scope) = allowed(&request, Access::Admin)?;
        let request = check_update(request.into_inner())?;
        let id = path_id(&request.source_id, "source")?;
        let change = Change {
            name: request.name.as_deref(),
            config: request.config.as_ref(),
            status: request.status.as_deref(),
            at: self.clock.now(),
            dry_run: request.dry_run(),
        };
        let stored = sources::update(&self.db, &scope, id, &change)
            .await
            .map_err(|error| status(&error))?;
        self.directory.forget(scope.org(), id);
        let source = stored
            .ok_or_else(|| ApiError::not_found("source"))?
            .into_message();
        Ok(Response::new(UpdateSourceResponse { source: Some(source) }))
    }

    async fn delete_source(
        &self,
        request: Request<DeleteSourceRequest>,
    ) -> Result<Response<DeleteSourceResponse>, Status> {
        let (_, scope) = allowed(&request, Access::Admin)?;
        let id = path_id(&request.get_ref().source_id, "source")?;
        let deleted = sources::delete(&self.db, &scope, id, request.get_ref().dry_run())
            .await
            .map_err(|error| status(&error))?;
        self.directory.forget(scope.org(), id);
        if !deleted {
            return Err(ApiError::not_found("source").into());
        }
        Ok(Response::new(DeleteSourceResponse {}))
    }
}

impl SourceApi {
    /// The secret of a new source, and whether we made it.
    fn secret(&self, request: &CreateSourceRequest) -> Result<(Option<String>, bool), IngestError> {
        if let Some(given) = &request.secret {
            return Ok((Some(given.clone()), false));
        }
        if request.r#type != "github" {
            return Ok((None, false));
        }
        Ok((Some(made_secret(random()?)), true))
    }

    fn seal(&self, secret: &str, place: &Place<'_>) -> Result<Vec<u8>, IngestError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        self.sealer
            .seal(nonce, secret.as_bytes(), place)
            .map_err(|_| IngestError::Unsealable)
    }
}

fn random<const N: usize>() -> Result<[u8; N], IngestError> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| IngestError::Randomness)?;
    Ok(bytes)
}

fn allowed<T>(request: &Request<T>, access: Access) -> Result<(Caller, OrgScope), Status> {
    let caller = rpc::caller(request)?;
    caller.require(access, "sources")?;
    let scope = OrgScope::new(caller.org()?);
    Ok((caller, scope))
}
