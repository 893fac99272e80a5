//! Several instances on one PostgreSQL database: shared limits, invalidation, outages and clocks.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chrono::DateTime;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use sea_orm::sqlx::postgres::PgListener;
use serde_json::{Value, json};

use super::{connect, number, on};
use crate::support::{
    Answer, Instance, PROPAGATION_BOUND, Proxy, Server, Socket, common_key, eventually, finish,
    shared_postgres, without_database_line,
};

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn ten_instances_start_concurrently() {
    let url = shared_postgres().create();
    let folder = tempfile::tempdir().unwrap();
    let mut starts = Vec::new();
    for _ in 0..10 {
        let mut start = on(&url, &folder);
        let start = start.arg("migrate").stdout(Stdio::null());
        starts.push(start.stderr(Stdio::piped()).spawn().unwrap());
    }
    for start in starts {
        let done = start.wait_with_output().unwrap();
        let error = String::from_utf8(done.stderr).unwrap();
        let is_quiet = done.status.success() && without_database_line(&error).is_empty();
        assert!(is_quiet, "{error}");
    }
    let database = connect(&url).await;
    let done = number(&database, "SELECT count(*) FROM symbolon_migration").await;
    assert!(done >= 4);
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_running_instance_continues_after_a_newer_version_adds_columns() {
    let url = shared_postgres().create();
    let running = Instance::start(&url);
    running.register("ada").await;
    let token = running.sign_in("ada").await;
    let database = connect(&url).await;
    for change in [
        "ALTER TABLE symbolon_user ADD COLUMN wings bigint NOT NULL DEFAULT 2",
        "ALTER TABLE symbolon_access_token ADD COLUMN colour text",
        "CREATE INDEX symbolon_user_wings ON symbolon_user (wings)",
        "INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)",
    ] {
        database.execute_unprepared(change).await.unwrap();
    }
    assert!(running.accepts(&token).await);
    running.register("bob").await;
    let bob = running.sign_in("bob").await;
    let made = r#"createAccessToken(input: { name: "x" }) { token }"#;
    let made = running.mutate_as("bob", made).await;
    let access = made.at("/data/createAccessToken/token").as_str().unwrap();
    assert!(running.accepts(access).await);
    let revoked = running.mutate(&bob, "revokeAllTokens").await;
    assert_eq!(revoked.at("/data/revokeAllTokens"), 2);
    // A new instance of the older version refuses to start.
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = finish(on(&url, &folder).arg("migrate"));
    assert_eq!(code, Some(1));
    assert!(error.contains("newer version"), "{error}");
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn concurrent_sign_ins_through_several_instances_get_one_token() {
    let url = shared_postgres().create();
    let instances = [Instance::start(&url), Instance::start(&url)];
    instances[0].register("ada").await;
    for _ in 0..5 {
        let sign_ins = (0..24).map(|n| instances[n % 2].sign_in("ada"));
        let tokens = join_all(sign_ins).await;
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
        let revoked = instances[0].mutate(&tokens[0], "revokeToken").await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn rate_limits_hold_across_instances() {
    let url = shared_postgres().create();
    let limit = |command: &mut Command| {
        command.env("SYMBOLON_THROTTLE", "on");
    };
    let instances = [
        Instance::configured(&url, limit),
        Instance::configured(&url, limit),
    ];
    instances[0].register("ada").await;
    let create = (0..60).map(async |n| {
        let input = format!(
            r#"createAccessToken(input: {{ name: "n{n}" }}) {{ token userErrors {{ code }} }}"#
        );
        let answer = instances[n % 2].mutate_as("ada", &input).await;
        let refused = answer.at("/data/createAccessToken/userErrors/0/code");
        match refused.as_str() {
            None => assert!(
                answer.at("/data/createAccessToken/token").is_string(),
                "{answer:?}"
            ),
            Some(code) => assert_eq!(code, "LIMIT_REACHED"),
        }
        u32::from(refused.is_null())
    });
    // More concurrent requests would exceed the attempts of the user.
    let made = stream::iter(create).buffer_unordered(10);
    let made: Vec<_> = made.collect().await;
    assert_eq!(made.iter().sum::<u32>(), 50);
    // This address has a bucket of its own with 20 attempts.
    let guess = (0..60).map(async |n| {
        let guess = instances[n % 2].request(Method::POST, "/tokens");
        Answer::of(guess.basic_auth("ada", Some("wrong")))
            .await
            .status
    });
    let statuses = join_all(guess).await;
    assert!(
        statuses
            .iter()
            .all(|status| [401, 429].contains(&status.as_u16()))
    );
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 20);
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn one_of_many_concurrent_revocations_through_two_instances_reports_success() {
    let url = shared_postgres().create();
    let instances = [Instance::start(&url), Instance::start(&url)];
    instances[0].register("ada").await;
    let session = instances[0].sign_in("ada").await;
    let database = connect(&url).await;
    for round in 1..=5 {
        let create = format!(
            r#"createAccessToken(input: {{ name: "n{round}" }}) {{ accessToken {{ id }} }}"#
        );
        let made = instances[0].mutate_as("ada", &create).await;
        let id = made
            .at("/data/createAccessToken/accessToken/id")
            .as_str()
            .unwrap();
        let revoke = format!("revokeAccessToken(id: {id})");
        let revocations = (0..12).map(|n| instances[n % 2].mutate(&session, &revoke));
        let answers = join_all(revocations).await;
        let ended = answers
            .iter()
            .filter(|answer| answer.at("/data/revokeAccessToken") == true);
        assert_eq!(ended.count(), 1, "{answers:?}");
        let events = "SELECT count(*) FROM symbolon_audit_event WHERE kind = 'TOKEN_REVOKED'";
        assert_eq!(number(&database, events).await, round);
    }
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn concurrent_demotions_through_two_instances_leave_one_admin() {
    let url = shared_postgres().create();
    let instances = [Instance::start(&url), Instance::start(&url)];
    let database = connect(&url).await;
    for round in 0..10 {
        let names = [format!("a{round}"), format!("b{round}")];
        let mut admins = Vec::new();
        for name in &names {
            let id = instances[0].register(name).await;
            admins.push((id, name, instances[0].sign_in(name).await));
        }
        let quoted = names.each_ref().map(|name| format!("'{name}'"));
        let condition = format!("username IN ({})", quoted.join(","));
        for change in [
            "UPDATE symbolon_user SET role = 'user'",
            &format!("UPDATE symbolon_user SET role = 'admin' WHERE {condition}"),
            "NOTIFY symbolon, 'any'",
        ] {
            database.execute_unprepared(change).await.unwrap();
        }
        for (instance, (_, _, token)) in instances.iter().zip(&admins) {
            eventually("the admin is known", async || {
                let unknown = "disableUser(id: 0) { userErrors { code } }";
                let answer = instance.mutate(token, unknown).await;
                answer.at("/data/disableUser").is_object().then_some(())
            })
            .await;
        }
        // Each admin demotes the other one, or itself.
        let turn = (0..8).map(async |n| {
            let target = if round % 2 == 0 { (n + 1) % 2 } else { n % 2 };
            let id = &admins[target].0;
            let call = if n < 4 {
                format!("setUserRole(id: {id}, role: USER) {{ userErrors {{ code }} }}")
            } else {
                format!("disableUser(id: {id}) {{ userErrors {{ code }} }}")
            };
            instances[n % 2].mutate_as(admins[n % 2].1, &call).await
        });
        for answer in join_all(turn).await {
            let code = answer.at("/errors/0/extensions/code");
            assert!(
                [&Value::Null, &json!("FORBIDDEN"), &json!("UNAUTHENTICATED")].contains(&code),
                "{answer:?}"
            );
        }
        let left =
            "SELECT count(*) FROM symbolon_user WHERE role = 'admin' AND disabled_at IS NULL";
        assert_eq!(number(&database, left).await, 1, "round {round}");
    }
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_revocation_takes_effect_in_the_other_instances() {
    let url = shared_postgres().create();
    let (one, two) = (Instance::start(&url), Instance::start(&url));
    one.register("ada").await;
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let token = here.sign_in("ada").await;
        // Both instances cache the token.
        for instance in [here, there, here, there] {
            assert!(instance.accepts(&token).await);
        }
        let revoked = here.mutate(&token, "revokeToken").await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
        let ended = Instant::now();
        assert!(!here.accepts(&token).await);
        while there.accepts(&token).await {
            assert!(ended.elapsed() < PROPAGATION_BOUND);
        }
        longest = longest.max(ended.elapsed());
    }
    println!("the longest of 20 took {longest:?}, a refused request included");
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_revocation_takes_effect_at_once_without_an_identity_cache() {
    let url = shared_postgres().create();
    let strict = |command: &mut Command| {
        command.env("SYMBOLON_IDENTITY_CACHE", "0");
    };
    let one = Instance::configured(&url, strict);
    let two = Instance::configured(&url, strict);
    one.register("ada").await;
    for _ in 0..30 {
        let token = one.sign_in("ada").await;
        assert!(two.accepts(&token).await);
        let revoked = one.mutate(&token, "revokeToken").await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
        assert!(!two.accepts(&token).await);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_websocket_is_closed_when_another_instance_revokes_its_token() {
    let url = shared_postgres().create();
    let folder = tempfile::tempdir().unwrap();
    let embedder = Server::embed_example_configured(folder.path(), |command| {
        command
            .env("DATABASE_URL", &url)
            .env("SYMBOLON_SECRET_KEY_FILE", common_key());
    });
    let other = Instance::start(&url);
    other.register("ada").await;
    for _ in 0..3 {
        let token = other.sign_in("ada").await;
        let mut socket = Socket::connect(&embedder.base, Some(&token)).await;
        let ended = Instant::now();
        other.mutate(&token, "revokeToken").await;
        assert_eq!(socket.closed().await.0, 4401);
        assert!(ended.elapsed() < PROPAGATION_BOUND, "{:?}", ended.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_without_notifications_does_not_use_its_cache() {
    let server = shared_postgres();
    let url = server.create();
    let proxy = Proxy::in_front_of(server.port()).await;
    let silenced = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let (one, two) = (
        Instance::start(&url),
        Instance::with_default_acquire_timeout(&silenced),
    );
    one.register("ada").await;
    for round in 0..2 {
        let token = one.sign_in("ada").await;
        eventually("the other instance knows the token", async || {
            two.accepts(&token).await.then_some(())
        })
        .await;
        assert!(two.accepts(&token).await);
        // These connections stop working.
        let unknown = "A".repeat(32);
        let refused = join_all((0..16).map(|_| two.accepts(&unknown))).await;
        assert!(!refused.contains(&true));
        proxy.silence();
        let revoked = one.mutate(&token, "revokeToken").await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
        let ended = Instant::now();
        let mut last_let_in = Duration::ZERO;
        while ended.elapsed() < Duration::from_secs(3) {
            let (since, started) = (ended.elapsed(), Instant::now());
            let answer = two.me(&token).await;
            let took = started.elapsed();
            if answer.at("/data/me/username").is_string() {
                last_let_in = since;
            } else {
                assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
                assert!(answer.at("/errors/0/extensions/retryAfter").is_u64());
                assert!(took < Duration::from_secs(2), "{took:?}");
            }
        }
        println!("round {round}: accepted from the cache for {last_let_in:?}");
        assert!(last_let_in < PROPAGATION_BOUND, "{last_let_in:?}");
        proxy.resume();
        eventually("the instance answers again", async || {
            (two.me(&token).await.error().1 == "TOKEN_EXPIRED").then_some(())
        })
        .await;
        let again = one.sign_in("ada").await;
        assert!(two.accepts(&again).await);
        one.mutate(&again, "revokeToken").await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_revocation_during_a_lost_connection_takes_effect_after_the_reconnect() {
    let url = shared_postgres().create();
    let (one, two) = (Instance::start(&url), Instance::start(&url));
    one.register("ada").await;
    let database = connect(&url).await;
    let mut beats = PgListener::connect(&url).await.unwrap();
    beats.listen("symbolon").await.unwrap();
    for _ in 0..5 {
        let token = one.sign_in("ada").await;
        eventually("the token is accepted", async || {
            two.accepts(&token).await.then_some(())
        })
        .await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND query LIKE 'LISTEN%' AND application_name = 'symbolon'";
        assert_eq!(number(&database, end).await, 2);
        // The token is cached, and its end is not announced.
        assert!(two.accepts(&token).await);
        let revoked = one.mutate(&token, "revokeToken").await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
        // Waits until both instances listen and use their caches.
        eventually("both instances listen", async || {
            let again = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND query LIKE 'LISTEN%' AND application_name = 'symbolon'";
            (number(&database, again).await == 2).then_some(())
        })
        .await;
        for _ in 0..6 {
            while !beats.recv().await.unwrap().payload().starts_with("beat ") {}
        }
        assert!(!two.accepts(&token).await);
    }
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn every_request_queries_the_database_if_notifications_are_lost() {
    let server = shared_postgres();
    let url = server.create();
    let proxy = Proxy::in_front_of(server.port()).await;
    proxy.set_loses_notifications(true);
    let behind = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let (one, two) = (Instance::start(&url), Instance::start(&behind));
    one.register("ada").await;
    let warnings = || {
        let log = two.log();
        log.matches("does not deliver notifications").count()
    };
    eventually("the warning is logged", async || {
        (warnings() > 0).then_some(())
    })
    .await;
    for _ in 0..30 {
        let token = one.sign_in("ada").await;
        assert!(two.accepts(&token).await && two.accepts(&token).await);
        one.mutate(&token, "revokeToken").await;
        assert!(!two.accepts(&token).await);
    }
    assert_eq!(warnings(), 1);
    assert!(two.is_ready().await);
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_first_token_sends_no_notification_and_its_revocation_sends_one() {
    let url = shared_postgres().create();
    let one = Instance::start(&url);
    let id = one.register("ada").await;
    let mut listener = PgListener::connect(&url).await.unwrap();
    listener.listen("symbolon").await.unwrap();
    let mut next_notification = async || {
        loop {
            let received = tokio::time::timeout(Duration::from_secs(30), listener.recv()).await;
            let received = received.unwrap().unwrap();
            if !received.payload().starts_with("beat ") {
                return received.payload().to_owned();
            }
        }
    };
    let token = one.sign_in("ada").await;
    one.register("bob").await;
    one.sign_in("bob").await;
    // The first notification is that of the revocation.
    one.mutate(&token, "revokeToken").await;
    assert_eq!(next_notification().await, id.to_string());
    // No identity of `ada` is cached.
    let token = one.sign_in("ada").await;
    let change = r#"updateUser(input: { username: "Ada" }) { user { id } }"#;
    one.mutate(&token, change).await;
    assert_eq!(next_notification().await, id.to_string());
}

#[tokio::test]
#[ignore = "needs PostgreSQL and faketime, which scripts/test installs"]
async fn instants_come_from_the_clock_of_the_database() {
    let url = shared_postgres().create();
    let library = |folder: std::fs::DirEntry| {
        let library = folder.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    };
    let mut folders = std::fs::read_dir("/usr/lib").unwrap();
    let library = folders.find_map(|folder| library(folder.unwrap())).unwrap();
    let by = |hours: &str| {
        Instance::configured(&url, |command| {
            command
                .env("LD_PRELOAD", &library)
                .env("DONT_FAKE_MONOTONIC", "1")
                .env("FAKETIME", hours);
        })
    };
    let instances = [by("+3h"), Instance::start(&url), by("-3h")];
    // The clock of this instance is wrong.
    let answer = instances[0]
        .request(Method::GET, "/healthz")
        .send()
        .await
        .unwrap();
    let date = answer.headers()["date"].to_str().unwrap();
    let date = DateTime::parse_from_rfc2822(date).unwrap();
    let database = connect(&url).await;
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let off = date.timestamp_millis() - number(&database, now).await;
    assert!((off - 3 * 3_600_000).abs() < 60_000, "{off}");
    for (number_of, instance) in instances.iter().enumerate() {
        let name = format!("u{number_of}");
        instance.register(&name).await;
        let answer = Answer::of(instance.post_tokens(&name)).await;
        let now = number(&database, now).await;
        let expires_at = answer.at("/expires_at").as_str();
        let expires_at = expires_at.unwrap_or_else(|| panic!("{answer:?} {}", instance.log()));
        let expires_at = DateTime::parse_from_rfc3339(expires_at).unwrap();
        let ahead = expires_at.timestamp_millis() - now;
        assert!((3_590_000..3_600_100).contains(&ahead), "{ahead}");
        let token = answer.at("/token").as_str().unwrap();
        for instance in &instances {
            assert!(instance.accepts(token).await);
        }
    }
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn concurrent_sign_ins_succeed_under_serializable_isolation() {
    let server = shared_postgres();
    let url = server.create();
    let (_, database) = url.rsplit_once('/').unwrap();
    server.run(&[format!(
        "ALTER DATABASE {database} SET default_transaction_isolation = serializable"
    )]);
    let instances = [Instance::start(&url), Instance::start(&url)];
    instances[0].register("ada").await;
    let tokens = (0..16).map(|n| instances[n % 2].sign_in("ada"));
    let tokens = join_all(tokens).await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}
