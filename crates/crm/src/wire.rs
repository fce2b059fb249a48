//! Between our records and the messages of the contract. Must not: decide anything.

use contracts::convert::{self, timestamp};
use contracts::crm::v1 as crm;
use contracts::identity::v1 as identity;

use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::custom::Definition;
use crate::domain::deal::{Deal, INFLUENCE_HOURS, Move, Pipeline};
use crate::domain::extras::Extras;
use crate::domain::identity::Identity;
use crate::domain::work::{Activity, Note, Task};
use crate::store::Tag;

pub use crate::wire_objects::{object, object_schema, record, verdict};

/// An account as callers and events carry it.
#[must_use]
pub fn account(account: &Account) -> crm::Account {
    let profile = account.profile.clone();
    crm::Account {
        id: account.id.to_string(),
        name: profile.name,
        domain: profile.domain,
        github_org: profile.github_org,
        employees: profile.employees,
        industry: profile.industry,
        country: profile.country,
        funding_stage: profile.funding_stage,
        score: account.score.map(|score| i32::from(score.points)),
        tier: account.score.map_or(0, |score| score.tier.number()),
        trend: account.score.map_or(0, |score| score.trend.number()),
        scored_at: account.score.map(|score| timestamp(score.at)),
        contact_count: account.contact_count,
        created_at: Some(timestamp(account.created_at)),
        updated_at: Some(timestamp(account.updated_at)),
        version: account.version,
        owner_id: account.extras.owner.map(|id| id.to_string()),
        tags: account.extras.tags.clone(),
        custom_fields: custom(&account.extras),
        snapshot: None,
    }
}

/// A contact as callers and events carry it.
#[must_use]
pub fn contact(contact: &Contact) -> crm::Contact {
    crm::Contact {
        id: contact.id.to_string(),
        name: contact.name.clone(),
        email: contact.email.clone(),
        title: contact.title.clone(),
        company: contact.company.clone(),
        avatar_url: contact.avatar_url.clone(),
        account_id: contact.account_id().map(|id| id.to_string()),
        identities: contact
            .visible_identities()
            .into_iter()
            .map(identity_message)
            .collect(),
        first_seen_at: contact.first_seen_at.map(timestamp),
        last_seen_at: contact.last_seen_at.map(timestamp),
        created_at: Some(timestamp(contact.created_at)),
        updated_at: Some(timestamp(contact.updated_at)),
        version: contact.version,
        owner_id: contact.extras.owner.map(|id| id.to_string()),
        tags: contact.extras.tags.clone(),
        custom_fields: custom(&contact.extras),
    }
}

fn identity_message(identity: Identity) -> identity::Identity {
    let Identity {
        kind,
        value,
        verified,
        confidence,
    } = identity;
    identity::Identity {
        r#type: kind,
        value,
        verified,
        confidence,
    }
}

fn custom(extras: &Extras) -> Option<prost_types::Struct> {
    (!extras.custom.is_empty()).then(|| convert::to_struct(extras.custom.clone()))
}

/// A deal as callers and events carry it.
#[must_use]
pub fn deal(deal: &Deal) -> crm::Deal {
    crm::Deal {
        id: deal.id.to_string(),
        name: deal.name.clone(),
        account_id: deal.account.map(|id| id.to_string()),
        pipeline_id: deal.pipeline.to_string(),
        stage_id: deal.stage.to_string(),
        stage: deal.stage_key.clone(),
        status: deal.status.name().to_owned(),
        amount: deal.amount.as_ref().map(|money| crm::Money {
            currency: money.currency.clone(),
            units: money.units,
            nanos: money.nanos,
        }),
        owner_id: deal.extras.owner.map(|id| id.to_string()),
        expected_close_on: deal.expected_close_on.clone(),
        close_reason: deal.close_reason.clone(),
        closed_at: deal.closed_at.map(timestamp),
        stage_since: Some(timestamp(deal.stage_since)),
        contact_ids: deal.contacts.iter().map(ToString::to_string).collect(),
        tags: deal.extras.tags.clone(),
        custom_fields: custom(&deal.extras),
        created_at: Some(timestamp(deal.created_at)),
        updated_at: Some(timestamp(deal.updated_at)),
        version: deal.version,
    }
}

/// A move of a deal.
#[must_use]
pub fn deal_move(made: &Move) -> crm::DealMove {
    let begin = made
        .at
        .saturating_sub(jiff::SignedDuration::from_hours(INFLUENCE_HOURS))
        .unwrap_or(jiff::Timestamp::MIN);
    crm::DealMove {
        id: made.id.to_string(),
        deal_id: made.deal.to_string(),
        from_stage: made.from.clone(),
        to_stage: made.to.clone(),
        moved_at: Some(timestamp(made.at)),
        moved_by: made.by.clone(),
        reason: made.reason.clone(),
        signals_from: made.account.map(|_| timestamp(begin)),
    }
}

