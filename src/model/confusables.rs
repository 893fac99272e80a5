//! Confusable names ([UTS #39](https://www.unicode.org/reports/tr39/)).

use unicode_security::confusable_detection;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Returns whether a name satisfies the restriction level "Highly Restrictive" (section 5.2). Its letters belong to
/// one script, or to Latin and the scripts of Japanese, Chinese or Korean. All characters belong to the General
/// Security Profile (section 3.1) or are ASCII punctuation, because e-mail addresses are used as names.
pub(crate) fn is_highly_restrictive(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    letters.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

/// Returns the skeleton of a name (section 4). Names that look alike have equal skeletons.
pub(crate) fn skeleton(name: &str) -> String {
    confusable_detection::skeleton(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_one_script_are_accepted() {
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
        // Latin with Cyrillic or Greek letters, a historic script, and a mathematical letter.
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
