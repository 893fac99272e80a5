//! Confusable names ([UTS #39](https://www.unicode.org/reports/tr39/)).

use unicode_security::confusable_detection;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

/// Returns whether a name satisfies the restriction level "Highly Restrictive" (section 5.2). At this level, all
/// letters belong to one script, or to Latin and the scripts of Japanese, Chinese or Korean. All characters belong to
/// the General Security Profile (section 3.1). ASCII punctuation is ignored, because e-mail addresses are used as
/// names.
pub(crate) fn is_highly_restrictive(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    letters.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

/// Returns the skeleton of a name (section 4). Names that look alike have equal skeletons.
pub(crate) fn skeleton(name: &str) -> String {
    confusable_detection::skeleton(name).collect()
}
