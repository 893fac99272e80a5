use super::*;

/// A password in decomposed form, with a no-break space.
const SENT: &str = "cre\u{300}me\u{a0}bru\u{302}le\u{301}e";
/// [`SENT`] after preparation (RFC 8265).
const PREPARED: &str = "crème brûlée";

/// Hashes of [`SENT`] that other systems computed.
const IMPORTED: &[&str] = &[
    // argon2-cffi 25.1.0: the default parameters, then hashes by `low_level`. The last hash contains no
    // version, like the hashes of the first release of Argon2.
    "$argon2id$v=19$m=65536,t=3,p=4$AydQgh10J+qwWEvCb8irKA$1iTgNufK17ja76HW6823365HhA4POsYqAZMI9HjlCWQ",
    "$argon2i$v=19$m=64,t=2,p=2$LpUpe8wDNrDb9jCSXNqe1g$56wvh9a4uMeExFdaPhwBk/b7ev8X4yh/SeWsKegnr7Q",
    "$argon2d$v=19$m=32,t=1,p=1$zvb17PsJnV0t1/FtqowheQ$oNtLXVejrsqVDG1ZjkFDNOV4W9rgO/Fvqtk0rkxHs5U",
    "$argon2i$v=16$m=32,t=1,p=1$wnz38htPuiOtTMxwpx6PeQ$7gSZtYsLgFOrtqEsjyIDxTqNLFiX15+1eAEiTlcDejs",
    "$argon2i$m=32,t=1,p=1$wnz38htPuiOtTMxwpx6PeQ$7gSZtYsLgFOrtqEsjyIDxTqNLFiX15+1eAEiTlcDejs",
    // The Python package bcrypt 5.0.0, then libxcrypt 4.4.33.
    "$2b$04$Cw1dZxAyy.cae2FJl4aBReb/gFh2e8iwcVqOEmfVTDjiXTJH2dcPK",
    "$2a$04$iZL8kwCdawTs6SCzEZFbxezAhP5Ee9m.GN/MOm5634MVKXS.GtGlm",
    "$2y$04$abcdefghijklmnopqrstuug25vr/WMYbVBNt10M/vhOde39eLadYa",
    // passlib 1.7.4: the default cost, then a smaller cost.
    "$scrypt$ln=16,r=8,p=1$ypnTOgeAUCrl/J9Tyvmfcw$NUtttX/HFMkN6ongBU53XHitk2BuenL/+o7lhF4/sM8",
    "$scrypt$ln=4,r=4,p=2$mrMW4rw3xhgj5Lx3LmVMyQ$Jfsq6sBNY6tufaFGrwrtpqY1UA5EkzsAgsY1i0KnR1o",
    // Werkzeug 3.1.9: the default parameters, then a small number of iterations.
    "scrypt:32768:8:1$yPXoMNlPN3DGxx0y$c25614c3f9b979b805b8c9175dfbf29862efddd26e5b98cbf5ca807d5f8b64c96111ca59531c9261d9b62043feacf91b99b12abebb6a1351714174138a1931c4",
    "pbkdf2:sha256:1000$k53Knk9OGkbw8mla$417cb2255f89f04cdaf9449882dae62a71601d685d05ff80ef6bdbbf12d68251",
    "pbkdf2:sha512:1000$YuSfRUgDH1Fb9Qk1$6765a230a9c93ca695140e489ec6fddefb27b09f2adc77ed440f78cec80d665d6dcd04dd00982208b7261ef45bf1a841948ccbd03aff7b7ba10ad64bdf7d1f9c",
    "pbkdf2:sha1:1000$vEYIl57S$a9a0b13af9a126482846226ab00fa323462566ef",
];

fn reserve(memory_kib: u32) -> (Passwords, Slot) {
    let passwords = Passwords::start(memory_kib, 1, 1, 65_536, NonZeroUsize::MIN, 0).unwrap();
    let slot = passwords.reserve(passwords.share(None).unwrap()).unwrap();
    (passwords, slot)
}

