//! Hooks: work of an embedding application in the transactions of Symbolon.

use std::io::{self, Write};
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use symbolon::sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use symbolon::{
    Error, HookError, HookTransaction, Hooks, ImportResult, ImportedPassword, ImportedUser,
    MutationError, Registrant, Registration, Role, User, async_trait,
};

use crate::support::{Answer, PASSWORD, TestApp, end_at_commit, eventually};

/// What a hook does after it has written its row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behavior {
    Refuse,
    Fail,
    Panic,
    IgnoreAFailedStatement,
    Hang,
    /// Executes a statement that ends its own connection to PostgreSQL.
    EndConnection,
    /// Adds a row whose foreign key is checked at the commit.
    FailAtCommit,
}

const HOOKS: [&str; 5] = [
    "before_register",
    "after_register",
    "before_sign_in",
    "before_delete",
    "after_delete",
];

/// Hooks that write a row for each call. The named hook behaves as the test says.
#[derive(Clone, Default)]
struct TestHooks {
    behavior: Arc<Mutex<Option<(&'static str, Behavior)>>>,
    called: Arc<Mutex<Vec<&'static str>>>,
}

impl TestHooks {
    fn set(&self, behavior: Option<(&'static str, Behavior)>) {
        *self.behavior.lock().unwrap() = behavior;
    }

    async fn run(
        &self,
        hook: &'static str,
        transaction: &HookTransaction<'_>,
        subject: String,
    ) -> Result<(), HookError> {
        let backend = transaction.get_database_backend();
        let insert = Statement::from_sql_and_values(
            backend,
            "INSERT INTO hook_call (hook, subject) VALUES ($1, $2)",
            [hook.into(), subject.into()],
        );
        transaction.execute_raw(insert).await?;
        self.called.lock().unwrap().push(hook);
        let behavior = *self.behavior.lock().unwrap();
        match behavior.filter(|(name, _)| *name == hook) {
            None => Ok(()),
            Some((_, Behavior::Refuse)) => Err(HookError::refuse("email", "Not this one.")),
            Some((_, Behavior::Fail)) => Err(io::Error::other("a secret cause").into()),
            Some((_, Behavior::Panic)) => panic!("a hook panics"),
            Some((_, Behavior::IgnoreAFailedStatement)) => {
                let insert = "INSERT INTO hook_call (hook) VALUES (NULL) -- a secret cause";
                let statement = Statement::from_string(backend, insert);
                let has_failed = match hook {
                    "before_register" => transaction.execute_raw(statement).await.is_err(),
                    "after_register" => transaction.query_one_raw(statement).await.is_err(),
                    "after_delete" => transaction.query_all_raw(statement).await.is_err(),
                    _ => transaction.execute_unprepared(insert).await.is_err(),
                };
                assert!(has_failed);
                Ok(())
            }
            Some((_, Behavior::EndConnection)) => {
                let end = "SELECT pg_terminate_backend(pg_backend_pid())";
                transaction.execute_unprepared(end).await?;
                Ok(())
            }
            Some((_, Behavior::Hang)) => std::future::pending().await,
            Some((_, Behavior::FailAtCommit)) => {
                let insert = "INSERT INTO dangling (id, parent) VALUES (1, 2)";
                transaction.execute_unprepared(insert).await?;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Hooks for TestHooks {
    async fn before_register(
        &self,
        transaction: &HookTransaction<'_>,
        registrant: &Registrant,
    ) -> Result<(), HookError> {
        let email = registrant.email.as_deref().unwrap_or("none");
        let subject = format!("{} {email} {:?}", registrant.username, registrant.role);
        self.run("before_register", transaction, subject).await
    }

    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        // The user is visible in the transaction.
        let select = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "SELECT username FROM symbolon_user WHERE id = $1",
            [i64::from(user.id).into()],
        );
        let row = transaction.query_one_raw(select).await?;
        let username: String = row
            .ok_or_else(|| HookError::fail("no row"))?
            .try_get("", "username")?;
        let subject = format!("{} {username}", user.id);
        self.run("after_register", transaction, subject).await
    }

    async fn before_sign_in(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let last = user
            .last_sign_in_at
            .map_or("never".to_owned(), |at| at.to_rfc3339());
        let subject = format!("{} {last}", user.username);
        self.run("before_sign_in", transaction, subject).await
    }

    async fn before_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        // The user is still visible in the transaction.
        let select = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "SELECT id FROM symbolon_user WHERE id = $1",
            [i64::from(user.id).into()],
        );
        if transaction.query_one_raw(select).await?.is_none() {
            return Err(HookError::fail("no row"));
        }
        self.run("before_delete", transaction, user.username.clone())
            .await
    }

    async fn after_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        // The user is no longer visible in the transaction.
        let select = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "SELECT id FROM symbolon_user WHERE id = $1",
            [i64::from(user.id).into()],
        );
        if transaction.query_one_raw(select).await?.is_some() {
            return Err(HookError::fail("the user is visible"));
        }
        self.run("after_delete", transaction, user.username.clone())
            .await
    }
}

