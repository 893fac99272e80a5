//! The tables of settings in docs/configuration.md and of commands in docs/operation.md, from the help of the program.

use crate::support::{finish, unconfigured_symbolon};

use super::{Page, pages, table};

const HEADER: [&str; 5] = ["variable", "option", "default", "values", "meaning"];

/// A setting in the help.
#[derive(Default)]
struct Setting {
    option: String,
    placeholder: String,
    variables: Vec<String>,
    default: String,
    range: String,
    meaning: Vec<String>,
}

impl Setting {
    /// Reads a line of the description.
    fn read(&mut self, line: &str) {
        if !line.starts_with('[') {
            // The variables without an option have their default at the end of the description.
            let (meaning, default) = line.split_once(" [default: ").unwrap_or((line, ""));
            self.meaning.push(meaning.to_owned());
            self.default += default.trim_end_matches(']');
            return;
        }
        for note in line.trim_matches(['[', ']']).split("] [") {
            let (name, value) = note.split_once(": ").unwrap();
            match name {
                "env" => self.variables.push(value.to_owned()),
                "range" => value.clone_into(&mut self.range),
                "default" => value.clone_into(&mut self.default),
                _ => panic!("{line}"),
            }
        }
    }

    fn row(&self) -> Vec<String> {
        let code = |text: &str| match text {
            "" => String::new(),
            text => format!("`{text}`"),
        };
        let variables: Vec<_> = self.variables.iter().map(|name| code(name)).collect();
        let values = match (&*self.range, &*self.placeholder) {
            ("", values) if values.contains('|') => {
                let values = values.split('|').map(|value| match value {
                    "ON" | "OFF" => code(&value.to_lowercase()),
                    value => code(value),
                });
                values.collect::<Vec<_>>().join(", ")
            }
            ("", placeholder) => code(placeholder),
            (range, _) => range.to_owned(),
        };
        let meaning = self.meaning.join(" ");
        vec![
            variables.join(", "),
            code(&self.option),
            code(&self.default),
            values,
            meaning,
        ]
    }
}

/// Returns the settings under each heading of the help.
fn settings() -> Vec<(String, Vec<Setting>)> {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = finish(unconfigured_symbolon(folder.path()).arg("--help"));
    let mut groups: Vec<(String, Vec<Setting>)> = Vec::new();
    for line in help.lines() {
        let is_heading = !line.starts_with(' ') && line.ends_with(':');
        let text = line.trim();
        let Some((_, group)) = groups.last_mut().filter(|_| !is_heading) else {
            if is_heading {
                groups.push((text.trim_end_matches(':').to_owned(), Vec::new()));
            }
            continue;
        };
        if let Some(option) = line.strip_prefix("      --") {
            let (option, value) = option.split_once(' ').unwrap_or((option, "<>"));
            group.push(Setting {
                option: format!("--{option}"),
                placeholder: value.trim_matches(['<', '>']).to_owned(),
                ..Setting::default()
            });
        } else if line.starts_with("  SYMBOLON_") {
            group.push(Setting {
                variables: vec![text.to_owned()],
                ..Setting::default()
            });
        } else if let Some(setting) = group.last_mut().filter(|_| !text.is_empty()) {
            setting.read(text);
        }
    }
    groups.retain(|(_, settings)| settings.iter().any(|setting| !setting.variables.is_empty()));
    groups
}

/// Returns the default of a setting.
pub(super) fn default_of(variable: &str) -> String {
    let groups = settings().into_iter().flat_map(|(_, settings)| settings);
    let mut found = groups.filter(|setting| setting.variables.iter().any(|name| name == variable));
    found.next().unwrap().default
}

#[test]
fn the_tables_of_settings_are_those_of_the_help() {
    let groups = settings();
    let count: usize = groups.iter().map(|(_, settings)| settings.len()).sum();
    assert!(groups.len() == 9 && count >= 55, "{count}");
    let text = groups.iter().map(|(heading, settings)| {
        let rows: Vec<_> = settings.iter().map(Setting::row).collect();
        format!("### {heading}\n\n{}\n", table(&HEADER, &rows))
    });
    let page = Page::read("docs/configuration.md");
    page.assert_generated(&[("settings", text.collect())]);
}

/// Returns a row for each command of the program, and for each of its subcommands.
fn commands(parents: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = finish(unconfigured_symbolon(folder.path()).args(parents).arg("-h"));
    let Some((_, list)) = help.split_once("\nCommands:\n") else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    for line in list.lines().take_while(|line| !line.is_empty()) {
        let (name, summary) = line.trim().split_once(' ').unwrap();
        let path = [parents, &[name]].concat();
        let subcommands = match name {
            "help" => continue,
            _ => commands(&path),
        };
        if subcommands.is_empty() {
            rows.push(vec![
                format!("`symbolon {}`", path.join(" ")),
                summary.trim().to_owned(),
            ]);
        }
        rows.extend(subcommands);
    }
    rows
}

#[test]
fn the_table_of_commands_is_that_of_the_help() {
    let rows = commands(&[]);
    assert!(rows.len() > 20, "{}", rows.len());
    let text = table(&["command", "purpose"], &rows);
    Page::read("docs/operation.md").assert_generated(&[("commands", text)]);
}

#[test]
fn every_variable_in_the_pages_is_a_setting() {
    let settings = settings().into_iter().flat_map(|(_, settings)| settings);
    let known: Vec<_> = settings.flat_map(|setting| setting.variables).collect();
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut found = 0;
    for page in &pages() {
        for (at, _) in page.text.match_indices("SYMBOLON_") {
            let name = page.text[at..].split(|c| !is_name(c)).next().unwrap();
            // A name can be a part of a list, such as `SYMBOLON_LIMIT_…`, or of another name.
            let is_whole = !page.text[..at].ends_with(is_name) && !name.ends_with('_');
            if is_whole && !name.starts_with("SYMBOLON_TEST_") {
                assert!(
                    known.iter().any(|known| known == name),
                    "{}: {name}",
                    page.name
                );
                found += 1;
            }
        }
    }
    assert!(found > 100, "{found}");
}
