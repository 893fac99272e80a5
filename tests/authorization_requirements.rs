//! The requirements of every field and argument of the schema, for credentials of every kind.
//!
//! The fields come from introspection. A field that is not in the tables fails the test, and so does an
//! argument that no case uses.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde_json::{Value, json};
use symbolon::{Registration, Role, User};

use crate::support::{Answer, GraphqlRequest, PASSWORD, TestApp};

/// The requirement of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// No credentials.
    Public,
    /// Any valid Bearer token.
    Token,
    /// A Bearer token with this scope, of a user with this role.
    Scope(&'static str, Role),
    /// A Bearer token with the scope `account:write` or the password, of a user with this role.
    Write(Role),
    /// The password of a user with this role.
    Password(Role),
    /// A session token.
    Session,
    /// The password, in exchange for a token.
    SignIn,
    /// A Bearer token, even an ended one.
    Revoke,
}
use Rule::{Password, Public, Revoke, Scope, Session, SignIn, Token, Write};

const READ: &str = "account:read";

/// The cases: a root field, its arguments and its requirement. `OWN` and `OTHER` are the ids of the
/// caller and of the other user, `OWN_NAME` and `OTHER_NAME` are their names, `NEW` is an unused name, and
/// `ONE_TIME` is a one-time token of the caller.
const CASES: &[(&str, &str, Rule)] = &[
    ("Query.me", "", Token),
    ("Query.user", "(id: OWN)", Scope(READ, Role::User)),
    (
        "Query.user",
        r#"(username: "OWN_NAME")"#,
        Scope(READ, Role::User),
    ),
    ("Query.user", "(id: OTHER)", Scope(READ, Role::Admin)),
    (
        "Query.user",
        r#"(username: "OTHER_NAME")"#,
        Scope(READ, Role::Admin),
    ),
    ("Query.user", "(id: 0)", Scope(READ, Role::Admin)),
    (
        "Query.user",
        r#"(username: "no name")"#,
        Scope(READ, Role::Admin),
    ),
    ("Query.users", "", Scope(READ, Role::Admin)),
    (
        "Query.users",
        r#"(first: 9, after: "dXNlcjow")"#,
        Scope(READ, Role::Admin),
    ),
    (
        "Query.users",
        r#"(last: 9, before: "dXNlcjo5OTk")"#,
        Scope(READ, Role::Admin),
    ),
    ("Query.auditEvents", "", Scope("audit:read", Role::Admin)),
    (
        "Query.auditEvents",
        r#"(userId: OWN, first: 9, after: "ZXZlbnQ6LTk5OTk5")"#,
        Scope("audit:read", Role::Admin),
    ),
    (
        "Query.auditEvents",
        r#"(kind: REGISTERED, last: 9, before: "ZXZlbnQ6MA")"#,
        Scope("audit:read", Role::Admin),
    ),
    (
        "Mutation.createUser",
        r#"(input: { username: "NEW", email: "NEW@example.org", password: "a good new password" })"#,
        Public,
    ),
    ("Mutation.createToken", "(expiresIn: 120)", SignIn),
    ("Mutation.createToken", "(fresh: true)", SignIn),
    ("Mutation.createToken", r#"(device: "phone")"#, SignIn),
    ("Mutation.revokeToken", "", Revoke),
    ("Mutation.renewToken", "", Session),
    (
        "Mutation.revokeSession",
        r#"(id: "0123456789ab")"#,
        Write(Role::User),
    ),
    ("Mutation.revokeOtherSessions", "", Write(Role::User)),
    ("Mutation.revokeAllTokens", "", Write(Role::User)),
    (
        "Mutation.createAccessToken",
        r#"(input: { name: "new", scopes: ["*"], expiresIn: 60 })"#,
        Password(Role::User),
    ),
    (
        "Mutation.createAccessToken",
        r#"(input: { name: "new", expiresAt: "2030-01-01T00:00:00Z" })"#,
        Password(Role::User),
    ),
    ("Mutation.revokeAccessToken", "(id: 1)", Write(Role::User)),
    (
        "Mutation.changePassword",
        r#"(input: { currentPassword: "PASSWORD", newPassword: "a good new password" })"#,
        Session,
    ),
    ("Mutation.updateUser", "(input: {})", Write(Role::User)),
    (
        "Mutation.updateUser",
        r#"(input: { username: "NEW" })"#,
        Write(Role::User),
    ),
    (
        "Mutation.updateUser",
        r#"(input: { id: OWN, username: "NEW" })"#,
        Write(Role::User),
    ),
    (
        "Mutation.updateUser",
        r#"(input: { email: "NEW@example.org" })"#,
        Password(Role::User),
    ),
    (
        "Mutation.updateUser",
        "(input: { email: null })",
        Password(Role::User),
    ),
    (
        "Mutation.updateUser",
        r#"(input: { id: OWN, username: "NEW", email: null })"#,
        Password(Role::User),
    ),
    (
        "Mutation.updateUser",
        "(input: { id: OTHER })",
        Write(Role::Admin),
    ),
    (
        "Mutation.updateUser",
        r#"(input: { id: OTHER, username: "NEW" })"#,
        Password(Role::Admin),
    ),
    (
        "Mutation.updateUser",
        r#"(input: { id: OTHER, email: "NEW@example.org" })"#,
        Password(Role::Admin),
    ),
    (
        "Mutation.updateUser",
        "(input: { id: OTHER, email: null })",
        Password(Role::Admin),
    ),
    (
        "Mutation.deleteUser",
        r#"(input: { password: "PASSWORD" })"#,
        Write(Role::User),
    ),
    (
        "Mutation.deleteUser",
        r#"(input: { id: OWN, password: "PASSWORD" })"#,
        Write(Role::User),
    ),
    (
        "Mutation.deleteUser",
        "(input: { id: OTHER })",
        Write(Role::Admin),
    ),
    (
        "Mutation.setUserRole",
        "(id: OTHER, role: ADMIN)",
        Password(Role::Admin),
    ),
    (
        "Mutation.setUserRole",
        "(id: OWN, role: ADMIN)",
        Password(Role::Admin),
    ),
    (
        "Mutation.setUserPassword",
        r#"(input: { id: OTHER, newPassword: "a good new password" })"#,
        Password(Role::Admin),
    ),
    (
        "Mutation.createResetLink",
        "(id: OTHER)",
        Password(Role::Admin),
    ),
    (
        "Mutation.inviteUser",
        r#"(input: { username: "NEW", email: "NEW@example.org", role: ADMIN })"#,
        Password(Role::Admin),
    ),
    (
        "Mutation.resetPassword",
        r#"(token: "ONE_TIME", newPassword: "a good new password")"#,
        Public,
    ),
    ("Mutation.disableUser", "(id: OTHER)", Write(Role::Admin)),
    ("Mutation.enableUser", "(id: OTHER)", Password(Role::Admin)),
    (
        "Mutation.revokeUserTokens",
        "(id: OTHER)",
        Write(Role::Admin),
    ),
];

/// The requirement of a field below the root.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// The requirement of the root field.
    OfRoot,
    /// The scope `account:read` for an access token.
    Private,
    /// The scope `account:read` for an access token, except for the user of the caller.
    PrivateOfOthers,
}
use Part::{OfRoot, Private, PrivateOfOthers};

