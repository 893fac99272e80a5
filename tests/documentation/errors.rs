//! The tables in docs/errors.md, from the error types of the library. A new error without a description fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use symbolon::{DocumentError, Error, Forbidden, Unauthenticated};

use super::{Page, configuration, root, table};

/// Returns an example of each error, with its cause and the reaction of the client.
#[rustfmt::skip]
fn errors() -> Vec<(Error, &'static str, &'static str)> {
    use Forbidden::{CrossSite, PasswordRequired, RegistrationClosed, RoleRequired, ScopeRequired, SessionRequired};
    use Unauthenticated::{InvalidCredentials, Missing, NotBasic, NotBearer, TokenExpired, TokenInvalid};

    let document_error = DocumentError { positions: Vec::new(), message: String::new() };
    let internal = std::io::Error::other("cause");
    vec![
        (Missing.into(),
            "The request has no credentials.",
            "Sign in."),
        (NotBasic.into(),
            "The operation requires the username and the password, but the header `Authorization` is malformed or has another \
             scheme.",
            "Ask for the password, and send it with HTTP Basic."),
        (NotBearer.into(),
            "The operation requires a token, but the header `Authorization` is malformed or has another scheme.",
            "Send `Authorization: Bearer TOKEN`."),
        (InvalidCredentials.into(),
            "The username does not exist, the password is wrong, or the user is disabled. The response is the same in each case.",
            "Show the message, and ask for the password again."),
        (TokenInvalid.into(),
            "The server does not know the token: it was never issued, was replaced by another token, or is a revoked access \
             token.",
            "Delete the token, and sign in."),
        (TokenExpired.into(),
            "The session token has expired or was revoked, or the access token has expired.",
            "Delete the token, and sign in. Repeat the request with the new token."),
        (RoleRequired.into(),
            "The user does not have the role `ADMIN`.",
            "Hide the function from this user."),
        (ScopeRequired.into(),
            "The access token does not have the required scope.",
            "Create an access token with the scope."),
        (SessionRequired.into(),
            "The operation requires a session token, but the request has an access token.",
            "Sign in, and send the session token."),
        (PasswordRequired.into(),
            "The operation grants or changes authority, but the request has a token instead of the password.",
            "Ask for the password, and send it with HTTP Basic in this request."),
        (RegistrationClosed.into(),
            "`SYMBOLON_REGISTRATION` is `off`, and the caller is not an admin.",
            "Hide the registration form."),
        (CrossSite.into(),
            "A browser sent the request for a page of an origin that is not permitted.",
            "List the origin in `SYMBOLON_CORS_ORIGINS`."),
        (Error::SignInRefused("message".to_owned()),
            "The password is right, but a hook of the application refused the sign-in.",
            "Show the message, which the application has chosen."),
        (Error::BadUserInput("message".to_owned()),
            "An argument is invalid, and the result of the field has no `userErrors`.",
            "Show or correct the input. The message names the argument."),
        (Error::InvalidVariables(Arc::from([])),
            "A variable does not have the declared type.",
            "Correct the program."),
        (Error::GraphqlParseFailed(document_error),
            "The document is not syntactically valid.",
            "Correct the program."),
        (Error::InvalidDocument(Arc::from([])),
            "The document does not fit the schema.",
            "Correct the program. Generate its types from `schema.graphql`."),
        (Error::GraphqlValidationFailed(String::new()),
            "The operation cannot be executed, for example because `operationName` does not exist.",
            "Correct the program."),
        (Error::PersistedQueryNotSupported,
            "The request contains the hash of a document instead of the document.",
            "Send the document. Apollo Client and urql do so by themselves."),
        (Error::LimitExceeded("depth"),
            "The request exceeds the limit that `extensions.limit` names ([limits](#limits)).",
            "Make the document smaller, or split it."),
        (Error::BadRequest(String::new()),
            "The HTTP request is malformed: for example, the body is not valid JSON, or is a batch of requests.",
            "Correct the program."),
        (Error::MethodNotAllowed("GET"),
            "The path does not support the method. The header `Allow` lists the methods.",
            "Correct the program."),
        (Error::NotAcceptable,
            "The header `Accept` permits neither `application/graphql-response+json` nor `application/json`.",
            "Correct the program."),
        (Error::RequestTimeout,
            "The request did not arrive within `SYMBOLON_READ_TIMEOUT`. The connection is closed.",
            "Repeat the request."),
        (Error::PayloadTooLarge,
            "The body exceeds `SYMBOLON_BODY_LIMIT`. The connection is closed.",
            "Send a smaller body."),
        (Error::UnsupportedMediaType,
            "The body does not have the media type `application/json`.",
            "Send `Content-Type: application/json`."),
        (Error::EncodedBody,
            "The body is compressed.",
            "Send the body without `Content-Encoding`."),
        (Error::RateLimited { retry_after: 1 },
            "The address or the user has made too many attempts to sign in, to register, or to change a profile.",
            "Show the time to the user."),
        (Error::TooManyConnections,
            "The address has too many connections or WebSockets.",
            "Close connections. Use one WebSocket for all subscriptions."),
        (Error::ServiceUnavailable { retry_after: 1 },
            "The database is unavailable, or too many requests wait for a thread that hashes passwords. The operation has changed nothing.",
            "Repeat the request."),
        (Error::TimedOut,
            "The request took longer than `SYMBOLON_REQUEST_TIMEOUT`. A mutation that has started is still completed.",
            "Before you repeat a mutation, query whether it was completed."),
        (Error::OutcomeUnknown,
            "The database failed during the commit.",
            "Before you repeat a mutation, query whether it was completed."),
        (Error::Internal(Arc::new(internal)),
            "An unexpected error. The log contains the cause with the `requestId` of the response.",
            "Report the `requestId` to the operator."),
    ]
}

