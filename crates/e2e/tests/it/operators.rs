//! What operators ask each process.

use devsignal::wiring::SERVICES;
use serde_json::Value;

use crate::support::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn every_process_tells_its_metrics_and_whether_it_is_ready() {
    let (cluster, _api) = cluster().await;
    for service in SERVICES {
        let base = cluster.admin(service);
        let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap();
        let text = metrics.error_for_status().unwrap().text().await.unwrap();
        let prefix = format!("devsignal_{}_", service.replace('-', "_"));
        assert!(text.contains(&prefix), "{service}: {text}");
        let ready = reqwest::get(format!("{base}/readyz")).await.unwrap();
        let state: Value = ready.error_for_status().unwrap().json().await.unwrap();
        let checks = state["checks"].as_array().unwrap();
        assert!(
            checks.iter().any(|check| check["name"] == "postgres")
                && checks.iter().all(|check| check["ready"] == true),
            "{service}: {state}"
        );
    }
}
