//! The complexity of lists, and the size of responses that contain lists.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Value, json};

use crate::row_limits::{create, with_ada};
use crate::support::{Answer, TestApp};

/// A field of an object of the schema.
#[derive(Clone)]
struct Field {
    owner: String,
    name: String,
    /// The field with its arguments.
    call: String,
    result: String,
    is_list: bool,
    description: String,
}

struct Schema {
    types: HashMap<String, Value>,
    roots: Vec<(String, String)>,
}

/// Returns the name of a type without its wrappers, and whether one of them is a list.
fn unwrapped(of: &Value) -> (String, bool) {
    let (mut of, mut is_list) = (of, false);
    while !of["ofType"].is_null() {
        is_list |= of["kind"] == "LIST";
        of = &of["ofType"];
    }
    (of["name"].as_str().unwrap().to_owned(), is_list)
}

impl Schema {
    async fn of(app: &TestApp) -> Self {
        let wrapped = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
        let document = format!(
            "{{ __schema {{ queryType {{ name }} mutationType {{ name }} types {{ name kind
                enumValues {{ name }} inputFields {{ name type {{ {wrapped} }} }}
                fields {{ name description args {{ name type {{ {wrapped} }} }} type {{ {wrapped} }} }} }} }} }}"
        );
        let answer = app.graphql(&document).send().await;
        let schema = answer.at("/data/__schema");
        let types = schema["types"].as_array().unwrap().iter();
        let types = types.map(|each| (each["name"].as_str().unwrap().to_owned(), each.clone()));
        let root = |kind: &str| {
            schema[format!("{kind}Type")]["name"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        Self {
            types: types.collect(),
            roots: ["query", "mutation"]
                .map(|kind| (kind.to_owned(), root(kind)))
                .into(),
        }
    }

    /// Returns a value of an input type, or `None` for null.
    fn value(&self, of: &Value) -> Option<String> {
        (of["kind"] == "NON_NULL").then(|| self.some(&of["ofType"]))
    }

    fn some(&self, of: &Value) -> String {
        if of["kind"] == "LIST" {
            return "[]".to_owned();
        }
        let name = of["name"].as_str().unwrap();
        let named = &self.types[name];
        match named["kind"].as_str().unwrap() {
            "ENUM" => named["enumValues"][0]["name"].as_str().unwrap().to_owned(),
            "INPUT_OBJECT" => {
                let fields = named["inputFields"].as_array().unwrap().iter();
                let fields = fields.filter_map(|field| {
                    let value = self.value(&field["type"])?;
                    Some(format!("{}: {value}", field["name"].as_str().unwrap()))
                });
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            _ if name == "Int" => "1".to_owned(),
            _ if name == "Boolean" => "true".to_owned(),
            _ => "\"1\"".to_owned(),
        }
    }

    fn is_object(&self, name: &str) -> bool {
        self.types[name]["kind"] == "OBJECT"
    }

    fn fields(&self, owner: &str) -> Vec<Field> {
        let fields = self.types[owner]["fields"].as_array().into_iter().flatten();
        let field = |field: &Value| {
            let arguments = field["args"].as_array().unwrap().iter();
            let arguments = arguments.filter_map(|argument| {
                let value = self.value(&argument["type"])?;
                Some(format!("{}: {value}", argument["name"].as_str().unwrap()))
            });
            let arguments = arguments.collect::<Vec<_>>().join(", ");
            let name = field["name"].as_str().unwrap().to_owned();
            let call = if arguments.is_empty() {
                name.clone()
            } else {
                format!("{name}({arguments})")
            };
            let (result, is_list) = unwrapped(&field["type"]);
            Field {
                owner: owner.to_owned(),
                name,
                call,
                result,
                is_list,
                description: field["description"].as_str().unwrap_or_default().to_owned(),
            }
        };
        fields.map(field).collect()
    }

    /// Returns the shortest path from a root to each field that is a list, with the kind of the
    /// operation.
    fn lists(&self) -> Vec<(String, Vec<Field>)> {
        let (mut lists, mut seen) = (Vec::new(), HashSet::new());
        let roots = self.roots.iter().cloned();
        let mut ways: VecDeque<_> = roots.map(|(kind, root)| (kind, root, Vec::new())).collect();
        while let Some((kind, owner, way)) = ways.pop_front() {
            if !seen.insert(owner.clone()) {
                continue;
            }
            for field in self.fields(&owner) {
                let result = field.result.clone();
                let is_list = field.is_list;
                let way = [way.clone(), vec![field]].concat();
                if is_list {
                    lists.push((kind.clone(), way.clone()));
                }
                if self.is_object(&result) {
                    ways.push_back((kind.clone(), result, way));
                }
            }
        }
        lists
    }
}

/// Returns the largest number of entries of each list. For a new list, set the `complexity` of its field
/// and describe the number in the schema.
fn most(field: &Field) -> Option<usize> {
    let most = match (field.owner.as_str(), field.name.as_str()) {
        ("User", "accessTokens") => 50,
        ("AccessToken", "scopes") => 32,
        (payload, "userErrors") if payload.ends_with("Payload") => 3,
        // The connection multiplies by the size of the page.
        (connection, "nodes" | "edges") if connection.ends_with("Connection") => return None,
        (owner, name) => panic!("{owner}.{name} is a list without a maximum"),
    };
    let description = &field.description;
    assert!(
        description.contains(&most.to_string()),
        "{}: {description}",
        field.name
    );
    Some(most)
}

/// Returns the complexity of a path that selects each field once.
fn cost(way: &[Field]) -> usize {
    let Some((first, rest)) = way.split_first() else {
        return 0;
    };
    let below = cost(rest);
    if first.result == "SessionConnection" {
        // The shared session and 50 device sessions.
        return 51 * below + 1;
    }
    if first.result.ends_with("Connection") {
        // The default size of a page.
        return 20 * below + 1;
    }
    match first.is_list.then(|| most(first)).flatten() {
        // Each entry counts as one, because async-graphql counts `__typename` as zero.
        Some(most) => most * (below + 1),
        None => below + 1,
    }
}

#[tokio::test]
async fn each_list_of_the_schema_costs_its_maximum_length_times_what_is_selected() {
    let schema = Schema::of(&TestApp::start().await).await;
    let lists = schema.lists();
    let names: HashSet<_> = lists
        .iter()
        .map(|(_, way)| {
            way.last()
                .map(|field| (field.owner.clone(), field.name.clone()))
                .unwrap()
        })
        .collect();
    // Every list that introspection finds is reached from a root.
    for owner in schema
        .types
        .keys()
        .filter(|name| !name.starts_with("__") && schema.is_object(name))
    {
        for field in schema
            .fields(owner)
            .into_iter()
            .filter(|field| field.is_list)
        {
            assert!(
                names.contains(&(owner.clone(), field.name.clone())),
                "{owner}.{}",
                field.name
            );
        }
    }
    assert!(lists.len() >= 11);
    for (kind, way) in lists {
        let ends_with_object = schema.is_object(&way.last().unwrap().result);
        let cost = cost(&way);
        let mut document = if ends_with_object {
            "{ __typename }".to_owned()
        } else {
            String::new()
        };
        for field in way.iter().rev() {
            document = format!("{{ {} {document} }}", field.call);
        }
        let document = format!("{kind} {document}");
        for (complexity, is_refused) in [(cost, false), (cost - 1, true)] {
            let app = TestApp::configured(|config| config.limits.complexity = complexity).await;
            let answer = app.graphql(&document).send().await;
            let code = answer.at("/errors/0/extensions/code");
            assert_ne!(code, "GRAPHQL_VALIDATION_FAILED", "{document}: {answer:?}");
            let limit = answer.at("/errors/0/extensions/limit");
            assert_eq!(
                limit == "complexity",
                is_refused,
                "{document}, {complexity}: {answer:?}"
            );
        }
    }
}

/// Returns the size of a response in bytes.
fn size(answer: &Answer) -> usize {
    answer.body.to_string().len()
}

#[tokio::test]
async fn long_aliases_do_not_multiply_the_size_of_a_response() {
    let (app, session) = with_ada().await;
    for number in 0..50 {
        let name = format!("{number:064}");
        create(&app, "ada", json!({ "name": name })).await;
    }
    let document = |length: usize| {
        let roots: String = (0..48)
            .map(|n| format!("a{n}: me {{ accessTokens {{ ...F }} }} "))
            .collect();
        let alias = "a".repeat(length);
        format!("{{ {roots} }} fragment F on AccessToken {{ {alias}: name }}")
    };
    let answer = app.graphql(&document(30_000)).bearer(&session).send().await;
    println!("with a long alias: {} bytes", size(&answer));
    assert_eq!(answer.at("/errors/0/extensions/limit"), "nameBytes");
    let answer = app.graphql(&document(257)).bearer(&session).send().await;
    assert_eq!(answer.at("/errors/0/extensions/limit"), "nameBytes");
    let answer = app.graphql(&document(256)).bearer(&session).send().await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    println!("with the longest alias: {} bytes", size(&answer));
    assert!(size(&answer) < 2_000_000);
}

#[tokio::test]
async fn aliases_of_typename_count_with_each_entry_of_a_list() {
    let (app, session) = with_ada().await;
    let aliases: String = (0..99).map(|n| format!("a{n}: __typename ")).collect();
    // 50 entries and the root field: 51, a hundred times.
    let document = format!("{{ me {{ accessTokens {{ {aliases} }} }} }}");
    let answer = app.graphql(&document).bearer(&session).send().await;
    assert_eq!(answer.at("/errors/0/extensions/limit"), "complexity");
    let document =
        format!("{{ me {{ accessTokens {{ ...F }} }} }} fragment F on AccessToken {{ {aliases} }}");
    let answer = app.graphql(&document).bearer(&session).send().await;
    assert_eq!(answer.at("/errors/0/extensions/limit"), "complexity");
    for document in [
        document
            .replace("a98: __typename", "")
            .replace("a97: __typename", ""),
        format!(
            "{{ {} }}",
            (0..50)
                .map(|n| format!("a{n}: __typename "))
                .collect::<String>()
        ),
        "{ me { accessTokens { type: __typename id } } }".to_owned(),
    ] {
        let answer = app.graphql(&document).bearer(&session).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null, "{document}");
    }
}

