//! The stream of events.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use reqwest::Method;
use serde_json::json;
use symbolon::{
    ActorType, AuditEventFilter, AuditEventKind, CredentialType, Event, ImportedPassword,
    ImportedUser, MissedEvents, Role, UserId,
};
use tokio::task::unconstrained;
use tokio::time::timeout;

use crate::support::{Answer, TestApp, eventually};

type Events = BoxStream<'static, Result<Event, MissedEvents>>;

/// Returns the events that were published so far.
fn published(events: &mut Events) -> Vec<Event> {
    let mut published = Vec::new();
    // Tokio's limit on the work of a task would end the loop early.
    while let Some(event) = unconstrained(events.next()).now_or_never() {
        published.push(event.unwrap().unwrap());
    }
    published
}

fn imported(names: impl IntoIterator<Item = String>) -> Vec<ImportedUser> {
    let hash = "$argon2id$v=19$m=64,t=1,p=1$MZGWk0MPTC94vyB28UKKlA$Ti5ZOv5MZgLr+s5W9kYZxedszcktqxOtQCu00igsDLM";
    let users = names
        .into_iter()
        .map(|username| ImportedUser::new(username, ImportedPassword::Hash(hash.to_owned())));
    users.collect()
}

fn user_id(id: i64) -> UserId {
    id.to_string().parse().unwrap()
}

/// Calls a mutation with the password of `root`.
async fn grant(app: &TestApp, call: &str) {
    let answer = app.mutate_as("root", call).await;
    assert_eq!(answer.at("/errors"), &json!(null), "{call}");
}

