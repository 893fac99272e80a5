//! SQLite on a full or failing disk: acknowledged writes are stored, refused writes have no effect, and
//! writes succeed without a restart once the disk works again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, Injection, PASSWORD, Server, SmallDisk, StoredUser, database_files, digest_prefix,
    empty_the_journal, finish_with, is_exhaustive, unconfigured_symbolon, unthrottled,
};

/// The longest time from the repair of the disk until a write succeeds.
const RECOVERS_WITHIN: Duration = Duration::from_secs(5);

/// The message that is logged once when writes begin to fail.
pub const BEGIN: &str = "the database cannot be written to";

/// The message that is logged once when writes succeed again.
pub const END: &str = "the database can be written to again";

/// The causes of a failed write. The log names one of them for each outage.
const CAUSES: &[&str] = &[
    "database or disk is full",
    "disk I/O error",
    "internal error",
    "panicked",
];

/// Part of the message of an error whose write may have taken effect.
const UNKNOWN: &str = "may or may not";

const OTHER_PASSWORD: &str = "another horse battery staple";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Credentials {
    None,
    Password,
    Session,
    Admin,
    AdminPassword,
}

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    /// A document. `NAME` and `ID` are the name and the id of the user, `ACCESS` is the id of an access token,
    /// `SESSION` is the id of a session, `LINK` is a one-time token, and `NEW` is an unused name.
    Graphql(&'static str),
    /// `POST /tokens`.
    Post,
    /// `DELETE /tokens`.
    Delete,
}

/// A request that writes to the database.
struct Write {
    /// The name of the mutation or endpoint.
    name: &'static str,
    credentials: Credentials,
    endpoint: Endpoint,
    took_effect: fn(&StoredUser, &StoredUser) -> bool,
}

const fn graphql(
    name: &'static str,
    credentials: Credentials,
    document: &'static str,
    took_effect: fn(&StoredUser, &StoredUser) -> bool,
) -> Write {
    Write {
        name,
        credentials,
        endpoint: Endpoint::Graphql(document),
        took_effect,
    }
}

/// Every mutation of the schema, and the REST endpoints.
const WRITES: &[Write] = &[
    graphql(
        "createUser",
        Credentials::None,
        r#"createUser(input: { username: "NEW", password: "correct horse battery staple" }) { user { id } userErrors { code } }"#,
        |_, after| after.user.is_some(),
    ),
    graphql(
        "createToken",
        Credentials::Password,
        "createToken(fresh: true) { token }",
        |before, after| {
            let digest = |state: &StoredUser| {
                state
                    .user
                    .as_ref()
                    .and_then(|user| user.token_digest.clone())
            };
            after.has_session() && digest(before) != digest(after)
        },
    ),
    graphql(
        "revokeToken",
        Credentials::Session,
        "revokeToken",
        |_, after| after.user.is_some() && !after.has_session(),
    ),
    graphql(
        "renewToken",
        Credentials::Session,
        "renewToken { expiresAt }",
        |before, after| {
            let expiration =
                |state: &StoredUser| state.user.as_ref().and_then(|user| user.token_expiration);
            after.has_session() && expiration(after) > expiration(before)
        },
    ),
    graphql(
        "revokeSession",
        Credentials::Password,
        r#"revokeSession(id: "SESSION")"#,
        |_, after| after.user.is_some() && !after.has_session(),
    ),
    graphql(
        "revokeOtherSessions",
        Credentials::Password,
        "revokeOtherSessions",
        |_, after| after.user.is_some() && !after.has_session(),
    ),
    graphql(
        "revokeAllTokens",
        Credentials::Session,
        "revokeAllTokens",
        ends_all,
    ),
    graphql(
        "createAccessToken",
        Credentials::Password,
        r#"createAccessToken(input: { name: "second" }) { token userErrors { code } }"#,
        |before, after| after.access_tokens.len() == before.access_tokens.len() + 1,
    ),
    graphql(
        "revokeAccessToken",
        Credentials::Session,
        r#"revokeAccessToken(id: "ACCESS")"#,
        |_, after| after.access_tokens.is_empty() && after.has_session(),
    ),
    graphql(
        "changePassword",
        Credentials::Session,
        r#"changePassword(input: { currentPassword: "correct horse battery staple", newPassword: "another horse battery staple" }) { token { token } userErrors { code } }"#,
        |before, after| has_another_password(before, after) && after.has_session(),
    ),
    graphql(
        "updateUser",
        Credentials::Password,
        r#"updateUser(input: { email: "NAME@example.org" }) { user { id } userErrors { code } }"#,
        |_, after| after.user.as_ref().is_some_and(|user| user.email.is_some()),
    ),
    graphql(
        "deleteUser",
        Credentials::Session,
        r#"deleteUser(input: { password: "correct horse battery staple" }) { deletedUserId userErrors { code } }"#,
        |_, after| after.user.is_none() && after.access_tokens.is_empty(),
    ),
    graphql(
        "setUserRole",
        Credentials::AdminPassword,
        r#"setUserRole(id: "ID", role: ADMIN) { user { id } userErrors { code } }"#,
        |_, after| {
            let user = after.user.as_ref();
            user.is_some_and(|user| user.role == entity::user::Role::Admin)
        },
    ),
    graphql(
        "setUserPassword",
        Credentials::AdminPassword,
        r#"setUserPassword(input: { id: "ID", newPassword: "another horse battery staple" }) { user { id } userErrors { code } }"#,
        |before, after| has_another_password(before, after) && ends_all(before, after),
    ),
    graphql(
        "disableUser",
        Credentials::Admin,
        r#"disableUser(id: "ID") { user { id } userErrors { code } }"#,
        |before, after| is_disabled(after) && ends_all(before, after),
    ),
    graphql(
        ENABLE,
        Credentials::AdminPassword,
        r#"enableUser(id: "ID") { user { id } userErrors { code } }"#,
        |_, after| after.user.is_some() && !is_disabled(after),
    ),
    graphql(
        "createResetLink",
        Credentials::AdminPassword,
        r#"createResetLink(id: "ID") { link { url } userErrors { code } }"#,
        |before, after| {
            after.one_time_tokens.len() == 1 && before.one_time_tokens != after.one_time_tokens
        },
    ),
    graphql(
        "inviteUser",
        Credentials::AdminPassword,
        r#"inviteUser(input: { username: "NEW" }) { user { id } userErrors { code } }"#,
        |_, after| after.user.is_some() && after.one_time_tokens.len() == 1,
    ),
    graphql(
        RESET,
        Credentials::None,
        r#"resetPassword(token: "LINK", newPassword: "another horse battery staple") { user { id } userErrors { code } }"#,
        |before, after| {
            let is_used = after
                .one_time_tokens
                .iter()
                .all(|token| token.used_at.is_some());
            is_used && has_another_password(before, after) && ends_all(before, after)
        },
    ),
    graphql(
        "revokeUserTokens",
        Credentials::Admin,
        r#"revokeUserTokens(id: "ID")"#,
        ends_all,
    ),
    Write {
        name: "POST /tokens",
        credentials: Credentials::Password,
        endpoint: Endpoint::Post,
        took_effect: |before, after| {
            let last =
                |state: &StoredUser| state.user.as_ref().and_then(|user| user.last_sign_in_at);
            after.has_session() && last(after) > last(before)
        },
    },
    Write {
        name: "DELETE /tokens",
        credentials: Credentials::Session,
        endpoint: Endpoint::Delete,
        took_effect: |_, after| after.user.is_some() && !after.has_session(),
    },
];