/// The types whose fields have only the requirement of the root field.
const TRANSPARENT: &[&str] = &[
    "AccessToken",
    "AuditEvent",
    "AuditEventConnection",
    "AuditEventEdge",
    "ChangePasswordPayload",
    "CreateAccessTokenPayload",
    "CreateUserPayload",
    "DeleteUserPayload",
    "InviteUserPayload",
    "OneTimeLink",
    "PageInfo",
    "ResetLinkPayload",
    "ResetPasswordPayload",
    "Session",
    "SessionConnection",
    "SessionEdge",
    "Token",
    "UserConnection",
    "UserEdge",
    "UserError",
    "UserPayload",
];

/// The fields of all other types.
const PARTS: &[(&str, Part)] = &[
    ("User.id", OfRoot),
    ("User.username", OfRoot),
    ("User.role", PrivateOfOthers),
    ("User.createdAt", Private),
    ("User.email", Private),
    ("User.lastSignInAt", Private),
    ("User.disabledAt", Private),
    ("User.accessTokens", Private),
    ("User.sessions", Private),
];

/// The root fields that return all fields of a user: the client has just registered the user, set the password
/// or received the session token of the user.
const WHOLE: &[&str] = &[
    "createUser",
    "createToken",
    "renewToken",
    "changePassword",
    "resetPassword",
];

