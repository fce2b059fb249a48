//! `OrganizationService`: the organization, its members, who is invited.

use contracts::access::v1 as wire;
use contracts::access::v1::organization_service_server::OrganizationService;
use contracts::convert;
use errors::ApiError;
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use store::list::{Filter, Kind, ListRequest, ListSpec, Match, Sort, SortKind};
use store::{OrgScope, ToSqlx as _, Ts};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::parts::{Api, Fault, email, enter, name, owners_only, path_id, person, role, told_role};
use super::trail::{Deed, Whence};

const ROLES: &[&str] = &["OWNER", "ADMIN", "MEMBER", "VIEWER"];
pub(super) const BY_ROLE: &[Filter] = &[Filter {
    name: "role",
    kind: Kind::OneOf(ROLES),
    matches: Match::Eq("role"),
}];
pub(super) const BY_AGE: &[Sort] = &[Sort {
    name: "createdAt",
    column: "created_at",
    kind: SortKind::Time,
    nullable: false,
}];

const MEMBERS: ListSpec = ListSpec {
    table: "members",
    columns: "t.id, t.role, t.created_at, (SELECT u.email FROM users u WHERE u.id = t.id) AS email, \
              (SELECT u.name FROM users u WHERE u.id = t.id) AS name",
    condition: None,
    filters: BY_ROLE,
    sorts: BY_AGE,
    default_sort: "-createdAt",
};

const INVITATIONS: ListSpec = ListSpec {
    table: "invitations",
    columns: "t.id, t.email, t.role, t.created_at, t.expires_at, t.mail_id, \
              (SELECT m.outcome FROM mails m WHERE m.id = t.mail_id) AS outcome",
    condition: Some("t.ended_at IS NULL"),
    filters: BY_ROLE,
    sorts: BY_AGE,
    default_sort: "-createdAt",
};

pub(super) struct Member(pub(super) wire::Member);
pub(super) struct Invitation(pub(super) wire::Invitation);

/// A stored time, as told.
pub(super) fn time(row: &PgRow, column: &str) -> Result<Option<prost_types::Timestamp>, sqlx::Error> {
    let at = row.try_get::<Option<Ts>, _>(column)?;
    Ok(at.map(|at| convert::timestamp(at.to_jiff())))
}

impl FromRow<'_, PgRow> for Member {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self(wire::Member {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            role: told_role(row.try_get("role")?),
            created_at: time(row, "created_at")?,
        }))
    }
}

impl FromRow<'_, PgRow> for Invitation {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self(wire::Invitation {
            id: row.try_get::<Uuid, _>("id")?.to_string(),
            email: row.try_get("email")?,
            role: told_role(row.try_get("role")?),
            created_at: time(row, "created_at")?,
            expires_at: time(row, "expires_at")?,
            token: None,
            mail: mail_state(row)?.into(),
        }))
    }
}

/// What became of an invitation's mail.
fn mail_state(row: &PgRow) -> Result<wire::MailState, sqlx::Error> {
    let mail: Option<Uuid> = row.try_get("mail_id")?;
    let outcome: Option<String> = row.try_get("outcome")?;
    Ok(match (mail, outcome.as_deref()) {
        (None, _) => wire::MailState::None,
        (Some(_), None) => wire::MailState::Queued,
        (Some(_), Some("sent")) => wire::MailState::Sent,
        (Some(_), Some(_)) => wire::MailState::Failed,
    })
}

impl Api {
    /// A page of a list of this package.
    pub(super) async fn list<T>(
        &self,
        scope: &OrgScope,
        spec: ListSpec,
        asked: &ListRequest<'_>,
    ) -> Result<store::paging::Page<T>, Fault>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = spec.prepare(scope, spec.table, asked)?;
        let mut tx = self.0.stores.db.begin(scope).await?;
        let page = query.fetch::<T>(&mut tx).await?;
        tx.commit().await?;
        Ok(page)
    }
}

/// The list that a request asks for.
macro_rules! list_of {
    ($asked:expr) => {
        ::store::list::ListRequest {
            limit: $asked.limit,
            cursor: $asked.cursor.as_deref(),
            sort: $asked.sort.as_deref(),
            filters: $asked.filter.clone().into_iter().collect(),
            include: $asked.include.as_deref(),
        }
    };
}
pub(super) use list_of;

