//! The lines of the report of `symbolon check`.

use serde::Serialize;

use super::output::Row;

/// The outcome of a check. A note is no failure.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    Note,
    Failed,
}

/// One line of the report: the check, its outcome and the detail.
#[derive(Serialize)]
pub(super) struct CheckRow {
    check: &'static str,
    pub(super) result: Outcome,
    detail: String,
}

impl Row for CheckRow {
    const COLUMNS: &'static [&'static str] = &["check", "result", "detail"];

    fn cells(&self) -> Vec<String> {
        let result = match self.result {
            Outcome::Ok => "ok",
            Outcome::Note => "note",
            Outcome::Failed => "FAILED",
        };
        vec![
            self.check.to_owned(),
            result.to_owned(),
            self.detail.clone(),
        ]
    }
}

/// Creates a line of the report.
pub(super) fn row(check: &'static str, result: Outcome, detail: impl Into<String>) -> CheckRow {
    CheckRow {
        check,
        result,
        detail: detail.into(),
    }
}
