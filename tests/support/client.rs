//! The HTTP client that all tests use, with the requests that most of them send.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::PASSWORD;

/// A client of the server at a base URL. Every harness that runs a server dereferences to one.
#[derive(Clone)]
pub struct Client {
    /// The URL that paths are appended to, without a slash at the end.
    pub base: String,
    http: reqwest::Client,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        Self::with(reqwest::Client::new(), base)
    }

    pub fn with(http: reqwest::Client, base: impl Into<String>) -> Self {
        let base = base.into();
        Self { base, http }
    }

    /// The host and port of the server.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A GraphQL request without credentials.
    pub fn graphql(&self, document: &str) -> GraphqlRequest {
        self.graphql_body(&json!({ "query": document }))
    }

    /// A GraphQL request with variables.
    pub fn graphql_with(&self, document: &str, variables: &Value) -> GraphqlRequest {
        self.graphql_body(&json!({ "query": document, "variables": variables }))
    }

    /// A GraphQL request with this JSON body.
    pub fn graphql_body(&self, body: &Value) -> GraphqlRequest {
        GraphqlRequest::new(self.request(Method::POST, "/graphql").json(body))
    }

    /// The request that registers a user with [`PASSWORD`].
    pub fn registration(&self, username: &str) -> GraphqlRequest {
        self.graphql_with(
            "mutation($n: String!, $p: String!) {
                createUser(input: { username: $n, password: $p }) { user { id } userErrors { code } }
            }",
            &json!({ "n": username, "p": PASSWORD }),
        )
    }

    /// Registers a user with [`PASSWORD`] and returns its id.
    pub async fn register(&self, username: &str) -> i64 {
        let answer = self.registration(username).send().await;
        answer.string("/data/createUser/user/id").parse().unwrap()
    }

    /// The request `POST /tokens` with [`PASSWORD`].
    pub fn post_tokens(&self, username: &str) -> RequestBuilder {
        self.request(Method::POST, "/tokens")
            .basic_auth(username, Some(PASSWORD))
    }

    /// Signs in with [`PASSWORD`] and returns the session token.
    pub async fn sign_in(&self, username: &str) -> String {
        let answer = self.mutate_as(username, "createToken { token }").await;
        answer.string("/data/createToken/token").to_owned()
    }

    /// Starts a device session with [`PASSWORD`] and returns its token.
    pub async fn sign_in_on(&self, username: &str, device: &str) -> String {
        let document = "mutation($d: String!) { createToken(device: $d) { token } }";
        let request = self.graphql_with(document, &json!({ "d": device }));
        let answer = request.basic(username, PASSWORD).send().await;
        answer.string("/data/createToken/token").to_owned()
    }

    /// Creates an access token with [`PASSWORD`] and returns it.
    pub async fn access_token(&self, username: &str, input: Value) -> String {
        let document = "mutation($i: CreateAccessTokenInput!) {
            createAccessToken(input: $i) { token userErrors { code field } } }";
        let request = self.graphql_with(document, &json!({ "i": input }));
        let answer = request.basic(username, PASSWORD).send().await;
        answer.string("/data/createAccessToken/token").to_owned()
    }

    /// Sends `{ me { username } }` with this token.
    pub async fn me(&self, token: &str) -> Answer {
        let request = self.graphql("{ me { username } }");
        request.bearer(token).send().await
    }

    /// Returns whether the guard accepts this token.
    pub async fn accepts(&self, token: &str) -> bool {
        self.me(token).await.at("/data/me/username").is_string()
    }

    /// Sends `revokeToken` with this token.
    pub async fn revoke(&self, token: &str) -> Answer {
        self.mutate(token, "revokeToken").await
    }

    /// Sends a mutation with one root field and this token.
    pub async fn mutate(&self, token: &str, field: &str) -> Answer {
        let request = self.graphql(&format!("mutation {{ {field} }}"));
        request.bearer(token).send().await
    }

    /// Sends a mutation with one root field, this username and [`PASSWORD`].
    pub async fn mutate_as(&self, username: &str, field: &str) -> Answer {
        let request = self.graphql(&format!("mutation {{ {field} }}"));
        request.basic(username, PASSWORD).send().await
    }

    /// Returns whether `/readyz` answers 200.
    pub async fn is_ready(&self) -> bool {
        let answer = Answer::of(self.request(Method::GET, "/readyz")).await;
        answer.status == 200
    }
}

/// A GraphQL request that was not sent yet.
pub struct GraphqlRequest(RequestBuilder);

impl GraphqlRequest {
    pub fn new(request: RequestBuilder) -> Self {
        Self(request)
    }

    pub fn header(self, name: &str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        Self(self.0.header(name, value))
    }

    pub fn basic(self, username: &str, password: &str) -> Self {
        Self(self.0.basic_auth(username, Some(password)))
    }

    pub fn bearer(self, token: &str) -> Self {
        Self(self.0.bearer_auth(token))
    }

    pub fn authorization(self, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        Self(self.0.header(AUTHORIZATION, value))
    }

    pub async fn send(self) -> Answer {
        Answer::of(self.0).await
    }
}

/// A response, read to its end: the body is JSON, or a string if it is something else.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.unwrap()
    }

    /// The answer, or the error if the server has ended.
    pub async fn try_of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// The value at a JSON pointer; null if there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The string at a JSON pointer; fails the test if there is none.
    pub fn string(&self, pointer: &str) -> &str {
        let string = self.at(pointer).as_str();
        string.unwrap_or_else(|| panic!("no string at {pointer}: {self:?}"))
    }

    /// `code` and `reason` of the only error.
    pub fn error(&self) -> (&str, &str) {
        let errors = self.at("/errors").as_array();
        assert_eq!(errors.map(Vec::len), Some(1), "{self:?}");
        let extension = |name: &str| {
            let value = self.at(&format!("/errors/0/extensions/{name}"));
            value.as_str().unwrap_or_default()
        };
        (extension("code"), extension("reason"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
