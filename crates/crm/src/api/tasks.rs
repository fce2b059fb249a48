//! `devsignal.crm.v1.TaskService`.

use contracts::crm::v1 as crm;
use contracts::crm::v1::task_service_server::TaskService;
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{links, list_of, plain_id, time, tree, writing};
use super::{answer, enter, serve};
use crate::domain::edit::Problems;
use crate::domain::work::{MAX_TITLE, Task, TaskEdit};
use crate::error::CrmError;
use crate::store::Records;
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "tasks";

/// What is to be done.
pub struct TaskApi {
    records: Records,
}

impl TaskApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn list(
        &self,
        request: Request<crm::ListTasksRequest>,
    ) -> Result<crm::ListTasksResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_work::<Task>(&scope, &list_of!(asked), tree.as_ref())
            .await?;
        Ok(crm::ListTasksResponse {
            data: page.items.iter().map(wire::task).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetTaskRequest>) -> Result<crm::GetTaskResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("taskId", &request.get_ref().task_id)?;
        let task: Task = self.records.work(&scope, id).await?;
        Ok(crm::GetTaskResponse {
            task: Some(wire::task(&task)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateTaskRequest>,
    ) -> Result<crm::CreateTaskResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        if asked.title.is_none() {
            problems.add("/title", "required", "a task has a title".to_owned());
        }
        let asked = crm::UpdateTaskRequest {
            title: asked.title,
            body: asked.body,
            due_at: asked.due_at,
            assignee_id: asked.assignee_id,
            account_id: asked.account_id,
            contact_id: asked.contact_id,
            deal_id: asked.deal_id,
            ..crm::UpdateTaskRequest::default()
        };
        let edit = edit(problems, asked)?;
        let task = self.records.create_work::<Task>(&write, &edit).await?;
        Ok(crm::CreateTaskResponse {
            task: Some(wire::task(&task)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateTaskRequest>,
    ) -> Result<crm::UpdateTaskResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("taskId", &asked.task_id)?;
        let (if_version, dry_run) = (asked.if_version, asked.dry_run);
        let edit = edit(Problems::default(), asked)?;
        let task = self
            .records
            .edit_work::<Task>(&write.tried(dry_run), id, &edit, if_version)
            .await?;
        Ok(crm::UpdateTaskResponse {
            task: Some(wire::task(&task)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteTaskRequest>,
    ) -> Result<crm::DeleteTaskResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("taskId", &asked.task_id)?;
        self.records
            .delete_work::<Task>(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteTaskResponse {})
    }

    async fn complete(
        &self,
        request: Request<crm::CompleteTaskRequest>,
    ) -> Result<crm::CompleteTaskResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("taskId", &asked.task_id)?;
        let edit = TaskEdit {
            done: Some(true),
            ..TaskEdit::default()
        };
        let task = self
            .records
            .edit_work::<Task>(&write.tried(asked.dry_run), id, &edit, asked.if_version)
            .await?;
        Ok(crm::CompleteTaskResponse {
            task: Some(wire::task(&task)),
        })
    }
}

fn edit(mut problems: Problems, asked: crm::UpdateTaskRequest) -> Result<TaskEdit, CrmError> {
    let due_at = problems.time("/dueAt", time(asked.due_at));
    let clear = asked.clear_due_at.unwrap_or(false);
    if clear && due_at.is_some() {
        let message = "a due time is either given or removed";
        problems.add("/clearDueAt", "contradiction", message.to_owned());
    }
    let status = problems.word("/status", asked.status.as_deref(), &["open", "done"]);
    let edit = TaskEdit {
        title: problems.line("/title", asked.title, MAX_TITLE),
        body: problems.body("/body", asked.body),
        due_at: if clear { Some(None) } else { due_at.map(Some) },
        assignee: problems.user("/assigneeId", asked.assignee_id.as_deref()),
        done: status.flatten().map(|status| status == "done"),
        links: links(
            &mut problems,
            asked.account_id.as_deref(),
            asked.contact_id.as_deref(),
            asked.deal_id.as_deref(),
        ),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

serve!(TaskApi, TaskService {
    list_tasks => list(ListTasksRequest) -> ListTasksResponse;
    get_task => get(GetTaskRequest) -> GetTaskResponse;
    create_task => create(CreateTaskRequest) -> CreateTaskResponse;
    update_task => update(UpdateTaskRequest) -> UpdateTaskResponse;
    delete_task => delete(DeleteTaskRequest) -> DeleteTaskResponse;
    complete_task => complete(CompleteTaskRequest) -> CompleteTaskResponse;
});
