//! The documentation. The tests run, compile or parse each code block, follow each link, and compare the generated tables
//! with the program. `UPDATE_DOCS=1 cargo test --test integration documentation::` rewrites the generated tables.

mod code_blocks;
mod commands;
mod configuration;
mod errors;
mod graphql_api;
mod links;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Markdown file.
struct Page {
    /// The path below the root of the repository.
    name: String,
    text: String,
}

/// A fenced code block.
#[derive(Clone, Debug)]
struct Block {
    /// The number of the line of its opening fence.
    line: usize,
    language: String,
    /// The HTML comment directly before the block.
    comment: Option<String>,
    text: String,
}

/// Returns all Markdown files of the repository.
fn pages() -> Vec<Page> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_generated = ["target", "node_modules", "dist", "client"].contains(&&*name);
            if path.is_dir() && !is_generated && !name.starts_with('.') {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(root(), &mut files);
    files.sort();
    assert!(files.len() > 20);
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    files.iter().map(|path| Page::read(&name(path))).collect()
}

impl Page {
    fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap();
        let name = name.to_owned();
        Self { name, text }
    }

    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        let mut previous = "";
        for (number, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.text += &format!("{line}\n"),
                (None, Some(language)) => {
                    let comment = previous.trim().strip_prefix("<!-- ");
                    let comment = comment.and_then(|rest| rest.strip_suffix(" -->"));
                    open = Some(Block {
                        line: number + 1,
                        language: language.to_owned(),
                        comment: comment.map(str::to_owned),
                        text: String::new(),
                    });
                }
                (None, None) => {}
            }
            previous = line;
        }
        assert!(open.is_none(), "{}: a block is not closed", self.name);
        blocks
    }

    /// Returns the lines outside of code blocks, with their numbers.
    fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_open = false;
        let lines = (1..).zip(self.text.lines());
        let prose = lines.filter(|(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_open ^= is_fence;
            !is_open && !is_fence
        });
        prose.collect()
    }

    /// Compares the generated parts of the page, each between `<!-- generated: NAME -->` and `<!-- end: NAME -->`.
    fn assert_generated(&self, parts: &[(&str, String)]) {
        let mut text = self.text.clone();
        for (name, part) in parts {
            let (start, end) = (
                format!("<!-- generated: {name} -->\n"),
                format!("<!-- end: {name} -->"),
            );
            let marked = text.split_once(&start).and_then(|(before, rest)| {
                let (_, after) = rest.split_once(&end)?;
                Some((before, after))
            });
            let (before, after) =
                marked.unwrap_or_else(|| panic!("{} has no part {name}", self.name));
            text = format!("{before}{start}\n{}\n\n{end}{after}", part.trim());
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(root().join(&self.name), &text).unwrap();
        } else if text != self.text {
            let pairs = text.lines().zip(self.text.lines());
            let different = pairs.into_iter().find(|(new, old)| new != old);
            panic!(
                "{} is out of date: UPDATE_DOCS=1 cargo test --test integration documentation::\n{different:#?}",
                self.name
            );
        }
    }
}

/// Formats a table.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| {
            assert!(!cell.contains('\n'), "{cell}");
            match cell.replace('|', "\\|") {
                cell if cell.is_empty() => " ".to_owned(),
                cell => format!(" {cell} "),
            }
        });
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let header: Vec<_> = header.iter().map(|&cell| cell.to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(header.len()));
    let rows: String = rows.iter().map(|row| line(row)).collect();
    line(&header) + &rule + &rows
}

/// Returns whether a text has this form, in which `…` stands for any text.
fn has_form(text: &str, form: &str) -> bool {
    let mut parts = form.split('…');
    let first = parts.next().unwrap();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.len() > last.len() && rest.ends_with(last)
}