/// The credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    None,
    WrongPassword,
    Password(Role),
    Session(Role),
    Access(Role, &'static str),
    Expired,
    Revoked,
}

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        Kind::None,
        Kind::WrongPassword,
        Kind::Expired,
        Kind::Revoked,
    ];
    for role in [Role::User, Role::Admin] {
        kinds.extend([Kind::Password(role), Kind::Session(role)]);
        let scopes = ["notes:read", READ, "account:write", "audit:read", "*"];
        kinds.extend(scopes.map(|scope| Kind::Access(role, scope)));
    }
    kinds
}

impl Kind {
    fn role(self) -> Role {
        match self {
            Self::Password(role) | Self::Session(role) | Self::Access(role, _) => role,
            Self::None | Self::WrongPassword | Self::Expired | Self::Revoked => Role::Admin,
        }
    }

    fn has(self, scope: &str) -> bool {
        match self {
            Self::Access(_, own) => own == scope || own == "*",
            _ => true,
        }
    }
}

type Refusal = (&'static str, &'static str);

const MISSING: Refusal = ("UNAUTHENTICATED", "MISSING");
const EXPIRED: Refusal = ("UNAUTHENTICATED", "TOKEN_EXPIRED");

/// Returns the refusal of a root field if credentials of this kind do not meet the rule.
fn refusal(rule: Rule, kind: Kind) -> Option<Refusal> {
    let forbidden = |reason| Some(("FORBIDDEN", reason));
    let takes_password = matches!(rule, Write(_) | Password(_) | SignIn);
    match (rule, kind) {
        (Public, _) => return None,
        (_, Kind::WrongPassword) if takes_password => {
            return Some(("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
        }
        (_, Kind::None | Kind::WrongPassword) => return Some(MISSING),
        (_, Kind::Password(_)) if !takes_password => return Some(MISSING),
        (Revoke, _) | (SignIn, Kind::Password(_)) => return None,
        (SignIn, Kind::Access(..)) => return forbidden("SESSION_REQUIRED"),
        // The expired token is an access token.
        (SignIn, Kind::Expired) => return Some(EXPIRED),
        (SignIn, _) => return Some(MISSING),
        (_, Kind::Expired | Kind::Revoked) => return Some(EXPIRED),
        _ => {}
    }
    let (least, met, reason) = match rule {
        Token => (Role::User, true, ""),
        Scope(scope, least) => (least, kind.has(scope), "SCOPE_REQUIRED"),
        Write(least) => (least, kind.has("account:write"), "SCOPE_REQUIRED"),
        Password(least) => (
            least,
            matches!(kind, Kind::Password(_)),
            "PASSWORD_REQUIRED",
        ),
        Session => (
            Role::User,
            matches!(kind, Kind::Session(_)),
            "SESSION_REQUIRED",
        ),
        Public | SignIn | Revoke => unreachable!(),
    };
    if kind.role() < least {
        forbidden("ROLE_REQUIRED")
    } else if met {
        None
    } else {
        forbidden(reason)
    }
}

/// The object types and input types of the schema, with the types of their fields and the names of their
/// arguments.
struct Schema {
    objects: BTreeMap<String, BTreeMap<String, Field>>,
    inputs: BTreeMap<String, Vec<String>>,
}

struct Field {
    of: String,
    /// The name and the type of each argument.
    arguments: Vec<(String, String)>,
}

fn named(of: &Value) -> String {
    match &of["ofType"] {
        Value::Null => of["name"].as_str().unwrap().to_owned(),
        inner => named(inner),
    }
}

impl Schema {
    async fn of(app: &TestApp) -> Self {
        let of = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let document = format!(
            "{{ __schema {{ types {{ kind name inputFields {{ name }}
                fields(includeDeprecated: true) {{ name type {{ {of} }} args {{ name type {{ {of} }} }} }}
            }} }} }}"
        );
        let answer = app.graphql(&document).send().await;
        let types = answer.at("/data/__schema/types").as_array().unwrap();
        let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
        let mut schema = Self {
            objects: BTreeMap::new(),
            inputs: BTreeMap::new(),
        };
        for of in types.iter().filter(|of| !name(of).starts_with("__")) {
            match of["kind"].as_str().unwrap() {
                "OBJECT" => {
                    let fields = of["fields"].as_array().unwrap().iter().map(|field| {
                        let arguments = field["args"].as_array().unwrap().iter();
                        let arguments =
                            arguments.map(|argument| (name(argument), named(&argument["type"])));
                        let field_type = Field {
                            of: named(&field["type"]),
                            arguments: arguments.collect(),
                        };
                        (name(field), field_type)
                    });
                    schema.objects.insert(name(of), fields.collect());
                }
                "INPUT_OBJECT" => {
                    let fields = of["inputFields"].as_array().unwrap().iter().map(name);
                    schema.inputs.insert(name(of), fields.collect());
                }
                kind => assert!(["SCALAR", "ENUM"].contains(&kind), "{kind} is not covered"),
            }
        }
        schema
    }

    /// Returns a selection of every field below a type.
    fn selection(&self, of: &str) -> String {
        let Some(fields) = self.objects.get(of) else {
            return String::new();
        };
        let each = fields.iter().map(|(name, field)| {
            assert!(field.arguments.is_empty(), "{of}.{name} has arguments");
            format!("{name}{}", self.selection(&field.of))
        });
        format!(" {{ {} }}", each.collect::<Vec<_>>().join(" "))
    }

    /// Returns the paths of the refused fields below a type.
    fn refused(&self, of: &str, path: &str, is_refused: &dyn Fn(Part) -> bool) -> BTreeSet<String> {
        let mut refused = BTreeSet::new();
        for (name, field) in self.objects.get(of).into_iter().flatten() {
            let path = format!("{path}.{name}");
            if is_refused(part(of, name)) {
                refused.insert(path);
            } else {
                refused.extend(self.refused(&field.of, &path, is_refused));
            }
        }
        refused
    }
}

