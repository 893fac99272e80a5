//! Old primaries, which return behind a proxy after the promotion of a standby.

use sea_orm::ConnectionTrait;

use crate::postgres::unwritable_servers::is_out_of_service;
use crate::postgres::{connect, number};
use crate::support::{Instance, Postgres, Proxy, eventually, shared_postgres};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_that_has_used_the_promoted_standby_refuses_the_old_primary() {
    let old = Postgres::start(&[]);
    // The database has the same name in another cluster.
    let other = shared_postgres();
    let other_url = other.create();
    let (_, database) = other_url.rsplit_once('/').unwrap();
    old.run(&[format!("CREATE DATABASE {database}")]);
    let url = other_url.replace(&other.port().to_string(), &old.port().to_string());
    let proxy = Proxy::in_front_of(old.port()).await;
    let behind = url.replace(&old.port().to_string(), &proxy.port.to_string());
    let instance = Instance::with_default_acquire_timeout(&behind);
    instance.register("ada").await;
    let (revoked, kept) = (instance.sign_in("ada").await, "A".repeat(32));
    old.end("INT");
    let new = tokio::task::block_in_place(|| old.promote_a_copy());
    proxy.lead_to(new.port());
    eventually("the new primary is used", async || {
        (instance.is_ready().await && instance.accepts(&revoked).await).then_some(())
    })
    .await;
    let answer = instance.revoke(&revoked).await;
    assert_eq!(answer.at("/data/revokeToken"), true, "{answer:?}");

    // Both servers accept writes, and the heartbeats still reach the new primary.
    tokio::task::block_in_place(|| old.restart());
    proxy.lead_to(old.port());
    let admin = connect(&url.replace(&old.port().to_string(), &new.port().to_string())).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'symbolon' \
        AND query NOT LIKE '%pg_notify%' AND query NOT LIKE 'LISTEN%'";
    admin.execute_unprepared(end).await.unwrap();
    admin.close().await.unwrap();
    for token in [&revoked, &kept, &revoked] {
        let answer = instance.me(token).await;
        assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""), "{answer:?}");
    }

    // Only the old primary answers.
    new.end("KILL");
    is_out_of_service(&instance, &revoked).await;
    assert!(instance.log().contains("is an old primary"));
    // A new instance does not know the new primary. This state is that of a restored backup.
    assert!(Instance::start(&behind).accepts(&revoked).await);
    tokio::task::block_in_place(|| new.restart());
    proxy.lead_to(new.port());
    eventually("the new primary is used again", async || {
        instance.is_ready().await.then_some(())
    })
    .await;
    assert!(!instance.accepts(&revoked).await);

    // The address leads to another cluster, and the connections to the previous cluster stay open. As soon as one new
    // connection reaches the other cluster, all connections do.
    let on_other = Instance::start(&other_url);
    on_other.register("eve").await;
    let token = on_other.sign_in("eve").await;
    proxy.lead_to(other.port());
    let admin = connect(&url.replace(&old.port().to_string(), &new.port().to_string())).await;
    admin.execute_unprepared(end).await.unwrap();
    eventually("the other cluster is used", async || {
        instance.accepts(&token).await.then_some(())
    })
    .await;
    let count = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'symbolon'";
    eventually("the previous cluster is not used", async || {
        (number(&admin, count).await == 0).then_some(())
    })
    .await;
    admin.close().await.unwrap();
}
