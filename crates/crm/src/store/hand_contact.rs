//! Contacts by hand: recording, changing, removing.
//!
//! Contract: of contacts that are recorded by hand, one address is one contact: whoever records or takes an address holds
//! its lock. Ids are agreed with identity-resolver by `people.stated`: it takes ours over, or tells by `identity.merged`
//! whom it knows already.

use ::store::{OrgScope, Tx};
use contracts::convert::timestamp;
use contracts::crm::v1 as crm;
use errors::{ApiError, ErrorCode, FieldError};
use ids::{AccountId, ContactId, EventId};

use super::contact_counts::CountChanges;
use super::custom_fields::conflict;
use super::{Did, Records, Write, check_version, contact_rows, extras, identity_rows, in_tx, people};
use crate::domain::contact::{Contact, ToldAccount};
use crate::domain::edit::ContactEdit;
use crate::domain::extras::{ExtrasEdit, Object};
use crate::domain::identity::Identity;
use crate::error::CrmError;
use crate::wire;

/// How sure we are of what a person writes down about another.
pub(super) const STATED: f64 = 0.95;

/// A contact as a person gives it; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ContactDraft {
    /// E-mail address, in lower case.
    pub email: Option<String>,
    /// GitHub login, in lower case.
    pub github: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// The account; `Some(None)` removes.
    pub account: Option<Option<AccountId>>,
    /// Name, title, company.
    pub edit: ContactEdit,
    /// Owner, tags, own fields.
    pub extras: ExtrasEdit,
}

impl ContactDraft {
    fn identities(&self) -> Vec<Identity> {
        let given = [
            ("email", &self.email),
            ("github", &self.github),
            ("phone", &self.phone),
        ];
        let identity = |(kind, value): (&str, &Option<String>)| {
            value.clone().map(|value| Identity {
                kind: kind.to_owned(),
                value,
                verified: false,
                confidence: STATED,
            })
        };
        given.into_iter().filter_map(identity).collect()
    }
}

/// How many locks the identities of an organization share. Few enough that an import can hold all of its own at once, many enough that
/// two who record different people seldom meet.
const STRIPES: u32 = 256;

/// The lock that an identity's stripe has. Rows of an import go to lanes by it.
pub(crate) fn stripe_of(kind: &str, value: &str) -> u32 {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(format!("{kind} {value}"));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % STRIPES
}

/// The locks of identities, in the order in which they are taken.
pub(super) fn identity_locks<'a>(
    scope: &OrgScope,
    identities: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let stripes: std::collections::BTreeSet<u32> =
        identities.map(|(kind, value)| stripe_of(kind, value)).collect();
    stripes
        .into_iter()
        .map(|stripe| format!("crm.identity {} {stripe:03}", scope.org()))
        .collect()
}

/// What a new contact meets.
enum Known {
    Nobody,
    Removed(ContactId),
    Recorded(Vec<ContactId>),
}

