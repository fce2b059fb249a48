//! Which records belong to which: the one place of this module that names messages.

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MethodDescriptor};

/// Records of a list without `limit`, `first` or `last`.
pub const DEFAULT_OF_EACH: u64 = 50;
/// Most records of each.
pub const MAX_OF_EACH: i32 = 200;

/// A field of a record that is read elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Relation {
    /// Full name of the message that gets the field.
    pub on: &'static str,
    /// The field.
    pub field: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Name in JSON of the record's field that holds the id to read by.
    pub from: &'static str,
    /// What is read.
    pub reads: Reads,
}

/// What a relation reads.
#[derive(Debug, Clone, Copy)]
pub enum Reads {
    /// One record by a method `{ids} → {data}`; `key` is the record's field that holds the id.
    One {
        /// Full name of the method.
        method: &'static str,
        /// Name in JSON.
        key: &'static str,
        /// One field of the record instead of it.
        pick: Option<&'static str>,
    },
    /// Records by a method `{ids, limit} → {groups: {id, data}}`.
    Many {
        /// Full name of the method.
        method: &'static str,
        /// Name of the argument that says how many.
        limit: &'static str,
    },
    /// The same value under another name.
    Same,
    /// The user of the id.
    Owner,
}

/// Reads members, for owners.
pub const MEMBERS: &str = "devsignal.access.v1.BatchService.BatchGetMembers";

/// All relations. One whose method or message is not in the contract is left out.
pub const RELATIONS: &[Relation] = &[
    Relation {
        on: "devsignal.crm.v1.Account",
        field: "pqaScore",
        about: "How ready it is, with the reasons; null until scored.",
        from: "id",
        reads: Reads::One {
            method: "devsignal.scores.v1.BatchService.BatchGetAccountScores",
            key: "accountId",
            pick: None,
        },
    },
    Relation {
        on: "devsignal.crm.v1.Account",
        field: "contacts",
        about: "Its people, newest first.",
        from: "id",
        reads: Reads::Many {
            method: "devsignal.crm.v1.BatchService.BatchListContacts",
            limit: "first",
        },
    },
    Relation {
        on: "devsignal.crm.v1.Account",
        field: "deals",
        about: "Its deals, newest first.",
        from: "id",
        reads: Reads::Many {
            method: "devsignal.crm.v1.BatchService.BatchListDeals",
            limit: "first",
        },
    },
    Relation {
        on: "devsignal.crm.v1.Account",
        field: "signals",
        about: "What its people did, newest first.",
        from: "id",
        reads: Reads::Many {
            method: "devsignal.signals.v1.BatchService.BatchListAccountSignals",
            limit: "last",
        },
    },
    Relation {
        on: "devsignal.crm.v1.Contact",
        field: "account",
        about: "The account they belong to.",
        from: "accountId",
        reads: ACCOUNT,
    },
    Relation {
        on: "devsignal.crm.v1.Contact",
        field: "signals",
        about: "What they did, newest first.",
        from: "id",
        reads: Reads::Many {
            method: "devsignal.signals.v1.BatchService.BatchListContactSignals",
            limit: "last",
        },
    },
    Relation {
        on: "devsignal.crm.v1.Contact",
        field: "lastActive",
        about: "When they were last heard of.",
        from: "lastSeenAt",
        reads: Reads::Same,
    },
    Relation {
        on: "devsignal.crm.v1.Deal",
        field: "account",
        about: "The account it is with.",
        from: "accountId",
        reads: ACCOUNT,
    },
    Relation {
        on: "devsignal.crm.v1.Account",
        field: "owner",
        about: "The user who looks after it.",
        from: "ownerId",
        reads: Reads::Owner,
    },
    Relation {
        on: "devsignal.crm.v1.Contact",
        field: "owner",
        about: "The user who looks after it.",
        from: "ownerId",
        reads: Reads::Owner,
    },
    Relation {
        on: "devsignal.crm.v1.Deal",
        field: "owner",
        about: "The user who looks after it.",
        from: "ownerId",
        reads: Reads::Owner,
    },
    Relation {
        on: "devsignal.signals.v1.Signal",
        field: "source",
        about: "Type of the source it came through, for example `github`; null without one.",
        from: "sourceId",
        reads: Reads::One {
            method: "devsignal.signals.v1.BatchService.BatchGetSources",
            key: "id",
            pick: Some("type"),
        },
    },
    Relation {
        on: "devsignal.signals.v1.Signal",
        field: "matchedAccount",
        about: "The account it counts for.",
        from: "accountId",
        reads: ACCOUNT,
    },
    Relation {
        on: "devsignal.signals.v1.Signal",
        field: "contact",
        about: "The known person who did it.",
        from: "contactId",
        reads: Reads::One {
            method: "devsignal.crm.v1.BatchService.BatchGetContacts",
            key: "id",
            pick: None,
        },
    },
];

const ACCOUNT: Reads = Reads::One {
    method: "devsignal.crm.v1.BatchService.BatchGetAccounts",
    key: "id",
    pick: None,
};

/// Whether a field of this name gives many records without being asked how many.
pub fn is_list(field: &str) -> bool {
    RELATIONS
        .iter()
        .any(|r| r.field == field && matches!(r.reads, Reads::Many { .. }))
}

/// The method of this name.
pub fn method(pool: &DescriptorPool, full_name: &str) -> Option<MethodDescriptor> {
    let (service, name) = full_name.rsplit_once('.')?;
    let service = pool.get_service_by_name(service)?;
    service.methods().find(|m| m.name() == name)
}

/// The field of a batch method's answer that holds the records.
pub fn records(method: &MethodDescriptor, grouped: bool) -> Option<FieldDescriptor> {
    let output = method.output();
    if !grouped {
        return output.get_field_by_name("data");
    }
    match output.get_field_by_name("groups")?.kind() {
        Kind::Message(group) => group.get_field_by_name("data"),
        _ => None,
    }
}