fn part(of: &str, field: &str) -> Part {
    if TRANSPARENT.contains(&of) {
        return OfRoot;
    }
    let path = format!("{of}.{field}");
    let found = PARTS.iter().find(|(name, _)| *name == path);
    found
        .unwrap_or_else(|| panic!("{path} is not in the tables"))
        .1
}

/// A user with a credential of one kind, and another user.
struct Actors {
    own: User,
    other: User,
    kind: Kind,
    token: String,
}

impl Actors {
    async fn new(app: &TestApp, number: usize, kind: Kind) -> Self {
        let operator = app.operator();
        let add = async |name: String, role| {
            let new = Registration {
                username: name,
                email: None,
                password: PASSWORD.to_owned(),
            };
            operator.add_user(&new, role).await.unwrap()
        };
        let own = add(format!("own{number}"), kind.role()).await;
        let other = add(format!("other{number}"), Role::User).await;
        let name = &own.username;
        let token = match kind {
            Kind::None | Kind::WrongPassword | Kind::Password(_) => String::new(),
            Kind::Session(_) => app.sign_in(name).await,
            Kind::Access(_, scope) => {
                let input = json!({ "name": "own", "scopes": [scope] });
                app.access_token(name, input).await
            }
            Kind::Expired => {
                let input = json!({ "name": "own", "expiresIn": 1 });
                let token = app.access_token(name, input).await;
                app.advance(TimeDelta::seconds(2));
                token
            }
            Kind::Revoked => {
                let token = app.sign_in(name).await;
                app.revoke(&token).await;
                token
            }
        };
        Self {
            own,
            other,
            kind,
            token,
        }
    }

