//! CSV files, as spreadsheets and databases write them.

use symbolon::ImportedPassword;

use super::columns::Columns;
use super::records::Records;
use super::row::Row;
use super::text::Decoded;

/// The delimiters that are detected.
const DELIMITERS: [char; 3] = [',', ';', '\t'];

/// A CSV file with the current position.
pub(super) struct CsvFile {
    file: Decoded,
    delimiter: char,
    columns: Columns,
    offset: usize,
    line: i64,
    has_hash_note: bool,
}

impl CsvFile {
    /// Reads the header. If `delimiter` is not given, detects the delimiter.
    pub(super) fn open(file: Decoded, delimiter: Option<char>) -> Result<Self, String> {
        let (declared, skipped) = declared_delimiter(&file.text).unzip();
        let offset = skipped.unwrap_or(0);
        let line = if offset > 0 { 2 } else { 1 };
        let rest = &file.text[offset..];
        let delimiter = delimiter
            .or(declared)
            .unwrap_or_else(|| detect_delimiter(rest));
        let mut records = Records::new(rest, delimiter, line);
        let is_blank = |text: &str| text.trim().is_empty();
        let header = records.find(|record| !record.text.as_ref().is_ok_and(|text| is_blank(text)));
        let header = header.map_or(Ok(""), |header| header.text)?;
        let byte = u8::try_from(delimiter).map_err(|_| "the delimiter is not ASCII")?;
        let columns = Columns::find(header, byte)?;
        let (read, line) = records.position();
        let offset = offset + read;
        Ok(Self {
            file,
            delimiter,
            columns,
            offset,
            line,
            has_hash_note: false,
        })
    }

    /// Returns sentences for standard error about the format and the ignored columns.
    pub(super) fn notes(&self) -> Vec<String> {
        let delimiter = match self.delimiter {
            '\t' => "tab".to_owned(),
            delimiter => format!("{delimiter:?}"),
        };
        let encoding = self.file.encoding.name();
        let mut notes = vec![format!(
            "CSV file: encoding {encoding}, delimiter {delimiter}"
        )];
        notes.extend(self.columns.ignored_note());
        if self.file.is_assumed {
            notes.push(format!(
                "the file is not UTF-8, and {encoding} is assumed: check the names and passwords that contain letters \
                 such as \u{e4}, or select the encoding with --encoding"
            ));
        }
        notes
    }

    /// Returns the length of the file as text, and the number of bytes that have been read.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.file.text.len(), self.offset)
    }

    /// Reads up to `most` rows, and a note about them. The result is empty after the last row.
    pub(super) fn next_batch(&mut self, most: usize) -> (Vec<Row>, Option<&'static str>) {
        let mut rows = Vec::new();
        let mut records = Records::new(&self.file.text[self.offset..], self.delimiter, self.line);
        let mut has_hash = false;
        while rows.len() < most {
            let Some(record) = records.next() else { break };
            let position = record.line;
            let user = match record.text {
                Ok(text) if text.trim().is_empty() => None,
                Ok(text) if self.file.has_errors && text.contains('\u{fffd}') => Some(Err(
                    format!("The row is not valid {}.", self.file.encoding.name()),
                )),
                Ok(text) => self.columns.user(text),
                Err(reason) => Some(Err(reason)),
            };
            if let Some(user) = user {
                has_hash |= user
                    .as_ref()
                    .is_ok_and(|user| matches!(user.password, ImportedPassword::Hash(_)));
                rows.push(Row { position, user });
            }
        }
        let (read, line) = records.position();
        self.offset += read;
        self.line = line;
        let is_new = has_hash && !self.columns.has_hashes() && !self.has_hash_note;
        self.has_hash_note |= is_new;
        let note = "the column password contains hashes, which are imported as hashes";
        (rows, is_new.then_some(note))
    }
}

/// Returns the delimiter in the line `sep=` that Excel accepts before the header, and the length of the line.
fn declared_delimiter(text: &str) -> Option<(char, usize)> {
    let end = text.find(['\r', '\n'])?;
    let line = text[..end].trim_matches('"');
    let mut delimiter = line.strip_prefix("sep=")?.chars();
    let (character, None) = (delimiter.next()?, delimiter.next()) else {
        return None;
    };
    let line_end = if text[end..].starts_with("\r\n") {
        2
    } else {
        1
    };
    Some((character, end + line_end))
}

/// Returns the delimiter that is most frequent in the header, outside of quotation marks.
fn detect_delimiter(text: &str) -> char {
    let header = text.trim_start_matches(['\r', '\n', ' ']);
    let mut is_quoted = false;
    let mut counts = [0; DELIMITERS.len()];
    for character in header.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\r' | '\n' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                let index = DELIMITERS.iter().position(|found| *found == character);
                if let Some(count) = index.and_then(|index| counts.get_mut(index)) {
                    *count += 1;
                }
            }
        }
    }
    let most = DELIMITERS.into_iter().zip(counts).rev();
    most.max_by_key(|(_, count)| *count)
        .map_or(',', |most| most.0)
}
