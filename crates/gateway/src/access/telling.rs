//! The events that tell of organizations and members, written in the transaction that changes them.

use contracts::access::v1 as wire;
use contracts::{Envelope, Event, convert, events::v1 as events};
use ids::{EventId, OrgId};
use rpc::Role;
use sqlx::Row as _;
use store::{Ts, Tx};
use uuid::Uuid;

use super::admin::role_text;
use super::parts::{Api, Fault, told_role};

/// What became of a member.
#[derive(Debug, Clone, Copy)]
pub(super) enum Became {
    /// A member.
    Joined,
    /// One with another role than this.
    Other(Role),
    /// None any more.
    Removed,
}

impl Api {
    /// `organization.created`, or `organization.updated`.
    pub(super) async fn tell_organization(&self, tx: &mut Tx, org: Uuid, new: bool) -> Result<(), Fault> {
        let row = sqlx::query("SELECT name, created_at FROM organizations WHERE org_id = $1")
            .bind(org)
            .fetch_one(&mut **tx)
            .await?;
        let created_at = row.try_get::<Ts, _>("created_at")?.to_jiff();
        let organization = Some(wire::Organization {
            id: org.to_string(),
            name: row.try_get("name")?,
            created_at: Some(convert::timestamp(created_at)),
        });
        if new {
            return self
                .tell(tx, org, &events::OrganizationCreated { organization }, org)
                .await;
        }
        self.tell(tx, org, &events::OrganizationUpdated { organization }, org)
            .await
    }

    /// `member.joined`, `member.role_changed` or `member.removed`.
    pub(super) async fn tell_member(
        &self,
        tx: &mut Tx,
        org: Uuid,
        user: Uuid,
        became: Became,
    ) -> Result<(), Fault> {
        if let Became::Removed = became {
            let event = events::MemberRemoved {
                user_id: user.to_string(),
            };
            return self.tell(tx, org, &event, user).await;
        }
        let row = sqlx::query(
            "SELECT m.role, m.created_at, u.email, u.name FROM members m JOIN users u ON u.id = m.id \
             WHERE m.org_id = $1 AND m.id = $2",
        )
        .bind(org)
        .bind(user)
        .fetch_one(&mut **tx)
        .await?;
        let created_at = row.try_get::<Ts, _>("created_at")?.to_jiff();
        let member = Some(wire::Member {
            id: user.to_string(),
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            role: told_role(row.try_get("role")?),
            created_at: Some(convert::timestamp(created_at)),
        });
        match became {
            Became::Other(before) => {
                let event = events::MemberRoleChanged {
                    member,
                    previous_role: told_role(role_text(before)),
                };
                self.tell(tx, org, &event, user).await
            }
            _ => self.tell(tx, org, &events::MemberJoined { member }, user).await,
        }
    }

    async fn tell<E: Event>(&self, tx: &mut Tx, org: Uuid, event: &E, about: Uuid) -> Result<(), Fault> {
        let id = EventId::new(&*self.0.ids);
        let now = self.0.clock.now();
        let envelope = Envelope::wrap(event, id, OrgId(org), about.to_string(), now);
        eventbus::enqueue(tx, &envelope).await?;
        Ok(())
    }
}
