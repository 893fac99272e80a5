//! The characters of texts: the string classes of PRECIS ([RFC 8264]) with the current version of Unicode.
//!
//! The tables of `icu_properties` and `unicode-normalization` have the same version of Unicode. The normalization of a
//! text of assigned characters never changes ([UAX #15]). Therefore, unassigned characters are refused: a later version
//! of Unicode could normalize them in another way, and a stored hash or username would no longer match.
//!
//! [RFC 8264]: https://www.rfc-editor.org/rfc/rfc8264
//! [UAX #15]: https://www.unicode.org/reports/tr15/#Versioning

use std::iter;
use std::ops::RangeInclusive;

use icu_properties::props::{
    BidiClass, CanonicalCombiningClass, ChangesWhenLowercased, DefaultIgnorableCodePoint,
    GeneralCategory, HangulSyllableType, JoiningType, Script, SoftDotted, VariationSelector,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::{UnicodeNormalization, is_nfkc};

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
const ARABIC_INDIC_DIGITS: RangeInclusive<char> = '\u{660}'..='\u{669}';
const EXTENDED_ARABIC_INDIC_DIGITS: RangeInclusive<char> = '\u{6f0}'..='\u{6f9}';

/// Returns whether a text consists of printable characters and the invisible characters of emoji: joiners, variation
/// selectors and tags. Refuses control characters, other invisible characters, unassigned characters and characters for
/// private use.
///
/// The function accepts all texts that the `FreeformClass` (RFC 8264, section 4.3) accepts. The `FreeformClass` does
/// not accept the invisible characters of emoji.
pub(crate) fn is_printable(text: &str) -> bool {
    text.chars().all(|c| match category(c) {
        GeneralCategory::Control
        | GeneralCategory::Unassigned
        | GeneralCategory::Surrogate
        | GeneralCategory::PrivateUse
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => false,
        GeneralCategory::Format => {
            matches!(
                c,
                ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER | '\u{e0020}'..='\u{e007f}'
            )
        }
        _ => {
            !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
                || CodePointSetData::new::<VariationSelector>().contains(c)
        }
    })
}

/// Replaces each space that is not ASCII by an ASCII space (RFC 8265, section 4.2.2).
pub(crate) fn map_spaces(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| {
        let is_space = category(c) == GeneralCategory::SpaceSeparator;
        if is_space { ' ' } else { c }
    })
}

/// Returns whether a text belongs to the `IdentifierClass` (RFC 8264, section 4.2).
pub(crate) fn is_identifier(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let context = Context::of(&chars);
    !chars.is_empty()
        && (0..chars.len()).all(|index| is_identifier_character(&chars, index, &context))
}

/// The properties of a whole text that the contextual rules use.
struct Context {
    has_japanese: bool,
    has_arabic_indic_digit: bool,
    has_extended_arabic_indic_digit: bool,
}

impl Context {
    fn of(chars: &[char]) -> Self {
        let has = |digits: &RangeInclusive<char>| chars.iter().any(|c| digits.contains(c));
        Self {
            has_japanese: chars
                .iter()
                .any(|&c| matches!(script(c), Script::Hiragana | Script::Katakana | Script::Han)),
            has_arabic_indic_digit: has(&ARABIC_INDIC_DIGITS),
            has_extended_arabic_indic_digit: has(&EXTENDED_ARABIC_INDIC_DIGITS),
        }
    }
}

/// Returns whether a character is valid at its position: the algorithm of RFC 8264, section 8, with the exceptions and
/// the contextual rules of RFC 5892, section 2.6 and appendix A.
fn is_identifier_character(chars: &[char], index: usize, context: &Context) -> bool {
    let (before, after) = chars.split_at(index);
    let previous = before.last().copied();
    let (c, after) = (after[0], &after[1..]);
    let next = after.first().copied();
    match c {
        'ß' | 'ς' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' => true,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => {
            false
        }
        '\u{b7}' => previous == Some('l') && next == Some('l'),
        '\u{375}' => next.is_some_and(|next| script(next) == Script::Greek),
        '\u{5f3}' | '\u{5f4}' => previous.is_some_and(|c| script(c) == Script::Hebrew),
        '\u{30fb}' => context.has_japanese,
        c if ARABIC_INDIC_DIGITS.contains(&c) => !context.has_extended_arabic_indic_digit,
        c if EXTENDED_ARABIC_INDIC_DIGITS.contains(&c) => !context.has_arabic_indic_digit,
        ZERO_WIDTH_JOINER => previous.is_some_and(is_virama),
        ZERO_WIDTH_NON_JOINER => {
            previous.is_some_and(is_virama) || breaks_cursive_connection(before, after)
        }
        '!'..='~' => true,
        _ => {
            is_letter_or_digit(c)
                && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
                && !is_old_hangul_jamo(c)
                && is_nfkc(c.encode_utf8(&mut [0; 4]))
                && has_known_case(c)
        }
    }
}

