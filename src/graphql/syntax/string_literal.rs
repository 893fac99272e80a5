//! Reads string literals.

/// An error in a string literal.
pub(super) struct StringError {
    /// The index of the error in the text.
    pub(super) at: usize,
    pub(super) message: &'static str,
}

/// Returns the value and the length of the string literal at the start of `text`, in bytes.
pub(super) fn read(text: &str) -> Result<(String, usize), StringError> {
    if text.starts_with(r#"""""#) {
        return read_block(text);
    }
    let mut value = String::new();
    let mut at = 1;
    loop {
        let rest = &text[at..];
        let error = |message| StringError { at, message };
        let length = match rest.chars().next() {
            Some('"') => return Ok((value, at + 1)),
            Some('\\') => {
                let (character, length) =
                    escape(rest).ok_or(error("invalid escape sequence in a string"))?;
                value.push(character);
                length
            }
            None | Some('\r' | '\n') => return Err(error("a string is not closed")),
            Some(character) => {
                value.push(character);
                character.len_utf8()
            }
        };
        at += length;
    }
}

/// Returns the character and the length of the escape sequence at the start of `text`, or `None` if the
/// sequence is invalid.
fn escape(text: &str) -> Option<(char, usize)> {
    let simple = |character| Some((character, 2));
    match text.as_bytes().get(1)? {
        b'"' => simple('"'),
        b'\\' => simple('\\'),
        b'/' => simple('/'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'u' => match text.strip_prefix(r"\u{") {
            Some(braced) => {
                // At most 8 digits, as in graphql-js.
                let end = braced.bytes().take(9).position(|byte| byte == b'}')?;
                let character = char::from_u32(hexadecimal(braced.get(..end)?)?)?;
                Some((character, 3 + end + 1))
            }
            None => fixed_width(text),
        },
        _ => None,
    }
}

/// Returns the character of `\uXXXX`, or of two such sequences that form a surrogate pair.
fn fixed_width(text: &str) -> Option<(char, usize)> {
    let unit = hexadecimal(text.get(2..6)?)?;
    if let Some(character) = char::from_u32(unit) {
        return Some((character, 6));
    }
    let trailing = text.get(6..12)?.strip_prefix(r"\u")?;
    let units = [unit, hexadecimal(trailing)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 12))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    // `from_str_radix` accepts a sign.
    let is_valid = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_valid)
}

fn read_block(text: &str) -> Result<(String, usize), StringError> {
    let mut at = 3;
    let mut raw = String::new();
    loop {
        let rest = &text[at..];
        if rest.starts_with(r#"""""#) {
            return Ok((block_value(&raw), at + 3));
        }
        if rest.starts_with(r#"\""""#) {
            raw.push_str(r#"""""#);
            at += 4;
            continue;
        }
        let Some(character) = rest.chars().next() else {
            let message = "a string is not closed";
            return Err(StringError { at, message });
        };
        raw.push(character);
        at += character.len_utf8();
    }
}

/// Removes the common indentation and the blank lines at the start and the end of a block string
/// ([GraphQL specification, section 2.9.4](https://spec.graphql.org/October2021/#BlockStringValue())).
fn block_value(raw: &str) -> String {
    let unified = raw.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = unified.split('\n').collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &&str| indent(line) == line.len();
    let others = lines.iter().skip(1).filter(|line| !is_blank(line));
    let common = others.map(|line| indent(line)).min().unwrap_or(0);
    let Some(first) = lines.iter().position(|line| !is_blank(line)) else {
        return String::new();
    };
    let end = lines.iter().rposition(|line| !is_blank(line));
    let end = end.map_or(first, |last| last + 1);
    let numbered = lines.iter().enumerate().take(end).skip(first);
    let stripped = numbered.map(|(number, line)| match number {
        0 => line,
        _ => line.get(common..).unwrap_or_default(),
    });
    stripped.collect::<Vec<_>>().join("\n")
}
