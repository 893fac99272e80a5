//! Symbolon's routes below a path of the application.

use std::collections::BTreeSet;

use async_graphql::Subscription;
use futures_util::stream::{self, Stream};
use poem::{Route, get, handler};
use reqwest::{Client as HttpClient, Method, redirect};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use symbolon::{Config, Invitation, Mutation, Query, Registration, Role, Symbolon};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::explorer;
use crate::support::{Answer, Client, PASSWORD, Socket, TestApp, node_in, succeed};

const PREFIXES: [&str; 2] = ["/accounts", "/id/v1"];

/// The headers of a response that depend on the route.
const HEADERS: [&str; 10] = [
    "allow",
    "cache-control",
    "content-encoding",
    "content-security-policy",
    "content-type",
    "location",
    "referrer-policy",
    "vary",
    "www-authenticate",
    "x-auth-username",
];

struct Ticks;

#[Subscription]
impl Ticks {
    #[graphql(guard = "symbolon::Authenticated")]
    async fn tick(&self) -> impl Stream<Item = i32> {
        stream::iter([1])
    }
}

#[handler]
fn own_page() -> &'static str {
    "own page"
}

fn symbolon_routes(symbolon: &Symbolon) -> Route {
    symbolon.routes(symbolon.schema(Query, Mutation, Ticks).finish())
}

/// Returns the routes without a prefix and below each prefix.
fn routes(symbolon: &Symbolon) -> Route {
    let mut routes = symbolon_routes(symbolon).at("/own", get(own_page));
    for prefix in PREFIXES {
        routes = routes.nest(prefix, symbolon_routes(symbolon));
    }
    routes
}

/// Returns the paths of all routes, as the source code names them.
fn paths_in_source() -> BTreeSet<&'static str> {
    let source = include_str!("../src/http/routes.rs");
    let code = source.lines().filter(|line| !line.trim().starts_with("//"));
    let literals = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    literals.filter(|text| text.starts_with('/')).collect()
}

#[tokio::test]
async fn each_route_answers_the_same_with_and_without_a_prefix() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    app.register("ada").await;
    let mut token = app.sign_in("ada").await;
    let page = Answer::of(app.request(Method::GET, "/")).await;
    let page = page.body.as_str().unwrap();
    let asset = page.split('"').find(|part| part.starts_with("explorer/"));
    let asset = format!("/{}", asset.unwrap());
    let examples = [
        ("/", vec!["/"]),
        ("/auth", vec!["/auth", "/auth?scope=a&role=ADMIN"]),
        ("/auth/*", vec!["/auth/any/path"]),
        ("/explorer/:name", vec![&*asset, "/explorer/none"]),
        (
            "/graphql",
            vec!["/graphql", "/graphql/", "/graphql?query={__typename}"],
        ),
        ("/healthz", vec!["/healthz", "/healthz/"]),
        ("/invite", vec!["/invite"]),
        ("/pages/password.css", vec!["/pages/password.css"]),
        ("/pages/password.js", vec!["/pages/password.js"]),
        ("/readyz", vec!["/readyz"]),
        ("/reset", vec!["/reset?token=x"]),
        ("/tokens", vec!["/tokens", "/tokens/"]),
    ];
    let named: BTreeSet<_> = examples.iter().map(|(route, _)| *route).collect();
    assert_eq!(named, paths_in_source(), "add each route to the examples");
    let http = HttpClient::builder().redirect(redirect::Policy::none());
    let http = http.build().unwrap();
    let clients = ["", PREFIXES[0], PREFIXES[1]]
        .map(|prefix| Client::with(http.clone(), format!("{}{prefix}", app.base)));
    let me = json!({ "query": "{ me { username } }" });
    let mut statuses = BTreeSet::new();
    for path in examples.iter().flat_map(|(_, paths)| paths) {
        for method in ["GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS"] {
            for credentials in ["none", "basic", "bearer", "invalid"] {
                let case = format!("{method} {path} {credentials}");
                let mut answers = Vec::new();
                for client in &clients {
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let mut request = client.request(method.clone(), path);
                    if method == Method::POST && path.starts_with("/graphql") {
                        request = request.json(&me);
                    }
                    let request = match credentials {
                        "none" => request,
                        "basic" => request.basic_auth("ada", Some(PASSWORD)),
                        "bearer" => request.bearer_auth(&token),
                        _ => request.bearer_auth("invalid"),
                    };
                    let answer = Answer::of(request).await;
                    let headers = HEADERS.map(|name| answer.header(name).to_owned());
                    answers.push((answer.status, headers, answer.body));
                    if method == Method::DELETE && path.starts_with("/tokens") {
                        // The token has been revoked.
                        token = app.sign_in("ada").await;
                    }
                }
                let mut bodies: Vec<Value> =
                    answers.iter().map(|answer| answer.2.clone()).collect();
                if path.starts_with("/tokens") {
                    // The values of tokens differ after a revocation.
                    for body in &mut bodies {
                        if body["token"].is_string() {
                            body["token"] = json!("token");
                        }
                    }
                }
                for other in 1..clients.len() {
                    assert_eq!(answers[other].0, answers[0].0, "{case}");
                    assert_eq!(answers[other].1, answers[0].1, "{case}");
                    assert_eq!(bodies[other], bodies[0], "{case}");
                }
                statuses.insert(answers[0].0.as_u16());
            }
        }
    }
    for status in [200, 401, 404, 405] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    let own = Answer::of(app.request(Method::GET, "/own")).await;
    assert_eq!(own.body, "own page");
}

