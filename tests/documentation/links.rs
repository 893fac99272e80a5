//! Links in Markdown: the file and the heading exist. The URLs of other servers are only parsed.

use std::collections::BTreeMap;

use super::{Page, pages, root};

/// Returns the anchors of a page, with the rules of GitHub.
fn anchors(page: &Page) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in page.prose() {
        let Some(heading) = line.strip_prefix('#') else {
            continue;
        };
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let anchor: String = heading.chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let count = counts.entry(anchor.clone()).or_default();
        anchors.push(match *count {
            0 => anchor,
            count => format!("{anchor}-{count}"),
        });
        *count += 1;
    }
    anchors
}

/// Returns a line without its code.
fn without_code(line: &str) -> String {
    let parts = line.split('`').step_by(2);
    parts.collect::<Vec<_>>().join("`")
}

/// Returns the targets of the links in a line.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1);
    let inline = inline.map(|rest| rest.split(')').next().unwrap());
    let automatic = line.split('<').skip(1);
    let automatic = automatic.filter(|rest| rest.starts_with("http"));
    let automatic = automatic.map(|rest| rest.split('>').next().unwrap());
    let definition = line
        .strip_prefix('[')
        .and_then(|line| line.split_once("]: "));
    let definition = definition.map(|(_, target)| target);
    inline.chain(automatic).chain(definition).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut links, mut broken) = (0, Vec::new());
    for page in pages() {
        for (number, line) in page.prose() {
            let line = without_code(line);
            for target in targets(&line) {
                links += 1;
                if !leads_somewhere(&page, target) {
                    broken.push(format!("{}:{number}: {target}", page.name));
                }
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(links > 150, "{links}");
}

fn leads_somewhere(page: &Page, target: &str) -> bool {
    if target.starts_with("http") {
        let url = reqwest::Url::parse(target);
        return url.is_ok_and(|url| {
            url.host_str()
                .is_some_and(|host| host.contains('.') || host == "localhost")
        });
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = root().join(&page.name).parent().unwrap().to_owned();
    let file = match path {
        "" => root().join(&page.name),
        path => folder.join(path),
    };
    let Ok(file) = file.canonicalize() else {
        return false;
    };
    if anchor.is_empty() {
        return true;
    }
    let name = file.strip_prefix(root().canonicalize().unwrap());
    let target = Page::read(&name.unwrap().display().to_string());
    anchors(&target).iter().any(|own| own == anchor)
}

#[test]
fn every_page_is_in_the_index() {
    let index = Page::read("docs/README.md");
    for page in pages() {
        if let Some(name) = page.name.strip_prefix("docs/")
            && name != "README.md"
        {
            assert!(index.text.contains(&format!("]({name})")), "{name}");
        }
    }
}
