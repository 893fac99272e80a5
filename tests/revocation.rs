//! Each way to end access, and its effect on every endpoint at the next request.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server, Socket, TestApp, finish_with, succeed, symbolon};

/// A user with both kinds of tokens.
struct User {
    id: i64,
    name: String,
    session: String,
    access: String,
}

/// Each way to end access: whether it ends the session token, and whether it ends the access token.
const WAYS: &[(&str, bool, bool)] = &[
    ("revokeToken by the session", true, false),
    ("revokeToken by the access token", false, true),
    ("DELETE /tokens by the session", true, false),
    ("DELETE /tokens by the access token", false, true),
    ("createToken(fresh: true)", true, false),
    ("revokeAccessToken", false, true),
    ("revokeAllTokens", true, true),
    ("changePassword", true, true),
    ("deleteUser by the user", true, true),
    ("deleteUser by an admin", true, true),
    ("setUserPassword", true, true),
    ("disableUser", true, true),
    ("revokeUserTokens", true, true),
    ("symbolon token revoke", true, true),
    ("symbolon user set-password", true, true),
    ("symbolon user disable", true, true),
    ("symbolon user delete", true, true),
    ("nothing", false, false),
];

async fn create_user(server: &Server, name: &str) -> User {
    User {
        id: server.register(name).await,
        name: name.to_owned(),
        session: server.sign_in(name).await,
        access: server.access_token(name, json!({ "name": "laptop" })).await,
    }
}