#[tonic::async_trait]
impl OrganizationService for Api {
    async fn get_organization(
        &self,
        request: Request<wire::GetOrganizationRequest>,
    ) -> Result<Response<wire::GetOrganizationResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let organization = Some(self.organization(&scope, None).await?);
        Ok(Response::new(wire::GetOrganizationResponse { organization }))
    }

    async fn update_organization(
        &self,
        request: Request<wire::UpdateOrganizationRequest>,
    ) -> Result<Response<wire::UpdateOrganizationResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let name = name("/name", &request.get_ref().name)?;
        let organization = Some(self.organization(&scope, Some(name)).await?);
        Ok(Response::new(wire::UpdateOrganizationResponse { organization }))
    }

    async fn create_organization(
        &self,
        request: Request<wire::CreateOrganizationRequest>,
    ) -> Result<Response<wire::CreateOrganizationResponse>, Status> {
        let (owner, whence) = (person(&rpc::caller(&request)?)?, Whence::of(&request));
        let name = name("/name", &request.get_ref().name)?;
        let work = async {
            let mut tx = self.0.stores.pipeline.begin().await?;
            let org = self.insert_organization(&mut tx, &name, owner).await?;
            let id = org.to_string();
            let deed = Deed {
                org,
                user: owner,
                role: "OWNER",
                method: "OrganizationService/CreateOrganization",
                made: Some((&id, json!({"organization": {"id": org, "name": name}}))),
            };
            self.note(&mut tx, deed, &whence).await?;
            tx.commit().await?;
            self.organization(&OrgScope::new(org.into()), None).await
        };
        let organization = Some(work.await?);
        Ok(Response::new(wire::CreateOrganizationResponse { organization }))
    }

    async fn list_members(
        &self,
        request: Request<wire::ListMembersRequest>,
    ) -> Result<Response<wire::ListMembersResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let page = self
            .list::<Member>(&scope, MEMBERS, &list_of!(request.get_ref()))
            .await?;
        Ok(Response::new(wire::ListMembersResponse {
            data: page.items.into_iter().map(|m| m.0).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_member(
        &self,
        request: Request<wire::GetMemberRequest>,
    ) -> Result<Response<wire::GetMemberResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = path_id(&request.get_ref().user_id, "user")?;
        let member = self.one::<Member>(&scope, &MEMBERS, id, "member").await?;
        Ok(Response::new(wire::GetMemberResponse {
            member: Some(member.0),
        }))
    }

    async fn update_member(
        &self,
        request: Request<wire::UpdateMemberRequest>,
    ) -> Result<Response<wire::UpdateMemberResponse>, Status> {
        let (caller, scope) = enter(&request)?;
        let user = path_id(&request.get_ref().user_id, "user")?;
        let role = role(request.get_ref().role)?;
        owners_only(&caller, role)?;
        let member = self.change_member(&caller, &scope, user, Some(role)).await?;
        Ok(Response::new(wire::UpdateMemberResponse {
            member: member.map(|m| m.0),
        }))
    }

    async fn delete_member(
        &self,
        request: Request<wire::DeleteMemberRequest>,
    ) -> Result<Response<wire::DeleteMemberResponse>, Status> {
        let (caller, scope) = enter(&request)?;
        let user = path_id(&request.get_ref().user_id, "user")?;
        self.change_member(&caller, &scope, user, None).await?;
        Ok(Response::new(wire::DeleteMemberResponse {}))
    }

    async fn list_invitations(
        &self,
        request: Request<wire::ListInvitationsRequest>,
    ) -> Result<Response<wire::ListInvitationsResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let page = self
            .list::<Invitation>(&scope, INVITATIONS, &list_of!(request.get_ref()))
            .await?;
        Ok(Response::new(wire::ListInvitationsResponse {
            data: page.items.into_iter().map(|i| i.0).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        }))
    }

    async fn get_invitation(
        &self,
        request: Request<wire::GetInvitationRequest>,
    ) -> Result<Response<wire::GetInvitationResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = path_id(&request.get_ref().invitation_id, "invitation")?;
        let invitation = self
            .one::<Invitation>(&scope, &INVITATIONS, id, "invitation")
            .await?;
        Ok(Response::new(wire::GetInvitationResponse {
            invitation: Some(invitation.0),
        }))
    }

    async fn create_invitation(
        &self,
        request: Request<wire::CreateInvitationRequest>,
    ) -> Result<Response<wire::CreateInvitationResponse>, Status> {
        let (caller, scope) = enter(&request)?;
        let role = role(request.get_ref().role)?;
        owners_only(&caller, role)?;
        let email = email(&request.get_ref().email)?;
        let invitation = Some(self.invite(&caller, &scope, email, role).await?);
        Ok(Response::new(wire::CreateInvitationResponse { invitation }))
    }

    async fn delete_invitation(
        &self,
        request: Request<wire::DeleteInvitationRequest>,
    ) -> Result<Response<wire::DeleteInvitationResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let id = path_id(&request.get_ref().invitation_id, "invitation")?;
        let work = async {
            let mut tx = self.0.stores.db.begin(&scope).await?;
            let done = sqlx::query(
                "UPDATE invitations SET ended_at = $3 WHERE org_id = $1 AND id = $2 AND ended_at IS NULL",
            )
            .bind(scope.uuid())
            .bind(id)
            .bind(self.0.clock.now().to_sqlx())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<_, Fault>(done.rows_affected())
        };
        if work.await? == 0 {
            return Err(ApiError::not_found("invitation").into());
        }
        Ok(Response::new(wire::DeleteInvitationResponse {}))
    }
}
