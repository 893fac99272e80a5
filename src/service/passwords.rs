//! Hashes and verifies passwords on the threads of the [`HashQueue`].

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use argon2::Params;

use crate::error::Error;
#[cfg(any(test, feature = "server"))]
use crate::model::hash_parts::HashRefusal;
use crate::model::hash_parts::{Argon2, HashAlgorithm, HashParts, Variant, Version};
use crate::model::password::{Password, SubmittedPassword};
#[cfg(any(test, feature = "server"))]
use crate::model::password_hash::{ImportedHash, WeakHash};
use crate::model::password_hash::{PasswordHash, StoredParts};
use crate::model::random_bytes::random_bytes;
use crate::service::hash_computation;
use crate::service::hash_queue::{HashQueue, Memory, Permit, Share};

/// The maximum time that a job waits for a thread. After this time, most clients no longer wait for the
/// response.
const MAX_WAIT: Duration = Duration::from_secs(5);

const SALT_LENGTH: usize = 16;
const OUTPUT_LENGTH: usize = 32;

/// The result of a password verification.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The password is wrong.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right. The stored hash is imported or has other parameters than new hashes, and must
    /// be replaced by this hash.
    Outdated(PasswordHash),
}

/// Hashes new passwords with Argon2id (RFC 9106), and verifies passwords against hashes of every supported
/// algorithm.
///
/// The memory is bounded. Each thread has one buffer for the configured parameters. One additional buffer is
/// used for stored hashes that need more memory, up to `max_memory_kib`.
#[derive(Debug)]
pub(crate) struct Passwords {
    argon2: Argon2,
    max_memory_kib: u32,
    #[cfg(feature = "server")]
    threads: NonZeroUsize,
    queue: HashQueue,
}

impl Passwords {
    /// Starts the hashing threads.
    ///
    /// # Errors
    ///
    /// Returns the reason if the parameters are out of range or a thread cannot be started.
    pub(crate) fn start(
        memory_kib: u32,
        iterations: u32,
        parallelism: u32,
        max_memory_kib: u32,
        threads: NonZeroUsize,
        queue: usize,
    ) -> Result<Self, String> {
        Params::new(memory_kib, iterations, parallelism, Some(OUTPUT_LENGTH))
            .map_err(|error| error.to_string())?;
        let queue = HashQueue::start(threads, queue, MAX_WAIT)
            .map_err(|error| format!("the hashing threads cannot be started: {error}"))?;
        let argon2 = Argon2 {
            variant: Variant::Id,
            version: Version::V19,
            memory_kib,
            iterations,
            parallelism,
        };
        Ok(Self {
            argon2,
            max_memory_kib,
            #[cfg(feature = "server")]
            threads,
            queue,
        })
    }

    /// Parses a hash that another system computed. Returns the reason if passwords cannot be verified against
    /// the hash.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn import(&self, hash: &str) -> Result<ImportedHash, HashRefusal> {
        ImportedHash::parse(hash, self.max_memory_kib)
    }

    /// Returns the number of hashing threads.
    #[cfg(feature = "server")]
    pub(crate) fn threads(&self) -> usize {
        self.threads.get()
    }

    /// Counts one place in the queue for `client`, without taking the place yet. Fails if no place is free or
    /// `client` has used up its share.
    pub(crate) fn share(&self, client: Option<IpAddr>) -> Result<Share, Error> {
        self.queue.share(client)
    }

    /// Takes a place in the queue for the hashes of one request. Fails if no place is free.
    pub(crate) fn reserve(&self, share: Share) -> Result<Slot, Error> {
        Ok(Slot {
            permit: self.queue.reserve(share)?,
            argon2: self.argon2,
            max_memory_kib: self.max_memory_kib,
        })
    }
}

/// A place in the queue, for a verification, a new hash, or a verification followed by a new hash.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Permit,
    argon2: Argon2,
    max_memory_kib: u32,
}

impl Slot {
    /// Hashes a password with a random salt.
    pub(crate) async fn hash(&mut self, password: Password) -> Result<PasswordHash, Error> {
        let (salt, output) = self.argon2(password.as_bytes().to_vec()).await?;
        Ok(PasswordHash::new(self.argon2, &salt, &output))
    }

    /// Hashes the output of a weak hash with a random salt.
    #[cfg(any(test, feature = "server"))]
    pub(crate) async fn wrap(&mut self, weak: WeakHash) -> Result<PasswordHash, Error> {
        let (salt, output) = self.argon2(weak.output.clone()).await?;
        Ok(PasswordHash::wrapped(&weak, self.argon2, &salt, &output))
    }

