//! Confusable names ([UTS #39](https://www.unicode.org/reports/tr39/)).

use unicode_security::general_security_profile::IdentifierType;
use unicode_security::{
    GeneralSecurityProfile, MixedScript, RestrictionLevel, RestrictionLevelDetection,
    confusable_detection,
};

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

/// Returns whether a letter looks like ASCII characters, in upper case or in lower case. A user can change the case of a
/// name later.
fn looks_like_ascii(c: char) -> bool {
    let forms = [
        c.to_string(),
        c.to_uppercase().collect(),
        c.to_lowercase().collect(),
    ];
    forms.iter().any(|form| skeleton(form).is_ascii())
}

/// Returns the skeleton of a name (section 4). Names that look alike have equal skeletons.
pub(crate) fn skeleton(name: &str) -> String {
    confusable_detection::skeleton(name).collect()
}
