//! The forms of the `Authorization` header, and the responses of guarded and public fields.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::json;

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn other_schemes_are_missing_credentials_and_unknown_tokens_are_invalid() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let basic = format!("Basic {}", STANDARD.encode(format!("ada:{PASSWORD}")));
    let unknown = format!("Bearer {}", "A".repeat(32));
    for (header, reason) in [
        ("", "MISSING"),
        ("Bearer", "MISSING"),
        ("Bearer ", "MISSING"),
        ("Bearer null", "MISSING"),
        ("Bearer undefined", "MISSING"),
        ("Bearer two words", "MISSING"),
        ("Bearer \u{e9}\u{e9}", "MISSING"),
        ("Digest x", "MISSING"),
        ("garbage", "MISSING"),
        (&basic, "MISSING"),
        ("Bearer x", "TOKEN_INVALID"),
        ("Bearer ====", "MISSING"),
        (&unknown, "TOKEN_INVALID"),
    ] {
        let answer = app
            .graphql("{ me { id } }")
            .authorization(header.as_bytes())
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.error(), ("UNAUTHENTICATED", reason), "{header:?}");
        assert_eq!(answer.header("www-authenticate"), "");
    }
}

#[tokio::test]
async fn scheme_names_are_case_insensitive() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer = app
            .graphql("{ me { username } }")
            .authorization(format!("{scheme} {token}").as_bytes())
            .send()
            .await;
        assert_eq!(answer.at("/data/me/username"), "ada");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let answer = app
        .graphql("{ me { id } }")
        .bearer(&token)
        .bearer(&token)
        .send()
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.at("/code"), "BAD_REQUEST");
}

#[tokio::test]
async fn a_public_field_answers_with_any_authorization_header() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let dead = app.sign_in("ada").await;
    app.revoke(&dead).await;
    for header in [format!("Bearer {dead}"), "Bearer null".into(), "x".into()] {
        let answer = app
            .graphql(
                r#"mutation { __typename createUser(input: {username: "", password: ""}) { userErrors { code } } }"#,
            )
            .authorization(header.as_bytes())
            .send()
            .await;
        assert_eq!(answer.at("/errors"), &json!(null), "{header}: {answer:?}");
    }
}

#[tokio::test]
async fn basic_credentials_are_utf_8_or_latin_1_and_the_password_may_contain_colons() {
    let app = TestApp::start().await;
    let registered = app
        .graphql(
            r#"mutation { createUser(input: {username: "zoë", password: "päss:wörd:é"}) { user { id } } }"#,
        )
        .send()
        .await;
    assert_eq!(registered.at("/data/createUser/user/id"), "1");
    let utf8 = "zoë:päss:wörd:é".as_bytes().to_vec();
    let latin1: Vec<u8> = "zoë:päss:wörd:é".chars().map(|c| c as u8).collect();
    assert_ne!(utf8, latin1);
    for encoded in [
        STANDARD.encode(&utf8),
        STANDARD_NO_PAD.encode(&utf8),
        STANDARD.encode(&latin1),
    ] {
        for scheme in ["Basic", "basic"] {
            let answer = app
                .graphql("mutation { createToken { user { username } } }")
                .authorization(format!("{scheme} {encoded}").as_bytes())
                .send()
                .await;
            assert_eq!(answer.at("/data/createToken/user/username"), "zoë");
        }
    }
}

#[tokio::test]
async fn a_token_in_the_query_string_is_ignored() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let request = app
        .request(
            reqwest::Method::POST,
            &format!("/graphql?access_token={token}"),
        )
        .json(&json!({ "query": "{ me { id } }" }));
    let answer = crate::support::Answer::of(request).await;
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"));
}

#[tokio::test]
async fn a_malformed_header_and_another_scheme_get_a_message_that_says_what_to_send() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let bearer = format!("Bearer {token}");
    let basic = format!("Basic {}", STANDARD.encode(format!("ada:{PASSWORD}")));
    let no_colon = format!("Basic {}", STANDARD.encode("ada"));
    let control = format!("Basic {}", STANDARD.encode("ada:\n"));
    let long = format!("Basic {}", "!".repeat(8000));
    let anonymous = "Authentication is required.";
    let send_basic = "Send username and password as HTTP Basic credentials.";
    let send_bearer = "Send a Bearer token: `Authorization: Bearer TOKEN`.";
    let create_token = "mutation { createToken { token } }";
    let create_access_token =
        "mutation { createAccessToken(input: {name: \"a\"}) { token userErrors { code } } }";
    let me = "{ me { id } }";
    let message = async |document: &str, header: &str| {
        let answer = app.graphql(document).authorization(header.as_bytes());
        let answer = answer.send().await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{header}");
        answer.string("/errors/0/message").to_owned()
    };
    for header in [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer null",
        "bearer undefined",
        "null",
        "undefined",
    ] {
        for document in [create_token, create_access_token, me] {
            assert_eq!(message(document, header).await, anonymous, "{header:?}");
        }
    }
    for header in [
        "Basic",
        "Basic ",
        "Basic null",
        "Basic !!!",
        "Basic YQ",
        &no_colon,
        &control,
        &long,
        "Digest x",
        "Token x",
        "ada",
        "Bearer two words",
        "Bearer \u{e9}",
        "Bearer [object Object]",
        "Bearer\tx",
        "Basic\u{a0}x",
        "Negotiate",
    ] {
        for document in [create_token, create_access_token] {
            assert_eq!(message(document, header).await, send_basic, "{header:?}");
        }
        assert_eq!(message(me, header).await, send_bearer, "{header:?}");
    }
    // The credentials are valid, but of the other scheme.
    assert_eq!(message(create_token, &bearer).await, send_basic);
    assert_eq!(message(me, &basic).await, send_bearer);
    // Without GraphQL, the challenge names the scheme as well.
    let post = app
        .request(reqwest::Method::POST, "/tokens")
        .bearer_auth(&token);
    let post = crate::support::Answer::of(post).await;
    assert_eq!(post.at("/message"), send_basic);
    assert!(post.header("www-authenticate").starts_with("Basic "));
    let delete = app
        .request(reqwest::Method::DELETE, "/tokens")
        .basic_auth("ada", Some(PASSWORD));
    let delete = crate::support::Answer::of(delete).await;
    assert_eq!(delete.at("/message"), send_bearer);
    assert!(delete.header("www-authenticate").starts_with("Bearer "));
}
