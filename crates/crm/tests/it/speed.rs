//! A measurement, not a test: how long every list takes on 100,000 accounts and 1,000,000 contacts, from the first page
//! to the last. `cargo nextest run -p crm --release --run-ignored only --no-capture`

use std::time::{Duration, Instant};

use crate::harness::World;
use crate::plans::{BIG, all, cursors, fill};

#[tokio::test]
#[ignore = "a measurement"]
async fn lists_on_full_tables() {
    let world = World::new().await;
    let mut admin = world.admin().await;
    let begun = Instant::now();
    fill(&world, 100_000, 1_000_000).await;
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());
    let shares = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999_99];
    println!(
        "{:<70} {:>8} {:>8} {:>8}   p95 by place in the list",
        "list", "p50 ms", "p95 ms", "max ms"
    );
    let mut worst = Duration::ZERO;
    for asked in all() {
        let places = cursors(&mut admin, &asked, &shares).await;
        let mut everywhere = Vec::new();
        let mut by_place = Vec::new();
        for cursor in &places {
            let mut times = Vec::new();
            for _ in 0..40 {
                let begun = Instant::now();
                asked.page(&world, cursor.as_deref()).await;
                times.push(begun.elapsed());
            }
            times.sort();
            by_place.push(format!("{:.1}", ms(times[37])));
            everywhere.extend(times);
        }
        everywhere.sort();
        let at = |share: usize| everywhere[(everywhere.len() - 1) * share / 100];
        worst = worst.max(at(95));
        println!(
            "{:<70} {:>8.2} {:>8.2} {:>8.2}   {}",
            asked.name(),
            ms(at(50)),
            ms(at(95)),
            ms(at(100)),
            by_place.join(" ")
        );
    }
    println!("worst p95: {:.2} ms", ms(worst));
    println!("one row with totalCount, p95: {:?}", count(&world).await);
}

/// p95 of a page of one row with `include=totalCount`, of accounts and of contacts.
async fn count(world: &World) -> Vec<Duration> {
    let mut found = Vec::new();
    let scope = store::OrgScope::new(ids::OrgId(uuid::Uuid::from_u128(BIG)));
    let list = store::list::ListRequest {
        limit: Some(1),
        include: Some("totalCount"),
        ..Default::default()
    };
    for contacts in [false, true] {
        let mut times = Vec::new();
        for _ in 0..40 {
            let begun = Instant::now();
            let total = if contacts {
                world
                    .records
                    .list_contacts(&scope, &list, None)
                    .await
                    .unwrap()
                    .total_count
            } else {
                world
                    .records
                    .list_accounts(&scope, &list, None)
                    .await
                    .unwrap()
                    .total_count
            };
            times.push(begun.elapsed());
            assert_eq!(total, Some(10_001));
        }
        times.sort();
        found.push(times[37]);
    }
    found
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