    fn request(&self, operation: GraphqlRequest) -> GraphqlRequest {
        match self.kind {
            Kind::None => operation,
            Kind::WrongPassword => operation.basic(&self.own.username, "wrong"),
            Kind::Password(_) => operation.basic(&self.own.username, PASSWORD),
            _ => operation.bearer(&self.token),
        }
    }

    /// Returns the columns of both users that determine authority.
    async fn authority(&self, app: &TestApp) -> Vec<Value> {
        let mut rows = Vec::new();
        for user in [&self.own, &self.other] {
            let row = app.row(user.id.to_string().parse().unwrap()).await;
            rows.push(json!([
                row.username,
                row.email,
                format!("{:?}", row.role),
                row.password_hash,
                row.disabled_at,
                row.token_digest,
                row.token_expiration,
            ]));
        }
        rows
    }
}

/// Returns the errors of a response: the path without list indices, the code and the reason.
fn errors(answer: &Answer) -> BTreeSet<(String, String, String)> {
    let errors = answer.at("/errors").as_array().cloned().unwrap_or_default();
    let each = errors.iter().map(|error| {
        let path = error["path"].as_array().into_iter().flatten();
        let path: Vec<_> = path.filter_map(Value::as_str).collect();
        let extension = |name: &str| {
            let value = error["extensions"][name].as_str();
            value.unwrap_or_default().to_owned()
        };
        (path.join("."), extension("code"), extension("reason"))
    });
    each.collect()
}

async fn check(app: &TestApp, schema: &Schema, actors: &Actors, case: &(&str, &str, Rule)) {
    let (field, arguments, rule) = *case;
    let kind = actors.kind;
    let (root, name) = field.split_once('.').unwrap();
    let of = &schema.objects[root][name].of;
    let own_name = &actors.own.username;
    let one_time = if arguments.contains("ONE_TIME") {
        app.operator().create_reset_link(actors.own.id).await.ok()
    } else {
        None
    };
    let one_time = one_time.map_or_else(String::new, |(_, link)| link.token().to_owned());
    let given = arguments
        .replace("OWN_NAME", own_name)
        .replace("OTHER_NAME", &actors.other.username)
        .replace("OWN", &actors.own.id.to_string())
        .replace("OTHER", &actors.other.id.to_string())
        .replace("NEW", &format!("new-{own_name}"))
        .replace("PASSWORD", PASSWORD)
        .replace("ONE_TIME", &one_time);
    let operation = root.to_lowercase();
    let document = format!("{operation} {{ {name}{given}{} }}", schema.selection(of));
    let is_other = arguments.contains("OTHER") || name == "users";
    let expected = match refusal(rule, kind) {
        Some(refusal) => BTreeSet::from([(name.to_owned(), refusal)]),
        // No user matches these arguments.
        None if arguments.contains("id: 0") || arguments.contains("no name") => BTreeSet::new(),
        None => {
            let is_refused = |part: Part| {
                let is_private = part == Private || (part == PrivateOfOthers && is_other);
                is_private && !kind.has(READ) && !WHOLE.contains(&name)
            };
            let refused = schema.refused(of, name, &is_refused);
            let scope = ("FORBIDDEN", "SCOPE_REQUIRED");
            refused.into_iter().map(|path| (path, scope)).collect()
        }
    };
    let before = match (root, refusal(rule, kind)) {
        ("Mutation", Some(_)) => Some(actors.authority(app).await),
        _ => None,
    };
    let answer = actors.request(app.graphql(&document)).send().await;
    let expected: BTreeSet<_> = expected
        .into_iter()
        .map(|(path, (code, reason))| (path, code.to_owned(), reason.to_owned()))
        .collect();
    assert_eq!(
        errors(&answer),
        expected,
        "{kind:?}: {document}\n{answer:?}"
    );
    if let Some(before) = before {
        assert_eq!(actors.authority(app).await, before, "{kind:?}: {document}");
    } else {
        let form = answer.at(&format!("/data/{name}/userErrors")).as_array();
        assert!(
            form.is_none_or(Vec::is_empty),
            "{kind:?}: {document}\n{answer:?}"
        );
    }
}

