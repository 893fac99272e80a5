//! Compares the preparation of texts with `precis-profiles` 0.2, which earlier versions used.

use std::borrow::Cow;

use precis_profiles::precis_core::Error;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{Nickname, OpaqueString, UsernameCaseMapped, UsernameCasePreserved};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::*;
use crate::model::label::Label;
use crate::model::password::SubmittedPassword;
use crate::model::username::Username;

type Enforced<'a> = Result<Cow<'a, str>, Error>;

/// Applies a profile of usernames as earlier versions did.
fn stable(text: &str, enforce: impl Fn(String) -> Enforced<'static>) -> Option<String> {
    enforce_until_stable(text, |text| {
        Some(enforce(text.to_owned()).ok()?.into_owned())
    })
}

/// Checks that a text that was valid in earlier versions has the same prepared form.
fn assert_unchanged(text: &str) {
    if let Ok(old) = OpaqueString::enforce(text) {
        let new = SubmittedPassword::new(text).password;
        assert_eq!(new.as_bytes(), old.as_bytes(), "the password {text:?}");
        assert!(is_printable(text), "the password {text:?}");
    }
    let display = stable(text, UsernameCasePreserved::enforce);
    let canonical = stable(text, UsernameCaseMapped::enforce);
    if let (Some(display), Some(canonical)) = (display, canonical)
        && !canonical.contains(':')
    {
        let new = Username::parse(text).map(|name| (name.display, name.canonical));
        // Earlier versions distinguished the two lower-case forms of sigma.
        let canonical = canonical.replace('ς', "σ");
        assert_eq!(new.ok(), Some((display, canonical)), "the name {text:?}");
    }
    if let Ok(old) = Nickname::enforce(text)
        && old.chars().count() <= 64
    {
        let new = Label::parse("name", text).map(|label| label.0);
        assert_eq!(new.ok().as_deref(), Some(&*old), "the label {text:?}");
    }
}

#[test]
fn texts_that_were_valid_keep_their_prepared_form() {
    let mut ideographs = String::new();
    for c in '\0'..=char::MAX {
        // Characters that are allowed only in a context.
        let is_contextual = matches!(
            c,
            '\u{b7}' | '\u{375}' | '\u{5f3}' | '\u{5f4}' | '\u{30fb}' | '\u{200c}' | '\u{200d}'
        );
        if OpaqueString::enforce(c.to_string()).is_err() && !is_contextual {
            continue;
        }
        // Ideographs and Hangul syllables have no rules of their own. They are checked in groups, to save time.
        if matches!(c, '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{2ffff}')
        {
            ideographs.push(c);
            if ideographs.chars().count() == 40 {
                assert_unchanged(&ideographs);
                ideographs.clear();
            }
            continue;
        }
        for text in [
            format!("{c}"),
            format!("A{c}\u{323}\u{307}"),
            format!("\u{628}{c}\u{628}"),
        ] {
            assert_unchanged(&text);
        }
    }
    assert_unchanged(&ideographs);
}

/// Characters that have a rule of their own in a profile, or belong to different classes of the bidi rule.
const SPECIAL: &str = "aZl1-._@ \u{a0}\u{3000}\u{b7}\u{375}\u{3b1}\u{5f3}\u{5d0}\u{628}\u{644}\u{64b}\u{660}\u{6f0}\u{200c}\
    \u{200d}\u{94d}\u{915}\u{30fb}\u{30ab}\u{ff76}\u{ff9e}\u{ff21}\u{301}\u{323}\u{130}\u{df}\u{3c2}\u{3a3}\u{e9}\
    \u{1e9e}\u{212b}\u{1100}\u{1161}\u{fdfa}\u{fb01}\u{3099}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn mixed_texts_that_were_valid_keep_their_prepared_form(
        text in prop::collection::vec(prop::sample::select(SPECIAL.chars().collect::<Vec<_>>()), 1..8),
    ) {
        assert_unchanged(&text.into_iter().collect::<String>());
    }
}

/// Lower-case letters whose upper case is also the upper case of other letters. Names with these letters differ from the
/// names in upper case.
const AMBIGUOUS_IN_UPPER_CASE: [(&str, &str); 3] = [
    (
        "ß",
        "RFC 8265 distinguishes ß and ss, as the spelling of German does. ẞ is equal to ß.",
    ),
    (
        "ı",
        "Turkic languages distinguish ı and i. The lower case of I is i.",
    ),
    (
        "ᾠᾡᾢᾣᾤᾥᾦᾧᾲᾳᾴ",
        "The upper case of a letter with an iota subscript is the letter and a capital iota.",
    ),
];

#[test]
fn names_that_differ_only_in_case_are_equal() {
    let mut ambiguous = String::new();
    let cased = ('\0'..=char::MAX)
        .filter(|c| !c.to_uppercase().eq(iter::once(*c)) || !c.to_lowercase().eq(iter::once(*c)));
    for c in cased {
        // No username contains the letters of which titlecase is_equal from upper case.
        assert!(
            category(c) != GeneralCategory::TitlecaseLetter
                || Username::parse(&c.to_string()).is_err()
        );
        let Ok(name) = Username::parse_new(&c.to_string()) else {
            continue;
        };
        let (upper, lower) = (c.to_uppercase(), c.to_lowercase());
        let others = [upper.collect::<String>(), lower.collect()];
        let is_equal = |other: &String| {
            Username::parse(other).is_ok_and(|other| other.canonical == name.canonical)
        };
        if !others.iter().all(is_equal) {
            ambiguous.push(c);
        }
    }
    let expected = AMBIGUOUS_IN_UPPER_CASE.map(|(letters, _)| letters).concat();
    assert_eq!(ambiguous, expected);
}

/// A later version of Unicode can reorder marks that an earlier version does not know. Stored hashes and usernames stay
/// valid only if all accepted characters are known to the tables of the normalization.
#[test]
fn the_tables_of_the_crates_have_the_same_version_of_unicode() {
    let combining_class = CodePointMapData::<CanonicalCombiningClass>::new();
    for c in '\0'..=char::MAX {
        let is_base = combining_class.get(c) == CanonicalCombiningClass::NotReordered;
        assert_eq!(canonical_combining_class(c) == 0, is_base, "{c:?}");
        // Only assigned characters have a decomposition.
        if category(c) == GeneralCategory::Unassigned {
            assert!(iter::once(c).nfkd().eq(iter::once(c)), "{c:?}");
        }
    }
    let (major, minor, update) = unicode_normalization::UNICODE_VERSION;
    let security = unicode_security::UNICODE_VERSION;
    assert_eq!(security, (major.into(), minor.into(), update.into()));
}