/// Returns the names of the variants of an enum in a source file.
fn variants(file: &str, name: &str) -> Vec<String> {
    let source = fs::read_to_string(root().join(file)).unwrap();
    let start = format!("pub enum {name} {{\n");
    let (_, body) = source.split_once(&start).unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let variants = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let is_name = |c: char| c.is_ascii_alphanumeric();
    let variants = variants.map(|line| line.split(|c| !is_name(c)).next().unwrap().to_owned());
    variants.collect()
}

#[test]
fn every_error_has_a_row() {
    let mut all: Vec<_> = variants("src/error.rs", "Error");
    all.retain(|name| !["Unauthenticated", "Forbidden"].contains(&&**name));
    for reason in ["Unauthenticated", "Forbidden"] {
        let reasons = variants("src/error/denial_reasons.rs", reason);
        all.extend(reasons.iter().map(|name| format!("{reason}({name})")));
    }
    let name = |error: &Error| {
        let text = format!("{error:?}");
        match error {
            Error::Unauthenticated(_) | Error::Forbidden(_) => text,
            _ => text.split(['(', ' ', '{']).next().unwrap().to_owned(),
        }
    };
    let listed: BTreeSet<_> = errors().iter().map(|(error, ..)| name(error)).collect();
    assert!(all.len() > 30);
    assert_eq!(listed, all.into_iter().collect());
}

/// Returns whether a client can repeat the request.
fn retry(error: &Error) -> &'static str {
    use Unauthenticated::{Missing, TokenExpired, TokenInvalid};
    match error {
        _ if error.retry_after().is_some() => "after `retryAfter` seconds",
        Error::Unauthenticated(Missing | TokenExpired | TokenInvalid) => "after the sign-in",
        Error::PersistedQueryNotSupported => "with the document",
        Error::RequestTimeout => "yes",
        _ => "no",
    }
}

fn error_table() -> String {
    let rows = errors().into_iter().map(|(error, cause, client)| {
        let body = error.body();
        let code = |name: &str| body[name].as_str().map(|text| format!("`{text}`"));
        vec![
            code("code").unwrap(),
            code("reason").unwrap_or_default(),
            error.status().to_string(),
            cause.to_owned(),
            client.to_owned(),
            retry(&error).to_owned(),
        ]
    });
    let header = ["code", "reason", "status", "cause", "the client", "retry"];
    table(&header, &rows.collect::<Vec<_>>())
}

/// The limits: name, default, setting, and what is counted.
#[rustfmt::skip]
const LIMITS: [(&str, &str, &str, &str); 13] = [
    ("documentBytes", "", "SYMBOLON_LIMIT_DOCUMENT_BYTES",
        "bytes of the document, and of each operation with its fragments expanded. White space and comments count"),
    ("tokens", "", "SYMBOLON_LIMIT_TOKENS",
        "lexical tokens of the document; values in the arguments of all operations, with fragments expanded; values in the \
         variables"),
    ("nesting", "", "SYMBOLON_LIMIT_NESTING",
        "depth of brackets in the document, of selections with fragments expanded, and of lists and objects in the variables"),
    ("selections", "", "SYMBOLON_LIMIT_SELECTIONS",
        "fields, fragments and directives of all operations, with fragments expanded"),
    ("depth", "", "SYMBOLON_LIMIT_DEPTH", "depth of fields, with fragments expanded"),
    ("rootFields", "", "SYMBOLON_LIMIT_ROOT_FIELDS", "fields at the root of an operation, with fragments expanded"),
    ("complexity", "", "SYMBOLON_LIMIT_COMPLEXITY",
        "fields to resolve, if each list has its maximum length: the fields of a list element count once for each element. For \
         example, `users(first: 100) { nodes { id username } }` has more than 200"),
    ("introspectionDepth", "2", "",
        "depth of `fields`, `interfaces`, `possibleTypes` and `inputFields` below `__schema` or `__type`"),
    ("nameBytes", "256", "", "bytes of a name or a number, for example of an alias"),
    ("verifiedPasswordsPerRequest", "1", "", "different passwords that one request verifies"),
    ("newPasswordsPerRequest", "1", "", "passwords that one request sets"),
    ("subscriptionsPerSocket", "20", "", "concurrent subscriptions of one WebSocket"),
    ("subscriptionBytesPerSocket", "524288", "",
        "estimated memory of the concurrent subscriptions of one WebSocket, in bytes: about 20 documents of 50 tokens each"),
];