#[tokio::test]
async fn an_introspection_response_is_bounded() {
    let app = TestApp::start().await;
    let alias = "a".repeat(250);
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("{alias}{n}: description "))
            .collect::<String>()
    };
    // The lists of the introspection types, nested as deeply as allowed.
    let ways = [
        "types { fields {",
        "types { fields { args {",
        "types { fields { type { fields {",
        "types { fields { type { enumValues {",
        "types { fields { type { ofType { fields {",
        "types { fields { type { ofType { fields { args {",
        "types { fields { type { ofType { ofType { ofType { fields { args {",
        "types { fields { args { type { ofType { inputFields {",
        "types { inputFields { type { ofType { inputFields {",
    ];
    let mut largest = 0;
    for way in ways {
        let ends = "} ".repeat(way.matches('{').count());
        let roots: String = (0..50)
            .map(|n| format!("a{n}: __schema {{ ...F }} "))
            .collect();
        let all = "name description";
        let both: String = way.replace('{', "{ description ");
        for document in [
            format!("{{ __schema {{ {way} {} {ends} }} }}", many(99)),
            format!(
                "{{ a: __schema {{ ...F }} b: __schema {{ ...F }} }} fragment F on __Schema {{ {way} {} {ends} }}",
                many(49)
            ),
            format!("{{ {roots} }} fragment F on __Schema {{ {way} {all} {ends} }}"),
            format!("{{ {roots} }} fragment F on __Schema {{ {both} {ends} }}"),
        ] {
            let answer = app.graphql(&document).send().await;
            largest = largest.max(size(&answer));
        }
    }
    println!("the largest answer about the schema has {largest} bytes");
    assert!(largest < 8_000_000, "{largest}");
}

