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
use crate::service::hash_metrics::{HashMetrics, HashQueueState};
use crate::service::hash_queue::{HashQueue, Permit, Share};
use crate::service::hash_threads::Memory;

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

    /// Returns the metrics that the hash queue counts.
    pub(crate) fn metrics(&self) -> &HashMetrics {
        self.queue.metrics()
    }

    /// Returns the current use of the hash queue.
    pub(crate) fn queue_state(&self) -> HashQueueState {
        self.queue.state()
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
mod tests;
