//! The responses of two instances under concurrent requests, compared with those of a single correct
//! server.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::Value;

use crate::support::{Answer, Instance, PASSWORD, PROPAGATION_BOUND, shared_postgres};

const CLIENTS: usize = 12;
const ACCOUNTS: usize = 4;

/// A request and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    /// A sign-in that returned this token.
    SignedIn(String),
    /// A sign-in with `fresh` that returned this token; `None` if the result is unknown.
    Replaced(Option<String>),
    /// A request with a token, and whether it was accepted.
    Used(String, bool),
    /// A revocation, and whether the token was live; `None` if the result is unknown.
    Revoked(String, Option<bool>),
}

/// One request, with the times before it was sent and after its response.
#[derive(Clone, Debug)]
struct Request {
    account: usize,
    instance: usize,
    began: Instant,
    ended: Instant,
    action: Action,
}

impl Request {
    /// Whether this request can have ended the token.
    fn may_end(&self, token: &str) -> bool {
        match &self.action {
            Action::Revoked(revoked, _) => revoked == token,
            Action::Replaced(new) => new.as_deref() != Some(token),
            Action::SignedIn(_) | Action::Used(..) => false,
        }
    }
}

/// Returns the results that no single correct server could have given. An instance can lag behind when
/// it accepts a token.
fn violations(history: &[Request]) -> Vec<String> {
    let mut found = Vec::new();
    for account in 0..ACCOUNTS {
        let history: Vec<_> = history
            .iter()
            .filter(|one| one.account == account)
            .collect();
        let mut tokens: HashMap<&str, Life> = HashMap::new();
        for one in &history {
            if let Action::SignedIn(token) | Action::Replaced(Some(token)) = &one.action {
                let life = tokens.entry(token).or_default();
                life.given_out = life.given_out.min(Some(one.ended)).or(Some(one.ended));
            }
        }
        for one in &history {
            match &one.action {
                Action::Revoked(token, Some(was_live)) => {
                    let life = tokens.entry(token).or_default();
                    life.ends.push(one);
                    life.revocations += u32::from(*was_live);
                }
                Action::SignedIn(new) | Action::Replaced(Some(new)) => {
                    // All tokens issued earlier have ended.
                    for (token, life) in &mut tokens {
                        if token != new && life.given_out.is_some_and(|at| at < one.began) {
                            life.ends.push(one);
                        }
                    }
                }
                _ => {}
            }
        }
        for (token, life) in &tokens {
            if life.revocations > 1 {
                found.push(format!("{token} was ended {} times", life.revocations));
            }
        }
        for one in &history {
            let (token, lag) = match &one.action {
                Action::Used(token, true) => (token, true),
                // The database answers these requests.
                Action::SignedIn(token) | Action::Revoked(token, Some(true)) => (token, false),
                Action::Used(token, false) => {
                    let life = &tokens[token.as_str()];
                    let excused = history
                        .iter()
                        .any(|end| end.may_end(token) && end.began < one.ended);
                    if life.given_out.is_some_and(|at| at < one.began) && !excused {
                        found.push(format!("nobody ended what was refused: {one:?}"));
                    }
                    continue;
                }
                _ => continue,
            };
            for end in &tokens[token.as_str()].ends {
                let lag = if lag && end.instance != one.instance {
                    PROPAGATION_BOUND
                } else {
                    Duration::ZERO
                };
                if end.ended + lag < one.began {
                    found.push(format!("{one:?} comes after {end:?}"));
                }
            }
        }
    }
    found
}

/// The history of a token.
#[derive(Default)]
struct Life<'a> {
    /// The first time at which the token was known.
    given_out: Option<Instant>,
    /// The requests after whose response the token was not live.
    ends: Vec<&'a Request>,
    /// The number of requests that reported that they ended the token.
    revocations: u32,
}

/// The known tokens of each user, newest last.
type KnownTokens = [Mutex<Vec<String>>; ACCOUNTS];