impl Records {
    /// Records a contact. With `upsert`, one that is known by the address is changed instead.
    ///
    /// # Errors
    /// A conflict with the known contact, [`CrmError::Invalid`], or of the database; nothing is stored then.
    pub async fn create_contact(
        &self,
        write: &Write,
        draft: &ContactDraft,
        upsert: bool,
    ) -> Result<(Contact, Did), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                match known_by(tx, &write.scope, draft).await? {
                    Known::Nobody => {
                        let id = ContactId::new(&*self.ids);
                        let contact = self.record_contact(tx, write, draft, id).await?;
                        Ok((contact, Did::Created))
                    }
                    Known::Removed(id) => {
                        let contact = self.record_contact(tx, write, draft, id).await?;
                        Ok((contact, Did::Created))
                    }
                    Known::Recorded(found) => match (found.as_slice(), upsert) {
                        ([one], true) => {
                            let before = locked(tx, &write.scope, *one).await?;
                            self.change_contact(tx, write, &before, draft).await
                        }
                        ([one, ..], false) => Err(conflict(&format!("the contact is known already: {one}"))),
                        _ => Err(CrmError::Api(ApiError::new(ErrorCode::AmbiguousMatch, "several contacts are known by this address"))),
                    },
                }
            }),
        )
        .await
    }

    async fn record_contact(
        &self,
        tx: &mut Tx,
        write: &Write,
        draft: &ContactDraft,
        id: ContactId,
    ) -> Result<Contact, CrmError> {
        let (scope, now) = (&write.scope, self.now());
        people::lock(tx, scope, &[id]).await?;
        let before = contact_rows::lock(tx, scope, id).await?;
        if before.as_ref().is_some_and(|known| known.recorded) {
            return Err(conflict(
                "the contact is recorded by somebody else at this moment",
            ));
        }
        let mut contact = before.clone().unwrap_or_else(|| Contact::unknown(id, now));
        let resolved = self
            .resolve_extras(tx, scope, Object::Contact, None, &draft.extras)
            .await?;
        let edit = self
            .contact_edit(tx, scope, draft, resolved.extras.clone())
            .await?;
        let change = contact.record(edit, now);
        contact_rows::save(tx, scope, &contact).await?;
        identity_rows::replace(tx, scope, &contact, contact.stated_by()).await?;
        extras::index(tx, scope, Object::Contact, id.uuid(), None, &resolved).await?;
        self.tell_contact(tx, scope, &contact, &change).await?;
        self.state_person(tx, scope, &contact, draft).await?;
        let mut counts = CountChanges::default();
        counts.note(before.as_ref(), Some(&contact));
        self.apply_counts(tx, scope, counts, now).await?;
        Ok(contact)
    }

    /// Changes a contact, if it still has version `if_version` (when given).
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], [`CrmError::Invalid`], a conflict with another contact of
    /// the address, or of the database.
    pub async fn edit_contact(
        &self,
        write: &Write,
        id: ContactId,
        draft: &ContactDraft,
        if_version: Option<i64>,
    ) -> Result<(Contact, Did), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                if draft.email.is_some()
                    && let Known::Recorded(found) = known_by(tx, &write.scope, draft).await?
                    && found.iter().any(|other| *other != id)
                {
                    return Err(conflict("another contact has this address"));
                }
                let before = locked(tx, &write.scope, id).await?;
                check_version(before.version, if_version)?;
                self.change_contact(tx, write, &before, draft).await
            }),
        )
        .await
    }

    async fn change_contact(
        &self,
        tx: &mut Tx,
        write: &Write,
        before: &Contact,
        draft: &ContactDraft,
    ) -> Result<(Contact, Did), CrmError> {
        let (scope, now) = (&write.scope, self.now());
        let resolved = self
            .resolve_extras(tx, scope, Object::Contact, Some(&before.extras), &draft.extras)
            .await?;
        let mut edit = self
            .contact_edit(tx, scope, draft, resolved.extras.clone())
            .await?;
        let known = before.visible_identities();
        edit.stated.retain(|new| {
            !known
                .iter()
                .any(|old| old.kind == new.kind && old.value == new.value)
        });
        let states = !edit.stated.is_empty();
        if edit
            .account
            .is_some_and(|told| told.map(|t| t.account) == before.account_id())
        {
            // The same account stays as it was told; from now on a person decided it.
            edit.account = Some(before.account);
        }
        let mut contact = before.clone();
        let change = contact.edit(edit, now);
        if contact == *before {
            return Ok((contact, Did::Noop));
        }
        contact_rows::save(tx, scope, &contact).await?;
        if states {
            identity_rows::replace(tx, scope, &contact, contact.stated_by()).await?;
            self.state_person(tx, scope, &contact, draft).await?;
        }
        extras::index(
            tx,
            scope,
            Object::Contact,
            contact.id.uuid(),
            Some(&before.extras),
            &resolved,
        )
        .await?;
        self.tell_contact(tx, scope, &contact, &change).await?;
        let mut counts = CountChanges::default();
        counts.note(Some(before), Some(&contact));
        self.apply_counts(tx, scope, counts, now).await?;
        let did = if contact.version == before.version {
            Did::Noop
        } else {
            Did::Updated
        };
        Ok((contact, did))
    }

    async fn contact_edit(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        draft: &ContactDraft,
        extras: crate::domain::extras::Extras,
    ) -> Result<ContactEdit, CrmError> {
        if let Some(Some(account)) = draft.account
            && !super::extras::exists(tx, scope, Object::Account, account.uuid()).await?
        {
            let message = "there is no such account";
            return Err(CrmError::Invalid(vec![FieldError::new(
                "/accountId",
                "not_found",
                message,
            )]));
        }
        Ok(ContactEdit {
            email: draft.email.clone(),
            stated: draft.identities(),
            account: draft.account.map(|account| {
                account.map(|account| ToldAccount {
                    at: self.now(),
                    by: EventId::new(&*self.ids),
                    account,
                })
            }),
            extras: Some(extras),
            ..draft.edit.clone()
        })
    }

    /// Removes a contact. What is told about the person later does not bring it back.
    ///
    /// # Errors
    /// [`CrmError::NotFound`], [`CrmError::VersionMismatch`], or of the database.
    pub async fn delete_contact(
        &self,
        write: &Write,
        id: ContactId,
        if_version: Option<i64>,
    ) -> Result<(), CrmError> {
        self.write(
            write,
            in_tx!(tx => {
                let (scope, now) = (&write.scope, self.now());
                let before = locked(tx, scope, id).await?;
                check_version(before.version, if_version)?;
                let mut contact = before.clone();
                contact.delete(now);
                contact_rows::save(tx, scope, &contact).await?;
                extras::unindex(tx, scope, id.uuid()).await?;
                self.tell_contacts_removed(tx, scope, &[id.uuid()], now).await?;
                let mut counts = CountChanges::default();
                counts.note(Some(&before), Some(&contact));
                self.apply_counts(tx, scope, counts, now).await
            }),
        )
        .await
    }

    /// Tells identity-resolver which identities go with which id.
    async fn state_person(
        &self,
        tx: &mut Tx,
        scope: &OrgScope,
        contact: &Contact,
        draft: &ContactDraft,
    ) -> Result<(), CrmError> {
        if draft.identities().is_empty() {
            return Ok(());
        }
        let event = crm::PeopleStated {
            people: vec![stated_person(contact, self.now())],
            quiet: self.importing,
        };
        self.tell(tx, scope, &event, contact.id.to_string(), contact.updated_at)
            .await
    }
}

