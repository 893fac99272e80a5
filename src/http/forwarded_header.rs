//! Parses the `Forwarded` header (RFC 7239, section 4).

use std::iter::from_fn;

/// Returns the `for` parameter of each element in a line of the header, starting with the last element. Empty elements
/// are skipped. An element with no or several `for` parameters has the result `None`.
///
/// The last elements are written by proxies and the first ones by the client. The line is split from its end, so that
/// an unbalanced quotation mark of the client has no effect on the elements of the proxies.
pub(super) fn nodes_from_end(line: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    rsplit_unquoted(line, b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| {
            let mut nodes = rsplit_unquoted(element, b';').filter_map(for_parameter);
            nodes.next().filter(|_| nodes.next().is_none())
        })
}

/// Returns the value of the parameter, possibly quoted, if the name of the parameter is `for`.
fn for_parameter(pair: &[u8]) -> Option<&[u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at(equals);
    let is_for = name.trim_ascii().eq_ignore_ascii_case(b"for");
    is_for.then(|| value[1..].trim_ascii())
}

/// Splits the text at the separators outside quoted strings, starting at the end.
fn rsplit_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        // Whether the preceding bytes are a quotation mark and any number of backslashes to its left. An odd number of
        // backslashes means that the quotation mark is part of the quoted string.
        let mut is_escape = false;
        for (at, byte) in text.iter().enumerate().rev() {
            match byte {
                b'"' => (is_quoted, is_escape) = (!is_quoted, true),
                b'\\' if is_escape => is_quoted = !is_quoted,
                byte if *byte == separator && !is_quoted => {
                    rest = Some(&text[..at]);
                    return Some(&text[at + 1..]);
                }
                _ => is_escape = false,
            }
        }
        rest = None;
        Some(text)
    })
}