/// Returns the names of the limits in the source.
fn names_of_limits() -> BTreeSet<String> {
    fn collect(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, names);
                continue;
            }
            let Ok(source) = fs::read_to_string(&path) else {
                continue;
            };
            for call in ["check_limit(\"", "LimitExceeded(\""] {
                let found = source.split(call).skip(1);
                names.extend(found.map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
    }
    let mut names = BTreeSet::new();
    collect(&root().join("src"), &mut names);
    names
}

fn limit_table() -> String {
    let names = LIMITS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(names_of_limits(), names);
    let rows = LIMITS.iter().map(|(name, fixed, setting, counts)| {
        let (default, setting) = match *setting {
            "" => ((*fixed).to_owned(), String::new()),
            name => (configuration::default_of(name), format!("`{name}`")),
        };
        vec![format!("`{name}`"), default, setting, (*counts).to_owned()]
    });
    let header = ["limit", "default", "setting", "counts"];
    table(&header, &rows.collect::<Vec<_>>())
}

/// The reaction of the client to each close code.
fn reaction_to(code: &str, text: &str) -> &'static str {
    match (code, text) {
        ("1000", _) => "Reconnects for the next subscription.",
        ("1001" | "1011" | "1013", _) => "Reconnects after a delay that increases.",
        ("1009", _) => "Sends smaller messages. The limit is `SYMBOLON_BODY_LIMIT`.",
        ("1002" | "1007" | "4400" | "4409", _) | ("4401" | "4429", "connection_init…") => {
            "Must be corrected, and must not reconnect."
        }
        ("4401", _) => "Must not reconnect with this token. Asks the user to sign in.",
        ("4403", "The token has expired.") => "Signs in, and reconnects with the new token.",
        ("4403", _) => "Reconnects. The same token is valid with the new role.",
        ("4408", _) => "Sends `connection_init` directly after the connection, and reconnects.",
        ("4429", _) => "Closes other WebSockets first.",
        _ => panic!("{code}: {text} has no reaction"),
    }
}

fn close_code_table() -> String {
    let source = fs::read_to_string(root().join("src/http/websocket/close_reason.rs")).unwrap();
    let mut reasons = vec![(
        "4409".to_owned(),
        "Subscriber for ID already exists".to_owned(),
    )];
    for call in source.split("Self::new(").skip(1) {
        let (code, rest) = call.split_once(", \"").unwrap();
        let (text, _) = rest.split_once('"').unwrap();
        reasons.push((code.to_owned(), text.to_owned()));
    }
    reasons.sort();
    assert!(reasons.len() >= 16);
    let rows = reasons.iter().map(|(code, text)| {
        let is_about_init = text.contains("connection_init") && code != "4408";
        let kind = if is_about_init {
            "connection_init…"
        } else {
            text
        };
        vec![
            code.clone(),
            text.clone(),
            reaction_to(code, kind).to_owned(),
        ]
    });
    table(&["code", "reason", "the client"], &rows.collect::<Vec<_>>())
}

/// Returns the codes of `userErrors` with their descriptions in the schema.
fn user_error_table() -> String {
    let schema = include_str!("../../schema.graphql");
    let (_, rest) = schema.split_once("enum UserErrorCode {\n").unwrap();
    let (body, _) = rest.split_once("\n}").unwrap();
    let mut rows = Vec::new();
    let mut description: Vec<&str> = Vec::new();
    for line in body.lines().map(str::trim) {
        if line == "\"\"\"" {
            continue;
        }
        if line.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            rows.push(vec![format!("`{line}`"), description.join(" ")]);
            description.clear();
        } else {
            description.push(line);
        }
    }
    assert!(rows.len() >= 11);
    table(&["code", "meaning"], &rows)
}

#[test]
fn the_tables_of_errors_are_those_of_the_program() {
    Page::read("docs/errors.md").assert_generated(&[
        ("errors", error_table()),
        ("limits", limit_table()),
        ("userErrors", user_error_table()),
        ("close codes", close_code_table()),
    ]);
}
