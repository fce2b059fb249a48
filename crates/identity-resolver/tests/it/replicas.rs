//! What one replica decided, the others know with the next batch.

use crate::harness::*;

#[tokio::test]
async fn a_visitor_that_another_replica_stitched_is_the_person_at_once() {
    let base = Base::create().await;
    let (here, there) = (base.replica(), base.replica());
    here.resolve(org(1), &["anon=a1"]).await;
    here.resolve(org(1), &["anon=a1"]).await;
    assert_eq!(here.batches("memory"), 1);
    there.resolve(org(1), &["anon=a1; email=jane@acme.com"]).await;
    let later = here.resolve(org(1), &["anon=a1"]).await;
    let told = base.told().await;
    let signal = &told.batch(later)[0];
    assert_eq!(signal.contact_id.as_ref(), Some(&told.contacts[0].contact_id));
    assert_eq!(signal.account_id, told.contacts[0].account_id);
    // Caught up, it needs the lock no more.
    here.resolve(org(1), &["anon=a1"]).await;
    assert_eq!((here.batches("memory"), here.batches("decision")), (2, 2));
}

#[tokio::test]
async fn persons_that_another_replica_merged_are_one_at_once() {
    let base = Base::create().await;
    let (here, there) = (base.replica(), base.replica());
    here.resolve(org(1), &["github=octo", "email=jane@acme.com"])
        .await;
    there.resolve(org(1), &["github=octo; email=jane@acme.com"]).await;
    let later = here
        .resolve(org(1), &["email=jane@acme.com", "github=octo"])
        .await;
    let told = base.told().await;
    assert_eq!(told.merged.len(), 1);
    for signal in told.batch(later) {
        assert_eq!(signal.actor_id.as_ref(), Some(&told.merged[0].contact_id));
        assert!(signal.account_id.is_some());
    }
}

#[tokio::test]
async fn what_another_replica_learnt_of_a_company_is_not_undone() {
    let base = Base::create().await;
    let (here, there) = (base.replica(), base.replica());
    here.resolve(org(1), &["org=acme; employees=5"]).await;
    there
        .resolve(org(1), &["org=acme; domain=acme.com; employees=40"])
        .await;
    // From memory this would attach a second domain, and go back to the first revision.
    here.resolve(org(1), &["org=acme; domain=acme.io"]).await;
    here.resolve(org(1), &["org=acme; account=Acme"]).await;
    let told = base.told().await;
    let newest = told
        .accounts
        .iter()
        .filter(|a| a.github_org.is_some())
        .max_by_key(|a| a.revision)
        .unwrap();
    assert_eq!(
        (newest.domain.as_deref(), newest.employees, newest.name.as_deref()),
        (Some("acme.com"), Some(40), Some("Acme"))
    );
    assert_eq!(newest.revision, 3);
}

#[tokio::test]
async fn a_replica_that_comes_back_knows_what_was_known() {
    let base = Base::create().await;
    let before = base.replica();
    before
        .resolve(
            org(1),
            &[
                "email=jane@acme.com; name=Jane; anon=kiosk",
                "email=john@acme.com; anon=kiosk",
            ],
        )
        .await;
    before
        .resolve(
            org(1),
            &[
                "account=Mercury; domain=mercury.com",
                "account=Mercury; domain=mercury.space",
            ],
        )
        .await;
    let count = base.told().await.kinds.len();
    let after = base.replica();
    let known = [
        "email=jane@acme.com; name=Jane",
        "email=john@acme.com; anon=kiosk",
        "anon=kiosk",
        "account=Mercury",
    ];
    let id = after.resolve(org(1), &known).await;
    let told = base.told().await;
    assert_eq!(
        told.kinds.len(),
        count + 1,
        "nothing is decided again: {:?}",
        told.kinds
    );
    let [jane, john, kiosk, mercury] = told.batch(id) else {
        panic!("four signals")
    };
    assert_eq!(kiosk.contact_id, jane.contact_id);
    assert_ne!(john.contact_id, jane.contact_id);
    assert_eq!(mercury.account_id, None);
}

#[tokio::test]
async fn more_changes_than_can_be_named_make_a_replica_forget_the_organization() {
    let base = Base::create().await;
    let (here, there) = (base.replica(), base.replica());
    here.resolve(org(1), &["anon=v7"]).await;
    let visitors: Vec<String> = (0..5_200).map(|i| format!("anon=v{i}")).collect();
    let visitors: Vec<&str> = visitors.iter().map(String::as_str).collect();
    there.resolve(org(1), &visitors).await;
    let known: Vec<String> = visitors
        .iter()
        .map(|anon| format!("{anon}; user=u-{anon}"))
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    there.resolve(org(1), &known).await;
    let id = here.resolve(org(1), &["anon=v7"]).await;
    assert!(base.told().await.batch(id)[0].contact_id.is_some());
}
