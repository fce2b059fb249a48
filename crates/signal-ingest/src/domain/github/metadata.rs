//! What else an event tells: names and numbers, never bodies of issues, comments or commits.

use serde_json::{Map, Value};

use super::payload::Payload;

/// Texts by their names in the signal's metadata.
const TEXTS: &[(&str, &str)] = &[
    ("action", "/action"),
    ("repository", "/repository/full_name"),
    ("organization", "/organization/login"),
    ("ref", "/ref"),
    ("refType", "/ref_type"),
    ("releaseTag", "/release/tag_name"),
    ("fork", "/forkee/full_name"),
    ("member", "/member/login"),
    ("member", "/membership/user/login"),
    ("installationAccount", "/installation/account/login"),
    ("issueTitle", "/issue/title"),
    ("pullRequestTitle", "/pull_request/title"),
    ("senderAssociation", "/comment/author_association"),
    ("senderAssociation", "/issue/author_association"),
    ("senderAssociation", "/pull_request/author_association"),
];

/// Whole numbers by their names.
const NUMBERS: &[(&str, &str)] = &[
    ("issueNumber", "/issue/number"),
    ("pullRequestNumber", "/pull_request/number"),
    ("repositoryId", "/repository/id"),
    ("senderId", "/sender/id"),
    ("hookId", "/hook_id"),
];

/// Flags by their names; only those that are set are kept.
const FLAGS: &[(&str, &str)] = &[
    ("privateRepository", "/repository/private"),
    ("merged", "/pull_request/merged"),
    ("draft", "/pull_request/draft"),
    ("refDeleted", "/deleted"),
    ("forced", "/forced"),
];

/// The free-form part of the signal.
pub(super) fn metadata(event: &str, payload: &Payload<'_>) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("githubEvent".to_owned(), event.into());
    for (name, pointer) in TEXTS {
        if let Some(text) = payload.tidy(pointer).filter(|_| !data.contains_key(*name)) {
            data.insert((*name).to_owned(), text.into());
        }
    }
    for (name, pointer) in NUMBERS {
        if let Some(number) = payload.number(pointer) {
            data.insert((*name).to_owned(), number.into());
        }
    }
    for (name, pointer) in FLAGS {
        if payload.flag(pointer) {
            data.insert((*name).to_owned(), true.into());
        }
    }
    if payload.text("/sender/type") == Some("Bot") {
        data.insert("senderIsBot".to_owned(), true.into());
    }
    if event == "issue_comment" && payload.0.pointer("/issue/pull_request").is_some() {
        data.insert("onPullRequest".to_owned(), true.into());
    }
    if event == "push" {
        data.insert("commitCount".to_owned(), payload.items("/commits").len().into());
    }
    data
}