/// A pipeline with its stages.
#[must_use]
pub fn pipeline(pipeline: &Pipeline) -> crm::Pipeline {
    let stages = pipeline.stages.iter().map(|stage| crm::Stage {
        id: stage.id.to_string(),
        key: stage.key.clone(),
        name: stage.name.clone(),
        kind: stage.kind.name().to_owned(),
        milestone: stage.milestone.map_or_else(String::new, |m| m.name().to_owned()),
    });
    crm::Pipeline {
        id: pipeline.id.to_string(),
        name: pipeline.name.clone(),
        is_default: pipeline.is_default,
        stages: stages.collect(),
        created_at: Some(timestamp(pipeline.created_at)),
        updated_at: Some(timestamp(pipeline.updated_at)),
        version: pipeline.version,
    }
}

/// A task.
#[must_use]
pub fn task(task: &Task) -> crm::Task {
    crm::Task {
        id: task.id.to_string(),
        title: task.title.clone(),
        body: task.body.clone(),
        due_at: task.due_at.map(timestamp),
        assignee_id: task.assignee.map(|id| id.to_string()),
        status: if task.completed_at.is_some() {
            "done"
        } else {
            "open"
        }
        .to_owned(),
        completed_at: task.completed_at.map(timestamp),
        account_id: task.links.account.map(|id| id.to_string()),
        contact_id: task.links.contact.map(|id| id.to_string()),
        deal_id: task.links.deal.map(|id| id.to_string()),
        created_by: task.stamp.by.clone(),
        created_at: Some(timestamp(task.stamp.created_at)),
        updated_at: Some(timestamp(task.stamp.updated_at)),
        version: task.stamp.version,
    }
}

/// An activity.
#[must_use]
pub fn activity(activity: &Activity) -> crm::Activity {
    crm::Activity {
        id: activity.id.to_string(),
        r#type: activity.kind.clone(),
        subject: activity.subject.clone(),
        body: activity.body.clone(),
        occurred_at: Some(timestamp(activity.occurred_at)),
        duration_minutes: activity.duration_minutes,
        direction: activity.direction.clone(),
        owner_id: activity.owner.map(|id| id.to_string()),
        account_id: activity.links.account.map(|id| id.to_string()),
        contact_id: activity.links.contact.map(|id| id.to_string()),
        deal_id: activity.links.deal.map(|id| id.to_string()),
        created_by: activity.stamp.by.clone(),
        created_at: Some(timestamp(activity.stamp.created_at)),
        updated_at: Some(timestamp(activity.stamp.updated_at)),
        version: activity.stamp.version,
    }
}

/// A note.
#[must_use]
pub fn note(note: &Note) -> crm::Note {
    crm::Note {
        id: note.id.to_string(),
        body: note.body.clone(),
        account_id: note.links.account.map(|id| id.to_string()),
        contact_id: note.links.contact.map(|id| id.to_string()),
        deal_id: note.links.deal.map(|id| id.to_string()),
        created_by: note.stamp.by.clone(),
        created_at: Some(timestamp(note.stamp.created_at)),
        updated_at: Some(timestamp(note.stamp.updated_at)),
        version: note.stamp.version,
    }
}

/// A tag.
#[must_use]
pub fn tag(tag: &Tag) -> crm::Tag {
    crm::Tag {
        id: tag.id.to_string(),
        name: tag.name.clone(),
        color: tag.color.clone(),
        created_at: Some(timestamp(tag.created_at)),
        updated_at: Some(timestamp(tag.updated_at)),
        version: tag.version,
    }
}

/// A definition of an own field.
#[must_use]
pub fn custom_field(field: &Definition) -> crm::CustomField {
    crm::CustomField {
        id: field.id.to_string(),
        object: field.object.name().to_owned(),
        key: field.key.clone(),
        label: field.label.clone(),
        r#type: field.kind.name().to_owned(),
        required: field.required,
        unique: field.unique,
        pattern: field.pattern.clone().unwrap_or_default(),
        options: field.options.clone(),
        reference_object: field
            .reference
            .map_or_else(String::new, |object| object.name().to_owned()),
        default_value: field.default.clone().map(convert::to_value),
        created_at: Some(timestamp(field.created_at)),
        updated_at: Some(timestamp(field.updated_at)),
        version: field.version,
    }
}
