//! Confusable names ([UTS #39](https://www.unicode.org/reports/tr39/)).

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_security::general_security_profile::IdentifierType;
use unicode_security::{
    GeneralSecurityProfile, MixedScript, RestrictionLevel, RestrictionLevelDetection,
    confusable_detection,
};

use crate::model::precis::{is_nonspacing_mark, is_soft_dotted};

/// The maximum number of nonspacing marks in a sequence.
const MAX_MARKS: usize = 4;

/// The canonical combining class of marks above a letter.
const ABOVE: u8 = 230;

/// Returns whether a new user can have a name. ASCII punctuation is ignored, because e-mail addresses are used as names.
///
/// The name satisfies the restriction level "Highly Restrictive" (section 5.2): all letters belong to one script, or to
/// Latin and the scripts of Japanese, Chinese or Korean, and all characters belong to the General Security Profile
/// (section 3.1). The profile excludes the scripts of small communities, such as Adlam, historic scripts, and rare
/// characters, such as many ideographs. A name with such characters is accepted if all letters belong to one script, or
/// to the scripts of Japanese, Chinese or Korean, and if the name does not look like a name in ASCII.
pub(crate) fn is_acceptable(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    letters.check_restriction_level(RestrictionLevel::HighlyRestrictive)
        || (letters.chars().all(is_permitted_in_one_script)
            && letters.is_single_script()
            && !letters.chars().all(looks_like_ascii))
}

/// Returns whether a character belongs to the General Security Profile, or is excluded only because few people use it.
fn is_permitted_in_one_script(c: char) -> bool {
    c.identifier_allowed()
        || matches!(
            c.identifier_type(),
            Some(
                IdentifierType::Limited_Use
                    | IdentifierType::Exclusion
                    | IdentifierType::Uncommon_Use
            )
        )
}

/// Returns whether a letter looks like ASCII characters, in upper case or in lower case. Names that differ only in case are
/// equal.
fn looks_like_ascii(c: char) -> bool {
    let forms = [
        c.to_string(),
        c.to_uppercase().collect(),
        c.to_lowercase().collect(),
    ];
    forms.iter().any(|form| skeleton(form).is_ascii())
}

/// Returns whether all marks of a name are visible (section 5.4). Each mark follows a letter or a digit. A sequence of
/// nonspacing marks contains at most 4 marks, and no mark twice in succession. The dot of `i` and similar letters hides no
/// mark.
pub(crate) fn has_visible_marks(name: &str) -> bool {
    let mut base = None;
    // The nonspacing marks since the last other character.
    let mut marks: Vec<char> = Vec::new();
    for c in name.nfd() {
        if !is_combining_mark(c) {
            base = Some(c);
            marks.clear();
            continue;
        }
        if base.is_none_or(|base| base.is_ascii_punctuation()) {
            return false;
        }
        if !is_nonspacing_mark(c) {
            marks.clear();
            continue;
        }
        let is_above = |mark: &char| canonical_combining_class(*mark) == ABOVE;
        let is_hidden = matches!(c, '\u{307}' | '\u{358}')
            && base.is_some_and(looks_dotted)
            && !marks.iter().any(is_above);
        if is_hidden || marks.len() == MAX_MARKS || marks.last() == Some(&c) {
            return false;
        }
        marks.push(c);
    }
    true
}

/// Returns whether a letter with an additional dot looks like `i` or `j`, or like the letter without the additional dot.
fn looks_dotted(c: char) -> bool {
    is_soft_dotted(c) || matches!(c, 'ı' | 'ȷ')
}

/// Returns the skeleton of a name (section 4). Names that look alike have equal skeletons. A dot that the dot of `i` or `j`
/// hides is removed.
pub(crate) fn skeleton(name: &str) -> String {
    let skeleton: String = confusable_detection::skeleton(name).collect();
    skeleton.replace("i\u{307}", "i").replace("j\u{307}", "j")
}