struct Fixture {
    app: TestApp,
    hooks: TestHooks,
    database: DatabaseConnection,
}

impl Deref for Fixture {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl Fixture {
    async fn start() -> Self {
        let hooks = TestHooks::default();
        let app = TestApp::with_hooks(hooks.clone()).await;
        let database = app.database().await;
        for table in [
            "CREATE TABLE hook_call (hook TEXT NOT NULL, subject TEXT NOT NULL)",
            "CREATE TABLE dangling (id INTEGER PRIMARY KEY,
                parent INTEGER REFERENCES dangling (id) DEFERRABLE INITIALLY DEFERRED)",
        ] {
            database.execute_unprepared(table).await.unwrap();
        }
        Self {
            app,
            hooks,
            database,
        }
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let select = Statement::from_string(self.database.get_database_backend(), sql);
        let rows = self.database.query_all_raw(select).await.unwrap();
        let texts = rows.iter().map(|row| row.try_get_by_index(0).unwrap());
        texts.collect()
    }

    async fn calls(&self) -> Vec<String> {
        let mut calls = self
            .rows("SELECT hook || ' ' || subject FROM hook_call")
            .await;
        calls.sort();
        calls
    }

    /// Returns everything that an operation can change, except the times in the table `symbolon_throttle`.
    async fn state(&self) -> Vec<Vec<String>> {
        let mut state = Vec::new();
        for sql in [
            "SELECT hook || subject FROM hook_call ORDER BY 1",
            "SELECT id || username || COALESCE(last_sign_in_at, 0) || password_hash
                || COALESCE(token_expiration, 0) FROM symbolon_user ORDER BY id",
            "SELECT id || kind || count FROM symbolon_audit_event ORDER BY id",
            "SELECT user_id || '' FROM symbolon_known_address ORDER BY 1",
            "SELECT CAST(id AS text) FROM dangling",
        ] {
            state.push(self.rows(sql).await);
        }
        state
    }

    async fn id_of(&self, username: &str) -> i64 {
        let user = self.app.operator().user(username).await.unwrap();
        user.unwrap().id.into()
    }

    async fn create(&self, username: &str) -> Answer {
        let document = "mutation($input: CreateUserInput!) {
            createUser(input: $input) { user { id } userErrors { code field message } } }";
        let email = format!("{username}@example.org");
        let input = json!({ "username": username, "email": email, "password": PASSWORD });
        let request = self.graphql_with(document, &json!({ "input": input }));
        request.send().await
    }

    /// Sends the request that causes a hook to run. `token` is a session token of `ada`.
    async fn trigger(&self, hook: &str, token: &str) -> Answer {
        match hook {
            "before_sign_in" => self.mutate_as("ada", "createToken { token }").await,
            "before_delete" | "after_delete" => {
                let delete = format!(
                    r#"deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId userErrors {{ code field message }} }}"#
                );
                self.mutate(token, &delete).await
            }
            _ => self.create("eve").await,
        }
    }
}

/// A log that a test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Returns the log of this thread from now on.
    fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Returns `code field message` of the only user error.
fn user_error(payload: &Value) -> String {
    let errors = payload["userErrors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{payload}");
    let text = |name: &str| errors[0][name].as_str().unwrap();
    format!("{} {} {}", text("code"), text("field"), text("message"))
}

