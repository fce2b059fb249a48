//! `AuthService`: check, call, answer.

use contracts::access::v1 as wire;
use contracts::access::v1::auth_service_server::AuthService;
use errors::ApiError;
use store::ToSqlx as _;
use tonic::{Request, Response, Status};

use super::parts::{Api, Fault, address, digest, enter, path_id, person};
use super::trail::Whence;

#[tonic::async_trait]
impl AuthService for Api {
    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        self.0.throttle.check(&address(&request), "register").await?;
        let whence = Whence::of(&request);
        let session = Some(self.sign_up(request.into_inner(), &whence).await?);
        Ok(Response::new(wire::RegisterResponse { session }))
    }

    async fn login(
        &self,
        request: Request<wire::LoginRequest>,
    ) -> Result<Response<wire::LoginResponse>, Status> {
        let (from, email) = (address(&request), request.get_ref().email.trim().to_lowercase());
        self.0.throttle.check_person(&from, &email).await?;
        let whence = Whence::of(&request);
        let session = Some(self.log_in(request.into_inner(), &whence).await?);
        self.0.throttle.came_in(&from, &email).await;
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
        self.0.throttle.check(&address(&request), "invitation").await?;
        let whence = Whence::of(&request);
        let session = Some(self.accept(request.into_inner(), &whence).await?);
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
        self.0
            .throttle
            .check(&address(&request), &user.to_string())
            .await?;
        self.new_password(user, request.into_inner()).await?;
        Ok(Response::new(wire::ChangePasswordResponse {}))
    }

    async fn verify_email(
        &self,
        request: Request<wire::VerifyEmailRequest>,
    ) -> Result<Response<wire::VerifyEmailResponse>, Status> {
        self.0.throttle.check(&address(&request), "verify").await?;
        self.prove(&request.get_ref().token, &Whence::of(&request))
            .await?;
        Ok(Response::new(wire::VerifyEmailResponse {}))
    }

    async fn send_verification(
        &self,
        request: Request<wire::SendVerificationRequest>,
    ) -> Result<Response<wire::SendVerificationResponse>, Status> {
        let user = person(&rpc::caller(&request)?)?;
        self.0.throttle.mail(&user.to_string()).await?;
        self.ask_again(user).await?;
        Ok(Response::new(wire::SendVerificationResponse {}))
    }

    async fn forgot_password(
        &self,
        request: Request<wire::ForgotPasswordRequest>,
    ) -> Result<Response<wire::ForgotPasswordResponse>, Status> {
        self.0.mailer.needed()?;
        let from = address(&request);
        let email = request.get_ref().email.trim().to_lowercase();
        self.0.throttle.check(&from, "forgot").await?;
        self.0.throttle.mail(&email).await?;
        self.forgot(&email).await?;
        Ok(Response::new(wire::ForgotPasswordResponse {}))
    }

    async fn reset_password(
        &self,
        request: Request<wire::ResetPasswordRequest>,
    ) -> Result<Response<wire::ResetPasswordResponse>, Status> {
        self.0.throttle.check(&address(&request), "reset").await?;
        let whence = Whence::of(&request);
        self.reset(request.into_inner(), &whence).await?;
        Ok(Response::new(wire::ResetPasswordResponse {}))
    }
}
