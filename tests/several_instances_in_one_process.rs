//! Several instances of Symbolon in one process: they share no identities.

use std::path::Path;

use poem::listener::TcpAcceptor;
use poem::{EndpointExt, IntoEndpoint, Route, get, handler};
use reqwest::Method;
use symbolon::{Clock, Config, Identity, MockClock, Symbolon};
use tokio::net::TcpListener;

use crate::support::{Answer, Client, common_key, database_url, on_postgres, start_of_time};

#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "an extractor gives the value"
)]
fn whoami(identity: Identity) -> String {
    identity.user().username.clone()
}

async fn open(folder: &Path, name: &str) -> Symbolon {
    // On PostgreSQL, each folder has its own database.
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    let mut config = Config::default();
    config.database_url = database_url(&folder, "symbolon.db").into();
    if on_postgres() {
        config.secret_key_file = Some(common_key().to_owned());
        config.postgres.acquire_timeout = 20_000;
    }
    config.argon2_memory = 8;
    config.argon2_iterations = 1;
    let clock = Clock::Mock(MockClock::new(start_of_time()));
    let builder = Symbolon::builder(config).clock(clock);
    builder.open().await.unwrap()
}

/// Two instances, each with one user of the same id.
struct TwoInstances {
    server: Client,
    /// The clients of the two instances, each with the path that its instance is mounted at.
    clients: [Client; 2],
    tokens: [String; 2],
}

const NAMES: [&str; 2] = ["ada", "eve"];

impl TwoInstances {
    /// Serves `app` by the first instance, by the second, or by a server of neither.
    async fn serve<E>(by: Option<&Symbolon>, app: E, mounts: [&'static str; 2]) -> Self
    where
        E: IntoEndpoint + 'static,
        E::Endpoint: 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = app.into_endpoint().map_to_response().boxed();
        if let Some(symbolon) = by.cloned() {
            tokio::spawn(async move {
                symbolon
                    .serve(app, listener, std::future::pending())
                    .await
                    .unwrap();
            });
        } else {
            let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
            tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app));
        }
        let mut two = Self {
            clients: mounts.map(|mount| Client::new(format!("{base}{mount}"))),
            server: Client::new(base),
            tokens: Default::default(),
        };
        for (at, own) in NAMES.into_iter().enumerate() {
            assert_eq!(two.clients[at].register(own).await, 1);
            two.tokens[at] = two.clients[at].sign_in(own).await;
        }
        two
    }

    /// Checks that each token works at its own instance and is unknown to the other.
    async fn share_nothing(&self) {
        for (at, own) in NAMES.into_iter().enumerate() {
            for (of, token) in self.tokens.iter().enumerate() {
                let client = &self.clients[at];
                let me = client.me(token).await;
                let auth = client.request(Method::GET, "/auth").bearer_auth(token);
                let auth = Answer::of(auth).await;
                let rename = format!(
                    "updateUser(input: {{ username: \"{own}\" }}) {{ user {{ username }} }}"
                );
                let renamed = client.mutate(token, &rename).await;
                if of == at {
                    assert_eq!(me.at("/data/me/username"), own, "{me:?}");
                    assert_eq!(auth.header("x-auth-username"), own);
                    assert_eq!(renamed.at("/data/updateUser/user/username"), own);
                    continue;
                }
                assert_eq!(me.error(), ("UNAUTHENTICATED", "TOKEN_INVALID"), "{me:?}");
                assert_eq!(auth.status, 401);
                assert_eq!(auth.at("/reason"), "TOKEN_INVALID");
                assert_eq!(renamed.error(), ("UNAUTHENTICATED", "TOKEN_INVALID"));
                let revoked = client.request(Method::DELETE, "/tokens").bearer_auth(token);
                assert_eq!(Answer::of(revoked).await.status, 401);
                let sign_in = Answer::of(client.post_tokens(NAMES[of])).await;
                assert_eq!(sign_in.status, 401, "{sign_in:?}");
            }
        }
        // The refused requests have ended no token.
        for (at, own) in NAMES.into_iter().enumerate() {
            let me = self.clients[at].me(&self.tokens[at]).await;
            assert_eq!(me.at("/data/me/username"), own);
        }
    }

    /// Returns the names that a plain route answers to the tokens, or `None` for a refusal.
    async fn whoami(&self, path: &str) -> [Option<String>; 2] {
        let mut names = [None, None];
        for (name, token) in names.iter_mut().zip(&self.tokens) {
            let request = self.server.request(Method::GET, path);
            let answer = Answer::of(request.bearer_auth(token)).await;
            *name = (answer.status == 200).then(|| answer.body.as_str().unwrap().to_owned());
            assert!(
                name.is_some() || answer.at("/reason") == "TOKEN_INVALID",
                "{answer:?}"
            );
        }
        names
    }
}