#[tokio::test]
async fn rows_of_hooks_are_committed_with_the_change() {
    let app = Fixture::start().await;
    app.create("ada").await;
    app.sign_in("ada").await;
    app.advance(TimeDelta::minutes(5));
    let token = app.sign_in("ada").await;
    app.trigger("after_delete", &token).await;
    let bob = Registration {
        username: "bob".to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    };
    let operator = app.operator();
    let bob = operator.add_user(&bob, Role::Admin).await.unwrap();
    operator.set_role(bob.id, Role::User).await.unwrap_err();
    // These requests reach no hook.
    app.create("bob").await;
    app.create("two words").await;
    app.me(&token).await;
    assert_eq!(
        app.calls().await,
        [
            "after_delete ada",
            "after_register 1 ada",
            "after_register 2 bob",
            "before_delete ada",
            "before_register ada ada@example.org User",
            "before_register bob none Admin",
            "before_sign_in ada 2026-01-01T00:00:00+00:00",
            "before_sign_in ada never",
        ]
    );
}

#[tokio::test]
async fn operations_of_admins_run_the_hooks() {
    let app = Fixture::start().await;
    app.register("root").await;
    app.make_admin(1).await;
    let invite = r#"inviteUser(input: { username: "eve", role: ADMIN })
        { user { id } userErrors { code field message } }"#;
    app.hooks.set(Some(("after_register", Behavior::Refuse)));
    let refused = app.mutate_as("root", invite).await;
    let error = user_error(refused.at("/data/inviteUser"));
    assert_eq!(error, "INVALID email Not this one.");
    app.hooks.set(None);
    // The second invitation of a user registers nobody.
    let invited = app.mutate_as("root", invite).await;
    let id = invited.string("/data/inviteUser/user/id");
    let again = app.mutate_as("root", invite).await;
    assert_eq!(again.at("/data/inviteUser/user/id"), id);
    let delete = format!(r#"deleteUser(input: {{ id: "{id}" }}) {{ deletedUserId }}"#);
    let deleted = app.mutate_as("root", &delete).await;
    assert_eq!(deleted.at("/data/deleteUser/deletedUserId"), id);
    let calls = app.calls().await;
    let of_eve: Vec<_> = calls.iter().filter(|call| call.contains(" eve")).collect();
    assert_eq!(
        of_eve,
        [
            "after_delete eve",
            &format!("after_register {id} eve"),
            "before_delete eve",
            "before_register eve none Admin"
        ]
    );
}

#[tokio::test]
async fn a_refusal_is_a_field_error_and_undoes_the_change() {
    let app = Fixture::start().await;
    app.create("ada").await;
    let token = app.sign_in("ada").await;
    let state = app.state().await;
    let mut events = app.events();
    for (hook, payload) in [
        ("before_register", "/data/createUser"),
        ("after_register", "/data/createUser"),
        ("before_delete", "/data/deleteUser"),
        ("after_delete", "/data/deleteUser"),
    ] {
        app.hooks.set(Some((hook, Behavior::Refuse)));
        let answer = app.trigger(hook, &token).await;
        let error = user_error(answer.at(payload));
        assert_eq!(error, "INVALID email Not this one.", "{hook}");
        assert_eq!(app.state().await, state, "{hook}");
        let new = Registration {
            username: "eve".to_owned(),
            email: None,
            password: PASSWORD.to_owned(),
        };
        let operator = app.operator();
        let refused = match hook {
            "before_delete" | "after_delete" => operator.delete("1".parse().unwrap()).await.err(),
            _ => operator.add_user(&new, Role::User).await.err(),
        };
        let is_field_error =
            matches!(&refused, Some(MutationError::Fields(errors)) if errors.len() == 1);
        assert!(is_field_error, "{hook}: {refused:?}");
        assert_eq!(app.state().await, state, "{hook}");
    }
    assert!(events.next().now_or_never().is_none());
    assert!(app.accepts(&token).await);
}

#[tokio::test]
async fn a_failing_hook_undoes_the_change_and_is_logged_but_not_sent() {
    let app = Fixture::start().await;
    app.create("ada").await;
    let token = app.sign_in("ada").await;
    let state = app.state().await;
    let mut events = app.events();
    let (log, _guard) = Log::of_this_thread();
    for hook in HOOKS {
        for (behavior, cause) in [
            (Behavior::Fail, "a secret cause"),
            (Behavior::Panic, "it panicked"),
            (Behavior::IgnoreAFailedStatement, "hook_call"),
            (Behavior::FailAtCommit, "foreign key"),
        ] {
            app.hooks.set(Some((hook, behavior)));
            let answer = app.trigger(hook, &token).await;
            let case = format!("{hook} {behavior:?}: {answer:?}");
            if behavior == Behavior::FailAtCommit && hook.ends_with("_delete") {
                // The database does not report which foreign key is violated.
                let error = user_error(answer.at("/data/deleteUser"));
                assert!(error.starts_with("IN_USE id "), "{case}");
                assert_eq!(app.state().await, state, "{case}");
                continue;
            }
            assert_eq!(answer.error(), ("INTERNAL_SERVER_ERROR", ""), "{case}");
            let id = answer.header("x-request-id");
            assert_eq!(answer.at("/errors/0/extensions/requestId"), id, "{case}");
            let sent = answer.body.to_string().to_lowercase();
            assert!(!sent.contains("hook") && !sent.contains(cause), "{case}");
            let log = log.text();
            let mut lines = log.lines().filter(|line| line.contains(id));
            let line = lines.find(|line| line.contains("internal error"));
            let line = line.unwrap_or_else(|| panic!("{case}: {log}"));
            assert!(line.to_lowercase().contains(cause), "{case}: {line}");
            let names_hook = matches!(behavior, Behavior::Fail | Behavior::Panic);
            assert!(!names_hook || line.contains(hook), "{case}: {line}");
            assert_eq!(app.state().await, state, "{case}");
        }
    }
    assert!(events.next().now_or_never().is_none());
    // The connections are usable, and nothing remains of the failed attempts.
    app.hooks.set(None);
    for hook in HOOKS {
        // The deletion runs both hooks.
        if hook != "after_delete" {
            let answer = app.trigger(hook, &token).await;
            assert_eq!(answer.at("/errors"), &Value::Null, "{hook}: {answer:?}");
        }
        let call = format!("{hook} ");
        let calls = app.calls().await;
        assert!(
            calls.iter().any(|made| made.starts_with(&call)),
            "{calls:?}"
        );
    }
    assert!(!app.accepts(&token).await);
}

#[tokio::test]
async fn a_refused_sign_in_says_why_and_has_no_effect() {
    let app = Fixture::start().await;
    app.create("ada").await;
    let token = app.sign_in("ada").await;
    let state = app.state().await;
    let mut events = app.events();
    app.hooks.set(Some(("before_sign_in", Behavior::Refuse)));
    // More attempts than the rate limit of an account allows.
    for attempt in 0..30 {
        let answer = match attempt % 4 {
            0 => app.mutate_as("ada", "createToken { token }").await,
            1 => {
                let create = r#"createToken(device: "phone") { token }"#;
                app.mutate_as("ada", create).await
            }
            2 => {
                let create = r#"createAccessToken(input: { name: "x" }) { token }"#;
                app.mutate_as("ada", create).await
            }
            _ => {
                let answer = Answer::of(app.post_tokens("ada")).await;
                assert_eq!(answer.status, 403, "{answer:?}");
                assert_eq!(answer.header("www-authenticate"), "");
                assert_eq!(answer.at("/code"), "FORBIDDEN");
                assert_eq!(answer.at("/reason"), "SIGN_IN_REFUSED");
                assert_eq!(answer.at("/message"), "Not this one.");
                continue;
            }
        };
        assert_eq!(answer.error(), ("FORBIDDEN", "SIGN_IN_REFUSED"));
        assert_eq!(answer.at("/errors/0/message"), "Not this one.");
    }
    assert_eq!(app.state().await, state);
    assert!(events.next().now_or_never().is_none());
    // A token that was issued earlier stays valid, and renewing it is not a sign-in.
    let renewed = app.mutate(&token, "renewToken { token }").await;
    assert_eq!(renewed.at("/errors"), &Value::Null);
    // Only the right password leads to the hook.
    let wrong = app.graphql("mutation { createToken { token } }");
    let wrong = wrong.basic("ada", "wrong").send().await;
    assert_eq!(wrong.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    app.app
        .operator()
        .disable("1".parse().unwrap())
        .await
        .unwrap();
    let disabled = app.trigger("before_sign_in", &token).await;
    assert_eq!(disabled.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
}

#[tokio::test]
async fn a_request_with_several_fields_signs_in_once() {
    let app = Fixture::start().await;
    app.create("ada").await;
    let fields = r#"a: createAccessToken(input: { name: "a" }) { token }
        b: createAccessToken(input: { name: "b" }) { token } createToken { token }"#;
    let answer = app.mutate_as("ada", fields).await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    let calls = app.calls().await;
    let sign_ins = calls
        .iter()
        .filter(|call| call.starts_with("before_sign_in"));
    assert_eq!(sign_ins.count(), 1, "{calls:?}");
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_and_releases_the_database() {
    let app = Fixture::start().await;
    app.hooks.set(Some(("after_register", Behavior::Hang)));
    let (answer, ()) = tokio::join!(app.create("eve"), async {
        eventually("the hook is running", async || {
            let hooks = app.hooks.called.lock().unwrap();
            hooks.contains(&"after_register").then_some(())
        })
        .await;
        app.hooks.set(None);
    });
    assert_eq!(answer.error(), ("INTERNAL_SERVER_ERROR", ""));
    assert_eq!(app.calls().await, [""; 0]);
    let answer = app.create("eve").await;
    assert_eq!(answer.at("/data/createUser/userErrors"), &json!([]));
}

#[tokio::test]
async fn an_import_runs_the_hooks_of_each_user_or_adds_none() {
    let app = Fixture::start().await;
    let users = ["ada", "bob"].map(|username| {
        ImportedUser::new(
            username.to_owned(),
            ImportedPassword::Plain(PASSWORD.to_owned()),
        )
    });
    let import = async || app.operator().import(users.to_vec(), false).await;
    let state = app.state().await;
    let mut events = app.events();
    for hook in ["before_register", "after_register"] {
        app.hooks.set(Some((hook, Behavior::Refuse)));
        let refused = import().await.unwrap_err();
        let message = "ada: Not this one.";
        assert!(
            matches!(&refused, Error::BadUserInput(text) if text == message),
            "{refused:?}"
        );
        app.hooks.set(Some((hook, Behavior::Fail)));
        let failed = import().await.unwrap_err();
        assert!(matches!(failed, Error::Internal(_)), "{failed:?}");
        assert_eq!(app.state().await, state, "{hook}");
    }
    assert!(events.next().now_or_never().is_none());
    app.hooks.set(None);
    let results = import().await.unwrap();
    assert!(
        results
            .iter()
            .all(|result| matches!(result, ImportResult::Added { .. }))
    );
    let calls = app.calls().await;
    let hooks: Vec<_> = calls
        .iter()
        .map(|call| call.split(' ').next().unwrap())
        .collect();
    let [before, after] = ["before_register", "after_register"];
    assert_eq!(hooks, [after, after, before, before]);
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn a_hook_that_loses_its_connection_is_no_internal_error() {
        let app = Fixture::start().await;
        let state = app.state().await;
        app.hooks
            .set(Some(("after_register", Behavior::EndConnection)));
        let answer = app.create("eve").await;
        assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
        app.hooks.set(None);
        assert_eq!(app.state().await, state);
    }

    #[tokio::test]
    async fn a_commit_with_an_unknown_outcome_publishes_no_event() {
        let app = Fixture::start().await;
        let mut events = app.events();
        let end = end_at_commit("INSERT ON hook_call");
        app.database.execute_unprepared(&end).await.unwrap();
        let answer = app.create("eve").await;
        assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
        let message = answer.string("/errors/0/message");
        assert!(message.contains("may or may not"), "{message}");
        let remove = "DROP TRIGGER end_at_commit ON hook_call";
        app.database.execute_unprepared(remove).await.unwrap();
        app.create("ada").await;
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.user.map(i64::from), Some(app.id_of("ada").await));
        assert!(events.next().now_or_never().is_none());
    }
}
