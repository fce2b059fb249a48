//! `devsignal.crm.v1.BulkService`.

use ::store::list::ListRequest;
use contracts::crm::v1 as crm;
use contracts::crm::v1::bulk_service_server::BulkService;
use ids::{AccountId, ContactId};
use prost_types::{ListValue, value::Kind};
use rpc::Access;
use tonic::{Request, Response, Status};

use super::given::{check_batch, tree, verdict, writing};
use super::imports::resource_of;
use super::{answer, enter, filters, serve};
use crate::domain::edit::Problems;
use crate::domain::extras::{MAX_TAGS, Object, tag_key};
use crate::error::CrmError;
use crate::store::{Did, Records, Write};

/// First half of the scopes that these methods need.
const RESOURCE: &str = "bulk";
/// Records of a filter that are changed by one call.
const AT_ONCE: i32 = 200;
/// Tries of a record whose tags somebody else changes at the same time.
const TRIES: usize = 3;

/// The same change for many records.
pub struct BulkApi {
    records: Records,
}

/// A record to change.
struct Item {
    id: String,
    if_version: Option<i64>,
}

impl BulkApi {
    /// The service over these records.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records }
    }

    async fn change(
        &self,
        request: Request<crm::ChangeRecordsRequest>,
    ) -> Result<crm::ChangeRecordsResponse, CrmError> {
        let write = writing(&request, RESOURCE)?;
        let (caller, _) = enter(&request, Access::Write, RESOURCE)?;
        let mut asked = request.into_inner();
        let object = check(&asked)?;
        caller.require(Access::Write, resource_of(object))?;
        let write = write.tried(asked.dry_run);
        let items = std::mem::take(&mut asked.items);
        let (items, total_count, next_cursor) = if items.is_empty() {
            self.found(&write, object, &mut asked).await?
        } else {
            check_batch(items.len(), "items")?;
            let item = |item: crm::BulkItem| Item {
                id: item.id,
                if_version: item.if_version,
            };
            (items.into_iter().map(item).collect(), None, None)
        };
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let id = item.id.clone();
            let done = self.one(&write, object, &asked, &item).await;
            results.push(verdict(index, done.map(|did| (Some(id), did)))?);
        }
        Ok(crm::ChangeRecordsResponse {
            results,
            total_count,
            next_cursor,
        })
    }

    /// The next records of the filter.
    async fn found(
        &self,
        write: &Write,
        object: Object,
        asked: &mut crm::ChangeRecordsRequest,
    ) -> Result<(Vec<Item>, Option<i64>, Option<String>), CrmError> {
        let tree = tree(asked.r#where.as_ref());
        let request = ListRequest {
            limit: Some(AT_ONCE),
            cursor: asked.cursor.as_deref(),
            sort: Some("createdAt"),
            filters: filters(std::mem::take(&mut asked.filter)),
            include: Some("totalCount"),
        };
        let scope = &write.scope;
        let (ids, count, next): (Vec<String>, _, _) = match object {
            Object::Account => {
                let page = self.records.list_accounts(scope, &request, tree.as_ref()).await?;
                let ids = page.items.iter().map(|one| one.id.to_string());
                (ids.collect(), page.total_count, page.next_cursor)
            }
            Object::Contact => {
                let page = self.records.list_contacts(scope, &request, tree.as_ref()).await?;
                let ids = page.items.iter().map(|one| one.id.to_string());
                (ids.collect(), page.total_count, page.next_cursor)
            }
            Object::Deal => {
                let page = self.records.list_deals(scope, &request, tree.as_ref()).await?;
                let ids = page.items.iter().map(|one| one.id.to_string());
                (ids.collect(), page.total_count, page.next_cursor)
            }
        };
        let item = |id| Item { id, if_version: None };
        Ok((ids.into_iter().map(item).collect(), count, next))
    }

    /// Changes one record; again when somebody else changed its tags in between.
    async fn one(
        &self,
        write: &Write,
        object: Object,
        asked: &crm::ChangeRecordsRequest,
        item: &Item,
    ) -> Result<Did, CrmError> {
        let mut tried = 1;
        loop {
            let done = match object {
                Object::Account => self.account(write, asked, item).await,
                Object::Contact => self.contact(write, asked, item).await,
                Object::Deal => self.deal(write, asked, item).await,
            };
            match done {
                Err(CrmError::VersionMismatch { .. }) if item.if_version.is_none() && tried < TRIES => {
                    tried += 1
                }
                done => return done,
            }
        }
    }

    async fn contact(
        &self,
        write: &Write,
        asked: &crm::ChangeRecordsRequest,
        item: &Item,
    ) -> Result<Did, CrmError> {
        let id: ContactId = super::id("items", &item.id)?;
        if asked.delete() {
            self.records.delete_contact(write, id, item.if_version).await?;
            return Ok(Did::Updated);
        }
        let (tags, version) = if changes_tags(asked) {
            let contact = self.records.contact(&write.scope, id).await?;
            (tags_after(asked, &contact.extras.tags), Some(contact.version))
        } else {
            (None, None)
        };
        let change = crm::UpdateContactRequest {
            owner_id: asked.owner_id.clone(),
            account_id: asked.account_id.clone(),
            title: asked.title.clone(),
            company: asked.company.clone(),
            custom_fields: asked.custom_fields.clone(),
            tags,
            ..crm::UpdateContactRequest::default()
        };
        let draft = super::contacts::draft_of_change(change)?;
        let version = item.if_version.or(version);
        Ok(self.records.edit_contact(write, id, &draft, version).await?.1)
    }

    async fn account(
        &self,
        write: &Write,
        asked: &crm::ChangeRecordsRequest,
        item: &Item,
    ) -> Result<Did, CrmError> {
        let id: AccountId = super::id("items", &item.id)?;
        if asked.delete() {
            self.records.delete_account(write, id, item.if_version).await?;
            return Ok(Did::Updated);
        }
        let (tags, version) = if changes_tags(asked) {
            let account = self.records.account(&write.scope, id).await?;
            (tags_after(asked, &account.extras.tags), Some(account.version))
        } else {
            (None, None)
        };
        let change = crm::UpdateAccountRequest {
            owner_id: asked.owner_id.clone(),
            industry: asked.industry.clone(),
            country: asked.country.clone(),
            funding_stage: asked.funding_stage.clone(),
            custom_fields: asked.custom_fields.clone(),
            tags,
            ..crm::UpdateAccountRequest::default()
        };
        let draft = super::accounts::draft_of_change(change)?;
        let version = item.if_version.or(version);
        Ok(self.records.edit_account(write, id, &draft, version).await?.1)
    }

    async fn deal(
        &self,
        write: &Write,
        asked: &crm::ChangeRecordsRequest,
        item: &Item,
    ) -> Result<Did, CrmError> {
        let id = super::given::plain_id("items", &item.id)?;
        if asked.delete() {
            self.records.delete_deal(write, id, item.if_version).await?;
            return Ok(Did::Updated);
        }
        let before = self.records.deal(&write.scope, id).await?;
        let version = item
            .if_version
            .or_else(|| changes_tags(asked).then_some(before.version));
        let change = crm::UpdateDealRequest {
            owner_id: asked.owner_id.clone(),
            account_id: asked.account_id.clone(),
            stage: asked.stage.clone(),
            close_reason: asked.close_reason.clone(),
            expected_close_on: asked.expected_close_on.clone(),
            custom_fields: asked.custom_fields.clone(),
            tags: changes_tags(asked)
                .then(|| tags_after(asked, &before.extras.tags))
                .flatten(),
            ..crm::UpdateDealRequest::default()
        };
        let edit = super::deals::edit(Problems::default(), change)?;
        let deal = self.records.edit_deal(write, id, &edit, version).await?;
        Ok(if deal.version == before.version {
            Did::Noop
        } else {
            Did::Updated
        })
    }
}