#[tokio::test]
async fn the_path_of_the_explorer_gets_a_slash() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    let http = HttpClient::builder().redirect(redirect::Policy::none());
    let client = Client::with(http.build().unwrap(), &app.base);
    for (path, location) in [
        ("/accounts", "./accounts/"),
        ("/accounts?a=b", "./accounts/?a=b"),
        ("/id/v1", "./v1/"),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = Answer::of(client.request(method, path)).await;
            assert_eq!(answer.status, 307, "{path}");
            assert_eq!(answer.header("location"), location);
        }
        let followed = Answer::of(app.request(Method::GET, path)).await;
        assert_eq!(followed.status, 200, "{path}");
        assert!(followed.header("content-type").starts_with("text/html"));
    }
}

#[tokio::test]
async fn subscriptions_and_one_time_links_work_below_a_prefix() {
    for prefix in PREFIXES {
        let public = format!("https://example.org{prefix}");
        let app = TestApp::with_routes(
            |config| config.public_url = Some(public.clone()),
            |symbolon| Route::new().nest(prefix, symbolon_routes(symbolon)),
        )
        .await;
        let client = Client::new(format!("{}{prefix}", app.base));
        client.register("ada").await;
        let token = client.sign_in("ada").await;
        let mut socket = Socket::connect(&client.base, Some(&token)).await;
        socket.subscribe("1", "subscription { tick }").await;
        let message = socket.receive().await;
        assert_eq!(message["payload"]["data"]["tick"], 1, "{message}");
        let user = app.operator().user("ada").await.unwrap().unwrap();
        let (_, link) = app.operator().create_reset_link(user.id).await.unwrap();
        let url = link.url();
        let page = url
            .strip_prefix(&public)
            .unwrap()
            .split('#')
            .next()
            .unwrap();
        assert_eq!(page, "/reset");
        let page = Answer::of(client.request(Method::GET, page)).await;
        assert_eq!(page.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
async fn the_pages_and_the_explorer_work_in_a_browser_below_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let base = format!("{origin}/id/v1");
    let mut config = Config::new(format!(
        "sqlite://{}",
        folder.path().join("symbolon.db").display()
    ));
    config.public_url = Some(base.clone());
    config.throttle.enabled = false;
    let symbolon = Symbolon::open(config).await.unwrap();
    let app = Route::new()
        .at("/", get(own_page))
        .nest("/id/v1", symbolon.own_routes());
    let (stop, stopping) = oneshot::channel::<()>();
    let served = symbolon.clone();
    let serving = tokio::spawn(async move {
        let shutdown = async { drop(stopping.await) };
        served.serve(app, listener, shutdown).await.unwrap();
    });
    let operator = symbolon.operator();
    let root = Registration {
        username: "root".to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    };
    operator.add_user(&root, Role::Admin).await.unwrap();
    let address = base.clone();
    let explorer = move || explorer::run_browser_test(&address);
    tokio::task::spawn_blocking(explorer).await.unwrap();

    // Both scripts create users with the same names.
    for user in operator.users(None).await.unwrap() {
        if user.role == Role::User {
            operator.delete(user.id).await.unwrap();
        }
    }
    let client = Client::new(&base);
    client.register("zoë").await;
    client.register("eve").await;
    let link = async |username: &str| {
        let user = operator.user(username).await.unwrap().unwrap();
        let (_, link) = operator.create_reset_link(user.id).await.unwrap();
        link.url().to_owned()
    };
    let expired = link("eve").await;
    let expire = "UPDATE symbolon_one_time_token SET expires_at = created_at";
    let database = symbolon.connection();
    database.execute_unprepared(expire).await.unwrap();
    let reset = link("zoë").await;
    let invitation = Invitation {
        username: "grace".to_owned(),
        email: None,
        role: None,
    };
    let (_, invitation) = operator.invite(&invitation).await.unwrap();
    let pages = move || {
        let mut node = node_in("tests/web/browser");
        node.arg("pages.mjs")
            .env("SYMBOLON_URL", &base)
            .env("RESET_LINK", reset)
            .env("INVITE_LINK", invitation.url())
            .env("EXPIRED_LINK", expired);
        succeed(&mut node)
    };
    let printed = tokio::task::spawn_blocking(pages).await.unwrap();
    assert!(printed.contains("14 passed, 0 failed"), "{printed}");
    stop.send(()).unwrap();
    serving.await.unwrap();
}
