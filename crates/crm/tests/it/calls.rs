//! The calls that many tests make, in one line each: the answer, or what was refused.

use contracts::crm::v1 as wire;
use tonic::{Response, Status};
use uuid::Uuid;

use crate::harness::{As, Failure, Served, failure};

impl As<'_> {
    pub async fn account(&self, served: &Served, id: Uuid) -> Result<wire::Account, Failure> {
        let account_id = id.to_string();
        let request = self.asks(wire::GetAccountRequest {
            account_id,
            as_of: None,
        });
        answer(served.accounts.clone().get_account(request).await).map(|answer| answer.account.unwrap())
    }

    pub async fn accounts(
        &self,
        served: &Served,
        list: wire::ListAccountsRequest,
    ) -> Result<wire::ListAccountsResponse, Failure> {
        answer(served.accounts.clone().list_accounts(self.asks(list)).await)
    }

    pub async fn update_account(
        &self,
        served: &Served,
        change: wire::UpdateAccountRequest,
    ) -> Result<wire::Account, Failure> {
        let changed = served.accounts.clone().update_account(self.asks(change)).await;
        answer(changed).map(|answer| answer.account.unwrap())
    }

    pub async fn timeline(
        &self,
        served: &Served,
        account: Uuid,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<wire::ListAccountTimelineResponse, Failure> {
        let request = self.asks(wire::ListAccountTimelineRequest {
            account_id: account.to_string(),
            limit: Some(limit),
            cursor: cursor.map(str::to_owned),
        });
        answer(served.accounts.clone().list_account_timeline(request).await)
    }

    pub async fn contact(&self, served: &Served, id: Uuid) -> Result<wire::Contact, Failure> {
        let contact_id = id.to_string();
        let request = self.asks(wire::GetContactRequest { contact_id });
        answer(served.contacts.clone().get_contact(request).await).map(|answer| answer.contact.unwrap())
    }

    pub async fn contacts(
        &self,
        served: &Served,
        list: wire::ListContactsRequest,
    ) -> Result<wire::ListContactsResponse, Failure> {
        answer(served.contacts.clone().list_contacts(self.asks(list)).await)
    }

    pub async fn update_contact(
        &self,
        served: &Served,
        change: wire::UpdateContactRequest,
    ) -> Result<wire::Contact, Failure> {
        let changed = served.contacts.clone().update_contact(self.asks(change)).await;
        answer(changed).map(|answer| answer.contact.unwrap())
    }
}

fn answer<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Result<T, Failure> {
    answer
        .map(Response::into_inner)
        .map_err(|status| failure::<T>(Err(status)))
}