/// What of a request belongs together, and to these records.
fn check(asked: &crm::ChangeRecordsRequest) -> Result<Object, CrmError> {
    let mut problems = Problems::default();
    let object = Object::parse(&asked.object);
    if object.is_none() {
        problems.add(
            "/object",
            "unknown_value",
            "it is one of: account, contact, deal".to_owned(),
        );
    }
    let by_filter = !asked.filter.is_empty() || asked.r#where.is_some();
    let ways = [!asked.items.is_empty(), by_filter, asked.all()];
    if ways.iter().filter(|way| **way).count() != 1 {
        let message = "give either items, or filter and where, or all";
        problems.add("/items", "required", message.to_owned());
    }
    let of = |kinds: &[Object]| object.is_none_or(|object| kinds.contains(&object));
    let (accounts, contacts, deals) = (Object::Account, Object::Contact, Object::Deal);
    let fields = [
        ("/accountId", asked.account_id.is_some(), of(&[contacts, deals])),
        ("/title", asked.title.is_some(), of(&[contacts])),
        ("/company", asked.company.is_some(), of(&[contacts])),
        ("/industry", asked.industry.is_some(), of(&[accounts])),
        ("/country", asked.country.is_some(), of(&[accounts])),
        ("/fundingStage", asked.funding_stage.is_some(), of(&[accounts])),
        ("/stage", asked.stage.is_some(), of(&[deals])),
        ("/closeReason", asked.close_reason.is_some(), of(&[deals])),
        (
            "/expectedCloseOn",
            asked.expected_close_on.is_some(),
            of(&[deals]),
        ),
        ("/ownerId", asked.owner_id.is_some(), true),
        ("/customFields", asked.custom_fields.is_some(), true),
        ("/addTags", !asked.add_tags.is_empty(), true),
        ("/removeTags", !asked.remove_tags.is_empty(), true),
    ];
    for (pointer, given, fits) in fields {
        if given && (!fits || asked.delete()) {
            let message = if fits {
                "what is deleted is not changed too"
            } else {
                "such records have no such field"
            };
            problems.add(pointer, "not_allowed", message.to_owned());
        }
    }
    if !asked.delete() && fields.iter().all(|(_, given, _)| !given) {
        problems.add("/delete", "required", "nothing is asked for".to_owned());
    }
    for (pointer, names) in [("/addTags", &asked.add_tags), ("/removeTags", &asked.remove_tags)] {
        if names.len() > MAX_TAGS {
            problems.add(
                pointer,
                "too_many",
                format!("at most {MAX_TAGS} tags are allowed"),
            );
        }
    }
    problems
        .unless(object.unwrap_or(Object::Contact))
        .map_err(CrmError::Invalid)
}

fn changes_tags(asked: &crm::ChangeRecordsRequest) -> bool {
    !asked.add_tags.is_empty() || !asked.remove_tags.is_empty()
}

/// The tags of a record after the change.
fn tags_after(asked: &crm::ChangeRecordsRequest, held: &[String]) -> Option<ListValue> {
    let gone: Vec<String> = asked
        .remove_tags
        .iter()
        .map(|name| tag_key(name.trim()))
        .collect();
    let mut tags: Vec<String> = held
        .iter()
        .filter(|name| !gone.contains(&tag_key(name)))
        .cloned()
        .collect();
    for name in &asked.add_tags {
        if tags.iter().all(|known| tag_key(known) != tag_key(name.trim())) {
            tags.push(name.clone());
        }
    }
    let value = |name| prost_types::Value {
        kind: Some(Kind::StringValue(name)),
    };
    Some(ListValue {
        values: tags.into_iter().map(value).collect(),
    })
}

serve!(BulkApi, BulkService {
    change_records => change(ChangeRecordsRequest) -> ChangeRecordsResponse;
});