/// A person as identity-resolver is told of them.
pub(super) fn stated_person(contact: &Contact, now: jiff::Timestamp) -> crm::StatedPerson {
    let named = contact
        .edited
        .contains(&crate::domain::contact::ContactField::Name);
    crm::StatedPerson {
        contact_id: contact.id.to_string(),
        stated_at: Some(timestamp(now)),
        identities: wire::contact(contact).identities,
        name: named.then(|| contact.name.clone()),
        title: contact.title.clone(),
        company: contact.company.clone(),
    }
}

async fn locked(tx: &mut Tx, scope: &OrgScope, id: ContactId) -> Result<Contact, CrmError> {
    contact_rows::lock(tx, scope, id)
        .await?
        .filter(|contact| contact.recorded)
        .ok_or(CrmError::NotFound("contact"))
}

/// Takes the locks of the draft's identities, and tells whom they lead to: the address first.
async fn known_by(tx: &mut Tx, scope: &OrgScope, draft: &ContactDraft) -> Result<Known, CrmError> {
    let mut identities = draft.identities();
    // A phone is shared by too many to tell one person.
    identities.retain(|identity| identity.kind != "phone");
    let named = identities
        .iter()
        .map(|identity| (identity.kind.as_str(), identity.value.as_str()));
    let keys = identity_locks(scope, named);
    super::lock_keys(tx, &keys).await?;
    for identity in identities {
        let rows: Vec<(uuid::Uuid, bool)> = sqlx::query_as(
            "SELECT DISTINCT c.id, c.recorded FROM contact_identities i \
             JOIN contacts c ON c.org_id = i.org_id AND c.id = i.contact_id \
             WHERE i.org_id = $1 AND i.type = $2 AND i.value = $3 ORDER BY c.recorded DESC, c.id LIMIT 10",
        )
        .bind(scope.uuid())
        .bind(&identity.kind)
        .bind(&identity.value)
        .fetch_all(&mut **tx)
        .await?;
        let recorded: Vec<ContactId> = rows
            .iter()
            .filter(|row| row.1)
            .map(|row| ContactId(row.0))
            .collect();
        if !recorded.is_empty() {
            return Ok(Known::Recorded(recorded));
        }
        if let Some(row) = rows.first() {
            return Ok(Known::Removed(ContactId(row.0)));
        }
    }
    Ok(Known::Nobody)
}
