//! The metrics after a bit of everything, and their use in the alerts, the dashboard and the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use poem::Route;
use reqwest::Method;
use serde_json::Value;
use symbolon::{Config, HookError, HookTransaction, Hooks, Symbolon, User, async_trait};

use crate::support::{Answer, PASSWORD, Socket, TestApp, eventually, finish_with, on_postgres};
use crate::websocket_limits;
use crate::websocket_subscriptions::closed;

/// Refuses the sign-ins of `eve`.
struct RefuseEve;

#[async_trait]
impl Hooks for RefuseEve {
    async fn before_sign_in(&self, _: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
        match &*user.username {
            "eve" => Err(HookError::refuse("username", "Not today.")),
            _ => Ok(()),
        }
    }
}

fn routes(symbolon: &Symbolon) -> Route {
    websocket_limits::routes(symbolon).at("/metrics", symbolon.metrics())
}

/// A scraped text: the samples, and the description of each metric.
struct Metrics {
    text: String,
    /// The value of each sample, by its name and labels as they are written.
    samples: BTreeMap<String, f64>,
    /// The names of the metrics with their types.
    types: BTreeMap<String, String>,
}

impl Metrics {
    async fn scrape(app: &TestApp) -> Self {
        let answer = Answer::of(app.request(Method::GET, "/metrics")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let text = answer.body.as_str().unwrap().to_owned();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            (sample.to_owned(), value.parse().unwrap())
        });
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = types.map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            (name.to_owned(), kind.to_owned())
        });
        Self {
            samples: samples.collect(),
            types: types.collect(),
            text: text.clone(),
        }
    }

    #[track_caller]
    fn assert(&self, sample: &str, expected: f64) {
        let value = self.samples.get(sample).copied();
        assert_eq!(value, Some(expected), "{sample}:\n{}", self.text);
    }

    /// The names of the labels of each sample, by the name of the sample.
    fn labels(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut labels = BTreeMap::<_, BTreeSet<_>>::new();
        for sample in self.samples.keys() {
            let (name, rest) = sample.split_once('{').unwrap_or((sample, ""));
            let names = rest.split("=\"").filter_map(|part| {
                let name = part.rsplit(['"', ',', '{']).next()?;
                (!name.is_empty() && !name.contains('}')).then(|| name.to_owned())
            });
            labels.entry(name.to_owned()).or_default().extend(names);
        }
        labels
    }
}

/// Does a bit of everything.
async fn use_everything() -> TestApp {
    let configure = |config: &mut Config| {
        config.throttle.account = "5/1".parse().unwrap();
        config.hash_threads = std::num::NonZeroUsize::new(2);
    };
    let app = TestApp::with_hooks_and_routes(RefuseEve, configure, routes).await;
    for name in ["ada", "bob", "eve"] {
        app.register(name).await;
    }
    app.make_admin(1).await;
    let post_tokens = async |name: &str, password: &str| {
        let request = app.request(Method::POST, "/tokens");
        Answer::of(request.basic_auth(name, Some(password))).await
    };
    let token = post_tokens("ada", PASSWORD).await;
    let token = token.at("/token").as_str().unwrap().to_owned();
    let device = r#"mutation { createToken(device: "phone") { token } }"#;
    let device = app.graphql(device).basic("ada", PASSWORD).send().await;
    let device = device
        .at("/data/createToken/token")
        .as_str()
        .unwrap()
        .to_owned();
    // The same result for a wrong password and for an unknown user.
    assert_eq!(post_tokens("bob", "wrong").await.status, 401);
    assert_eq!(post_tokens("nobody", "wrong").await.status, 401);
    assert_eq!(post_tokens("eve", PASSWORD).await.status, 403);
    for _ in 0..5 {
        post_tokens("mallory", "wrong").await;
    }
    assert_eq!(post_tokens("mallory", "wrong").await.status, 429);
    for (document, token) in [
        ("{ me { id } }", &token),
        ("{ me { id } }", &token),
        ("mutation { renewToken { token } }", &token),
        ("mutation { renewToken { token } }", &device),
        ("mutation { revokeToken }", &device),
    ] {
        let answer = app.graphql(document).bearer(token).send().await;
        assert_eq!(answer.body.get("errors"), None, "{answer:?}");
    }
    for document in [
        r#"mutation { createAccessToken(input: { name: "job" }) { token userErrors { message } } }"#,
        r#"mutation { createResetLink(id: "2") { userErrors { message } } }"#,
    ] {
        let answer = app.graphql(document).basic("ada", PASSWORD).send().await;
        assert_eq!(answer.body.get("errors"), None, "{answer:?}");
    }
    let change = format!(
        r#"mutation {{ changePassword(input: {{ currentPassword: "wrong", newPassword: "{PASSWORD} 2" }}) {{ userErrors {{ code }} }} }}"#
    );
    let answer = app.graphql(&change).bearer(&token).send().await;
    assert_eq!(
        answer.at("/data/changePassword/userErrors/0/code"),
        "WRONG_PASSWORD",
        "{answer:?}"
    );
    let mut socket = Socket::connect(&app.base, Some(&token)).await;
    socket.subscribe("1", "subscription { silent }").await;
    eventually("the subscription runs", async || {
        let metrics = Metrics::scrape(&app).await;
        (metrics.samples["symbolon_subscriptions"] > 0.0).then_some(())
    })
    .await;
    Metrics::scrape(&app)
        .await
        .assert("symbolon_websockets", 1.0);
    // The server closes the WebSocket, because its token is revoked.
    let answer = app.graphql("mutation { revokeToken }").bearer(&token);
    assert_eq!(answer.send().await.at("/data/revokeToken"), true);
    assert_eq!(closed(socket).await, 4401);
    eventually("the WebSocket is closed", async || {
        let metrics = Metrics::scrape(&app).await;
        (metrics.samples["symbolon_websockets"] == 0.0).then_some(())
    })
    .await;
    app
}