/// This mutation requires a one-time token.
const RESET: &str = "resetPassword";

/// This mutation requires a disabled user.
const ENABLE: &str = "enableUser";

fn ends_all(_: &StoredUser, after: &StoredUser) -> bool {
    after.user.is_some() && !after.has_session() && after.access_tokens.is_empty()
}

fn has_another_password(before: &StoredUser, after: &StoredUser) -> bool {
    let hash = |state: &StoredUser| state.user.as_ref().map(|user| user.password_hash.clone());
    hash(after).is_some() && hash(after) != hash(before)
}

fn is_disabled(state: &StoredUser) -> bool {
    let user = state.user.as_ref();
    user.is_some_and(|user| user.disabled_at.is_some())
}

/// Returns whether a write creates the user that it concerns.
fn creates_user(write: &Write) -> bool {
    ["createUser", "inviteUser"].contains(&write.name)
}

fn named(name: &str) -> &'static Write {
    WRITES.iter().find(|write| write.name == name).unwrap()
}

/// The outcome of a write according to the response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Acknowledged,
    MutationError,
    /// The response says that the write may or may not have taken effect.
    Unknown,
}

/// Returns a response without the parts that differ between requests.
fn unexpected(answer: &Answer) -> String {
    let code = answer.at("/errors/0/extensions/code");
    match code.as_str().or(answer.at("/code").as_str()) {
        Some(code) => format!("answers {} {code}", answer.status),
        None => format!("answers {} {}", answer.status, answer.body),
    }
}

