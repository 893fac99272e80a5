//! Hash passwords, and verify them against hashes.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use argon2::{Block, Params};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::Error;
use crate::model::password::{Password, PasswordHash, SubmittedPassword};
use crate::model::password_hash::{self, Argon2, HashParts, Scheme, Variant, Version};
use crate::service::hash_pool::{HashPool, Memory, Place};
use crate::service::hash_shares::Share;
use crate::service::schemes;

/// How long a job may wait for a thread: whoever asked has lost patience by then, and what it would
/// cost is better spent on somebody who still waits.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

const SALT_LENGTH: usize = 16;
const OUTPUT_LENGTH: usize = 32;

/// What a verification found.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Not the password.
    Wrong,
    /// The password, and its hash can stay as it is for now.
    Right,
    /// The password, on a hash of other parameters or of another system; this hash is to take its
    /// place.
    Outdated(PasswordHash),
}

/// Argon2id (RFC 9106) with one set of parameters, on threads of its own, where hashes of other
/// parameters and of other systems are verified as well.
///
/// Memory stays below what the parameters say times the number of threads, and once what the
/// largest hash that is verified takes: 64 MiB, or as much as new hashes where those take more.
#[derive(Debug)]
pub(crate) struct Passwords {
    argon2: Argon2,
    #[cfg(feature = "server")]
    threads: NonZeroUsize,
    pool: HashPool,
}

impl Passwords {
    /// Starts the hashing threads. Fails with a reason when the parameters are out of bounds.
    pub(crate) fn start(
        memory_kib: u32,
        iterations: u32,
        parallelism: u32,
        threads: NonZeroUsize,
        queue: usize,
    ) -> Result<Self, String> {
        Params::new(memory_kib, iterations, parallelism, Some(OUTPUT_LENGTH))
            .map_err(|error| error.to_string())?;
        let pool = HashPool::start(threads, queue, QUEUE_WAIT)
            .map_err(|error| format!("the hashing threads do not start: {error}"))?;
        let argon2 = Argon2 {
            variant: Variant::Id,
            version: Version::V19,
            memory_kib,
            iterations,
            parallelism,
        };
        Ok(Self {
            argon2,
            #[cfg(feature = "server")]
            threads,
            pool,
        })
    }

    /// Takes over a hash that another system made: Argon2, bcrypt, scrypt, or what Werkzeug writes.
    /// MutationError with a reason when nobody could sign in with it.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn import(&self, hash: &str) -> Result<PasswordHash, &'static str> {
        PasswordHash::parse_imported(hash, max_memory_kib(self.argon2))
    }

    /// How many passwords are hashed at once.
    #[cfg(feature = "server")]
    pub(crate) fn threads(&self) -> usize {
        self.threads.get()
    }

    /// Counts a place in the pool that `client` is about to take. Refuses when no place is free, or
    /// when the client has its share of the places. No place is taken yet.
    pub(crate) fn share(&self, client: Option<IpAddr>) -> Result<Share, Error> {
        self.pool.share(client)
    }

    /// Takes one place in the pool, for the hashes of one request. Refuses at once when none is free.
    pub(crate) fn reserve(&self, share: Share) -> Result<Slot, Error> {
        Ok(Slot {
            place: self.pool.reserve(share)?,
            argon2: self.argon2,
        })
    }
}

/// One place in the pool: for a verification, a new hash, or the one and then the other.
#[derive(Debug)]
pub(crate) struct Slot {
    place: Place,
    argon2: Argon2,
}

impl Slot {
    /// Hashes a new password, with a random salt.
    pub(crate) async fn hash(&mut self, password: Password) -> Result<PasswordHash, Error> {
        let argon2 = self.argon2;
        let mut salt = [0; SALT_LENGTH];
        SysRng.try_fill_bytes(&mut salt).map_err(Error::internal)?;
        let hash = move |memory: &mut Vec<Block>| {
            let mut output = [0; OUTPUT_LENGTH];
            schemes::argon2(argon2, password.as_bytes(), &salt, &mut output, memory)?;
            Ok::<_, Error>(output)
        };
        let output = self.place.run(Memory::Usual, hash).await??;
        Ok(PasswordHash::new(argon2, &salt, &output))
    }

