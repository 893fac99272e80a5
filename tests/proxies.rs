//! Real reverse proxies with the configurations of docs/proxies.md.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::forward_auth::{IDENTITY, ada_and_zoe, received, spoofed};
use crate::support::reverse_proxy::{
    CLIENT_ADDRESS, ProxyKind, ReverseProxy, replace, start_echo_service,
};
use crate::support::{Answer, Client, Socket, TestApp};
use crate::websocket_subscriptions;

/// Starts a proxy that authenticates the requests to a service, after an edit of its configuration.
async fn in_front_of_a_service(
    kind: ProxyKind,
    app: &TestApp,
    edit: impl Fn(&str) -> String,
) -> ReverseProxy {
    let service = start_echo_service().await;
    ReverseProxy::start(kind, "forward authentication", |text| {
        let text = replace(&text, "127.0.0.1:8000", app.address());
        edit(&replace(&text, "127.0.0.1:9000", &service))
    })
    .await
}

/// Returns the values of the identity headers that the service received.
fn received_identity(answer: &Answer) -> [Vec<&str>; 4] {
    IDENTITY.map(|name| received(answer, name))
}

async fn get(client: &Client, token: &str) -> Answer {
    Answer::of(client.request(Method::GET, "/reports").bearer_auth(token)).await
}

