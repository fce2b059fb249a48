//! What a resolved signal becomes when it is recorded, given what is known of identities by then.

use std::collections::HashMap;

use contracts::convert;
use contracts::signals::v1::{Resolution, Signal};
use ids::OrgId;
use jiff::Timestamp;
use uuid::Uuid;

/// A resolved signal cannot be recorded: whoever resolved it broke the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signal {id:?}: {field} is missing or not valid")]
pub struct BadSignal {
    /// The signal as it names itself.
    pub id: String,
    /// The field.
    pub field: &'static str,
}

/// Whom a signal is attributed to. A contact is always also the actor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Person or anonymous profile.
    pub actor: Option<Uuid>,
    /// Person.
    pub contact: Option<Uuid>,
    /// Company.
    pub account: Option<Uuid>,
}

/// A signal on its way into the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// Its id.
    pub id: Uuid,
    /// Its source.
    pub source: Option<Uuid>,
    /// Whom it is attributed to.
    pub attribution: Attribution,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Everything else, as it came.
    pub signal: Signal,
}

impl Resolved {
    /// Reads a signal of a resolved batch of `org`.
    ///
    /// # Errors
    /// An id or a time is missing or not one, or the signal is another organization's.
    pub fn read(org: OrgId, signal: Signal) -> Result<Self, BadSignal> {
        let bad = |field| BadSignal {
            id: signal.id.clone(),
            field,
        };
        let id = |text: &str, field| Uuid::try_parse(text).map_err(|_| bad(field));
        let optional = |text: &Option<String>, field| text.as_deref().map(|text| id(text, field)).transpose();
        let time = |at: &Option<prost_types::Timestamp>, field| {
            at.as_ref()
                .and_then(convert::from_timestamp)
                .ok_or_else(|| bad(field))
        };
        if id(&signal.organization_id, "organization_id")? != org.uuid() {
            return Err(bad("organization_id"));
        }
        let contact = optional(&signal.contact_id, "contact_id")?;
        let attribution = Attribution {
            actor: contact.or(optional(&signal.actor_id, "actor_id")?),
            contact,
            account: optional(&signal.account_id, "account_id")?,
        };
        Ok(Self {
            id: id(&signal.id, "id")?,
            source: optional(&signal.source_id, "source_id")?,
            attribution,
            occurred_at: time(&signal.timestamp, "timestamp")?,
            received_at: time(&signal.received_at, "received_at")?,
            signal,
        })
    }

    /// The public message.
    #[must_use]
    pub fn into_signal(self) -> Signal {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string());
        Signal {
            actor_id: text(self.attribution.actor),
            contact_id: text(self.attribution.contact),
            account_id: text(self.attribution.account),
            ..self.signal
        }
    }
}

/// What is known of actors that the resolver did not know, or did not know yet.
#[derive(Debug, Default)]
pub struct Corrections(HashMap<Uuid, Correction>);

#[derive(Debug)]
struct Correction {
    contact: Option<(Uuid, Resolution)>,
    account: Option<(Uuid, Resolution)>,
}

impl Corrections {
    /// Notes for `actor` who it turned out to be, and that person's account.
    pub fn add(
        &mut self,
        actor: Uuid,
        contact: Option<(Uuid, Resolution)>,
        account: Option<(Uuid, Resolution)>,
    ) {
        self.0.insert(actor, Correction { contact, account });
    }

    /// Corrects one signal: the same as recording it first and rewriting it then.
    pub fn apply(&self, signal: &mut Resolved) {
        let Some(correction) = signal.attribution.actor.and_then(|actor| self.0.get(&actor)) else {
            return;
        };
        let whom = &mut signal.attribution;
        if let Some((contact, resolution)) = &correction.contact {
            whom.actor = Some(*contact);
            whom.contact = Some(*contact);
            signal.signal.actor_resolution = Some(resolution.clone());
        }
        if let Some((account, resolution)) = &correction.account
            && whom.contact.is_some()
            && whom.account.is_none()
        {
            whom.account = Some(*account);
            signal.signal.account_resolution = Some(resolution.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Option<String> {
        Some(Uuid::from_u128(n).to_string())
    }

    fn signal() -> Signal {
        let time = Some(prost_types::Timestamp {
            seconds: 1_800_000_000,
            nanos: 0,
        });
        Signal {
            id: Uuid::from_u128(1).to_string(),
            organization_id: Uuid::from_u128(2).to_string(),
            timestamp: time,
            received_at: time,
            actor_id: id(3),
            ..Signal::default()
        }
    }

    fn org() -> OrgId {
        OrgId(Uuid::from_u128(2))
    }

    #[test]
    fn a_contact_is_the_actor() {
        let read = Resolved::read(
            org(),
            Signal {
                contact_id: id(4),
                ..signal()
            },
        )
        .unwrap();
        assert_eq!(read.attribution.actor, Some(Uuid::from_u128(4)));
        assert_eq!(read.into_signal().actor_id, id(4));
    }

    #[test]
    fn what_breaks_the_contract_is_named() {
        let bad = |signal: Signal| Resolved::read(org(), signal).unwrap_err().field;
        assert_eq!(
            bad(Signal {
                id: "x".into(),
                ..signal()
            }),
            "id"
        );
        assert_eq!(
            bad(Signal {
                organization_id: id(9).unwrap(),
                ..signal()
            }),
            "organization_id"
        );
        assert_eq!(
            bad(Signal {
                timestamp: None,
                ..signal()
            }),
            "timestamp"
        );
        assert_eq!(
            bad(Signal {
                account_id: Some(String::new()),
                ..signal()
            }),
            "account_id"
        );
    }

    #[test]
    fn a_merge_moves_the_signal_and_fills_its_account() {
        let mut corrections = Corrections::default();
        let (person, company) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let how = Resolution {
            rule: "stitched".into(),
            ..Resolution::default()
        };
        corrections.add(
            Uuid::from_u128(3),
            Some((person, how.clone())),
            Some((company, how.clone())),
        );
        let mut read = Resolved::read(org(), signal()).unwrap();
        corrections.apply(&mut read);
        let want = Attribution {
            actor: Some(person),
            contact: Some(person),
            account: Some(company),
        };
        assert_eq!(read.attribution, want);
        assert_eq!(read.signal.actor_resolution, Some(how));
    }

    #[test]
    fn an_account_that_was_decided_stays() {
        let mut corrections = Corrections::default();
        corrections.add(
            Uuid::from_u128(3),
            None,
            Some((Uuid::from_u128(8), Resolution::default())),
        );
        let decided = Signal {
            contact_id: id(3),
            account_id: id(5),
            ..signal()
        };
        let mut read = Resolved::read(org(), decided).unwrap();
        corrections.apply(&mut read);
        assert_eq!(read.attribution.account, Some(Uuid::from_u128(5)));
        // An anonymous profile has no account of its own.
        let mut anonymous = Resolved::read(org(), signal()).unwrap();
        corrections.apply(&mut anonymous);
        assert_eq!(anonymous.attribution.account, None);
    }
}