fn only_first() -> [Option<String>; 2] {
    [Some("ada".to_owned()), None]
}

fn only_second() -> [Option<String>; 2] {
    [None, Some("eve".to_owned())]
}

async fn both(folder: &Path) -> (Symbolon, Symbolon) {
    (open(folder, "first").await, open(folder, "second").await)
}

#[tokio::test]
async fn an_instance_mounted_in_another_has_its_own_identities() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = both(folder.path()).await;
    let app = first
        .own_routes()
        .nest("/second", second.own_routes())
        .at("/whoami", get(whoami))
        .at("/second-whoami", get(whoami).with(second.middleware()));
    let two = TwoInstances::serve(Some(&first), app, ["", "/second"]).await;
    two.share_nothing().await;
    assert_eq!(two.whoami("/whoami").await, only_first());
    assert_eq!(two.whoami("/second-whoami").await, only_second());
}

#[tokio::test]
async fn two_instances_side_by_side_have_their_own_identities() {
    for served_by in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = both(folder.path()).await;
        let app = Route::new()
            .nest("/first", first.own_routes())
            .nest("/second", second.own_routes());
        let by = [Some(&first), Some(&second), None][served_by];
        let two = TwoInstances::serve(by, app, ["/first", "/second"]).await;
        two.share_nothing().await;
    }
}

#[tokio::test]
async fn the_innermost_middleware_provides_the_identity() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = both(folder.path()).await;
    let (of_first, of_second) = (|| first.middleware(), || second.middleware());
    let app = Route::new()
        .nest(
            "/first",
            first.own_routes().with(of_second()).with(of_first()),
        )
        .nest("/second", second.own_routes().with(of_first()))
        .at("/1", get(whoami).with(of_first()).with(of_second()))
        .at("/2", get(whoami).with(of_second()).with(of_first()))
        .at(
            "/121",
            get(whoami)
                .with(of_first())
                .with(of_second())
                .with(of_first()),
        )
        .at("/22", get(whoami).with(of_second()).with(of_second()));
    let two = TwoInstances::serve(None, app, ["/first", "/second"]).await;
    two.share_nothing().await;
    assert_eq!(two.whoami("/1").await, only_first());
    assert_eq!(two.whoami("/2").await, only_second());
    assert_eq!(two.whoami("/121").await, only_first());
    assert_eq!(two.whoami("/22").await, only_second());
}

#[tokio::test]
async fn a_schema_acts_on_the_instance_that_serves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = both(folder.path()).await;
    let schema = || {
        let none = async_graphql::EmptySubscription;
        first
            .schema(symbolon::Query, symbolon::Mutation, none)
            .finish()
    };
    let app = Route::new()
        .nest("/first", first.routes(schema()))
        .nest("/second", second.routes(schema()));
    let two = TwoInstances::serve(None, app, ["/first", "/second"]).await;
    two.share_nothing().await;
}

#[tokio::test]
async fn a_request_that_passes_two_instances_has_one_id() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = both(folder.path()).await;
    let app = first.own_routes().nest("/second", second.own_routes());
    let two = TwoInstances::serve(Some(&first), app, ["", "/second"]).await;
    let refused = Answer::of(two.clients[1].request(Method::POST, "/tokens")).await;
    assert_eq!(refused.status, 401);
    let ids = refused.headers.get_all("x-request-id").iter().count();
    assert_eq!(ids, 1, "{refused:?}");
}