async fn client(
    number: usize,
    instances: &[Instance; 2],
    known: &KnownTokens,
    until: Instant,
) -> Vec<Request> {
    let mut random = StdRng::seed_from_u64(number as u64);
    let mut history = Vec::new();
    while Instant::now() < until {
        let account = random.random_range(0..ACCOUNTS);
        let instance = random.random_range(0..2);
        let through = &instances[instance];
        let token = {
            let known = known[account].lock().unwrap();
            // Mostly one of the newest tokens.
            let back = random.random_range(0..4) * random.random_range(0..3);
            known.iter().rev().nth(back).cloned()
        };
        let began = Instant::now();
        let action = match (random.random_range(0..20), token) {
            (0..14, Some(token)) => {
                let answer = through.me(&token).await;
                let let_in = answer.at("/data/me/username").is_string();
                let refused = answer.at("/errors/0/extensions/code") == "UNAUTHENTICATED";
                assert!(let_in || refused, "{answer:?}");
                Action::Used(token, let_in)
            }
            (14..16, Some(token)) => {
                let answer = through.mutate(&token, "revokeToken").await;
                match answer.at("/data/revokeToken") {
                    Value::Bool(was_live) => Action::Revoked(token, Some(*was_live)),
                    // Replaced: the request that replaced it records the end.
                    _ if answer.at("/errors/0/extensions/reason") == "TOKEN_INVALID" => continue,
                    _ => Action::Revoked(token, None),
                }
            }
            (16, _) => {
                let request = through.graphql("mutation { createToken(fresh: true) { token } }");
                let answer = request.basic(&format!("u{account}"), PASSWORD).send().await;
                let token = answer.at("/data/createToken/token").as_str();
                Action::Replaced(token.map(str::to_owned))
            }
            _ => {
                let request = through.request(Method::POST, "/tokens");
                let request = request.basic_auth(format!("u{account}"), Some(PASSWORD));
                match Answer::of(request).await.at("/token").as_str() {
                    Some(token) => Action::SignedIn(token.to_owned()),
                    None => continue,
                }
            }
        };
        if let Action::SignedIn(token) | Action::Replaced(Some(token)) = &action {
            let mut known = known[account].lock().unwrap();
            if !known.contains(token) {
                known.push(token.clone());
            }
        }
        let ended = Instant::now();
        history.push(Request {
            account,
            instance,
            began,
            ended,
            action,
        });
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn two_instances_answer_like_a_single_server() {
    let url = shared_postgres().create();
    let instances = [Instance::start(&url), Instance::start(&url)];
    for account in 0..ACCOUNTS {
        instances[0].register(&format!("u{account}")).await;
    }
    let (known, until) = (
        KnownTokens::default(),
        Instant::now() + Duration::from_secs(8),
    );
    let clients = (0..CLIENTS).map(|number| client(number, &instances, &known, until));
    let history: Vec<_> = join_all(clients).await.into_iter().flatten().collect();
    let count = |is: fn(&Action) -> bool| history.iter().filter(|one| is(&one.action)).count();
    let let_in = count(|action| matches!(action, Action::Used(_, true)));
    let refused = count(|action| matches!(action, Action::Used(_, false)));
    let revoked = count(|action| matches!(action, Action::Revoked(_, Some(true))));
    println!(
        "{} requests: {let_in} accepted, {refused} refused, {revoked} ended a token",
        history.len()
    );
    assert!(let_in > 100 && refused > 100 && revoked > 20);
    assert_eq!(violations(&history), [""; 0]);
}

#[test]
fn the_history_checker_detects_violations() {
    let start = Instant::now();
    let request = |instance, from: u64, to: u64, action| Request {
        account: 0,
        instance,
        began: start + Duration::from_millis(from),
        ended: start + Duration::from_millis(to),
        action,
    };
    let token = |name: &str| name.to_owned();
    let issued = || request(0, 0, 10, Action::SignedIn(token("a")));
    let used = |instance, from, let_in| {
        request(instance, from, from + 5, Action::Used(token("a"), let_in))
    };
    let revoked = |from| request(0, from, from + 10, Action::Revoked(token("a"), Some(true)));
    for (expected, history) in [
        (
            0,
            vec![issued(), used(1, 20, true), revoked(30), used(0, 50, false)],
        ),
        // During the revocation, both results are possible.
        (
            0,
            vec![issued(), revoked(30), used(0, 35, true), used(1, 35, false)],
        ),
        // The other instance can lag behind, but only for a bounded time.
        (0, vec![issued(), revoked(30), used(1, 1200, true)]),
        (1, vec![issued(), revoked(30), used(1, 1300, true)]),
        (1, vec![issued(), revoked(30), used(0, 41, true)]),
        // No request ended the token.
        (1, vec![issued(), used(1, 20, false)]),
        (1, vec![issued(), used(1, 20, false), revoked(30)]),
        (2, vec![issued(), revoked(30), revoked(50)]),
        (
            1,
            vec![
                issued(),
                revoked(30),
                request(1, 50, 60, Action::SignedIn(token("a"))),
            ],
        ),
        // A sign-in of unknown outcome can have replaced the token.
        (
            0,
            vec![
                issued(),
                request(1, 20, 30, Action::Replaced(None)),
                used(0, 40, false),
            ],
        ),
        (
            1,
            vec![
                issued(),
                request(1, 20, 30, Action::Replaced(Some(token("b")))),
                used(1, 40, true),
            ],
        ),
    ] {
        assert_eq!(violations(&history).len(), expected, "{history:#?}");
    }
}
