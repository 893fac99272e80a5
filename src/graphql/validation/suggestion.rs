//! Suggestions of names for a misspelled name.

/// Returns a sentence that suggests the most similar names, with a space before it. The sentence is empty
/// if no name is similar.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let limit = name.len() * 2 / 5 + 1;
    let distances = candidates.map(|candidate| (distance(name, candidate), candidate));
    let mut similar: Vec<_> = distances
        .filter(|(distance, candidate)| *distance <= limit && !candidate.starts_with("__"))
        .collect();
    similar.sort_unstable();
    similar.dedup();
    let names: Vec<_> = similar.iter().take(5).map(|(_, name)| *name).collect();
    match names.as_slice() {
        [] => String::new(),
        [name] => format!(" Did you mean \"{name}\"?"),
        [names @ .., last] => {
            format!(" Did you mean \"{}\" or \"{last}\"?", names.join("\", \""))
        }
    }
}

/// Returns the number of insertions, deletions and replacements of bytes (Levenshtein distance) that
/// convert one name to the other. Upper and lower case are equivalent.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<_> = (0..=other.len()).collect();
    for (index, byte) in one.bytes().enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (column, other) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(!byte.eq_ignore_ascii_case(&other));
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
