//! `symbolon check`

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{self, Path};
use std::time::UNIX_EPOCH;

use clap::Args;
use rustix::fs::statvfs;
use serde::Serialize;
use symbolon::{Clock, DatabaseInspection, Symbolon, TablesState};

use super::check_row::{CheckRow, Outcome, row};
use super::database::{Sources, print_name};
use super::environment::{LOG, LOG_FORMAT, SECRET_KEY, UnusedVariables, describe, variable};
use super::file_owner;
use super::output::{Output, Row};
use super::port_checks::check_ports;
use super::settings::Settings;

/// The minimum free space of the volume of an SQLite database, in bytes.
const MIN_FREE_SPACE: u64 = 64 * 1024 * 1024;

/// The maximum difference between the clocks of this machine and of the PostgreSQL server, in milliseconds.
const MAX_CLOCK_DIFFERENCE: i64 = 30_000;

/// The start of 2026, as a Unix timestamp. This version of Symbolon did not exist before.
const MIN_TIME: i64 = 1_767_225_600;

#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    output: Output,
}

/// A setting, its value without secrets, and its source.
#[derive(Serialize)]
struct SettingRow {
    setting: &'static str,
    value: String,
    source: String,
}

impl Row for SettingRow {
    const COLUMNS: &'static [&'static str] = &["setting", "value", "source"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.setting.to_owned(),
            self.value.clone(),
            self.source.clone(),
        ]
    }
}

impl Check {
    pub(super) async fn run(self, unused: &UnusedVariables) -> Result<(), Box<dyn Error>> {
        let Self { settings, output } = self;
        let config = &settings.values.config;
        let sources = Sources::of(&settings);
        let name = Symbolon::database_name(config).map_err(|error| sources.explain(error))?;
        print_name(&name);
        output.table().print(&effective(&settings)?)?;
        if !output.json {
            writeln!(io::stdout())?;
        }
        let mut checks = variable_checks(unused);
        checks.extend(check_database(&settings, &name).await?);
        checks.extend(check_ports(&settings).await);
        output.table().print(&checks)?;
        let failed = checks.iter().filter(|row| row.result == Outcome::Failed);
        match failed.count() {
            0 => Ok(()),
            1 => Err("1 check failed".into()),
            count => Err(format!("{count} checks failed").into()),
        }
    }
}

/// Returns all settings.
fn effective(settings: &Settings) -> Result<Vec<SettingRow>, String> {
    let or_dash = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let rows = settings.effective().into_iter().map(|setting| SettingRow {
        setting: setting.variable,
        value: or_dash(setting.value),
        source: setting.source.to_string(),
    });
    let mut rows: Vec<_> = rows.collect();
    for (name, default, is_secret) in [
        (SECRET_KEY, "-", true),
        (LOG, "info", false),
        (LOG_FORMAT, "text", false),
    ] {
        let value = variable(name)?;
        let source = if value.is_some() { name } else { "default" };
        let value = value.map(|value| {
            if is_secret {
                "(hidden)".to_owned()
            } else {
                value
            }
        });
        rows.push(SettingRow {
            setting: name,
            value: value.unwrap_or_else(|| default.to_owned()),
            source: source.to_owned(),
        });
    }
    Ok(rows)
}

fn variable_checks(unused: &UnusedVariables) -> Vec<CheckRow> {
    let unknown = unused.unknown.iter();
    let unknown = unknown.map(|(name, similar)| describe(name, *similar));
    let links = unused.service_links.iter();
    let links = links.map(|name| format!("ignoring the service link of Kubernetes {name}"));
    let notes = unknown.chain(links);
    let notes = notes.map(|note| row("environment", Outcome::Note, note));
    let notes: Vec<_> = notes.collect();
    if notes.is_empty() {
        return vec![row("environment", Outcome::Ok, "no unknown variables")];
    }
    notes
}