#[tokio::test]
async fn a_page_costs_its_size_as_a_literal_and_as_a_variable() {
    let app = TestApp::configured(|config| config.limits.complexity = 100).await;
    app.register("ada").await;
    app.make_admin(1).await;
    let session = app.sign_in("ada").await;
    let document = |variables: &str, arguments: &str| {
        format!("query{variables} {{ users{arguments} {{ nodes {{ id }} }} }}")
    };
    // 49 entries cost 99, and 50 cost 101.
    for (variables, arguments, values, size) in [
        ("", "", json!({}), 20),
        ("", "(first: 49)", json!({}), 49),
        ("", "(first: 50)", json!({}), 50),
        ("", "(last: 50)", json!({}), 50),
        ("", "(first: null, last: 50)", json!({}), 50),
        ("($n: Int = 50)", "(first: $n)", json!({}), 50),
        ("($n: Int = 50)", "(first: $n)", json!({ "n": 1 }), 1),
        ("($n: Int = 1)", "(first: $n)", json!({ "n": 50 }), 50),
        (
            "($n: Int)",
            "(first: $n, last: 50)",
            json!({ "n": null }),
            50,
        ),
        ("($n: Int)", "(first: $n, last: 50)", json!({}), 50),
        ("($n: Int)", "(last: $n)", json!({ "n": 1 }), 1),
        ("($n: Int)", "(last: $n)", json!({ "n": 50 }), 50),
    ] {
        let document = document(variables, arguments);
        let answer = app
            .graphql_with(&document, &values)
            .bearer(&session)
            .send()
            .await;
        let is_refused = answer.at("/errors/0/extensions/limit") == "complexity";
        assert_eq!(is_refused, size >= 50, "{document} {values}: {answer:?}");
    }
    // Two pages cost their sum: 98 or 102.
    for (size, is_expensive) in [(24, false), (25, true)] {
        let page = |alias: &str| format!("{alias}: users(first: {size}) {{ nodes {{ id }} }}");
        let document = format!("{{ {} {} }}", page("a"), page("b"));
        let answer = app.graphql(&document).bearer(&session).send().await;
        let is_refused = answer.at("/errors/0/extensions/limit") == "complexity";
        assert_eq!(is_refused, is_expensive, "{document}: {answer:?}");
    }
}