fn is_letter_or_digit(c: char) -> bool {
    matches!(
        category(c),
        GeneralCategory::LowercaseLetter
            | GeneralCategory::UppercaseLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::DecimalNumber
            | GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
    )
}

/// Returns whether the case mapping of the standard library knows a character. The standard library can have an earlier
/// version of Unicode than the other tables. The canonical form of a username would change when the standard library
/// learns the case of a character.
fn has_known_case(c: char) -> bool {
    !CodePointSetData::new::<ChangesWhenLowercased>().contains(c)
        || !c.to_lowercase().eq(iter::once(c))
}

fn is_old_hangul_jamo(c: char) -> bool {
    matches!(
        CodePointMapData::<HangulSyllableType>::new().get(c),
        HangulSyllableType::LeadingJamo
            | HangulSyllableType::VowelJamo
            | HangulSyllableType::TrailingJamo
    )
}

fn is_virama(c: char) -> bool {
    CodePointMapData::<CanonicalCombiningClass>::new().get(c) == CanonicalCombiningClass::Virama
}

/// Returns whether the characters beside a zero width non-joiner would be connected without it (RFC 5892, appendix
/// A.1).
fn breaks_cursive_connection(before: &[char], after: &[char]) -> bool {
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let is_opaque = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let left = before.iter().rev().map(joining).find(is_opaque);
    let right = after.iter().map(joining).find(is_opaque);
    matches!(
        left,
        Some(JoiningType::LeftJoining | JoiningType::DualJoining)
    ) && matches!(
        right,
        Some(JoiningType::RightJoining | JoiningType::DualJoining)
    )
}

/// Returns whether a text contains no right-to-left character, or satisfies the bidi rule (RFC 5893, section 2).
pub(crate) fn satisfies_bidi_rule(text: &str) -> bool {
    let classes: Vec<BidiClass> = text.chars().map(bidi_class).collect();
    let has = |class| classes.contains(&class);
    let is_right_to_left =
        |class: &BidiClass| matches!(*class, BidiClass::RightToLeft | BidiClass::ArabicLetter);
    if !classes.iter().any(is_right_to_left) && !has(BidiClass::ArabicNumber) {
        return true;
    }
    let last = classes.iter().rev();
    let mut last = last.skip_while(|class| **class == BidiClass::NonspacingMark);
    // A text that begins from left to right contains no right-to-left character. Therefore, only the conditions for
    // right-to-left texts remain.
    classes.first().is_some_and(is_right_to_left)
        && !has(BidiClass::LeftToRight)
        && !(has(BidiClass::EuropeanNumber) && has(BidiClass::ArabicNumber))
        && last.next().is_some_and(|class| {
            is_right_to_left(class)
                || matches!(*class, BidiClass::EuropeanNumber | BidiClass::ArabicNumber)
        })
        && classes.iter().all(|class| {
            is_right_to_left(class)
                || matches!(
                    *class,
                    BidiClass::ArabicNumber
                        | BidiClass::EuropeanNumber
                        | BidiClass::EuropeanSeparator
                        | BidiClass::CommonSeparator
                        | BidiClass::EuropeanTerminator
                        | BidiClass::OtherNeutral
                        | BidiClass::BoundaryNeutral
                        | BidiClass::NonspacingMark
                )
        })
}

/// Returns a text in lower case and in the normalization form NFC, for comparisons that ignore case.
///
/// The lower case of `Σ` is `ς` at the end of a word, and `σ` elsewhere. In a comparison, `σ` stands for both. Otherwise,
/// names that have the same upper case would differ, and a password could contain a name in another form.
pub(crate) fn fold_case(text: &str) -> String {
    // A capital letter and a mark can have a composed form only in lower case, such as `ǰ`.
    let lower_case = text.nfc().flat_map(char::to_lowercase);
    lower_case
        .map(|c| if c == 'ς' { 'σ' } else { c })
        .nfc()
        .collect()
}

/// Applies `enforce` until its result no longer changes, as RFC 8264, section 7, requires. Returns `None` if `enforce`
/// refuses the text, or if the result of the fourth application still differs from that of the third.
pub(crate) fn enforce_until_stable(
    text: &str,
    enforce: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let mut text = enforce(text)?;
    for _ in 0..3 {
        let next = enforce(&text)?;
        if next == text {
            return Some(text);
        }
        text = next;
    }
    None
}

/// Returns whether a character is a mark without a width of its own.
pub(crate) fn is_nonspacing_mark(c: char) -> bool {
    category(c) == GeneralCategory::NonspacingMark
}

/// Returns whether a character has a dot that disappears under a mark above, such as `i`.
pub(crate) fn is_soft_dotted(c: char) -> bool {
    CodePointSetData::new::<SoftDotted>().contains(c)
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn script(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

fn bidi_class(c: char) -> BidiClass {
    CodePointMapData::<BidiClass>::new().get(c)
}

#[cfg(test)]
mod tests;
