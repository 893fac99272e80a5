//! Names that look alike: Unicode Technical Standard #39.

use unicode_security::confusable_detection;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Whether a name satisfies the restriction level "Highly Restrictive" (section 5.2): its letters are of one
/// script, or of Latin together with the scripts of Japanese, Chinese or Korean, and no character is restricted
/// by the General Security Profile (section 3.1). To the characters of that profile this adds the printable ones
/// of ASCII, since e-mail addresses are used as names.
pub(crate) fn is_highly_restrictive(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    letters.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

/// The skeleton of a name (section 4): names that look alike have the same.
pub(crate) fn skeleton(name: &str) -> String {
    confusable_detection::skeleton(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_script_are_accepted_and_mixed_ones_are_not() {
        for name in [
            "ada",
            "ada@example.org",
            "ada+test!",
            "1815",
            "Zoë",
            "Αθηνά",
            "Пётр",
            "Łukasz-2",
            "田中さん",
            "山田ada",
            "カタカナ",
            "김ada",
            "李xiaoming",
            "مريم",
        ] {
            assert!(is_highly_restrictive(name), "{name}");
        }
        // Latin with Cyrillic or Greek letters; a historic script; a mathematical letter.
        for name in [
            "аda",
            "pаypal",
            "αda",
            "ada\u{10a0}",
            "\u{16a0}\u{16a2}",
            "ada\u{1d41a}",
        ] {
            assert!(!is_highly_restrictive(name), "{name}");
        }
    }

    #[test]
    fn names_that_look_alike_have_the_same_skeleton() {
        assert_eq!(skeleton("pаypal"), skeleton("paypal"));
        assert_eq!(skeleton("сосо"), skeleton("coco"));
        assert_ne!(skeleton("ada"), skeleton("eve"));
    }
}
