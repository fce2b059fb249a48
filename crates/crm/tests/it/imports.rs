//! Imports of contacts: from a file to records and back.

use std::time::Duration;

use contracts::crm::v1 as wire;
use crm::domain::extras::Object;
use crm::domain::transfer::result::Outcome;
use crm::store::{ContactDraft, Did};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::*;
use crate::imports_desk::*;

const HUBSPOT: &str = "Record ID,First Name,Last Name,Email,Phone Number,Job Title,Company Name,Contact owner,Create Date,Tags\n\
    1,Ada,Lovelace,Ada@Acme.com,+49 30 123456,CTO,Acme,Bob,2026-01-02 10:00,vip;math\n\
    2,Grace,Hopper,grace@acme.com,,Admiral,Acme,Bob,2026-01-02 10:00,\n\
    3,No,Address,,,,,,,\n\
    4,Bad,Address,not an address,12,,,,,\n\
    5,Ada,King,ada@acme.com,,,,,,vip\n\
    6,Ada,King,ada@acme.com,,,,,,\n";

#[tokio::test]
async fn a_hubspot_file_becomes_contacts_and_goes_again() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 4);
    let before = desk.state().await;
    let import = desk.upload(Object::Contact, HUBSPOT.as_bytes()).await;
    assert_eq!(
        (
            import.layout.as_str(),
            import.encoding.as_str(),
            import.rows,
            import.chunks
        ),
        ("hubspot", "UTF-8", 6, 2)
    );
    let told = world.told_count(org).await;

    let import = desk.commit(import.id).await;
    assert_eq!(
        (import.state.as_str(), import.counts),
        ("committed", [3, 1, 1, 0, 1, 0, 0])
    );
    let rows = desk.rows(&import).await;
    let expected = [
        "created",
        "created",
        "created",
        "error email:invalid_email phone:invalid_phone",
        "updated",
        "noop",
    ];
    assert_eq!(outcomes(&rows), expected);
    let served = world.serve_alone().await;
    let page = world
        .caller(org)
        .contacts(
            &served,
            wire::ListContactsRequest {
                sort: Some("name".into()),
                ..Default::default()
            },
        )
        .await
        .unwrap();
    let shown: Vec<_> = page
        .data
        .iter()
        .map(|c| (c.name.as_str(), c.email.as_deref(), c.tags.join(",")))
        .collect();
    assert_eq!(
        shown,
        [
            ("Ada King", Some("ada@acme.com"), "vip,math".to_owned()),
            ("Grace Hopper", Some("grace@acme.com"), String::new()),
            ("No Address", None, String::new()),
        ]
    );
    // identity-resolver is told, nobody else.
    let kinds: Vec<(String,)> = sqlx::query_as("SELECT DISTINCT subject FROM outbox WHERE org_id = $1")
        .bind(org.uuid())
        .fetch_all(&mut world.admin().await)
        .await
        .unwrap();
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    assert!(kinds[0].0.contains("people") && world.told_count(org).await > told);

    let import = desk.undo(import.id).await;
    assert_eq!(
        (import.state.as_str(), &import.counts[5..]),
        ("undone", &[4, 0][..])
    );
    assert_eq!(desk.state().await, before);
}

#[tokio::test]
async fn a_preview_tells_what_a_commit_does_and_stores_nothing() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 100);
    desk.bring(Object::Contact, "email,name,title\nada@acme.com,Ada,CTO\n")
        .await;
    let before = desk.state().await;
    let file = "email,name,title\nada@acme.com,Ada,CTO\nada@acme.com,,CEO\nnew@acme.com,New,\n,,\n";
    let import = desk.upload(Object::Contact, file.as_bytes()).await;
    let rows = desk.rows(&import).await;
    assert!(rows.iter().all(|row| row.result.is_none()));
    let cells: Vec<_> = rows.iter().map(|row| (row.row, row.cells.clone())).collect();
    let judged = crm::transfer::judge(&world.records, desk.scope(), &import, &cells)
        .await
        .unwrap();
    let outcomes: Vec<_> = judged.iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Noop, Outcome::Updated, Outcome::Created, Outcome::Error]
    );
    assert_eq!(desk.state().await, before);
    let import = desk.commit(import.id).await;
    assert_eq!(import.counts[..5], [1, 1, 1, 0, 1]);
}

