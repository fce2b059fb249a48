//! `devsignal.crm.v1.DealService`.

use std::sync::Arc;

use ::store::paging::{Cursor, Fingerprint, PageRequest, invalid_cursor};
use contracts::crm::v1 as crm;
use contracts::crm::v1::deal_service_server::DealService;
use ids::{AccountId, ContactId};
use rpc::Access;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::given::{extras, list_of, plain_id, tree, values, writing};
use super::{answer, enter, serve};
use crate::domain::custom::fits_money;
use crate::domain::deal::{DealEdit, Money};
use crate::domain::edit::Problems;
use crate::domain::text;
use crate::error::CrmError;
use crate::signals::{SignalSource, Window};
use crate::store::{About, MAX_DEAL_CONTACTS, Records};
use crate::wire;

/// First half of the scopes that these methods need.
const RESOURCE: &str = "deals";

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// The sales opportunities.
pub struct DealApi {
    records: Records,
    signals: Arc<dyn SignalSource>,
}

impl DealApi {
    /// The service over these records; the signals that influenced deals are read from `signals`.
    #[must_use]
    pub fn new(records: Records, signals: Arc<dyn SignalSource>) -> Self {
        Self { records, signals }
    }

    async fn list(
        &self,
        request: Request<crm::ListDealsRequest>,
    ) -> Result<crm::ListDealsResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let mut asked = request.into_inner();
        let tree = tree(asked.r#where.as_ref());
        let page = self
            .records
            .list_deals(&scope, &list_of!(asked), tree.as_ref())
            .await?;
        Ok(crm::ListDealsResponse {
            data: page.items.iter().map(wire::deal).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
            total_count: page.total_count,
        })
    }

