//! `BatchService`: members by their ids, for GraphQL.

use contracts::access::v1 as wire;
use contracts::access::v1::batch_service_server::BatchService;
use errors::ApiError;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::organizations::Member;
use super::parts::{Api, Fault, enter};

const MOST: usize = 1_000;

#[tonic::async_trait]
impl BatchService for Api {
    async fn batch_get_members(
        &self,
        request: Request<wire::BatchGetMembersRequest>,
    ) -> Result<Response<wire::BatchGetMembersResponse>, Status> {
        let (_, scope) = enter(&request)?;
        let asked = &request.get_ref().ids;
        if asked.len() > MOST {
            return Err(ApiError::invalid("/ids", "out_of_range", "at most 1,000").into());
        }
        // What is no id is nobody's.
        let ids: Vec<Uuid> = asked.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
        let work = async {
            let mut tx = self.0.stores.db.begin(&scope).await?;
            let found = sqlx::query_as::<_, Member>(
                "SELECT t.id, t.role, t.created_at, u.email, u.name FROM members t JOIN users u ON u.id = t.id \
                 WHERE t.org_id = $1 AND t.id = ANY($2)",
            )
            .bind(scope.uuid())
            .bind(ids)
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<_, Fault>(found)
        };
        let data = work.await?.into_iter().map(|member| member.0).collect();
        Ok(Response::new(wire::BatchGetMembersResponse { data }))
    }
}