#[tokio::test]
async fn what_was_changed_since_stays_and_is_told() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 100);
    desk.bring(Object::Contact, "email,name,title\nknown@acme.com,Known,CTO\n")
        .await;
    let file = "email,name,title\nknown@acme.com,Renamed,CEO\nmade@acme.com,Made,\nother@acme.com,Other,\n";
    let import = desk.bring(Object::Contact, file).await;
    let rows = desk.rows(&import).await;
    let id = |row: usize| ids::ContactId(rows[row].result.as_ref().unwrap().id.unwrap());
    for row in [0, 1] {
        let mut draft = ContactDraft::default();
        draft.edit.title = Some(Some("By hand".to_owned()));
        world
            .records
            .edit_contact(&desk.write, id(row), &draft, None)
            .await
            .unwrap();
    }
    let import = desk.undo(import.id).await;
    assert_eq!(import.counts[5..], [1, 2]);
    let undo: Vec<Vec<String>> = desk
        .rows(&import)
        .await
        .into_iter()
        .map(|row| row.undo.unwrap().kept)
        .collect();
    assert_eq!(undo, [vec!["title".to_owned()], vec!["*".to_owned()], vec![]]);
    let known = world.records.contact(desk.scope(), id(0)).await.unwrap();
    assert_eq!(
        (known.name.as_str(), known.title.as_deref()),
        ("Known", Some("By hand"))
    );
    assert!(world.records.contact(desk.scope(), id(1)).await.is_ok());
    assert!(world.records.contact(desk.scope(), id(2)).await.is_err());
}

#[tokio::test]
async fn who_was_undone_gets_the_same_id_again() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 100);
    let file = "email,name\nada@acme.com,Ada\n";
    let first = desk.bring(Object::Contact, file).await;
    let id = desk.rows(&first).await[0].result.as_ref().unwrap().id;
    desk.undo(first.id).await;
    let empty = desk.state().await;
    let second = desk.bring(Object::Contact, file).await;
    assert_eq!(desk.rows(&second).await[0].result.as_ref().unwrap().id, id);
    assert_eq!(second.counts[0], 1);
    desk.undo(second.id).await;
    assert_eq!(desk.state().await, empty);
    // A signal of theirs makes them known, as if they had never been imported.
    let event = identified(id.unwrap(), 1, "ada@acme.com");
    world.tell(desk.scope().org(), &event).await;
    let contact = world
        .records
        .contact(desk.scope(), ids::ContactId(id.unwrap()))
        .await
        .unwrap();
    assert_eq!((contact.name.as_str(), contact.edited.len()), ("ada@acme.com", 0));
}

/// A file of some rows over few addresses, so that rows meet known contacts and each other.
fn files() -> impl Strategy<Value = Vec<(Option<u8>, u8, u8, u8)>> {
    prop::collection::vec(
        (prop::option::weighted(0.9, 0_u8..8), 0_u8..4, 0_u8..4, 0_u8..4),
        1..25,
    )
}