/// Checks the database, the server key, the clock and the free space.
async fn check_database(settings: &Settings, name: &str) -> Result<Vec<CheckRow>, Box<dyn Error>> {
    let config = &settings.values.config;
    let file = Symbolon::database_file(config);
    let explain = |error| Sources::of(settings).explain(error).to_string();
    // SQLite could create files that belong to root even if a database is only read.
    if let Some(Err(error)) = file.as_deref().map(file_owner::check) {
        let reason = error.to_string().replace('\n', " ");
        return Ok(vec![row("database", Outcome::Failed, reason)]);
    }
    let inspection = Symbolon::inspect(config).await?;
    let database = inspection.database.map_err(explain);
    let difference = database
        .as_ref()
        .ok()
        .and_then(|database| database.clock_difference);
    let difference = difference.map(|difference| difference.num_milliseconds());
    let key = match inspection.server_key {
        Ok(true) if let Some(warning) = inspection.server_key_warning => {
            row("server key", Outcome::Note, warning)
        }
        Ok(true) => row("server key", Outcome::Ok, "the key can be used"),
        Ok(false) => row(
            "server key",
            Outcome::Note,
            "there is no key file beside the database; the server creates it",
        ),
        Err(error) => row("server key", Outcome::Failed, explain(error)),
    };
    let mut checks = vec![
        database_row(&database, name),
        key,
        clock(file.as_deref(), difference),
    ];
    checks.extend(file.as_deref().map(free_space));
    Ok(checks)
}

fn database_row(database: &Result<DatabaseInspection, String>, name: &str) -> CheckRow {
    let row = |outcome, detail: String| row("database", outcome, detail);
    let database = match database {
        Ok(database) => database,
        Err(error) => return row(Outcome::Failed, error.clone()),
    };
    if let Some(obstacle) = &database.write_obstacle {
        let advice = if database.clock_difference.is_some() {
            "use a primary server, and grant the permissions of the owner to the role"
        } else {
            "run the command as the user that runs the server"
        };
        return row(Outcome::Failed, format!("{name}: {obstacle}; {advice}"));
    }
    match database.tables {
        TablesState::Current => row(
            Outcome::Ok,
            format!("{name} has the tables of this version"),
        ),
        TablesState::Outdated => row(
            Outcome::Note,
            format!("{name} has pending migrations; the server and `symbolon migrate` apply them"),
        ),
        TablesState::Missing => row(
            Outcome::Note,
            format!(
                "{name} has no tables of Symbolon; the server and `symbolon migrate` create them"
            ),
        ),
        TablesState::NoFile => row(
            Outcome::Note,
            format!("{name} does not exist; the server and `symbolon migrate` create it"),
        ),
    }
}

/// Checks the clock of this machine. `difference` is the difference to the clock of the PostgreSQL server, in
/// milliseconds.
fn clock(file: Option<&Path>, difference: Option<i64>) -> CheckRow {
    let now = Clock::System.now();
    let failed = |reason: String| {
        row(
            "clock",
            Outcome::Failed,
            format!("{reason}; synchronize the clock with NTP"),
        )
    };
    if now.timestamp() < MIN_TIME {
        return failed(format!("{now} is before the release of this version"));
    }
    let modified = file.and_then(|file| fs::metadata(file).ok()?.modified().ok());
    let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.and_then(|time| i64::try_from(time.as_secs()).ok());
    if modified.is_some_and(|modified| modified > now.timestamp() + 60) {
        return failed(format!("{now} is before the last change of the database"));
    }
    match difference {
        Some(difference) if difference.abs() > MAX_CLOCK_DIFFERENCE => failed(format!(
            "the clock of the PostgreSQL server differs by {} s from the clock of this machine",
            difference / 1000
        )),
        Some(difference) => row(
            "clock",
            Outcome::Ok,
            format!("{now}; the clock of the PostgreSQL server differs by {difference} ms"),
        ),
        None => row("clock", Outcome::Ok, now.to_string()),
    }
}

/// Checks the free space of the volume that contains the database file.
fn free_space(file: &Path) -> CheckRow {
    let absolute = || path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let file = fs::canonicalize(file).unwrap_or_else(|_| absolute());
    let folder = file.parent().unwrap_or(&file);
    let outcome = |outcome, detail| row("free space", outcome, detail);
    match statvfs(folder) {
        Err(error) => {
            let error = io::Error::from(error);
            outcome(Outcome::Failed, format!("{}: {error}", folder.display()))
        }
        Ok(volume) => {
            let free = volume.f_bavail.saturating_mul(volume.f_frsize);
            let mebibytes = format!("{} MiB at {}", free / 1024 / 1024, folder.display());
            if free < MIN_FREE_SPACE {
                let advice = "free at least 64 MiB, because changes fail if the volume is full";
                return outcome(Outcome::Failed, format!("{mebibytes}; {advice}"));
            }
            outcome(Outcome::Ok, mebibytes)
        }
    }
}
