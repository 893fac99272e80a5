//! The encoding of a text file.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The number of bytes from which UTF-16 without a byte order mark is detected.
const SAMPLE: usize = 64;

/// A decoded text file.
pub(super) struct Decoded {
    pub(super) text: String,
    pub(super) encoding: &'static Encoding,
    /// Whether U+FFFD replaces invalid bytes.
    pub(super) has_errors: bool,
    /// Whether the encoding is neither given nor detected.
    pub(super) is_assumed: bool,
}

/// Decodes a text file.
///
/// # Errors
///
/// Returns the reason if the file is not text.
pub(super) fn decode(
    bytes: Vec<u8>,
    encoding: Option<&'static Encoding>,
) -> Result<Decoded, String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Err("the file is a workbook or a ZIP archive: save the table as CSV".to_owned());
    }
    let mark = Encoding::for_bom(&bytes);
    let detected = || {
        mark.map(|(encoding, _)| encoding)
            .or_else(|| utf_16_without_mark(&bytes))
    };
    let is_utf_8 = encoding
        .or_else(detected)
        .is_none_or(|encoding| encoding == UTF_8);
    let bytes = match (is_utf_8, mark) {
        (true, None) => match String::from_utf8(bytes) {
            Ok(text) => return checked(text, UTF_8, false, false),
            Err(error) => error.into_bytes(),
        },
        _ => bytes,
    };
    let known = encoding
        .or(mark.map(|(encoding, _)| encoding))
        .or_else(|| utf_16_without_mark(&bytes))
        .or_else(|| contains_utf_8(&bytes).then_some(UTF_8));
    let encoding = known.unwrap_or(WINDOWS_1252);
    let (text, has_errors) = encoding.decode_with_bom_removal(&bytes);
    checked(text.into_owned(), encoding, has_errors, known.is_none())
}

fn checked(
    text: String,
    encoding: &'static Encoding,
    has_errors: bool,
    is_assumed: bool,
) -> Result<Decoded, String> {
    if text.contains('\0') {
        return Err(
            "the file contains NUL characters: it is not a text file, or it has another encoding"
                .to_owned(),
        );
    }
    Ok(Decoded {
        text,
        encoding,
        has_errors,
        is_assumed,
    })
}

/// Returns whether a text contains a valid UTF-8 sequence of several bytes. Such a sequence is rare in other encodings.
fn contains_utf_8(bytes: &[u8]) -> bool {
    bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii())
}

/// Detects UTF-16 by the zero bytes of the ASCII letters at the start of the file.
fn utf_16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let (pairs, _) = bytes.get(..SAMPLE.min(bytes.len()))?.as_chunks::<2>();
    let count = |zero: usize| {
        let is_ascii = |pair: &&[u8; 2]| pair[zero] == 0 && pair[1 - zero] != 0;
        pairs.iter().filter(is_ascii).count()
    };
    let most = pairs.len() / 2;
    match (count(0), count(1)) {
        (big, 0) if big > most => Some(UTF_16BE),
        (0, little) if little > most => Some(UTF_16LE),
        _ => None,
    }
}
