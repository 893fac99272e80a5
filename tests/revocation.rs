//! Each way to end access, and its effect on every endpoint at the next request.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli_commands::me;
use crate::support::{
    Answer, Cli, PASSWORD, Server, Socket, TestApp, digest_prefix, finish_with,
    poll_until_propagated, succeed, symbolon,
};

/// A user with all types of tokens.
struct User {
    id: i64,
    name: String,
    session: String,
    device: String,
    access: String,
}

/// The types of tokens that a way to end access ends.
#[derive(Clone, Copy, Default)]
struct Ends {
    session: bool,
    device: bool,
    access: bool,
}

const NONE: Ends = Ends {
    session: false,
    device: false,
    access: false,
};
const ALL: Ends = Ends {
    session: true,
    device: true,
    access: true,
};
const SESSION: Ends = Ends {
    session: true,
    ..NONE
};
const DEVICE: Ends = Ends {
    device: true,
    ..NONE
};
const ACCESS: Ends = Ends {
    access: true,
    ..NONE
};

/// Each way to end access.
const WAYS: &[(&str, Ends)] = &[
    ("revokeToken by the session", SESSION),
    ("revokeToken by the device session", DEVICE),
    ("revokeToken by the access token", ACCESS),
    ("DELETE /tokens by the session", SESSION),
    ("DELETE /tokens by the device session", DEVICE),
    ("DELETE /tokens by the access token", ACCESS),
    ("createToken(fresh: true)", SESSION),
    ("revokeSession of the session", SESSION),
    ("revokeSession of the device session", DEVICE),
    ("revokeOtherSessions by the session", DEVICE),
    ("revokeOtherSessions by the device session", SESSION),
    (
        "revokeOtherSessions by the access token",
        Ends {
            session: true,
            device: true,
            access: false,
        },
    ),
    ("revokeAccessToken", ACCESS),
    ("revokeAllTokens", ALL),
    ("changePassword", ALL),
    ("changePassword by the device session", ALL),
    ("deleteUser by the user", ALL),
    ("deleteUser by an admin", ALL),
    ("setUserPassword", ALL),
    ("disableUser", ALL),
    ("revokeUserTokens", ALL),
    ("symbolon token revoke", ALL),
    ("symbolon user set-password", ALL),
    ("symbolon user disable", ALL),
    ("symbolon user delete", ALL),
    ("nothing", NONE),
];

async fn create_user(server: &Server, name: &str) -> User {
    User {
        id: server.register(name).await,
        name: name.to_owned(),
        session: server.sign_in(name).await,
        device: server.sign_in_on(name, "phone").await,
        access: server.access_token(name, json!({ "name": "laptop" })).await,
    }
}

/// Ends access in one of the [`WAYS`].
async fn end(server: &Server, folder: &Path, admin: &str, way: &str, user: &User) {
    let User {
        id,
        name,
        session,
        device,
        access,
    } = user;
    let new = "another good password";
    let token = if way.ends_with("by the access token") {
        access
    } else if way.ends_with("by the device session") {
        device
    } else {
        session
    };
    let (bearer, call) = match way {
        way if way.starts_with("revokeToken") => (token, "revokeToken".to_owned()),
        way if way.starts_with("revokeOtherSessions") => (token, "revokeOtherSessions".to_owned()),
        way if way.starts_with("revokeSession") => {
            let ended = if way.ends_with("device session") {
                device
            } else {
                session
            };
            let id = digest_prefix(ended);
            let other = if ended == device { session } else { device };
            (other, format!(r#"revokeSession(id: "{id}")"#))
        }
        "revokeAccessToken" => {
            let document = "{ me { accessTokens { id } } }";
            let list = server.graphql(document).bearer(session).send().await;
            let id = list.at("/data/me/accessTokens/0/id").clone();
            (session, format!("revokeAccessToken(id: {id})"))
        }
        "revokeAllTokens" => (session, "revokeAllTokens".to_owned()),
        "changePassword" | "changePassword by the device session" => {
            let input = format!(r#"{{ currentPassword: "{PASSWORD}", newPassword: "{new}" }}"#);
            (
                token,
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
        way if way.starts_with("DELETE /tokens") => {
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
    for (number, (way, ends)) in WAYS.iter().enumerate() {
        let user = create_user(&server, &format!("user{number}")).await;
        let tokens = [
            ("session", &user.session, ends.session),
            ("device session", &user.device, ends.device),
            ("access token", &user.access, ends.access),
        ];
        let mut sockets = Vec::new();
        for (_, token, _) in tokens {
            sockets.push(Socket::connect(&server.base, Some(token)).await);
        }
        end(&server, folder.path(), &admin, way, &user).await;
        for (socket, (kind, token, ends)) in sockets.iter_mut().zip(tokens) {
            if ends {
                // Clients do not reconnect after this close code.
                assert_eq!(socket.closed().await.0, 4401, "{way}: the {kind}");
            } else {
                socket.send(&json!({ "type": "ping" })).await;
                assert_eq!(socket.receive().await, json!({ "type": "pong" }), "{way}");
            }
            let (open, closed) = endpoints(&server, token).await;
            let wrong = if ends { open } else { closed };
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

#[tokio::test]
async fn the_running_server_refuses_revoked_access_at_the_next_request() {
    let cli = Cli::with_users(&["root"]);
    let server = Server::start(cli.folder.path());
    for (number, (command, input, expected_text, reason)) in [
        (
            "token revoke",
            "",
            "live tokens of NAME revoked: 1",
            "TOKEN_EXPIRED",
        ),
        (
            "user disable",
            "",
            "NAME is disabled; all tokens are revoked",
            "TOKEN_EXPIRED",
        ),
        (
            "user set-password",
            "another good one",
            "NAME has a new password; all tokens are revoked",
            "TOKEN_EXPIRED",
        ),
        ("user delete --yes", "", "NAME is deleted", "TOKEN_INVALID"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user{number}");
        server.register(&name).await;
        let token = server.sign_in(&name).await;
        assert_eq!(me(&server, &token).await.at("/data/me/username"), &name);
        let output = cli.run_with_input(&format!("{command} {name}"), input);
        assert_eq!(
            output,
            format!("{}\n", expected_text.replace("NAME", &name))
        );
        let fetch = async || me(&server, &token).await;
        let answer =
            poll_until_propagated(fetch, |answer| answer.at("/data") == &Value::Null).await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", reason), "{command}");
    }
}
