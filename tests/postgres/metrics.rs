//! The metrics during an outage of the PostgreSQL server: they need no database, and show the outage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::request_log_and_metrics::{free_port, metrics};
use crate::support::{Answer, Instance, Proxy, eventually, shared_postgres};

/// The longest time to answer a scrape.
const LONGEST_SCRAPE: Duration = Duration::from_secs(1);

/// Returns the value of each sample.
async fn samples(port: u16) -> BTreeMap<String, f64> {
    let began = Instant::now();
    let text = metrics(port).await;
    assert!(began.elapsed() < LONGEST_SCRAPE, "{:?}", began.elapsed());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        (sample.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn metrics_show_an_outage_and_lost_notifications() {
    let server = shared_postgres();
    let url = server.create();
    let proxy = Proxy::in_front_of(server.port()).await;
    let behind = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let port = free_port();
    let instance = Instance::configured(&behind, |command| {
        command
            .env("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT", "500")
            .env("SYMBOLON_METRICS_PORT", port.to_string());
    });
    instance.register("ada").await;
    let has = async |what: &str, expected: [(&str, f64); 2]| {
        eventually(what, async || {
            let samples = samples(port).await;
            let is_expected = |(name, value): &(&str, f64)| samples.get(*name) == Some(value);
            expected.iter().all(is_expected).then_some(())
        })
        .await;
    };
    let (available, usable) = (
        "symbolon_database_available",
        "symbolon_identity_cache_usable",
    );
    has(
        "the database is available",
        [(available, 1.0), (usable, 1.0)],
    )
    .await;
    assert!(samples(port).await["symbolon_heartbeat_age_seconds"] < 5.0);
    proxy.set_loses_notifications(true);
    has("notifications are lost", [(available, 1.0), (usable, 0.0)]).await;
    proxy.set_loses_notifications(false);
    has("notifications arrive", [(available, 1.0), (usable, 1.0)]).await;
    proxy.silence();
    has("the database is silent", [(available, 0.0), (usable, 0.0)]).await;
    assert_eq!(Answer::of(instance.post_tokens("ada")).await.status, 503);
    let during = samples(port).await;
    let unavailable = r#"symbolon_sign_ins_total{endpoint="tokens",result="unavailable"}"#;
    assert!(during[unavailable] > 0.0);
    assert!(during[r#"symbolon_database_errors_total{kind="unavailable"}"#] >= 1.0);
    assert!(during[r#"symbolon_database_errors_total{kind="other"}"#] < 1.0);
    proxy.resume();
    has("the database is back", [(available, 1.0), (usable, 1.0)]).await;
    instance.sign_in("ada").await;
}