    /// Computes the hash of `input` with a random salt. Returns the salt and the output.
    async fn argon2(
        &mut self,
        input: Vec<u8>,
    ) -> Result<([u8; SALT_LENGTH], [u8; OUTPUT_LENGTH]), Error> {
        let argon2 = self.argon2;
        let salt = random_bytes::<SALT_LENGTH>()?;
        let output = self.permit.run(Memory::Usual, move |memory| {
            let mut output = [0; OUTPUT_LENGTH];
            hash_computation::argon2(argon2, &input, &salt, &mut output, memory)?;
            Ok::<_, Error>(output)
        });
        Ok((salt, output.await??))
    }

    /// Verifies a password against the stored hash. If `stored` is `None` or unusable, does the same amount of work
    /// and returns [`Verdict::Wrong`].
    ///
    /// Computes the replacement for an outdated hash only if `renew` is set. `renew` must not be set for a
    /// disabled user, because the time for the second hash would reveal that the password is right.
    ///
    /// Keeps a hash that also matches other passwords, as a bcrypt hash does if the password has 72 bytes or more: the
    /// submitted password may differ from the password of the user in the bytes that bcrypt ignores.
    pub(crate) async fn verify(
        &mut self,
        attempt: SubmittedPassword,
        stored: Option<PasswordHash>,
        renew: bool,
    ) -> Result<Verdict, Error> {
        let SubmittedPassword { password, as_sent } = attempt;
        let current = HashAlgorithm::Argon2(self.argon2);
        let stored = stored.filter(PasswordHash::is_usable);
        let imported = stored.as_ref().is_some_and(PasswordHash::is_imported);
        let parts = match &stored {
            Some(stored) => stored.parts(self.max_memory_kib),
            None => Ok(unmatchable(current)),
        };
        let parts = parts.map_err(|reason| {
            Error::internal(format!("the stored hash cannot be verified: {reason}"))
        })?;
        let StoredParts { inner, outer } = &parts;
        let is_current = inner.is_none() && outer.algorithm == current;
        let is_ambiguous = inner
            .as_ref()
            .unwrap_or(outer)
            .algorithm
            .is_ambiguous(as_sent.as_bytes());
        // An imported hash is kept if its parameters and the lengths of its salt and output are current, and
        // PRECIS preparation leaves the password unchanged.
        let adopted = stored.filter(|_| {
            is_current
                && (outer.salt.len(), outer.output.len()) == (SALT_LENGTH, OUTPUT_LENGTH)
                && password.as_bytes() == as_sent.as_bytes()
        });
        let memory = memory(&parts, self.argon2);
        let prepared = password.clone();
        let is_match = self.permit.run(memory, move |memory| {
            // Other systems hash the password as it was sent, without preparation.
            let password = if imported {
                as_sent.as_bytes()
            } else {
                prepared.as_bytes()
            };
            hash_computation::is_match(&parts, password, memory)
        });
        if !is_match.await?? {
            return Ok(Verdict::Wrong);
        }
        if !renew || is_ambiguous || (is_current && !imported) {
            return Ok(Verdict::Right);
        }
        Ok(Verdict::Outdated(match adopted {
            Some(hash) => hash.into_own(),
            None => self.hash(password).await?,
        }))
    }
}

fn memory(parts: &StoredParts, own: Argon2) -> Memory {
    let is_large = |parts: &HashParts| match parts.algorithm {
        HashAlgorithm::Argon2(argon2) => argon2.memory_kib > own.memory_kib,
        // scrypt allocates its own memory. Therefore, only one of these jobs runs at a time.
        HashAlgorithm::Scrypt { .. } => true,
        HashAlgorithm::Bcrypt { .. }
        | HashAlgorithm::Pbkdf2 { .. }
        | HashAlgorithm::Fast { .. } => false,
    };
    if is_large(&parts.outer) || parts.inner.as_ref().is_some_and(is_large) {
        Memory::Large
    } else {
        Memory::Usual
    }
}

/// Returns a hash that matches no password, and costs as much to verify as any other hash with this algorithm.
fn unmatchable(algorithm: HashAlgorithm) -> StoredParts {
    StoredParts {
        inner: None,
        outer: HashParts {
            algorithm,
            salt: vec![0; SALT_LENGTH],
            output: vec![0; OUTPUT_LENGTH],
        },
    }
}

#[cfg(test)]
mod tests {
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
        let (passwords, mut slot) = reserve(19_456);
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
}
