//! The walls between organizations.

use contracts::signals::v1::{GetSignalRequest, GetSourceRequest, ListSignalsRequest, UpdateSourceRequest};
use errors::ErrorCode;
use eventbus::Handler as _;
use rpc::Role;
use store::OrgScope;

use crate::harness::{World, new_org, refused, resolved};
use crate::record::{batch, handler};
use crate::sources::create;

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_shows_no_way_around_the_walls() {
    let world = World::new().await;
    let violations = store::catalog::violations(&mut world.admin().await, signal_ingest::SCHEMA)
        .await
        .unwrap();
    assert_eq!(violations, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_one_organization_is_seen_or_changed_by_another() {
    let (world, org, other) = (World::new().await, new_org(), new_org());
    let signal = resolved(org, "secret");
    let id = signal.id.clone();
    handler(&world).handle(batch(org, vec![signal])).await.unwrap();
    let source = create(&world, org, "github", None).await;

    let get = world.member(other, Role::Owner, GetSignalRequest { signal_id: id });
    assert_eq!(
        refused(world.signals.clone().get_signal(get).await).code,
        ErrorCode::NotFound
    );
    let list = world.member(other, Role::Owner, ListSignalsRequest::default());
    assert!(
        world
            .signals
            .clone()
            .list_signals(list)
            .await
            .unwrap()
            .into_inner()
            .data
            .is_empty()
    );
    let get = world.member(
        other,
        Role::Owner,
        GetSourceRequest {
            source_id: source.id.clone(),
        },
    );
    assert_eq!(
        refused(world.sources.clone().get_source(get).await).code,
        ErrorCode::NotFound
    );
    let change = UpdateSourceRequest {
        source_id: source.id,
        status: Some("paused".into()),
        ..UpdateSourceRequest::default()
    };
    let change = world.member(other, Role::Owner, change);
    assert_eq!(
        refused(world.sources.clone().update_source(change).await).code,
        ErrorCode::NotFound
    );
    assert_eq!(
        world
            .number("SELECT count(*) FROM sources WHERE status = 'active'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_path_reads_signals_and_nothing_of_the_workers() {
    let (world, org) = (World::new().await, new_org());
    handler(&world)
        .handle(batch(org, vec![resolved(org, "t")]))
        .await
        .unwrap();
    let tries = [
        ("SELECT count(*) FROM signals", true),
        ("INSERT INTO signals SELECT * FROM signals", false),
        ("UPDATE signals SET type = 'x'", false),
        ("DELETE FROM signals", false),
        ("SELECT count(*) FROM idempotency_keys", false),
        ("SELECT count(*) FROM actor_aliases", false),
        ("SELECT count(*) FROM contact_accounts", false),
        ("SELECT count(*) FROM github_deliveries_raw", false),
        ("DELETE FROM batches", false),
    ];
    for (statement, allowed) in tries {
        let mut tx = world.stores.db.begin(&OrgScope::new(org)).await.unwrap();
        let outcome = sqlx::query(statement).execute(&mut *tx).await;
        assert_eq!(outcome.is_ok(), allowed, "{statement}");
    }
    let mut tx = world.stores.pipeline.begin().await.unwrap();
    assert!(
        sqlx::query("UPDATE batches SET signal_count = 1")
            .execute(&mut *tx)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_principal_is_refused() {
    let world = World::new().await;
    let list = tonic::Request::new(ListSignalsRequest::default());
    assert_eq!(
        refused(world.signals.clone().list_signals(list).await).code,
        ErrorCode::Unauthenticated
    );
    let get = tonic::Request::new(GetSourceRequest::default());
    assert_eq!(
        refused(world.sources.clone().get_source(get).await).code,
        ErrorCode::Unauthenticated
    );
    let accept = tonic::Request::new(contracts::signals::v1::AcceptJsonRequest::default());
    assert_eq!(
        refused(world.intake.clone().accept_json(accept).await).code,
        ErrorCode::Unauthenticated
    );
}