#[tokio::test]
async fn every_field_and_argument_of_the_schema_is_in_the_tables() {
    let app = TestApp::start().await;
    let schema = Schema::of(&app).await;
    let mut used = BTreeSet::new();
    for root in ["Query", "Mutation"] {
        for (name, field) in &schema.objects[root] {
            let path = format!("{root}.{name}");
            let cases = CASES.iter().filter(|(field, ..)| *field == path);
            let cases: Vec<_> = cases.map(|(_, arguments, _)| *arguments).collect();
            assert!(!cases.is_empty(), "{path} is not in the tables");
            let is_named = |argument: &str| {
                let argument = format!("{argument}:");
                cases.iter().any(|case| {
                    let mut words = case.split([' ', '(', '{', ',']);
                    words.any(|word| word == argument)
                })
            };
            for (argument, of) in &field.arguments {
                assert!(is_named(argument), "no case gives {path}({argument}:)");
                for input in schema.inputs.get(of).into_iter().flatten() {
                    assert!(is_named(input), "no case gives {path}({of}.{input}:)");
                    used.insert(of.clone());
                }
            }
        }
    }
    assert_eq!(used, schema.inputs.keys().cloned().collect());
    for (of, fields) in &schema.objects {
        if !["Query", "Mutation"].contains(&of.as_str()) {
            for field in fields.keys() {
                part(of, field);
            }
        }
    }
    let exists = |path: &str| {
        let (of, field) = path.split_once('.').unwrap();
        schema
            .objects
            .get(of)
            .is_some_and(|of| of.contains_key(field))
    };
    for path in PARTS
        .iter()
        .map(|part| part.0)
        .chain(CASES.iter().map(|case| case.0))
    {
        assert!(exists(path), "{path} is in the tables only");
    }
    for of in TRANSPARENT {
        assert!(
            schema.objects.contains_key(*of),
            "{of} is in the tables only"
        );
    }
}

#[tokio::test]
async fn every_query_has_the_requirement_in_the_table() {
    let app = TestApp::configured(|config| {
        config.throttle.enabled = false;
        // The document selects every field.
        config.limits.complexity = 1_000_000;
    })
    .await;
    let schema = Schema::of(&app).await;
    let mut actors = Vec::new();
    for (number, kind) in kinds().into_iter().enumerate() {
        actors.push(Actors::new(&app, number, kind).await);
    }
    for case in CASES.iter().filter(|case| case.0.starts_with("Query.")) {
        for actors in &actors {
            check(&app, &schema, actors, case).await;
        }
    }
}

#[tokio::test]
async fn every_mutation_has_the_requirement_in_the_table() {
    let app = TestApp::configured(|config| {
        config.throttle.enabled = false;
        // The document selects every field.
        config.limits.complexity = 1_000_000;
    })
    .await;
    let schema = Schema::of(&app).await;
    // One admin always remains.
    let root = Registration {
        username: "root".to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    };
    app.operator().add_user(&root, Role::Admin).await.unwrap();
    let mut number = 0;
    for case in CASES.iter().filter(|case| case.0.starts_with("Mutation.")) {
        for kind in kinds() {
            number += 1;
            let actors = Actors::new(&app, number, kind).await;
            if case.0 == "Mutation.enableUser" {
                let id = actors.other.id;
                app.operator().disable(id).await.unwrap();
            }
            check(&app, &schema, &actors, case).await;
        }
    }
}