#[tokio::test]
async fn each_occurrence_is_published_once_and_counted_once_in_the_audit_trail() {
    use AuditEventKind::*;
    let app = TestApp::start().await;
    let mut events = app.events();
    app.register("root").await;
    app.make_admin(1).await;
    let ada = app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.mutate(&token, "renewToken { token }").await;
    app.revoke(&token).await;
    app.revoke(&token).await;
    let wrong = async |name: &str| {
        let request = app.request(Method::POST, "/tokens");
        Answer::of(request.basic_auth(name, Some("wrong"))).await
    };
    for name in ["ada", "ada", "nobody"] {
        assert_eq!(wrong(name).await.status, 401);
    }
    let change = r#"updateUser(input: { id: 2, username: "Ada" }) { user { id } }"#;
    grant(&app, change).await;
    grant(&app, "setUserRole(id: 2, role: ADMIN) { user { id } }").await;
    grant(&app, "disableUser(id: 2) { user { id } }").await;
    grant(&app, "enableUser(id: 2) { user { id } }").await;
    let change = r#"setUserPassword(input: { id: 2, newPassword: "another good password" }) { user { id } }"#;
    grant(&app, change).await;
    grant(&app, "createResetLink(id: 2) { link { url } }").await;
    grant(&app, "deleteUser(input: { id: 2 }) { deletedUserId }").await;
    let invite = r#"inviteUser(input: { username: "eve" }) { link { url } }"#;
    grant(&app, invite).await;
    let names = (1..=3).map(|number| format!("imported-{number}"));
    app.operator().import(imported(names), false).await.unwrap();
    // These change nothing.
    app.registration("root").send().await;
    let names = (1..=3).map(|number| format!("imported-{number}"));
    app.operator().import(imported(names), false).await.unwrap();
    grant(&app, "enableUser(id: 1) { user { id } }").await;

    let mut all = published(&mut events);
    let of_ada = all.iter().filter(|event| event.user == Some(user_id(ada)));
    let of_ada: Vec<_> = of_ada.map(|event| (event.kind, event.actor_type)).collect();
    assert_eq!(
        of_ada,
        [
            (Registered, ActorType::Anonymous),
            (SignedIn, ActorType::User),
            (TokenIssued, ActorType::User),
            (TokenRenewed, ActorType::User),
            (TokenRevoked, ActorType::User),
            (SignInFailed, ActorType::Anonymous),
            (SignInFailed, ActorType::Anonymous),
            (ProfileChanged, ActorType::User),
            (RoleChanged, ActorType::User),
            (Disabled, ActorType::User),
            (Enabled, ActorType::User),
            (PasswordChanged, ActorType::User),
            (ResetLinkCreated, ActorType::User),
            (Deleted, ActorType::User),
        ]
    );
    let imported = all
        .iter()
        .filter(|event| event.actor_type == ActorType::Operator);
    let imported: Vec<_> = imported.map(|event| (event.kind, event.user)).collect();
    let ids = [4, 5, 6].map(|id| (Registered, Some(user_id(id))));
    assert_eq!(imported, ids);

    let find = |kind| all.iter().find(|event| event.kind == kind).unwrap();
    let renamed = find(ProfileChanged);
    assert_eq!(
        (renamed.actor, renamed.credential_type),
        (Some(user_id(1)), Some(CredentialType::Password))
    );
    let names = (renamed.old_username.as_deref(), renamed.username.as_deref());
    assert_eq!(names, (Some("ada"), Some("Ada")));
    let promoted = find(RoleChanged);
    let roles = (promoted.old_role, promoted.new_role);
    assert_eq!(roles, (Some(Role::User), Some(Role::Admin)));
    let revoked = find(TokenRevoked);
    assert_eq!(revoked.token, revoked.credential_id);
    assert_eq!(revoked.token.as_ref().map(String::len), Some(12));
    assert_eq!(revoked.address, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(revoked.request_id.as_ref().map(String::len), Some(16));

    // Throttled attempts are published although the audit trail is written later.
    let mut throttled = 0;
    while throttled < 15 {
        throttled += usize::from(wrong("root").await.status == 429);
    }
    let refused = published(&mut events);
    let is_throttled = |event: &&Event| event.kind == Throttled;
    assert_eq!(refused.iter().filter(is_throttled).count(), throttled);
    all.extend(refused);
    let mut counts = HashMap::new();
    for event in &all {
        *counts.entry(event.kind).or_default() += 1;
    }
    for kind in AuditEventKind::all() {
        assert!(counts.contains_key(&kind), "{kind:?} was not published");
        let filter = AuditEventFilter {
            kind: Some(kind),
            ..AuditEventFilter::default()
        };
        eventually(kind.name(), async || {
            let rows = app.operator().audit_events(filter, None).await.unwrap();
            let recorded: i64 = rows.iter().map(|row| row.count).sum();
            assert!(recorded <= counts[&kind], "{kind:?}");
            (recorded == counts[&kind]).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_change_is_visible_when_its_event_is_read() {
    let app = TestApp::unthrottled().await;
    let (mut events, operator) = (app.events(), app.operator());
    let reader = tokio::spawn(async move {
        for _ in 0..30 {
            let event = timeout(Duration::from_mins(1), events.next()).await;
            let event = event.unwrap().unwrap().unwrap();
            assert_eq!(event.kind, AuditEventKind::Registered);
            let user = operator.user_by_id(event.user.unwrap()).await.unwrap();
            assert!(user.is_some(), "{event:?}");
            let filter = AuditEventFilter {
                user: event.user,
                ..AuditEventFilter::default()
            };
            let rows = operator.audit_events(filter, None).await.unwrap();
            assert_eq!(rows.len(), 1, "{event:?}");
        }
    });
    let names = (0..30).map(|number| format!("user-{number}"));
    futures_util::future::join_all(names.map(|name| {
        let client = app.client.clone();
        async move { client.register(&name).await }
    }))
    .await;
    reader.await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_learns_how_many_events_it_missed() {
    let app = TestApp::start().await;
    let mut events = app.events();
    let names = (1..=1500).map(|number| format!("user-{number}"));
    app.operator().import(imported(names), false).await.unwrap();
    let missed = events.next().now_or_never().unwrap();
    let missed = missed.unwrap().unwrap_err();
    assert_eq!(missed.count, 1500 - 1024);
    let rest = published(&mut events);
    let users = rest.iter().filter_map(|event| event.user);
    assert!(users.eq((1500 - 1024 + 1..=1500).map(user_id)));
}

#[tokio::test]
async fn the_stream_ends_after_the_database_is_closed() {
    let app = TestApp::start().await;
    let events = app.events();
    app.register("ada").await;
    // An application that reads events usually keeps the instance.
    let _kept = app.symbolon();
    app.stop().await;
    let all = timeout(Duration::from_secs(30), events.collect::<Vec<_>>()).await;
    let kinds = all.unwrap().into_iter().map(|event| event.unwrap().kind);
    assert_eq!(kinds.collect::<Vec<_>>(), [AuditEventKind::Registered]);
}

#[tokio::test]
async fn each_stream_begins_when_it_is_created_and_receives_all_events() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let (mut first, mut second) = (app.events(), app.events());
    let answer = Answer::of(app.post_tokens("ada")).await;
    assert_eq!(answer.status, 200);
    let first = published(&mut first);
    let kinds: Vec<_> = first.iter().map(|event| event.kind).collect();
    let expected = [AuditEventKind::SignedIn, AuditEventKind::TokenIssued];
    assert_eq!(kinds, expected);
    assert_eq!(first, published(&mut second));
}