    async fn get(&self, request: Request<crm::GetDealRequest>) -> Result<crm::GetDealResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let id = plain_id("dealId", &request.get_ref().deal_id)?;
        let deal = self.records.deal(&scope, id).await?;
        Ok(crm::GetDealResponse {
            deal: Some(wire::deal(&deal)),
        })
    }

    async fn create(
        &self,
        request: Request<crm::CreateDealRequest>,
    ) -> Result<crm::CreateDealResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let write = write.tried(asked.dry_run);
        let mut problems = Problems::default();
        if asked.name.is_none() {
            problems.add("/name", "required", "a deal has a name".to_owned());
        }
        let asked = crm::UpdateDealRequest {
            name: asked.name,
            account_id: asked.account_id,
            pipeline_id: asked.pipeline_id,
            stage: asked.stage,
            amount: asked.amount,
            owner_id: asked.owner_id,
            expected_close_on: asked.expected_close_on,
            close_reason: asked.close_reason,
            move_reason: asked.move_reason,
            contact_ids: asked.contact_ids,
            tags: asked.tags,
            custom_fields: asked.custom_fields,
            ..crm::UpdateDealRequest::default()
        };
        let edit = edit(problems, asked)?;
        let deal = self.records.create_deal(&write, &edit).await?;
        Ok(crm::CreateDealResponse {
            deal: Some(wire::deal(&deal)),
        })
    }

    async fn update(
        &self,
        request: Request<crm::UpdateDealRequest>,
    ) -> Result<crm::UpdateDealResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("dealId", &asked.deal_id)?;
        let (if_version, dry_run) = (asked.if_version, asked.dry_run);
        let edit = edit(Problems::default(), asked)?;
        let deal = self
            .records
            .edit_deal(&write.tried(dry_run), id, &edit, if_version)
            .await?;
        Ok(crm::UpdateDealResponse {
            deal: Some(wire::deal(&deal)),
        })
    }

    async fn delete(
        &self,
        request: Request<crm::DeleteDealRequest>,
    ) -> Result<crm::DeleteDealResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("dealId", &asked.deal_id)?;
        self.records
            .delete_deal(&write.tried(asked.dry_run), id, asked.if_version)
            .await?;
        Ok(crm::DeleteDealResponse {})
    }

    async fn moves(
        &self,
        request: Request<crm::ListDealMovesRequest>,
    ) -> Result<crm::ListDealMovesResponse, CrmError> {
        let (_, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("dealId", &asked.deal_id)?;
        let page = self
            .records
            .list_moves(&scope, id, asked.limit, asked.cursor.as_deref())
            .await?;
        Ok(crm::ListDealMovesResponse {
            data: page.items.iter().map(wire::deal_move).collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    /// The cursor holds the end of the window that the page goes on in, and the cursor of signal-ingest's list. Windows
    /// that a move adds lie before those that were read.
    async fn signals(
        &self,
        request: Request<crm::ListDealSignalsRequest>,
    ) -> Result<crm::ListDealSignalsResponse, CrmError> {
        let (caller, scope) = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let id = plain_id("dealId", &asked.deal_id)?;
        let filters = [("dealId".to_owned(), id.to_string())];
        let fingerprint = Fingerprint::new(scope.org(), "ListDealSignals", "-timestamp", &filters);
        let page = PageRequest::parse(asked.limit, asked.cursor.as_deref(), fingerprint)?;
        let (end, mut cursor) = match &page.after {
            None => (i64::MAX, None),
            Some(Cursor(place)) => match place.as_slice() {
                [Value::Number(end), cursor] => (
                    end.as_i64().ok_or_else(invalid_cursor)?,
                    cursor.as_str().map(str::to_owned),
                ),
                _ => return Err(CrmError::Api(invalid_cursor())),
            },
        };
        let windows = self.records.influence(&scope, id).await?;
        let mut left = windows
            .into_iter()
            .filter(|window| window.2.as_microsecond() <= end)
            .peekable();
        let limit = i32::try_from(page.limit).unwrap_or(1);
        let mut data = Vec::new();
        let mut next = None;
        while let Some((account, from, to)) = left.next() {
            let missing = limit - i32::try_from(data.len()).unwrap_or(limit);
            let window = Window {
                account: AccountId(account),
                from,
                to,
            };
            let read = self
                .signals
                .window(&caller, window, cursor.as_deref(), missing)
                .await?;
            data.extend(read.data);
            cursor = read.next_cursor.filter(|_| read.has_more);
            let is_full = data.len() >= usize::try_from(limit).unwrap_or_default();
            if let Some(inner) = &cursor {
                next = Some(Cursor(vec![json!(to.as_microsecond()), json!(inner)]));
                break;
            }
            if is_full {
                next = left
                    .peek()
                    .map(|window| Cursor(vec![json!(window.2.as_microsecond()), json!(null)]));
                break;
            }
        }
        Ok(crm::ListDealSignalsResponse {
            data,
            has_more: next.is_some(),
            next_cursor: next.map(|cursor| cursor.encode(fingerprint)),
        })
    }

    async fn timeline(
        &self,
        request: Request<crm::ListDealTimelineRequest>,
    ) -> Result<crm::ListDealTimelineResponse, CrmError> {
        let entered = enter(&request, Access::Read, RESOURCE)?;
        let asked = request.into_inner();
        let about = About::Deal(plain_id("dealId", &asked.deal_id)?);
        let page = super::timeline::page(
            &self.records,
            &*self.signals,
            entered,
            about,
            asked.limit,
            asked.cursor,
        )
        .await?;
        Ok(crm::ListDealTimelineResponse {
            data: page.data,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }
}

pub(super) fn edit(mut problems: Problems, asked: crm::UpdateDealRequest) -> Result<DealEdit, CrmError> {
    let pipeline: Option<Option<ids::ActorId>> = problems.id("/pipelineId", asked.pipeline_id.as_deref());
    let edit = DealEdit {
        name: problems.name("/name", asked.name),
        account: problems.id("/accountId", asked.account_id.as_deref()),
        pipeline: pipeline.flatten().map(ids::ActorId::uuid),
        stage: problems.line("/stage", asked.stage, text::MAX_NAME),
        amount: amount(&mut problems, asked.amount),
        expected_close_on: problems.day("/expectedCloseOn", asked.expected_close_on.as_deref()),
        close_reason: problems.removable("/closeReason", asked.close_reason, MAX_REASON),
        move_reason: problems
            .removable("/moveReason", asked.move_reason, MAX_REASON)
            .flatten(),
        contacts: contacts(&mut problems, values(asked.contact_ids)),
        extras: extras(
            &mut problems,
            asked.owner_id.as_deref(),
            asked.tags,
            asked.custom_fields.as_ref(),
        ),
    };
    problems.unless(edit).map_err(CrmError::Invalid)
}

fn amount(problems: &mut Problems, given: Option<crm::Money>) -> Option<Option<Money>> {
    let given = given?;
    if given == crm::Money::default() {
        return Some(None);
    }
    if fits_money(&given.currency, given.units, given.nanos.into()) {
        return Some(Some(Money {
            currency: given.currency,
            units: given.units,
            nanos: given.nanos,
        }));
    }
    let message = "an amount has a currency of three capital letters, units of 0 to 1,000,000,000,000 and nanos of 0 to 999,999,999";
    problems.add("/amount", "invalid_amount", message.to_owned());
    None
}

fn contacts(problems: &mut Problems, given: Option<Vec<Value>>) -> Option<Vec<ContactId>> {
    let given = given?;
    if given.len() > MAX_DEAL_CONTACTS {
        let message = format!("a deal has at most {MAX_DEAL_CONTACTS} contacts");
        problems.add("/contactIds", "too_many", message);
        return None;
    }
    let mut contacts: Vec<ContactId> = Vec::with_capacity(given.len());
    for (index, value) in given.iter().enumerate() {
        match value.as_str().and_then(|text| text.parse().ok()) {
            Some(id) if contacts.contains(&id) => {}
            Some(id) => contacts.push(id),
            None => {
                let message = "an id is a UUID in canonical form".to_owned();
                problems.add(&format!("/contactIds/{index}"), "invalid_id", message);
            }
        }
    }
    Some(contacts)
}

serve!(DealApi, DealService {
    list_deals => list(ListDealsRequest) -> ListDealsResponse;
    get_deal => get(GetDealRequest) -> GetDealResponse;
    create_deal => create(CreateDealRequest) -> CreateDealResponse;
    update_deal => update(UpdateDealRequest) -> UpdateDealResponse;
    delete_deal => delete(DeleteDealRequest) -> DeleteDealResponse;
    list_deal_moves => moves(ListDealMovesRequest) -> ListDealMovesResponse;
    list_deal_signals => signals(ListDealSignalsRequest) -> ListDealSignalsResponse;
    list_deal_timeline => timeline(ListDealTimelineRequest) -> ListDealTimelineResponse;
});