fn outcome(write: &Write, answer: &Answer) -> Result<Outcome, String> {
    let unexpected = || Err(unexpected(answer));
    let failed = |message: &Value| {
        let message = message.as_str().unwrap_or_default();
        if message.contains(UNKNOWN) {
            Outcome::Unknown
        } else {
            Outcome::MutationError
        }
    };
    match write.endpoint {
        Endpoint::Post | Endpoint::Delete => match answer.status.as_u16() {
            200 | 204 => Ok(Outcome::Acknowledged),
            503 if answer.at("/code") == "SERVICE_UNAVAILABLE" => Ok(failed(answer.at("/message"))),
            _ => unexpected(),
        },
        Endpoint::Graphql(_) => {
            if answer.at("/errors").is_array() {
                let code = answer.at("/errors/0/extensions/code");
                if code != "SERVICE_UNAVAILABLE" || !answer.at("/errors/1").is_null() {
                    return unexpected();
                }
                return Ok(failed(answer.at("/errors/0/message")));
            }
            let data = answer.at(&format!("/data/{}", write.name));
            let has_errors = data["userErrors"]
                .as_array()
                .is_some_and(|errors| !errors.is_empty());
            if data.is_null() || data == false || has_errors {
                return unexpected();
            }
            Ok(Outcome::Acknowledged)
        }
    }
}

/// A user that a write changes.
#[derive(Clone, Debug)]
struct Subject {
    name: String,
    id: String,
    session: String,
    access: String,
    /// The token of a reset link, if the write requires one.
    link: String,
}

/// The outcome of a write according to its answer, and the state before it.
struct Promise {
    write: &'static Write,
    /// The user that the write changes.
    name: String,
    before: StoredUser,
    outcome: Outcome,
}

impl Promise {
    fn violation(&self, now: &StoredUser) -> Option<String> {
        let (is_as_before, is_done) = (
            *now == self.before,
            (self.write.took_effect)(&self.before, now),
        );
        let what = match self.outcome {
            Outcome::Acknowledged if !is_done => "was acknowledged and is lost",
            Outcome::MutationError if !is_as_before => "was refused and has taken effect",
            Outcome::Unknown if !is_as_before && !is_done => "has taken effect in part",
            _ => return None,
        };
        Some(format!("{} of {} {what}", self.write.name, self.name))
    }
}

/// The kind of a disk fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Full,
    Call {
        call: &'static str,
        error: &'static str,
    },
}

/// The end of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// The disk works again.
    Repaired,
    /// The server is killed during the fault and started on a working disk.
    Killed,
}

/// A server, and the outcomes of all answered writes.
struct Scenario {
    server: Server,
    folder: TempDir,
    disk: Option<SmallDisk>,
    admin: Subject,
    bystander: Subject,
    subjects: usize,
    promises: Vec<Promise>,
}

impl Scenario {
    async fn start(disk: Option<SmallDisk>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = file_on(disk.as_ref(), &folder);
        let server = serve(&folder, &file);
        let unset = Subject {
            name: String::new(),
            id: String::new(),
            session: String::new(),
            access: String::new(),
            link: String::new(),
        };
        let mut scenario = Self {
            server,
            folder,
            disk,
            admin: unset.clone(),
            bystander: unset,
            subjects: 0,
            promises: Vec::new(),
        };
        scenario.admin = scenario.subject().await;
        scenario.bystander = scenario.subject().await;
        let (code, _, error) =
            scenario.command(&["user", "set-role", &scenario.admin.name, "admin"], "");
        assert_eq!(code, Some(0), "{error}");
        scenario
    }

    fn file(&self) -> PathBuf {
        file_on(self.disk.as_ref(), &self.folder)
    }

    /// Runs a command beside the server. Returns the exit code, standard output and standard error.
    fn command(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = unconfigured_symbolon(self.folder.path());
        command
            .env(
                "DATABASE_URL",
                format!("sqlite://{}", self.file().display()),
            )
            .env("SYMBOLON_ARGON2_MEMORY", "8")
            .env("SYMBOLON_ARGON2_ITERATIONS", "1");
        finish_with(command.args(arguments), input)
    }

    fn kill_and_start(&mut self) {
        self.server.process.signal("KILL");
        self.server.process.wait(Duration::from_secs(10));
        self.server = serve(&self.folder, &self.file());
    }

    /// Creates a user with a session token and an access token.
    async fn subject(&mut self) -> Subject {
        self.subjects += 1;
        let name = format!("subject{}", self.subjects);
        let registered = self.server.registration(&name).send().await;
        let id = registered.at("/data/createUser/user/id").as_str();
        let id = id.unwrap_or_else(|| panic!("{registered:?}")).to_owned();
        let session = self.server.sign_in(&name).await;
        let document =
            r#"mutation { createAccessToken(input: { name: "first" }) { accessToken { id } } }"#;
        let made = self
            .server
            .graphql(document)
            .basic(&name, PASSWORD)
            .send()
            .await;
        let access = made.at("/data/createAccessToken/accessToken/id").as_str();
        let access = access.unwrap_or_else(|| panic!("{made:?}")).to_owned();
        Subject {
            name,
            id,
            session,
            access,
            link: String::new(),
        }
    }