fn table(rows: &[(Option<u8>, u8, u8, u8)]) -> String {
    let mut file = String::from("email,name,title,tags,accountDomain,plan,github\n");
    for (who, name, title, more) in rows {
        let email = who.map(|n| format!("p{n}@acme.com")).unwrap_or_default();
        let cell = |what: &str, n: u8| {
            if n == 0 {
                String::new()
            } else {
                format!("{what}{n}")
            }
        };
        let domain = if *more > 1 {
            format!("firm{more}.com")
        } else {
            String::new()
        };
        let github = if *more == 3 {
            who.map(|n| format!("gh{n}")).unwrap_or_default()
        } else {
            String::new()
        };
        file.push_str(&format!(
            "{email},{},{},{},{domain},{},{github}\n",
            cell("Name", *name),
            cell("Title", *title),
            cell("tag", *more),
            cell("plan", *title)
        ));
    }
    file
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn import_and_undo_is_as_if_never_imported() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config {
        cases: 24,
        ..Config::default()
    });
    let law = |(first, second, third): (Vec<_>, Vec<_>, Vec<_>)| {
        runtime.block_on(async {
            let org = new_org();
            let desk = Desk::new(&world, org, 5);
            let rule = crm::domain::custom::Rule {
                id: uuid::Uuid::nil(),
                key: "plan".to_owned(),
                label: "Plan".to_owned(),
                kind: crm::domain::custom::Type::Text,
                required: false,
                unique: false,
                pattern: None,
                options: Vec::new(),
                default: None,
            };
            let field = crm::domain::custom::Definition {
                rule,
                object: Object::Contact,
                reference: None,
                created_at: start(),
                updated_at: start(),
                version: 1,
            };
            world.records.create_field(&desk.write, &field).await.unwrap();
            desk.bring(Object::Contact, &table(&first)).await;
            for row in 0..2_u8 {
                let email = Some(format!("p{row}@acme.com"));
                let draft = ContactDraft {
                    email,
                    ..ContactDraft::default()
                };
                let made = world.records.create_contact(&desk.write, &draft, true).await;
                if row == 0
                    && let Ok((contact, Did::Created)) = made
                {
                    world
                        .records
                        .delete_contact(&desk.write, contact.id, None)
                        .await
                        .unwrap();
                }
            }
            world.tick();
            let before = desk.state().await;
            let mut imports = Vec::new();
            for rows in [&second, &third] {
                let import = desk.upload(Object::Contact, table(rows).as_bytes()).await;
                desk.set(&import, |edit| {
                    edit.options.as_mut().unwrap().create_accounts = true;
                })
                .await;
                let done = desk.commit(import.id).await;
                assert_eq!(done.state, "committed");
                assert_eq!(
                    done.counts[..5].iter().sum::<i64>(),
                    i64::try_from(rows.len()).unwrap()
                );
                imports.push(import.id);
                world.tick();
            }
            for id in imports.into_iter().rev() {
                let undone = desk.undo(id).await;
                assert_eq!((undone.state.as_str(), undone.counts[6]), ("undone", 0));
            }
            assert_eq!(desk.state().await, before);
        });
        Ok(())
    };
    runner.run(&(files(), files(), files()), law).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_import_whose_workers_are_killed_ends_as_if_they_were_not() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 20);
    let mut file = String::from("email,name\n");
    for n in 0..400 {
        file.push_str(&format!("p{n}@acme.com,Name {n}\n"));
    }
    let before = desk.state().await;
    let import = desk.upload(Object::Contact, file.as_bytes()).await;
    for (from, to, done) in [
        ("uploaded", "committing", "committed"),
        ("committed", "undoing", "undone"),
    ] {
        desk.turn(import.id, from, to).await;
        let mut kills = 0;
        while desk.import(import.id).await.state != done {
            kills += 1;
            let now = desk.import(import.id).await;
            assert!(
                kills < 400 && now.state != "failed",
                "it never ends: {:?} {:?}",
                now.failure,
                now.counts
            );
            // What a killed worker held is free when the server notices that it is gone.
            test_kit::wait_for("a turn", Duration::from_secs(30), async || {
                let worker = another(&desk, 0.01);
                let work = async move { worker.work().await };
                let worked = killed_after(work, Duration::from_millis(20 + kills * 3)).await;
                (!matches!(worked, Some(Ok(false)))).then_some(())
            })
            .await;
        }
        let now = desk.import(import.id).await;
        if done == "committed" {
            assert_eq!(now.counts, [400, 0, 0, 0, 0, 0, 0]);
            assert_eq!(now.rows_done, 400);
            assert!(kills > 1, "nothing was killed");
        } else {
            assert_eq!(now.counts[5..], [400, 0]);
        }
    }
    assert_eq!(desk.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_imports_and_live_writes_at_once_leave_one_contact_per_address() {
    let world = World::new().await;
    let org = new_org();
    let desk = Desk::new(&world, org, 50);
    let mut file = String::from("email,title\n");
    for n in 0..300 {
        file.push_str(&format!("p{n}@acme.com,T{n}\n"));
    }
    let mut ids = Vec::new();
    for _ in 0..2 {
        let import = desk.upload(Object::Contact, file.as_bytes()).await;
        desk.turn(import.id, "uploaded", "committing").await;
        ids.push(import.id);
    }
    let live = async {
        for n in 0..300 {
            let email = Some(format!("p{}@acme.com", (n * 7) % 300));
            let draft = ContactDraft {
                email,
                ..ContactDraft::default()
            };
            world
                .records
                .create_contact(&desk.write, &draft, true)
                .await
                .unwrap();
        }
    };
    let (one, two) = (another(&desk, 15.0), another(&desk, 15.0));
    let (first, second, ()) = tokio::join!(one.work(), two.work(), live);
    assert!(first.unwrap() && second.unwrap());
    let mut sums = [0; 7];
    for id in ids {
        let import = desk.import(id).await;
        assert_eq!(import.state, "committed");
        for (sum, count) in sums.iter_mut().zip(import.counts) {
            *sum += count;
        }
    }
    assert_eq!(sums[3] + sums[4], 0, "{sums:?}");
    let state = desk.state().await;
    assert_eq!(state["contacts"].as_array().unwrap().len(), 300);
    assert_eq!(state["identities"].as_array().unwrap().len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancelled_import_stops_and_can_be_undone() {
    let world = World::new().await;
    let desk = Desk::new(&world, new_org(), 10);
    let mut file = String::from("email,name\n");
    for n in 0..300 {
        file.push_str(&format!("p{n}@acme.com,Name {n}\n"));
    }
    let before = desk.state().await;
    let import = desk.upload(Object::Contact, file.as_bytes()).await;
    desk.turn(import.id, "uploaded", "committing").await;
    let cancel = async {
        test_kit::wait_for("some rows", Duration::from_secs(20), async || {
            (desk.import(import.id).await.rows_done > 30).then_some(())
        })
        .await;
        desk.turn(import.id, "committing", "cancelled").await;
    };
    let (worked, ()) = tokio::join!(desk.worker.work(), cancel);
    assert!(worked.unwrap());
    let stopped = desk.import(import.id).await;
    assert_eq!(stopped.state, "cancelled");
    assert!(
        stopped.counts[0] >= 30 && stopped.counts[0] < 300,
        "{:?}",
        stopped.counts
    );
    assert!(!desk.worker.work().await.unwrap(), "nothing is left to do");
    assert_eq!(desk.import(import.id).await.counts, stopped.counts);
    desk.turn(import.id, "cancelled", "undoing").await;
    while desk.worker.work().await.unwrap() {}
    assert_eq!(desk.state().await, before);
}