    /// Verifies an attempt against a stored hash. Without one it fails after the same work as
    /// against one of the current parameters.
    ///
    /// Only with `renew` is an outdated hash made anew: the time that takes would tell whose
    /// password it is to somebody who may not sign in even with it.
    pub(crate) async fn verify(
        &mut self,
        attempt: SubmittedPassword,
        stored: Option<PasswordHash>,
        renew: bool,
    ) -> Result<Verdict, Error> {
        let SubmittedPassword { password, as_sent } = attempt;
        let current = Scheme::Argon2(self.argon2);
        let (parts, imported) = match &stored {
            Some(stored) => {
                let parts = stored.parts(max_memory_kib(self.argon2));
                (parts.map_err(Error::internal)?, stored.is_imported())
            }
            None => (nobodys_hash(current), false),
        };
        let renew = renew && (imported || parts.scheme != current);
        // What others made just as it would be made here is as good.
        let is_as_own = parts.scheme == current
            && (parts.salt.len(), parts.output.len()) == (SALT_LENGTH, OUTPUT_LENGTH)
            && password.as_bytes() == as_sent.as_bytes();
        let own = stored.filter(|_| is_as_own).map(PasswordHash::into_own);
        let memory = memory(parts.scheme, self.argon2);
        let typed = password.clone();
        let matches = move |memory: &mut Vec<Block>| {
            let bytes = if imported {
                as_sent.as_bytes()
            } else {
                typed.as_bytes()
            };
            schemes::matches(&parts, bytes, memory)
        };
        Ok(match self.place.run(memory, matches).await?? {
            false => Verdict::Wrong,
            true if renew => Verdict::Outdated(match own {
                Some(own) => own,
                None => self.hash(password).await?,
            }),
            true => Verdict::Right,
        })
    }
}

fn max_memory_kib(own: Argon2) -> u32 {
    password_hash::MAX_MEMORY_KIB.max(own.memory_kib)
}

fn memory(scheme: Scheme, own: Argon2) -> Memory {
    match scheme {
        Scheme::Argon2(argon2) if argon2.memory_kib <= own.memory_kib => Memory::Usual,
        // scrypt cannot use the buffer of its thread.
        Scheme::Argon2(_) | Scheme::Scrypt { .. } => Memory::Large,
        Scheme::Bcrypt { .. } | Scheme::Pbkdf2 { .. } => Memory::Usual,
    }
}