    /// Creates a user for this write.
    async fn subject_of(&mut self, write: &Write) -> Subject {
        let mut subject = self.subject().await;
        if write.name == RESET {
            let document = format!(
                r#"mutation {{ createResetLink(id: "{}") {{ link {{ token }} }} }}"#,
                subject.id
            );
            let request = self.server.graphql(&document);
            let answer = request.basic(&self.admin.name, PASSWORD).send().await;
            let token = answer.string("/data/createResetLink/link/token");
            token.clone_into(&mut subject.link);
        }
        if write.name == ENABLE {
            let document = format!(
                r#"mutation {{ disableUser(id: "{}") {{ user {{ id }} }} }}"#,
                subject.id
            );
            let request = self.server.graphql(&document).bearer(&self.admin.session);
            let answer = request.send().await;
            assert!(
                answer.at("/data/disableUser/user/id").is_string(),
                "{answer:?}"
            );
        }
        subject
    }

    fn request(&self, write: &Write, subject: &Subject, new: &str) -> RequestBuilder {
        let request = match write.endpoint {
            Endpoint::Graphql(document) => {
                let document = document
                    .replace("NAME", &subject.name)
                    .replace("ID", &subject.id)
                    .replace("ACCESS", &subject.access)
                    .replace("LINK", &subject.link)
                    .replace("SESSION", &digest_prefix(&subject.session))
                    .replace("NEW", new);
                let body = json!({ "query": format!("mutation {{ {document} }}") });
                self.server.request(Method::POST, "/graphql").json(&body)
            }
            Endpoint::Post => self.server.request(Method::POST, "/tokens"),
            Endpoint::Delete => self.server.request(Method::DELETE, "/tokens"),
        };
        let request = request.timeout(Duration::from_mins(1));
        match write.credentials {
            Credentials::None => request,
            Credentials::Password => request.basic_auth(&subject.name, Some(PASSWORD)),
            Credentials::Session => request.bearer_auth(&subject.session),
            Credentials::Admin => request.bearer_auth(&self.admin.session),
            Credentials::AdminPassword => request.basic_auth(&self.admin.name, Some(PASSWORD)),
        }
    }

    async fn send(&self, write: &Write, subject: &Subject, new: &str) -> Result<Outcome, String> {
        let answer = Answer::try_of(self.request(write, subject, new)).await;
        let answer = answer.map_err(|error| format!("is not answered: {error}"))?;
        outcome(write, &answer)
    }

    /// Returns whether the server accepts this session.
    async fn accepts(&self, session: &str) -> Result<bool, String> {
        let body = json!({ "query": "{ me { username } }" });
        let request = self.server.request(Method::POST, "/graphql").json(&body);
        let request = request.bearer_auth(session).timeout(Duration::from_mins(1));
        let answer = Answer::try_of(request).await;
        let answer = answer.map_err(|error| format!("is not answered: {error}"))?;
        if answer.at("/data/me/username").is_string() {
            Ok(true)
        } else if answer.at("/errors/0/extensions/code") == "UNAUTHENTICATED" {
            Ok(false)
        } else {
            Err(unexpected(&answer))
        }
    }

    /// Returns the difference between server and database on whether a session is live.
    async fn disagreement(&self, subject: &Subject) -> Option<String> {
        let accepted = self.accepts(&subject.session).await;
        let is_live = StoredUser::of(&self.file(), &subject.name)
            .await
            .has_live_session(&subject.session);
        match accepted {
            Ok(accepted) if accepted == is_live => None,
            Ok(true) => Some(format!("the ended session of {} is let in", subject.name)),
            Ok(false) => Some(format!("the live session of {} is refused", subject.name)),
            Err(error) => Some(format!("me of {} {error}", subject.name)),
        }
    }

    /// Compares the database with the promises from this index on.
    async fn broken_promises(&self, first: usize) -> Vec<String> {
        let promises = &self.promises[first..];
        let names: Vec<_> = promises
            .iter()
            .map(|promise| promise.name.as_str())
            .collect();
        let states = StoredUser::of_each(&self.file(), &names).await;
        let violations = promises.iter().zip(&states);
        violations
            .filter_map(|(promise, now)| promise.violation(now))
            .collect()
    }

    fn promise(&mut self, write: &'static Write, name: &str, before: StoredUser, outcome: Outcome) {
        let name = name.to_owned();
        self.promises.push(Promise {
            write,
            name,
            before,
            outcome,
        });
    }