/// Ends access in one of the [`WAYS`].
async fn end(server: &Server, folder: &Path, admin: &str, way: &str, user: &User) {
    let User {
        id,
        name,
        session,
        access,
    } = user;
    let new = "another good password";
    let (bearer, call) = match way {
        "revokeToken by the session" => (session, "revokeToken".to_owned()),
        "revokeToken by the access token" => (access, "revokeToken".to_owned()),
        "revokeAccessToken" => {
            let document = "{ me { accessTokens { id } } }";
            let list = server.graphql(document).bearer(session).send().await;
            let id = list.at("/data/me/accessTokens/0/id").clone();
            (session, format!("revokeAccessToken(id: {id})"))
        }
        "revokeAllTokens" => (session, "revokeAllTokens".to_owned()),
        "changePassword" => {
            let input = format!(r#"{{ currentPassword: "{PASSWORD}", newPassword: "{new}" }}"#);
            (
                session,
                format!("changePassword(input: {input}) {{ token {{ token }} }}"),
            )
        }
        "deleteUser by the user" => {
            let input = format!(r#"{{ password: "{PASSWORD}" }}"#);
            (
                session,
                format!("deleteUser(input: {input}) {{ deletedUserId }}"),
            )
        }
        "deleteUser by an admin" => {
            let call = format!("deleteUser(input: {{ id: {id} }}) {{ deletedUserId }}");
            (&admin.to_owned(), call)
        }
        "setUserPassword" => {
            let input = format!(r#"{{ id: {id}, newPassword: "{new}" }}"#);
            let call = format!("setUserPassword(input: {input}) {{ user {{ id }} }}");
            let answer = server.mutate_as("root", &call).await;
            assert_eq!(answer.at("/errors"), &Value::Null, "{way}: {answer:?}");
            return;
        }
        "disableUser" => {
            let call = format!("disableUser(id: {id}) {{ user {{ id }} }}");
            (&admin.to_owned(), call)
        }
        "revokeUserTokens" => (&admin.to_owned(), format!("revokeUserTokens(id: {id})")),
        "DELETE /tokens by the session" | "DELETE /tokens by the access token" => {
            let token = if way.contains("session") {
                session
            } else {
                access
            };
            let request = server.request(Method::DELETE, "/tokens");
            let answer = Answer::of(request.bearer_auth(token)).await;
            assert_eq!(answer.status, 204);
            return;
        }
        "createToken(fresh: true)" => {
            let create = server.graphql("mutation { createToken(fresh: true) { token } }");
            let answer = create.basic(name, PASSWORD).send().await;
            assert!(answer.at("/data/createToken/token").is_string());
            return;
        }
        "nothing" => return,
        command => {
            let arguments = command.split_whitespace().skip(1);
            let mut command = symbolon(folder);
            command.args(arguments).arg(name);
            if way.ends_with("delete") {
                command.arg("--yes");
            }
            let (code, _, error) = finish_with(&mut command, &format!("{new}\n"));
            assert_eq!(code, Some(0), "{way}: {error}");
            return;
        }
    };
    let answer = server.mutate(bearer, &call).await;
    assert_eq!(answer.at("/errors"), &Value::Null, "{way}: {answer:?}");
}

/// Returns the endpoints that accept a token, and those that refuse it.
async fn endpoints(server: &Server, token: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let guarded = server.graphql("{ notes }").bearer(token).send().await;
    let me = server.graphql("{ me { id } }").bearer(token).send().await;
    let route = Answer::of(server.request(Method::GET, "/whoami").bearer_auth(token)).await;
    let proxy = Answer::of(server.request(Method::GET, "/auth").bearer_auth(token)).await;
    assert!([200, 401].contains(&proxy.status.as_u16()), "{proxy:?}");
    let all = [
        ("an own field", guarded.at("/data/notes").is_array()),
        ("me", me.at("/data/me").is_object()),
        (
            "a plain route",
            route.body.as_str().unwrap().starts_with("You are "),
        ),
        ("/auth", proxy.status == 200),
    ];
    let (open, closed): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, open)| *open);
    let names = |endpoints: Vec<(&'static str, bool)>| {
        endpoints.into_iter().map(|(name, _)| name).collect()
    };
    (names(open), names(closed))
}

#[tokio::test]
async fn each_revocation_takes_effect_at_every_endpoint_and_affects_no_other_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example(folder.path());
    server.register("root").await;
    succeed(symbolon(folder.path()).args(["user", "set-role", "root", "admin"]));
    let admin = server.sign_in("root").await;
    for (number, (way, ends_session, ends_access)) in WAYS.iter().enumerate() {
        let user = create_user(&server, &format!("user{number}")).await;
        let mut sockets = [
            Socket::connect(&server.base, Some(&user.session)).await,
            Socket::connect(&server.base, Some(&user.access)).await,
        ];
        end(&server, folder.path(), &admin, way, &user).await;
        for (socket, ends) in sockets.iter_mut().zip([*ends_session, *ends_access]) {
            if ends {
                // Clients do not reconnect after this close code.
                assert_eq!(socket.closed().await.0, 4401, "{way}");
            } else {
                socket.send(&json!({ "type": "ping" })).await;
                assert_eq!(socket.receive().await, json!({ "type": "pong" }), "{way}");
            }
        }
        for (kind, token, ends) in [
            ("session", &user.session, ends_session),
            ("access token", &user.access, ends_access),
        ] {
            let (open, closed) = endpoints(&server, token).await;
            let wrong = if *ends { open } else { closed };
            assert_eq!(wrong, [""; 0], "{way}: the {kind}");
        }
    }
    // The tokens of the admin are still live.
    assert_eq!(endpoints(&server, &admin).await.1, [""; 0]);
}

#[tokio::test]
async fn revoke_all_tokens_accepts_a_token_or_the_password() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("bob").await;
    let bob = app.sign_in("bob").await;
    for by_password in [false, true] {
        let session = app.sign_in("ada").await;
        let mut tokens = vec![session.clone()];
        for name in ["laptop", "phone"] {
            tokens.push(app.access_token("ada", json!({ "name": name })).await);
        }
        let all = app.graphql("mutation { revokeAllTokens }");
        let all = if by_password {
            all.basic("ada", PASSWORD)
        } else {
            all.bearer(&tokens[2])
        };
        let ended = all.send().await;
        assert_eq!(ended.at("/data/revokeAllTokens"), 3, "{ended:?}");
        for token in &tokens {
            let answer = app.me(token).await;
            assert_eq!(answer.at("/data"), &Value::Null);
        }
    }
    let none = app.graphql("mutation { revokeAllTokens }");
    let none = none.basic("ada", PASSWORD).send().await;
    assert_eq!(none.at("/data/revokeAllTokens"), 0);
    assert_eq!(app.me(&bob).await.at("/data/me/username"), "bob");
    let anonymous = app.graphql("mutation { revokeAllTokens }");
    assert_eq!(
        anonymous.send().await.error(),
        ("UNAUTHENTICATED", "MISSING")
    );
}