#[tokio::test]
async fn every_operation_is_counted() {
    let app = use_everything().await;
    let metrics = Metrics::scrape(&app).await;
    for (sample, expected) in [
        (
            r#"symbolon_sign_ins_total{endpoint="tokens",result="success"}"#,
            1.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="tokens",result="wrong_credentials"}"#,
            7.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="tokens",result="refused_by_hook"}"#,
            1.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="tokens",result="throttled"}"#,
            1.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="tokens",result="error"}"#,
            0.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="createToken",result="success"}"#,
            1.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="password",result="success"}"#,
            2.0,
        ),
        (
            r#"symbolon_sign_ins_total{endpoint="confirmation",result="wrong_credentials"}"#,
            1.0,
        ),
        (r#"symbolon_throttled_total{limit="username"}"#, 1.0),
        (r#"symbolon_throttled_total{limit="address"}"#, 0.0),
        (
            r#"symbolon_tokens_issued_total{token_type="shared_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_issued_total{token_type="device_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_issued_total{token_type="access_token"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_issued_total{token_type="one_time_token"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_renewed_total{token_type="shared_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_renewed_total{token_type="device_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_revoked_total{token_type="device_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_revoked_total{token_type="shared_session"}"#,
            1.0,
        ),
        (
            r#"symbolon_tokens_revoked_total{token_type="access_token"}"#,
            0.0,
        ),
        (r#"symbolon_events_total{kind="REGISTERED"}"#, 3.0),
        (r#"symbolon_events_total{kind="SIGNED_IN"}"#, 4.0),
        (r#"symbolon_events_total{kind="SIGN_IN_FAILED"}"#, 8.0),
        (r#"symbolon_events_total{kind="THROTTLED"}"#, 1.0),
        (r#"symbolon_websockets_closed_total{code="4401"}"#, 1.0),
        ("symbolon_subscriptions", 0.0),
        ("symbolon_hash_queue_requests", 0.0),
        ("symbolon_hash_threads", 2.0),
        ("symbolon_hash_queue_requests_max", 514.0),
        // 3 registrations, 4 sign-ins and 1 of eve, 8 wrong passwords.
        ("symbolon_hash_duration_seconds_count", 16.0),
        ("symbolon_hash_queue_wait_seconds_count", 16.0),
        ("symbolon_database_available", 1.0),
        ("symbolon_identity_cache_usable", 1.0),
        ("symbolon_stale_identities_total", 0.0),
        (r#"symbolon_database_errors_total{kind="other"}"#, 0.0),
    ] {
        metrics.assert(sample, expected);
    }
    for positive in [
        "symbolon_identity_cache_hits_total",
        "symbolon_identity_cache_misses_total",
        "symbolon_http_connections",
        r#"symbolon_database_pool_wait_seconds_count{pool="readers"}"#,
        r#"symbolon_database_pool_wait_seconds_count{pool="writers"}"#,
        r#"symbolon_database_connections{pool="readers",state="idle"}"#,
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_threads",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.samples[positive] > 0.0, "{positive}");
    }
    let database = if on_postgres() {
        "postgresql"
    } else {
        "sqlite"
    };
    let version = env!("CARGO_PKG_VERSION");
    let build = format!(r#"symbolon_build_info{{version="{version}",database="{database}"}}"#);
    metrics.assert(&build, 1.0);
    let has_heartbeat = metrics
        .samples
        .contains_key("symbolon_heartbeat_age_seconds");
    assert_eq!(has_heartbeat, on_postgres());
}

/// Asserts that a successful request reads with one statement. Repeats the request up to 5 times, because a late heartbeat
/// of PostgreSQL causes a read of the identity.
async fn assert_one_statement(app: &TestApp, token: &str, document: &str) {
    let reads = r#"symbolon_database_pool_wait_seconds_count{pool="readers"}"#;
    let mut statements = Vec::new();
    while statements.len() < 5 {
        let before = Metrics::scrape(app).await.samples[reads];
        let answer = app.graphql(document).bearer(token).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null, "{document}");
        let count = Metrics::scrape(app).await.samples[reads] - before;
        if (0.5..1.5).contains(&count) {
            return;
        }
        statements.push(count);
    }
    panic!("{statements:?} statements: {document}");
}

#[tokio::test]
async fn each_page_is_read_with_one_statement() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    for name in ["ada", "bob", "eve"] {
        app.register(name).await;
    }
    app.make_admin(1).await;
    let token = app.sign_in("ada").await;
    let introspection = "{ __schema { queryType { fields { name args { name } } } } }";
    let schema = app.graphql(introspection).send().await;
    let fields = schema.at("/data/__schema/queryType/fields").as_array();
    let is_connection = |field: &&Value| {
        let arguments = field["args"].as_array().unwrap();
        arguments.iter().any(|argument| argument["name"] == "after")
    };
    let connections: Vec<_> = fields.unwrap().iter().filter(is_connection).collect();
    assert_eq!(connections.len(), 2, "{connections:?}");
    for connection in connections {
        let name = connection["name"].as_str().unwrap();
        let middle = format!("{{ {name}(first: 2) {{ pageInfo {{ endCursor }} }} }}");
        let middle = app.graphql(&middle).bearer(&token).send().await;
        let cursor = middle.at(&format!("/data/{name}/pageInfo/endCursor"));
        for arguments in [
            "first: 1".to_owned(),
            "last: 1".to_owned(),
            format!("first: 1, after: {cursor}"),
            format!("last: 1, before: {cursor}"),
            format!("last: 1, after: {cursor}, before: {cursor}"),
        ] {
            for selection in [
                "nodes { id }",
                "edges { cursor node { __typename } } pageInfo { hasNextPage hasPreviousPage }",
            ] {
                let document = format!("{{ {name}({arguments}) {{ {selection} }} }}");
                assert_one_statement(&app, &token, &document).await;
            }
        }
    }
    let document = "{ users { nodes { ...fields } edges { node { email } } } }
        fragment fields on User { id role createdAt lastSignInAt disabledAt }";
    // The later requests use the cached document.
    for _ in 0..3 {
        assert_one_statement(&app, &token, document).await;
    }
}

#[tokio::test]
async fn an_identity_that_is_not_cached_is_read_with_one_statement() {
    let configure = |config: &mut Config| config.identity_cache = 0;
    let app = TestApp::with_routes(configure, routes).await;
    app.register("ada").await;
    let input = serde_json::json!({ "name": "script" });
    for token in [
        app.sign_in("ada").await,
        app.sign_in_on("ada", "phone").await,
        app.access_token("ada", input).await,
    ] {
        let document = "{ me { id username email role } }";
        assert_one_statement(&app, &token, document).await;
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the expressions of the alerts, by name.
fn alerts() -> BTreeMap<String, String> {
    let mut alerts = BTreeMap::new();
    for rule in read("deploy/alerts.yml").split("- alert: ").skip(1) {
        let (name, rest) = rule.split_once('\n').unwrap();
        let (_, expression) = rest.split_once("expr: ").unwrap();
        let (expression, rest) = expression.split_once(" labels:").unwrap();
        for part in ["severity:", "summary:", "description:"] {
            assert!(rest.contains(part), "{name} has no {part}");
        }
        let runbook = format!("runbook_url: docs/monitoring.md#{}\n", name.to_lowercase());
        assert!(rest.contains(&runbook), "{name}");
        let (expression, _) = expression.split_once(" for:").unwrap_or((expression, ""));
        alerts.insert(name.to_owned(), expression.to_owned());
    }
    alerts
}

/// Returns all expressions in the dashboard.
fn panels(dashboard: &Value, expressions: &mut Vec<String>) {
    match dashboard {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(expression) if ["expr", "definition"].contains(&&**name) => {
                        expressions.push(expression.to_owned());
                    }
                    _ => panels(value, expressions),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| panels(item, expressions)),
        _ => {}
    }
}

/// Returns the names of metrics in an expression, each with the names of the labels in the braces after it.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut selectors = Vec::new();
    for prefix in ["symbolon_", "process_"] {
        for (at, _) in expression.match_indices(prefix) {
            if expression[..at].ends_with(is_name) {
                continue;
            }
            let rest = &expression[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = braces.map_or("", |(matchers, _)| matchers).split(',');
            let labels = matchers.filter_map(|matcher| {
                let (label, _) = matcher.split_once('=')?;
                Some(label.trim().to_owned())
            });
            selectors.push((name.to_owned(), labels.collect()));
        }
    }
    selectors
}

/// Returns the labels by which expressions group.
fn grouping_labels(expression: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for keyword in ["by (", "without (", "on ("] {
        for (at, _) in expression.match_indices(keyword) {
            let list = &expression[at + keyword.len()..];
            let list = list.split(')').next().unwrap().split(',');
            labels.extend(list.map(|label| label.trim().to_owned()));
        }
    }
    labels
}

#[tokio::test]
async fn the_alerts_and_the_dashboard_use_existing_metrics_and_labels() {
    let app = use_everything().await;
    let metrics = Metrics::scrape(&app).await;
    let mut labels = metrics.labels();
    // SQLite has no heartbeat.
    labels
        .entry("symbolon_heartbeat_age_seconds".to_owned())
        .or_default();
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana.json")).unwrap();
    let mut expressions = Vec::new();
    panels(&dashboard, &mut expressions);
    assert!(expressions.len() > 40);
    expressions.extend(alerts().into_values());
    let mut grouping = BTreeSet::new();
    for expression in &expressions {
        for (name, used) in selectors(expression) {
            let own = labels.get(&name);
            let own = own.unwrap_or_else(|| panic!("{name} does not exist: {expression}"));
            for label in used {
                // Prometheus adds these labels.
                let is_added = ["job", "instance"].contains(&&*label);
                assert!(is_added || own.contains(&label), "{label}: {expression}");
            }
        }
        grouping.extend(grouping_labels(expression));
    }
    let all: BTreeSet<_> = labels.into_values().flatten().collect();
    for label in grouping {
        let is_added = ["job", "instance", "alertname"].contains(&&*label);
        assert!(is_added || all.contains(&label), "{label}");
    }
    // Each metric is in the dashboard.
    let used = expressions
        .iter()
        .flat_map(|expression| selectors(expression));
    let used: BTreeSet<_> = used.map(|(name, _)| name).collect();
    let is_used = |name: &String| {
        let name = name.as_str();
        used.contains(name) || used.contains(&format!("{name}_bucket"))
    };
    let unused: Vec<_> = metrics.types.keys().filter(|name| !is_used(name)).collect();
    assert_eq!(unused, ["process_virtual_memory_bytes"]);
}

#[tokio::test]
async fn the_documentation_describes_every_metric_and_alert() {
    let app = use_everything().await;
    let metrics = Metrics::scrape(&app).await;
    let text = read("docs/monitoring.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut documented: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let labels = cells[2]
                .split(',')
                .map(|label| label.trim().trim_matches('`'));
            let labels: BTreeSet<_> = labels
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect();
            (
                cells[0].trim_end_matches('`').to_owned(),
                (cells[1].to_owned(), labels),
            )
        })
        .collect();
    if !on_postgres() {
        documented.remove("symbolon_heartbeat_age_seconds");
    }
    let labels = metrics.labels();
    let own_labels = |name: &str, kind: &str| {
        let name = if kind == "histogram" {
            format!("{name}_sum")
        } else {
            name.to_owned()
        };
        labels[&name].clone()
    };
    let actual = metrics
        .types
        .iter()
        .map(|(name, kind)| (name.clone(), (kind.clone(), own_labels(name, kind))));
    assert_eq!(documented, actual.collect());
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    let alerts = alerts();
    assert_eq!(
        headings.map(str::to_owned).collect::<BTreeSet<_>>(),
        alerts.keys().cloned().collect()
    );
    // Each alert has a test in which it fires.
    let tests = read("deploy/alerts-test.yml");
    for alert in alerts.keys() {
        assert!(
            tests.contains(&format!(r#"'{{alertname="{alert}"}}'"#)),
            "{alert}"
        );
    }
}

#[tokio::test]
#[ignore = "needs promtool, which scripts/test installs"]
async fn promtool_accepts_the_metrics_and_the_alerts() {
    let app = use_everything().await;
    let metrics = Metrics::scrape(&app).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for (arguments, input) in [
        (&["check", "metrics"][..], &*metrics.text),
        (&["check", "rules", "alerts.yml"], ""),
        (&["test", "rules", "alerts-test.yml"], ""),
    ] {
        let mut promtool = std::process::Command::new("promtool");
        let promtool = promtool.args(arguments).current_dir(&folder);
        let (code, output, error) = finish_with(promtool, input);
        assert_eq!(code, Some(0), "{arguments:?}: {output}{error}");
        // `check metrics` reports advice, too.
        assert!(!input.is_empty() <= output.is_empty(), "{output}");
    }
}

#[tokio::test]
async fn prometheus_gets_openmetrics_and_other_clients_get_the_older_format() {
    let app = TestApp::with_routes(|_| {}, routes).await;
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let older = "text/plain; version=0.0.4; charset=utf-8";
    for (accept, expected) in [
        (
            // Prometheus 2.42
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            openmetrics,
        ),
        ("Application/OpenMetrics-Text", openmetrics),
        ("application/openmetrics-text;q=0,text/plain", older),
        ("application/openmetrics-text-other", older),
        ("text/plain;version=0.0.4", older),
        ("text/html,*/*;q=0.8", older),
        ("*/*", older),
    ] {
        let request = app
            .request(Method::GET, "/metrics")
            .header("accept", accept);
        let answer = Answer::of(request).await;
        assert_eq!(answer.header("content-type"), expected, "{accept}");
        let text = answer.body.as_str().unwrap();
        let is_openmetrics = expected == openmetrics;
        assert_eq!(text.ends_with("# EOF\n"), is_openmetrics);
        let described = if is_openmetrics {
            "sign_ins"
        } else {
            "sign_ins_total"
        };
        assert!(
            text.contains(&format!("# TYPE symbolon_{described} counter\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("# HELP symbolon_{described} Number of ")),
            "{text}"
        );
    }
    for (method, status) in [
        (Method::HEAD, 200),
        (Method::POST, 405),
        (Method::DELETE, 405),
    ] {
        let answer = Answer::of(app.request(method.clone(), "/metrics")).await;
        assert_eq!(answer.status, status, "{method}");
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
}

#[tokio::test]
async fn two_instances_in_one_process_count_separately() {
    let (one, two) = (
        TestApp::with_routes(|_| {}, routes).await,
        TestApp::with_routes(|_| {}, routes).await,
    );
    one.register("ada").await;
    for (app, expected) in [(&one, 1.0), (&two, 0.0)] {
        let metrics = Metrics::scrape(app).await;
        metrics.assert(r#"symbolon_events_total{kind="REGISTERED"}"#, expected);
        metrics.assert("symbolon_hash_duration_seconds_count", expected);
    }
}