    /// Makes `count` consecutive writes fail, repairs the disk, and writes again. Prints a row of a table
    /// and returns the violations.
    async fn cell(
        &mut self,
        write: &'static Write,
        fault: Fault,
        count: usize,
        ends: Ends,
    ) -> Vec<String> {
        let started = Instant::now();
        let (first, mut violations) = (self.promises.len(), Vec::new());
        let subject = self.subject_of(write).await;
        let unread = self.subject().await;
        let mut spare = Vec::new();
        for _ in 0..3 {
            spare.push(self.subject_of(write).await);
        }
        let mut later = spare.remove(0);
        let before = StoredUser::of(&self.file(), &subject.name).await;
        let earlier_log = self.server.log().len();

        let mut injection = None;
        match fault {
            Fault::Full => {
                empty_the_journal(&self.file()).await;
                self.disk.as_ref().unwrap().fill();
            }
            Fault::Call { call, error } => {
                let trace = self.folder.path().join("trace");
                let process = self.server.process.id();
                let files = database_files(&self.file());
                injection = Some(Injection::begin(process, &files, call, error, &trace));
            }
        }
        let (mut refused, mut unknown, mut acknowledged, mut others) = (0, 0, 0, 0);
        let (mut subject_is_settled, mut last) = (false, None);
        for attempt in 0..count {
            // A write that can have taken effect is not repeated, except a registration, which uses a
            // new name.
            let write = if subject_is_settled {
                named("createUser")
            } else {
                write
            };
            let new = format!("{}-{attempt}", subject.name);
            let is_new = creates_user(write);
            let before = if is_new {
                StoredUser {
                    user: None,
                    access_tokens: Vec::new(),
                    sessions: Vec::new(),
                    one_time_tokens: Vec::new(),
                }
            } else {
                before.clone()
            };
            match self.send(write, &subject, &new).await {
                Ok(outcome) => {
                    match outcome {
                        Outcome::MutationError => refused += 1,
                        Outcome::Unknown => unknown += 1,
                        Outcome::Acknowledged => acknowledged += 1,
                    }
                    if is_new {
                        self.promise(write, &new, before, outcome);
                    } else {
                        subject_is_settled = outcome != Outcome::MutationError;
                        last = Some((before, outcome));
                    }
                }
                Err(error) => {
                    others += 1;
                    violations.push(format!("{} {error}", write.name));
                    // This response does not say that the write can have taken effect.
                    if is_new {
                        self.promise(write, &new, before, Outcome::MutationError);
                    } else {
                        last = Some((before, Outcome::MutationError));
                    }
                }
            }
        }
        if let Some((before, outcome)) = last {
            self.promise(write, &subject.name, before, outcome);
        }
        if fault == Fault::Full && acknowledged == count {
            violations.push("no write failed on a full disk".to_owned());
        }

        // Reads succeed.
        let bystander = self.bystander.clone();
        for subject in [&bystander, &bystander, &unread, &subject] {
            violations.extend(self.disagreement(subject).await);
        }
        let has_failed = refused + unknown + others > 0;
        if has_failed {
            let log = self.log_from(earlier_log, BEGIN).await;
            let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
            if lines(BEGIN) != 1 {
                violations.push(format!("the log says {} times that {BEGIN}", lines(BEGIN)));
            }
            if lines(END) != 0 {
                violations.push(format!("the log says too early that {END}"));
            }
            let is_about = |line: &&str| CAUSES.iter().any(|cause| line.contains(cause));
            let about = log.lines().filter(is_about).count();
            if about > 1 {
                violations.push(format!("the log names the cause {about} times"));
            }
        }

        let recovers = Instant::now();
        if ends == Ends::Killed {
            self.server.process.signal("KILL");
            self.server.process.wait(Duration::from_secs(10));
        }
        let injected = injection.map(Injection::end);
        if fault == Fault::Full {
            self.disk.as_ref().unwrap().free();
        }
        if ends == Ends::Killed {
            self.server = serve(&self.folder, &self.file());
        }
        loop {
            let before = StoredUser::of(&self.file(), &later.name).await;
            let new = format!("{}-new", later.name);
            let (name, before) = if creates_user(write) {
                (new.clone(), StoredUser::of(&self.file(), &new).await)
            } else {
                (later.name.clone(), before)
            };
            match self.send(write, &later, &new).await {
                Ok(Outcome::Acknowledged) => {
                    self.promise(write, &name, before, Outcome::Acknowledged);
                    break;
                }
                Ok(Outcome::Unknown) => {
                    self.promise(write, &name, before, Outcome::Unknown);
                    let Some(next) = spare.pop() else {
                        violations.push("nothing is known for sure after the repair".to_owned());
                        break;
                    };
                    later = next;
                }
                Ok(Outcome::MutationError) => {}
                Err(error) => {
                    violations.push(format!("after the repair, {} {error}", write.name));
                    break;
                }
            }
            if recovers.elapsed() > RECOVERS_WITHIN {
                violations.push(format!("{} is still refused after the repair", write.name));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let recovered = recovers.elapsed();
        violations.extend(self.broken_promises(first).await);
        violations.extend(self.disagreement(&later).await);
        violations.extend(self.disagreement(&subject).await);
        if has_failed && ends == Ends::Repaired {
            let log = self.log_from(earlier_log, END).await;
            let lines = log.lines().filter(|line| line.contains(END));
            let count = lines.clone().filter(|line| line.contains("INFO")).count();
            if (count, lines.count()) != (1, 1) {
                violations.push(format!("the log says {count} times that {END}"));
            }
        }
        let fault = match fault {
            Fault::Full => "full".to_owned(),
            Fault::Call { call, error } => format!("{error} {call}"),
        };
        let injected = injected.map_or_else(|| "-".to_owned(), |injected| injected.to_string());
        println!(
            "{fault:16} {:17} {count:2} {ends:8} failed calls {injected:>4}  refused {refused:2}  unknown {unknown:2}  acknowledged {acknowledged:2}  other {others:2}  back {:5} ms  took {:5} ms  {}",
            write.name,
            recovered.as_millis(),
            started.elapsed().as_millis(),
            if violations.is_empty() {
                "ok"
            } else {
                "VIOLATED"
            },
            ends = format!("{ends:?}"),
        );
        if !violations.is_empty() {
            // The next cell starts with a working server and reports its own violations only.
            self.promises.truncate(first);
            self.kill_and_start();
        }
        let cell = format!("{fault} x {count}, {ends:?}, {}", write.name);
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for violation in violations {
            *times.entry(violation).or_default() += 1;
        }
        let violations = times.into_iter();
        violations
            .map(|(violation, times)| format!("{cell}: {violation} ({times} times)"))
            .collect()
    }

    /// Returns the log from this offset on, once it contains `text` or after 1.5 s.
    async fn log_from(&self, start: usize, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_millis(1500);
        loop {
            let log = self.server.log();
            let log = log.get(start..).unwrap_or_default();
            let is_there = log.contains(text);
            if is_there {
                // A wrong second line would be logged within this time.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let log = self.server.log();
                return log.get(start..).unwrap_or_default().to_owned();
            }
            if Instant::now() > deadline {
                return log.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs commands, kills the server, stops it, and compares the database with every acknowledged
    /// write.
    async fn close(mut self) -> Vec<String> {
        let mut violations = Vec::new();
        let (code, listed, error) = self.command(&["user", "list"], "");
        if code != Some(0) || !listed.contains(&self.bystander.name) {
            violations.push(format!("user list: {code:?} {error}"));
        }
        let (code, _, error) = self.command(&["user", "add", "operated"], PASSWORD);
        if code != Some(0) {
            violations.push(format!("user add: {code:?} {error}"));
        }
        self.kill_and_start();
        violations.extend(self.broken_promises(0).await);
        self.server.process.signal("TERM");
        let ended = self.server.process.wait(Duration::from_secs(20));
        if !ended.success() {
            violations.push(format!("the server ended with {ended}"));
        }
        self.server = serve(&self.folder, &self.file());
        violations.extend(self.broken_promises(0).await);
        let registered = self.promises.iter().filter(|promise| {
            promise.write.name == "createUser" && promise.outcome == Outcome::Acknowledged
        });
        let registered = registered.map(|promise| promise.name.as_str());
        for name in registered.chain(["operated"]) {
            let answer = Answer::of(self.server.post_tokens(name)).await;
            if !answer.at("/token").is_string() {
                violations.push(format!("{name} cannot sign in: {}", answer.body));
            }
        }
        violations
    }
}

fn file_on(disk: Option<&SmallDisk>, folder: &TempDir) -> PathBuf {
    let folder = disk.map_or(folder.path(), SmallDisk::path);
    folder.join("symbolon.db")
}

fn serve(folder: &TempDir, file: &Path) -> Server {
    let url = format!("sqlite://{}", file.display());
    Server::on_sqlite_configured(folder.path(), |command| {
        unthrottled(command);
        command.env("DATABASE_URL", url);
        command.env("SYMBOLON_PUBLIC_URL", "https://login.example.org");
    })
}

fn none_of(violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
}

#[tokio::test]
async fn every_mutation_is_in_the_table_of_writes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_sqlite(folder.path());
    let query = "{ __schema { mutationType { fields { name } } } }";
    let answer = server.graphql(query).send().await;
    let fields = answer.at("/data/__schema/mutationType/fields");
    let fields = fields.as_array().unwrap().iter();
    let there: BTreeSet<_> = fields
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    let graphql = WRITES
        .iter()
        .filter(|write| matches!(write.endpoint, Endpoint::Graphql(_)));
    let known: BTreeSet<_> = graphql.map(|write| write.name).collect();
    for name in &there {
        assert!(
            known.contains(name),
            "add {name} to the table WRITES of tests/sqlite/disk_faults.rs"
        );
    }
    assert_eq!(there, known);
}

#[tokio::test]
#[ignore = "needs a mount, which root may make; scripts/test runs it"]
async fn a_full_disk_loses_no_acknowledged_write_and_writes_resume() {
    let mut violations = Vec::new();
    for count in [1, 2, 10] {
        let mut scenario = Scenario::start(Some(SmallDisk::mount())).await;
        for write in WRITES {
            violations.extend(
                scenario
                    .cell(write, Fault::Full, count, Ends::Repaired)
                    .await,
            );
        }
        violations.extend(scenario.close().await);
    }
    none_of(&violations);
}

#[tokio::test]
#[ignore = "needs a mount, which root may make; scripts/test runs it"]
async fn a_server_killed_on_a_full_disk_recovers() {
    let mut scenario = Scenario::start(Some(SmallDisk::mount())).await;
    let mut violations = Vec::new();
    for write in WRITES {
        violations.extend(scenario.cell(write, Fault::Full, 2, Ends::Killed).await);
    }
    violations.extend(scenario.close().await);
    none_of(&violations);
}

#[tokio::test]
#[ignore = "needs a mount, which root may make; scripts/test runs it"]
async fn concurrent_writes_on_a_full_disk_are_refused() {
    let scenario = Scenario::start(Some(SmallDisk::mount())).await;
    empty_the_journal(&scenario.file()).await;
    scenario.disk.as_ref().unwrap().fill();
    let names: Vec<_> = (0..20).map(|number| format!("many{number}")).collect();
    let write = named("createUser");
    let sent = names
        .iter()
        .map(|name| scenario.send(write, &scenario.bystander, name));
    let outcomes = join_all(sent).await;
    assert!(!scenario.server.is_ready().await);
    scenario.disk.as_ref().unwrap().free();
    let started = Instant::now();
    assert!(scenario.server.is_ready().await);
    loop {
        let after = scenario.send(write, &scenario.bystander, "after").await;
        if after == Ok(Outcome::Acknowledged) {
            break;
        }
        assert!(
            started.elapsed() < RECOVERS_WITHIN,
            "after the repair: {after:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        StoredUser::of(&scenario.file(), "after")
            .await
            .user
            .is_some(),
        "after is lost"
    );
    for (name, outcome) in names.iter().zip(outcomes) {
        let is_there = StoredUser::of(&scenario.file(), name).await.user.is_some();
        match outcome.unwrap() {
            Outcome::Acknowledged => assert!(is_there, "{name} is lost"),
            Outcome::MutationError => assert!(!is_there, "{name} was refused"),
            Outcome::Unknown => {}
        }
    }
    none_of(&scenario.close().await);
}

#[tokio::test]
#[ignore = "needs a mount, which root may make; scripts/test runs it"]
async fn commands_on_a_full_disk_fail_without_changes() {
    let mut scenario = Scenario::start(Some(SmallDisk::mount())).await;
    let subject = scenario.subject().await;
    let name = subject.name.as_str();
    let before = StoredUser::of(&scenario.file(), name).await;
    let commands: &[(&[&str], &str)] = &[
        (&["token", "revoke", name], ""),
        (&["user", "disable", name], ""),
        (&["user", "set-password", name], OTHER_PASSWORD),
        (&["user", "set-role", name, "admin"], ""),
        (&["user", "delete", "--yes", name], ""),
        (&["user", "add", "another"], PASSWORD),
    ];
    empty_the_journal(&scenario.file()).await;
    scenario.disk.as_ref().unwrap().fill();
    for (arguments, input) in commands {
        let (code, output, error) = scenario.command(arguments, input);
        assert_eq!(
            (code, output.as_str()),
            (Some(1), ""),
            "{arguments:?}: {error}"
        );
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with("symbolon: "), "{arguments:?}: {error}");
        let causes = error.matches("database or disk is full").count();
        assert_eq!(causes, 1, "{arguments:?}: {error}");
        assert_eq!(
            StoredUser::of(&scenario.file(), name).await,
            before,
            "{arguments:?}"
        );
        assert_eq!(scenario.disagreement(&subject).await, None, "{arguments:?}");
    }
    let (code, listed, error) = scenario.command(&["user", "list"], "");
    assert_eq!(code, Some(0), "{error}");
    assert!(listed.contains(name), "{listed}");
    scenario.disk.as_ref().unwrap().free();
    for (arguments, input) in commands {
        let (code, _, error) = scenario.command(arguments, input);
        assert_eq!(code, Some(0), "{arguments:?}: {error}");
        assert_eq!(scenario.disagreement(&subject).await, None, "{arguments:?}");
    }
    none_of(&scenario.close().await);
}

const CALLS: &[&str] = &["pwrite64", "write", "ftruncate", "fsync", "fdatasync"];

/// The cells of a test run. `scripts/faults` tries all cells.
const CELLS: &[(&str, &str, &str, usize, Ends)] = &[
    ("pwrite64", "ENOSPC", "createUser", 1, Ends::Repaired),
    ("pwrite64", "ENOSPC", "createUser", 2, Ends::Repaired),
    ("pwrite64", "ENOSPC", "DELETE /tokens", 10, Ends::Repaired),
    ("pwrite64", "EIO", "revokeToken", 2, Ends::Repaired),
    ("pwrite64", "EIO", "POST /tokens", 10, Ends::Repaired),
    ("fsync", "EIO", "createUser", 1, Ends::Repaired),
    ("fsync", "EIO", "revokeToken", 2, Ends::Repaired),
    ("fsync", "ENOSPC", "changePassword", 2, Ends::Repaired),
    ("fsync", "EIO", "createUser", 1, Ends::Killed),
    ("fsync", "EIO", "disableUser", 1, Ends::Killed),
    ("fdatasync", "EIO", "createUser", 2, Ends::Repaired),
    ("ftruncate", "EIO", "createToken", 2, Ends::Repaired),
    ("write", "EIO", "revokeAllTokens", 2, Ends::Repaired),
];

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn failing_system_calls_lose_no_acknowledged_write() {
    let mut violations = Vec::new();
    if !is_exhaustive() {
        let mut scenario = Scenario::start(None).await;
        for &(call, error, name, count, ends) in CELLS {
            let fault = Fault::Call { call, error };
            violations.extend(scenario.cell(named(name), fault, count, ends).await);
        }
        violations.extend(scenario.close().await);
        return none_of(&violations);
    }
    for error in ["ENOSPC", "EIO"] {
        for call in CALLS {
            for (count, ends) in [
                (1, Ends::Repaired),
                (2, Ends::Repaired),
                (10, Ends::Repaired),
                (1, Ends::Killed),
            ] {
                let mut scenario = Scenario::start(None).await;
                for write in WRITES {
                    let fault = Fault::Call { call, error };
                    violations.extend(scenario.cell(write, fault, count, ends).await);
                }
                violations.extend(scenario.close().await);
            }
        }
    }
    none_of(&violations);
}

/// Another process holds the write lock for longer than the lock timeout of the server.
#[tokio::test]
#[ignore = "waits for the timeout of a lock; scripts/test runs it"]
async fn a_long_lock_on_the_database_file_loses_no_acknowledged_write() {
    use sea_orm::{ConnectionTrait, Database};
    let mut scenario = Scenario::start(None).await;
    let (subject, later) = (scenario.subject().await, scenario.subject().await);
    let url = format!("sqlite://{}", scenario.file().display());
    let other = Database::connect(url).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let revoke = named("revokeToken");
    let before = StoredUser::of(&scenario.file(), &subject.name).await;
    for _ in 0..2 {
        assert_eq!(
            scenario.send(revoke, &subject, "").await,
            Ok(Outcome::MutationError)
        );
        assert_eq!(scenario.disagreement(&subject).await, None);
    }
    other.execute_unprepared("ROLLBACK").await.unwrap();
    other.close().await.unwrap();
    scenario.promise(revoke, &subject.name, before, Outcome::MutationError);
    let before = StoredUser::of(&scenario.file(), &later.name).await;
    assert_eq!(
        scenario.send(revoke, &later, "").await,
        Ok(Outcome::Acknowledged)
    );
    scenario.promise(revoke, &later.name, before, Outcome::Acknowledged);
    assert_eq!(scenario.disagreement(&later).await, None);
    none_of(&scenario.close().await);
}

#[test]
#[ignore = "needs a mount, which root may make; scripts/test runs it"]
fn the_database_is_created_once_the_disk_has_room() {
    let disk = SmallDisk::mount();
    let folder = tempfile::tempdir().unwrap();
    let file = disk.path().join("symbolon.db");
    let migrate = || {
        let mut command = unconfigured_symbolon(folder.path());
        command.env("DATABASE_URL", format!("sqlite://{}", file.display()));
        finish_with(command.arg("migrate"), "")
    };
    disk.fill();
    let (code, output, error) = migrate();
    assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
    let last = error.lines().last().unwrap_or_default();
    assert!(last.starts_with("symbolon: "), "{error}");
    disk.free();
    let (code, _, error) = migrate();
    assert_eq!(code, Some(0), "{error}");
}

#[tokio::test]
#[ignore = "needs prlimit of util-linux"]
async fn a_file_size_limit_is_handled_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_sqlite_configured(folder.path(), |command| {
        unthrottled(command);
        let program = command.get_program().to_owned();
        let mut limited = std::process::Command::new("prlimit");
        limited.arg("--fsize=409600").arg(program);
        limited.current_dir(folder.path()).env_clear();
        limited.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        *command = limited;
    });
    let mut refused = 0;
    for n in 0..200 {
        let answer = server.registration(&format!("user{n}")).send().await;
        if answer.at("/errors").is_array() {
            assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""), "{answer:?}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    let health = Answer::of(server.request(Method::GET, "/healthz")).await;
    assert_eq!(health.status, 200);
}
