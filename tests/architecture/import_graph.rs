//! The imports between the files of `src`, and the cycles among them.
//!
//! An import is a path that begins with `crate`, `super` or `self`, in a `use` item or anywhere else in the code. A path
//! that leads through a re-export counts as an import of the file that has the item, and the re-export itself as none
//! unless the file uses the name.

use std::collections::{BTreeMap, BTreeSet};

use super::SourceFile;

/// The segments of a path. `["store", "users"]` is the module of the file `store/users.rs`.
type Path = Vec<String>;

/// The files that each file imports, by their names.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns the module of a file.
fn module(name: &str) -> Path {
    let path = name.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// Splits at the commas that are not in braces.
fn split_list(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// A path of a `use` item.
struct Use {
    path: Path,
    /// The name that the item introduces.
    name: String,
    is_re_export: bool,
}

/// Returns the paths of a `use` tree, each with the name that it introduces.
fn expand(prefix: &[String], tree: &str) -> Vec<(Path, String)> {
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, list.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    let (head, alias) = match head.split_once(" as ") {
        Some((head, alias)) => (head, Some(alias.trim().to_owned())),
        None => (head, None),
    };
    let segments = head.split("::").map(|segment| segment.trim().to_owned());
    let mut path = prefix.to_vec();
    path.extend(segments.filter(|segment| !segment.is_empty()));
    if let Some(list) = list {
        let parts = split_list(list).into_iter().map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        return parts.flat_map(|part| expand(&path, part)).collect();
    }
    // `a::{self}` imports `a`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

/// Splits the code of a file into its `use` items and the rest.
fn split_uses(code: &str) -> (Vec<Use>, String) {
    let (mut uses, mut rest) = (Vec::new(), String::new());
    for item in code.split_inclusive(';') {
        let start = item.rfind("\nuse ").or_else(|| item.rfind(" use "));
        let start = start
            .map(|at| at + 1)
            .or_else(|| item.starts_with("use ").then_some(0));
        let Some(start) = start else {
            rest.push_str(item);
            continue;
        };
        rest.push_str(&item[..start]);
        let line = item[..start].rsplit('\n').next().unwrap();
        let tree = item[start + "use ".len()..].trim_end_matches(';');
        uses.extend(expand(&[], tree).into_iter().map(|(path, name)| Use {
            path,
            name,
            is_re_export: line.trim_start().starts_with("pub"),
        }));
    }
    (uses, rest)
}

/// Returns the paths in the code that begin with `crate`, `super` or `self`.
fn written_paths(code: &str) -> Vec<Path> {
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let paths = words.map(|word| word.split("::").filter(|part| !part.is_empty()));
    let paths = paths.map(|path| path.map(str::to_owned).collect::<Path>());
    let is_internal = |path: &Path| {
        let first = path.first().map(String::as_str);
        path.len() > 1 && matches!(first, Some("crate" | "super" | "self"))
    };
    paths.filter(is_internal).collect()
}

/// Returns the path from the root of the crate; `None` for a path into another crate.
fn absolute(module: &[String], path: &[String]) -> Option<Path> {
    let (first, rest) = path.split_first()?;
    let supers = path
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => Some(
            [
                &module[..module.len().checked_sub(supers)?],
                &path[supers..],
            ]
            .concat(),
        ),
        _ => None,
    }
}

/// Returns the imports of each file.
pub fn graph(files: &[SourceFile]) -> Graph {
    let modules: BTreeMap<Path, &SourceFile> = files
        .iter()
        .map(|file| (module(&file.name), file))
        .collect();
    let parsed: BTreeMap<_, _> = modules
        .iter()
        .map(|(module, file)| (module, split_uses(&file.code)))
        .collect();
    // The names that `use` items introduce. The children of a module can use those that are not public.
    let mut introduced = BTreeMap::new();
    for (&module, (uses, _)) in &parsed {
        for Use { path, name, .. } in uses {
            // A path that begins with a child of the module is relative to the module.
            let child = [&module[..], &path[..1]].concat();
            let relative = modules
                .contains_key(&child)
                .then(|| [&module[..], path].concat());
            if let Some(path) = relative.or_else(|| absolute(module, path)) {
                introduced.insert((module.clone(), name.clone()), path);
            }
        }
    }
    let resolve = |mut path: Path| -> Option<&SourceFile> {
        // The bound ends a cycle of re-exports.
        for _ in 0..10 {
            let length = (1..=path.len())
                .rev()
                .find(|length| modules.contains_key(&path[..*length]))?;
            let (module, rest) = path.split_at(length);
            let name = rest.first().map(|name| (module.to_vec(), name.clone()));
            match name.and_then(|name| introduced.get(&name)) {
                Some(target) => path = [&target[..], &rest[1..]].concat(),
                None => return Some(modules[module]),
            }
        }
        None
    };
    let imports = |module: &Path, file: &SourceFile| {
        let (uses, rest) = &parsed[module];
        let words: BTreeSet<_> = rest
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .collect();
        let imported = uses
            .iter()
            .filter(|item| !item.is_re_export || words.contains(&*item.name));
        let imported = imported.map(|item| item.path.clone());
        let paths = imported.chain(written_paths(rest));
        let targets = paths.filter_map(|path| resolve(absolute(module, &path)?));
        let others = targets.filter(|target| target.name != file.name);
        others.map(|target| target.name.clone()).collect()
    };
    let files = modules.iter();
    files
        .map(|(module, file)| (file.name.clone(), imports(module, file)))
        .collect()
}

/// Returns the files that can be reached from each file.
fn reachable(graph: &Graph) -> Graph {
    let from = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(file) = open.pop() {
            open.extend(
                graph[file]
                    .iter()
                    .filter(|next| seen.insert((*next).clone())),
            );
        }
        seen
    };
    graph
        .keys()
        .map(|file| (file.clone(), from(file)))
        .collect()
}

/// Returns the sets of files that import each other, directly or through others of the set.
pub fn cycles(graph: &Graph) -> BTreeSet<BTreeSet<String>> {
    let reachable = reachable(graph);
    let in_cycles = reachable
        .iter()
        .filter(|(file, others)| others.contains(*file));
    let cycle = |(file, others): (&String, &BTreeSet<String>)| {
        let members = others
            .iter()
            .filter(|other| reachable[*other].contains(file));
        members.cloned().collect()
    };
    in_cycles.map(cycle).collect()
}

#[test]
fn an_import_through_a_re_export_is_an_import_of_the_target() {
    let file = |name: &str, code: &str| SourceFile {
        name: name.to_owned(),
        code: code.to_owned(),
    };
    let files = [
        file(
            "a/mod.rs",
            "mod b;\npub use self::b::{Item as Renamed, Other};",
        ),
        file("a/b.rs", "use crate::c::{self, d::{E, f}};\nfn g() {}"),
        file("c/mod.rs", "fn call() { super::a::Renamed::new() }"),
        file("c/d.rs", "use std::fmt;"),
    ];
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let graph = graph(&files);
    assert_eq!(graph["a/b.rs"], names(&["c/d.rs", "c/mod.rs"]));
    assert_eq!(graph["c/mod.rs"], names(&["a/b.rs"]));
    assert_eq!(
        cycles(&graph),
        BTreeSet::from([names(&["a/b.rs", "c/mod.rs"])])
    );
}
