//! `AuthService`: check, call, answer.

use contracts::access::v1 as wire;
use contracts::access::v1::auth_service_server::AuthService;
use errors::ApiError;
use store::ToSqlx as _;
use tonic::{Request, Response, Status};

use super::parts::{Api, Fault, address, digest, enter, path_id, person};

#[tonic::async_trait]
impl AuthService for Api {
    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        self.throttle(&address(&request), "register")?;
        let session = Some(self.sign_up(request.into_inner()).await?);
        Ok(Response::new(wire::RegisterResponse { session }))
    }

    async fn login(
        &self,
        request: Request<wire::LoginRequest>,
    ) -> Result<Response<wire::LoginResponse>, Status> {
        self.throttle(&address(&request), &request.get_ref().email.to_lowercase())?;
        let session = Some(self.log_in(request.into_inner()).await?);
        Ok(Response::new(wire::LoginResponse { session }))
    }

    async fn refresh(
        &self,
        request: Request<wire::RefreshRequest>,
    ) -> Result<Response<wire::RefreshResponse>, Status> {
        let session = Some(self.renew(&request.get_ref().refresh_token).await?);
        Ok(Response::new(wire::RefreshResponse { session }))
    }

    async fn logout(
        &self,
        request: Request<wire::LogoutRequest>,
    ) -> Result<Response<wire::LogoutResponse>, Status> {
        let stored = digest(&request.get_ref().refresh_token);
        let end = async {
            let mut tx = self.0.stores.pipeline.begin().await?;
            sqlx::query(
                "UPDATE sessions s SET revoked_at = $2 FROM refresh_tokens r \
                 WHERE r.sha256 = $1 AND s.id = r.session_id AND s.revoked_at IS NULL",
            )
            .bind(&stored[..])
            .bind(self.0.clock.now().to_sqlx())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<(), Fault>(())
        };
        end.await?;
        Ok(Response::new(wire::LogoutResponse {}))
    }

    async fn accept_invitation(
        &self,
        request: Request<wire::AcceptInvitationRequest>,
    ) -> Result<Response<wire::AcceptInvitationResponse>, Status> {
        self.throttle(&address(&request), "invitation")?;
        let session = Some(self.accept(request.into_inner()).await?);
        Ok(Response::new(wire::AcceptInvitationResponse { session }))
    }

    async fn switch_organization(
        &self,
        request: Request<wire::SwitchOrganizationRequest>,
    ) -> Result<Response<wire::SwitchOrganizationResponse>, Status> {
        let user = person(&rpc::caller(&request)?)?;
        let org = path_id(&request.get_ref().organization_id, "organization")?;
        let work = async {
            let mut tx = self.0.stores.pipeline.begin().await?;
            let session = self.in_organization(&mut tx, user, Some(org)).await;
            let session = session.map_err(|fault| match fault {
                Fault::Api(_) => Fault::Api(ApiError::not_found("organization")),
                other => other,
            })?;
            tx.commit().await?;
            Ok::<_, Fault>(session)
        };
        let session = Some(work.await?);
        Ok(Response::new(wire::SwitchOrganizationResponse { session }))
    }

    async fn get_me(
        &self,
        request: Request<wire::GetMeRequest>,
    ) -> Result<Response<wire::GetMeResponse>, Status> {
        let (caller, _) = enter(&request)?;
        let me = Some(self.me(person(&caller)?).await?);
        Ok(Response::new(wire::GetMeResponse { me }))
    }

    async fn change_password(
        &self,
        request: Request<wire::ChangePasswordRequest>,
    ) -> Result<Response<wire::ChangePasswordResponse>, Status> {
        let user = person(&rpc::caller(&request)?)?;
        self.throttle(&address(&request), &user.to_string())?;
        self.new_password(user, request.into_inner()).await?;
        Ok(Response::new(wire::ChangePasswordResponse {}))
    }
}