/// Sends bytes, and returns the response until the proxy closes the connection.
async fn raw(client: &Client, request: &str) -> String {
    let mut stream = TcpStream::connect(client.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn the_service_gets_the_identity(kind: ProxyKind) {
    let (app, ada, zoe) = ada_and_zoe().await;
    let proxy = in_front_of_a_service(kind, &app, str::to_owned).await;
    let client = &proxy.client;

    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        let request = || {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            spoofed(client.request(method, "/reports?role=user&scope=x"))
        };
        let anonymous = Answer::of(request()).await;
        assert_eq!(anonymous.status, 401, "{method}");
        let challenge = anonymous.headers.get_all("www-authenticate").iter();
        assert_eq!(
            challenge.collect::<Vec<_>>(),
            [r#"Bearer realm="symbolon""#]
        );
        let refused = Answer::of(request().bearer_auth(&zoe)).await;
        assert_eq!(refused.status, 403, "{method}");
        let accepted = Answer::of(request().bearer_auth(&ada)).await;
        assert_eq!(accepted.status, 200, "{method}");
        if method != "HEAD" {
            let identity = received_identity(&accepted);
            assert_eq!(identity, [["1"], ["ada"], ["ADMIN"], ["*"]], "{method}");
            assert_eq!(accepted.at("/method"), method);
            assert_eq!(accepted.at("/target"), "/reports?role=user&scope=x");
            let body = accepted.body.to_string();
            assert!(!body.contains("spoofed") && !body.contains(&ada), "{body}");
        }
    }
    // The proxy answers preflight requests, which reach neither Symbolon nor the service.
    let preflight = client.request(Method::OPTIONS, "/reports");
    let preflight = Answer::of(spoofed(preflight)).await;
    assert_eq!(
        (preflight.status.as_u16(), &preflight.body),
        (204, &json!(""))
    );
    let allowed = preflight.header("access-control-allow-origin");
    assert_eq!(allowed, "https://app.example.org");

    // The service gets the body, and Symbolon does not wait for it.
    let post = client.request(Method::POST, "/reports").bearer_auth(&ada);
    let post = Answer::of(post.body(vec![b'x'; 500_000])).await;
    assert_eq!(post.at("/length"), 500_000);
    let host = client.address();
    let chunked = format!(
        "POST /x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ada}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    let answer = raw(client, &chunked).await;
    assert!(answer.contains(r#""length":5"#), "{answer}");

    // A proxy removes the headers that `Connection` names. The client cannot remove the identity.
    let hop = format!(
        "GET /x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ada}\r\n\
         Connection: close, X-Auth-Scopes, x-auth-user-id, X-Auth-Role, X-Auth-Username\r\n\r\n"
    );
    let answer = raw(client, &hop).await;
    let names = [
        "x-auth-user-id",
        "x-auth-username",
        "x-auth-role",
        "x-auth-scopes",
    ];
    assert!(
        answer.starts_with("HTTP/1.1 400 ") || names.iter().all(|name| answer.contains(name)),
        "{answer}"
    );

    // The path and several `Authorization` headers of the client do not weaken the requirement.
    for target in [
        "/auth/../x",
        "/auth/x",
        "/symbolon",
        "//auth",
        "/x/../symbolon",
        "/%2e%2e/auth/x",
    ] {
        let request = |headers: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n")
        };
        let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
        let both = bearer(&ada) + &bearer(&zoe);
        for headers in [String::new(), bearer(&zoe), both, bearer("null")] {
            let answer = raw(client, &request(&headers)).await;
            assert!(!answer.starts_with("HTTP/1.1 2"), "{target}: {answer}");
            assert!(!answer.contains(r#""target""#), "{target}: {answer}");
        }
    }

    // Symbolon refuses a revoked token in the next request.
    app.revoke(&ada).await;
    let ended = get(client, &ada).await;
    assert_eq!(ended.status, 401);
    let challenge = ended.header("www-authenticate");
    assert_eq!(
        challenge,
        r#"Bearer realm="symbolon", error="invalid_token""#
    );
}

async fn every_request_is_authenticated_for_itself(kind: ProxyKind) {
    let (app, ada, zoe) = ada_and_zoe().await;
    let any_role = |text: &str| replace(text, "?role=admin", "");
    let proxy = in_front_of_a_service(kind, &app, any_role).await;
    let client = &proxy.client;
    // One connection, and then many at the same time.
    for (token, id) in [(&ada, "1"), (&zoe, "2"), (&ada, "1")] {
        assert_eq!(received(&get(client, token).await, "x-auth-user-id"), [id]);
        assert_eq!(get(client, "null").await.status, 401);
    }
    let answers = (0..40).map(|number| {
        let token = if number % 2 == 0 { &ada } else { &zoe };
        get(client, token)
    });
    for (number, answer) in join_all(answers).await.iter().enumerate() {
        let id = if number % 2 == 0 { "1" } else { "2" };
        assert_eq!(received(answer, "x-auth-user-id"), [id]);
    }
    // An access token. No header of the client reaches the service, whatever the token permits.
    let input = json!({ "name": "git", "scopes": ["reports:read"] });
    let token = app.access_token("Zoë", input).await;
    let request = spoofed(client.request(Method::GET, "/reports"));
    let answer = Answer::of(request.bearer_auth(&token)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.to_string().contains("spoofed"), "{answer:?}");
    let identity = received_identity(&answer);
    let scopes = ["reports:read"];
    assert_eq!(identity, [["2"], ["Zo%C3%AB"], ["USER"], scopes]);
    // `curl -u`.
    let request = client.request(Method::GET, "/reports");
    let answer = Answer::of(request.basic_auth("zoë", Some(&token))).await;
    assert_eq!(received(&answer, "x-auth-user-id"), ["2"]);
    assert_eq!(received(&answer, "authorization"), [""; 0]);
    // Without Symbolon, every request is refused.
    let address = app.address().parse().unwrap();
    let (folder, _) = app.stop().await;
    // The port of Symbolon must not be used by the server of another test.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind(address).unwrap();
    let answer = get(client, &zoe).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    drop(folder);
}

async fn symbolon_works_behind_a_proxy(kind: ProxyKind) {
    let app = websocket_subscriptions::configured(|config| {
        config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.throttle.address = "3/1".parse().unwrap();
    })
    .await;
    let proxy = ReverseProxy::start(kind, "Symbolon", |text| {
        replace(&text, "127.0.0.1:8000", app.address())
    })
    .await;
    let client = &proxy.client;
    client.register("ada").await;
    app.make_admin(1).await;
    let ada = client.sign_in("ada").await;
    assert!(client.accepts(&ada).await);
    assert_eq!(Answer::of(client.post_tokens("ada")).await.status, 200);
    assert!(client.is_ready().await);

    // The client address is that of the client, although the client sends other addresses.
    let spoofed = client.graphql("mutation { createToken { token } }");
    let spoofed = spoofed
        .header("x-forwarded-for", b"198.51.100.1, 127.0.0.1")
        .header("x-forwarded-for", b"198.51.100.2")
        .header("forwarded", b"for=198.51.100.3")
        .header("x-real-ip", b"198.51.100.4");
    let refused = spoofed.basic("ada", "wrong").send().await;
    assert_eq!(refused.error().1, "INVALID_CREDENTIALS");
    let trail = "{ auditEvents(first: 50) { nodes { kind address } } }";
    let trail = client.graphql(trail).bearer(&ada).send().await;
    let events = trail.at("/data/auditEvents/nodes").as_array().unwrap();
    assert!(events.len() >= 3, "{events:?}");
    let of_client = |event: &&Value| event["address"] != Value::Null;
    for event in events.iter().filter(of_client) {
        assert_eq!(event["address"], CLIENT_ADDRESS, "{event}");
    }
    assert!(trail.body.to_string().contains(CLIENT_ADDRESS));

    // One client of the proxy that guesses passwords is refused, and other clients are not.
    let guess = async |client: &Client| {
        let guess = client.graphql("mutation { createToken { token } }");
        let answer = guess.basic("nobody", "wrong").send().await;
        answer.error().0.to_owned()
    };
    let guesses = [
        guess(client).await,
        guess(client).await,
        guess(client).await,
    ];
    assert_eq!(guesses, ["UNAUTHENTICATED"; 3]);
    assert_eq!(guess(client).await, "RATE_LIMITED");
    assert_eq!(guess(&app).await, "UNAUTHENTICATED");

    // A page of the same origin.
    let origin = client.base.as_bytes();
    let page = client.graphql("mutation { createToken { token } }");
    let page = page.header("origin", origin).basic("ada", "wrong");
    assert_eq!(page.send().await.error().1, "INVALID_CREDENTIALS");

    // A large header. A header that is too large gets an error, and does not disturb the next request.
    for (size, is_accepted) in [(12_000, true), (200_000, false), (12_000, true)] {
        let request = client.graphql("{ me { username } }").bearer(&ada);
        let answer = request.header("cookie", &vec![b'x'; size]).send().await;
        assert_eq!(answer.status == 200, is_accepted, "{size}: {answer:?}");
    }
    // A large body.
    let large = client
        .request(Method::POST, "/graphql")
        .body(vec![b' '; 100_000]);
    let large = Answer::try_of(large.header("content-type", "application/json")).await;
    assert!(large.is_err() || large.unwrap().status == 413);

    let mut socket = Socket::connect(&client.base, Some(&ada)).await;
    socket.subscribe("1", "subscription { mine }").await;
    assert_eq!(socket.event("1").await["data"], json!({ "mine": "ada" }));
    client.revoke(&ada).await;
    assert_eq!(websocket_subscriptions::closed(socket).await, 4401);
    assert!(!client.accepts(&ada).await);
}

macro_rules! for_each_proxy {
    ($($name:ident: $kind:ident,)+) => {$(
        mod $name {
            use crate::support::reverse_proxy::ProxyKind;

            #[tokio::test]
            #[ignore = "needs the reverse proxies, which scripts/test installs"]
            async fn the_service_gets_the_identity() {
                super::the_service_gets_the_identity(ProxyKind::$kind).await;
            }

            #[tokio::test]
            #[ignore = "needs the reverse proxies, which scripts/test installs"]
            async fn every_request_is_authenticated_for_itself() {
                super::every_request_is_authenticated_for_itself(ProxyKind::$kind).await;
            }

            #[tokio::test]
            #[ignore = "needs the reverse proxies, which scripts/test installs"]
            async fn symbolon_works_behind_a_proxy() {
                super::symbolon_works_behind_a_proxy(ProxyKind::$kind).await;
            }
        }
    )+};
}

for_each_proxy! {
    nginx: Nginx,
    caddy: Caddy,
    haproxy: Haproxy,
}
