//! The whole service on a real broker: events in, records and events out, stages told.

use std::time::Duration;

use contracts::crm::v1 as wire;
use contracts::crm::v1::account_service_client::AccountServiceClient;
use contracts::events::v1 as events;
use contracts::ops::v1::ListStagesRequest;
use contracts::ops::v1::stage_service_client::StageServiceClient;
use crm::app::{self, Deps};
use crm::config::Settings;
use eventbus::{Bus, BusSettings};
use ids::{SystemClock, SystemIds};
use rpc::Role;
use tokio::net::TcpListener;
use tonic::transport::Channel;

use crate::harness::{World, discovered, identified, linked, merged, new_id, new_org, start, wrap};

const SOON: Duration = Duration::from_secs(20);

async fn run(world: &World) -> (Bus, Channel) {
    let bus_settings = BusSettings {
        url: world.stores.database().stack().nats_url().to_owned(),
        client_name: "crm".to_owned(),
        namespace: test_kit::unique_prefix(),
        events_max_bytes: 64 << 20,
        pipeline_max_bytes: 64 << 20,
        ..BusSettings::default()
    };
    let bus = Bus::connect(&bus_settings, &world.life, &world.metrics)
        .await
        .unwrap();
    let overrides = serde_json::json!({"security": {"principal_keys": ["given below"]}});
    let settings = Settings::load(None, std::iter::empty(), Some(overrides)).unwrap();
    let deps = Deps {
        bus: bus.clone(),
        stores: world.stores.stores().clone(),
        lifecycle: world.life.clone(),
        metrics: world.metrics.clone(),
        clock: SystemClock::shared(),
        ids: SystemIds::shared(),
        verifier: world.verifier.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    app::start(&settings, &deps, listener).await.unwrap();
    (bus, Channel::from_shared(url).unwrap().connect().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_on_the_bus_become_records_once_and_are_told_on() {
    let world = World::new().await;
    let (_bus, channel) = run(&world).await;
    let (org, account) = (new_org(), new_id());
    let people: Vec<_> = (0..20).map(|_| new_id()).collect();
    let mut tx = world.stores.pipeline.begin().await.unwrap();
    // The links come before the people, the people before the company.
    let mut history: Vec<_> = people
        .iter()
        .map(|person| wrap(org, &linked(*person, account), start()))
        .collect();
    for (n, person) in people.iter().enumerate() {
        history.push(wrap(
            org,
            &identified(*person, 1, &format!("dev{n}@acme.com")),
            start(),
        ));
    }
    history.push(wrap(org, &merged(people[0], people[1], Some(account)), start()));
    history.push(wrap(org, &discovered(account, 1, "acme.com"), start()));
    eventbus::enqueue_all(&mut tx, &history).await.unwrap();
    tx.commit().await.unwrap();

    let accounts = AccountServiceClient::new(channel.clone());
    let found = test_kit::wait_for("the account with its contacts", SOON, async || {
        let request = wire::GetAccountRequest {
            account_id: account.to_string(),
            as_of: None,
        };
        let answer = accounts
            .clone()
            .get_account(world.caller(org).asks(request))
            .await
            .ok()?;
        answer
            .into_inner()
            .account
            .filter(|account| account.contact_count == 19)
    })
    .await;
    assert_eq!(found.domain.as_deref(), Some("acme.com"));

    let mut stages = StageServiceClient::new(channel);
    test_kit::wait_for("nothing waits", SOON, async || {
        let request = world
            .caller(org)
            .role(Role::System)
            .no_org()
            .asks(ListStagesRequest {});
        let stages = stages.list_stages(request).await.unwrap().into_inner().stages;
        assert_eq!(stages.len(), 9);
        assert!(stages.iter().all(|stage| stage.dead_letters == 0));
        stages.iter().all(|stage| stage.lag == 0).then_some(())
    })
    .await;
    let created: Vec<events::ContactCreated> = world.told(org).await;
    let deleted: Vec<events::ContactDeleted> = world.told(org).await;
    // Depending on which came first, the merged person was recorded and removed, or never recorded.
    assert_eq!(created.len() - deleted.len(), 19);
    assert_eq!(world.told::<events::AccountCreated>(org).await.len(), 1);
    let text = world.metrics.render().unwrap();
    assert!(
        text.contains("devsignal_crm_deliveries_total{event=\"contact.identified\",outcome=\"applied\"} 20"),
        "{text}"
    );
    world.life.stop(Duration::from_secs(10)).await.unwrap();
}