async fn import(passwords: &Passwords, slot: &mut Slot, hash: &str) -> PasswordHash {
    match passwords.import(hash).unwrap() {
        ImportedHash::Strong(hash) => hash,
        ImportedHash::Weak(weak) => slot.wrap(weak).await.unwrap(),
    }
}

async fn verify(slot: &mut Slot, password: &str, stored: &PasswordHash) -> Verdict {
    let verdict = slot.verify(SubmittedPassword::new(password), Some(stored.clone()), true);
    verdict.await.unwrap()
}

#[tokio::test]
async fn an_imported_hash_matches_the_password_as_sent_and_is_replaced() {
    let (passwords, mut slot) = reserve(8);
    for hash in IMPORTED {
        let imported = import(&passwords, &mut slot, hash).await;
        for wrong in [PREPARED, "wrong", ""] {
            let verdict = verify(&mut slot, wrong, &imported).await;
            assert!(matches!(verdict, Verdict::Wrong), "{hash} of {wrong}");
        }
        let Verdict::Outdated(new) = verify(&mut slot, SENT, &imported).await else {
            panic!("{hash}");
        };
        assert!(new.0.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        for right in [PREPARED, SENT] {
            let verdict = verify(&mut slot, right, &new).await;
            assert!(matches!(verdict, Verdict::Right), "{hash}");
        }
    }
}

#[tokio::test]
async fn an_imported_hash_with_the_current_parameters_of_a_prepared_password_is_adopted() {
    let (passwords, mut slot) = reserve(65_536);
    for (password, is_adopted) in [(PREPARED, true), (SENT, false)] {
        let (salt, mut output) = ([7; SALT_LENGTH], [0; OUTPUT_LENGTH]);
        let memory = &mut Vec::new();
        let bytes = password.as_bytes();
        hash_computation::argon2(slot.argon2, bytes, &salt, &mut output, memory).unwrap();
        let hash = PasswordHash::new(slot.argon2, &salt, &output);
        let imported = import(&passwords, &mut slot, &hash.0).await;
        let Verdict::Outdated(new) = verify(&mut slot, password, &imported).await else {
            panic!("the hash is still marked as imported");
        };
        assert_eq!(new == hash, is_adopted);
        let verdict = verify(&mut slot, PREPARED, &new).await;
        assert!(matches!(verdict, Verdict::Right));
    }
}

#[tokio::test]
async fn a_bcrypt_hash_of_a_truncated_password_is_kept() {
    // Computed by the Python package bcrypt 4.0.1 from a longer password.
    let hash = "$2b$04$s1vkQiiW.nun/661gL4m3eEfRmY2rcl90Bz1H0DbAGBi3JIKHTXJm";
    let (passwords, mut slot) = reserve(8);
    let imported = import(&passwords, &mut slot, hash).await;
    // bcrypt reads 72 bytes, so the hash does not determine the password.
    let read = format!("{}bc", "ä".repeat(35));
    for right in [&read, &format!("{read}ignored")] {
        let verdict = verify(&mut slot, right, &imported).await;
        assert!(matches!(verdict, Verdict::Right), "{right}");
    }
    let verdict = verify(&mut slot, &read[..71], &imported).await;
    assert!(matches!(verdict, Verdict::Wrong));
    // bcrypt repeats the password with its terminating zero byte.
    let imported = import(&passwords, &mut slot, IMPORTED[5]).await;
    let repeated = format!("{SENT}\0{SENT}");
    if let Verdict::Outdated(_) = verify(&mut slot, &repeated, &imported).await {
        panic!("the repeated password replaced the password");
    }
}

#[tokio::test]
async fn a_hash_can_use_the_configured_memory() {
    let (passwords, _slot) = reserve(8);
    let import = |memory: u32| {
        let rest = "LpUpe8wDNrDb9jCSXNqe1g$56wvh9a4uMeExFdaPhwBk/b7ev8X4yh/SeWsKegnr7Q";
        passwords.import(&format!("$argon2id$v=19$m={memory},t=1,p=1${rest}"))
    };
    assert!(import(65_536).is_ok());
    let reason = import(65_537).unwrap_err();
    assert!(reason.contains("SYMBOLON_MAX_HASH_MEMORY"), "{reason}");
}