/// A hash that no password has: verifying against it takes as long as against a real one.
fn nobodys_hash(scheme: Scheme) -> HashParts {
    HashParts {
        scheme,
        salt: vec![0; SALT_LENGTH],
        output: vec![0; OUTPUT_LENGTH],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was sent: decomposed, and with a no-break space.
    const SENT: &str = "cre\u{300}me\u{a0}bru\u{302}le\u{301}e";
    /// What preparation makes of it.
    const PREPARED: &str = "crème brûlée";

    /// What others made of [`SENT`].
    const OF_OTHERS: &[&str] = &[
        // argon2-cffi 25.1.0, as it comes and through `low_level`; Argon2's first release wrote the
        // last one without a version.
        "$argon2id$v=19$m=65536,t=3,p=4$AydQgh10J+qwWEvCb8irKA$1iTgNufK17ja76HW6823365HhA4POsYqAZMI9HjlCWQ",
        "$argon2i$v=19$m=64,t=2,p=2$LpUpe8wDNrDb9jCSXNqe1g$56wvh9a4uMeExFdaPhwBk/b7ev8X4yh/SeWsKegnr7Q",
        "$argon2d$v=19$m=32,t=1,p=1$zvb17PsJnV0t1/FtqowheQ$oNtLXVejrsqVDG1ZjkFDNOV4W9rgO/Fvqtk0rkxHs5U",
        "$argon2i$v=16$m=32,t=1,p=1$wnz38htPuiOtTMxwpx6PeQ$7gSZtYsLgFOrtqEsjyIDxTqNLFiX15+1eAEiTlcDejs",
        "$argon2i$m=32,t=1,p=1$wnz38htPuiOtTMxwpx6PeQ$7gSZtYsLgFOrtqEsjyIDxTqNLFiX15+1eAEiTlcDejs",
        // Python's bcrypt 5.0.0, and libxcrypt 4.4.33.
        "$2b$04$Cw1dZxAyy.cae2FJl4aBReb/gFh2e8iwcVqOEmfVTDjiXTJH2dcPK",
        "$2a$04$iZL8kwCdawTs6SCzEZFbxezAhP5Ee9m.GN/MOm5634MVKXS.GtGlm",
        "$2y$04$abcdefghijklmnopqrstuug25vr/WMYbVBNt10M/vhOde39eLadYa",
        // passlib 1.7.4, as it comes and with less.
        "$scrypt$ln=16,r=8,p=1$ypnTOgeAUCrl/J9Tyvmfcw$NUtttX/HFMkN6ongBU53XHitk2BuenL/+o7lhF4/sM8",
        "$scrypt$ln=4,r=4,p=2$mrMW4rw3xhgj5Lx3LmVMyQ$Jfsq6sBNY6tufaFGrwrtpqY1UA5EkzsAgsY1i0KnR1o",
        // Werkzeug 3.1.9, as it comes and with few iterations.
        "scrypt:32768:8:1$yPXoMNlPN3DGxx0y$c25614c3f9b979b805b8c9175dfbf29862efddd26e5b98cbf5ca807d5f8b64c96111ca59531c9261d9b62043feacf91b99b12abebb6a1351714174138a1931c4",
        "pbkdf2:sha256:1000$k53Knk9OGkbw8mla$417cb2255f89f04cdaf9449882dae62a71601d685d05ff80ef6bdbbf12d68251",
        "pbkdf2:sha512:1000$YuSfRUgDH1Fb9Qk1$6765a230a9c93ca695140e489ec6fddefb27b09f2adc77ed440f78cec80d665d6dcd04dd00982208b7261ef45bf1a841948ccbd03aff7b7ba10ad64bdf7d1f9c",
        "pbkdf2:sha1:1000$vEYIl57S$a9a0b13af9a126482846226ab00fa323462566ef",
    ];

    fn passwords(iterations: u32) -> Passwords {
        Passwords::start(8, iterations, 1, NonZeroUsize::MIN, 0).unwrap()
    }

    fn reserve(passwords: &Passwords) -> Slot {
        let share = passwords.share(None).unwrap();
        passwords.reserve(share).unwrap()
    }

    async fn verify(slot: &mut Slot, password: &str, stored: &PasswordHash) -> Verdict {
        let attempt = SubmittedPassword::new(password);
        slot.verify(attempt, Some(stored.clone()), true)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_outdated_hash_is_made_anew_only_where_it_is_wanted() {
        let attempt = || SubmittedPassword::new(PREPARED);
        let mut slot = reserve(&passwords(1));
        let old = slot.hash(attempt().password).await.unwrap();
        let mut slot = reserve(&passwords(2));
        let verdict = slot.verify(attempt(), Some(old.clone()), false).await;
        assert!(matches!(verdict, Ok(Verdict::Right)));
        let Verdict::Outdated(new) = verify(&mut slot, PREPARED, &old).await else {
            panic!("it is of other parameters");
        };
        let verdict = verify(&mut slot, PREPARED, &new).await;
        assert!(matches!(verdict, Verdict::Right));
    }

    #[tokio::test]
    async fn a_hash_of_another_system_is_verified_as_it_was_made_and_replaced() {
        let passwords = passwords(1);
        let mut slot = reserve(&passwords);
        for hash in OF_OTHERS {
            let imported = passwords.import(hash).unwrap();
            assert_eq!(imported.0, format!("imported:{hash}"));
            // To that system, the prepared spelling is another password.
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
    async fn a_hash_that_others_made_as_it_would_be_made_here_is_taken_over() {
        let passwords = passwords(1);
        let mut slot = reserve(&passwords);
        for (password, is_taken) in [(PREPARED, true), (SENT, false)] {
            let sent = SubmittedPassword::new(password).as_sent;
            let memory = &mut Vec::new();
            let (salt, mut output) = ([7; SALT_LENGTH], [0; OUTPUT_LENGTH]);
            schemes::argon2(slot.argon2, sent.as_bytes(), &salt, &mut output, memory).unwrap();
            let theirs = PasswordHash::new(slot.argon2, &salt, &output);
            let imported = passwords.import(&theirs.0).unwrap();
            let Verdict::Outdated(new) = verify(&mut slot, password, &imported).await else {
                panic!("it is not imported any more");
            };
            assert_eq!(new == theirs, is_taken);
            let verdict = verify(&mut slot, PREPARED, &new).await;
            assert!(matches!(verdict, Verdict::Right));
        }
    }

    #[tokio::test]
    async fn bcrypt_reads_72_bytes() {
        // Python's bcrypt 4.0.1, of a longer password.
        let hash = "$2b$04$s1vkQiiW.nun/661gL4m3eEfRmY2rcl90Bz1H0DbAGBi3JIKHTXJm";
        let passwords = passwords(1);
        let imported = passwords.import(hash).unwrap();
        let mut slot = reserve(&passwords);
        let read = format!("{}bc", "ä".repeat(35));
        for right in [
            read.clone(),
            format!("{read} and all that is behind the 72nd byte"),
        ] {
            let verdict = verify(&mut slot, &right, &imported).await;
            assert!(matches!(verdict, Verdict::Outdated(_)), "{right}");
        }
        let verdict = verify(&mut slot, &read[..71], &imported).await;
        assert!(matches!(verdict, Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_hash_may_take_64_mib_or_what_new_ones_take() {
        let hash = |memory: u32| {
            let rest = "t=1,p=1$LpUpe8wDNrDb9jCSXNqe1g$56wvh9a4uMeExFdaPhwBk/b7ev8X4yh/SeWsKegnr7Q";
            format!("$argon2id$v=19$m={memory},{rest}")
        };
        let usual = passwords(1);
        assert!(usual.import(&hash(65536)).is_ok());
        assert!(usual.import(&hash(65537)).is_err());
        let generous = Passwords::start(65544, 1, 1, NonZeroUsize::MIN, 0).unwrap();
        assert!(generous.import(&hash(65544)).is_ok());
        assert!(generous.import(&hash(65545)).is_err());
    }
}
