//! Hash passwords, and verify them against hashes.

use std::num::NonZeroUsize;
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rand::rngs::SysRng;

use crate::error::Error;
use crate::model::password::{Password, PasswordHash};
use crate::service::hash_pool::{HashPool, Place};

/// A stored hash that asks for more than this is refused: whoever can write one row must not be able
/// to exhaust the machine. 256 MiB.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 16;
const MAX_PARALLELISM: u32 = 16;

/// How long a job may wait for a thread: whoever asked has lost patience by then, and what it would
/// cost is better spent on somebody who still waits.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// What a verification found.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Not the password.
    Wrong,
    /// The password, and its hash can stay as it is for now.
    Right,
    /// The password, on a hash of other parameters; this is its hash with the current ones.
    Outdated(PasswordHash),
}

/// Argon2id (RFC 9106) with one set of parameters, on threads of its own.
#[derive(Debug)]
pub(crate) struct Passwords {
    params: Params,
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
        let params = Params::new(memory_kib, iterations, parallelism, None)
            .map_err(|error| error.to_string())?;
        if !within_bounds(&params) {
            return Err(format!(
                "the largest are {MAX_MEMORY_KIB} KiB, {MAX_ITERATIONS} iterations, \
                 parallelism {MAX_PARALLELISM}"
            ));
        }
        let pool = HashPool::start(threads, queue, QUEUE_WAIT, params.block_count())
            .map_err(|error| format!("the hashing threads do not start: {error}"))?;
        Ok(Self { params, pool })
    }

    /// Takes one place in the pool, for what one request costs; refuses at once when none is free.
    pub(crate) fn reserve(&self) -> Result<Slot, Error> {
        Ok(Slot {
            place: self.pool.reserve()?,
            params: self.params.clone(),
        })
    }
}

/// One place in the pool: for a verification, a new hash, or the one and then the other.
#[derive(Debug)]
pub(crate) struct Slot {
    place: Place,
    params: Params,
}

impl Slot {
    /// Hashes a new password, with a random salt.
    pub(crate) async fn hash(&mut self, password: Password) -> Result<PasswordHash, Error> {
        let params = self.params.clone();
        self.place
            .run(move |memory| hash(&password, &params, memory))
            .await?
    }

    /// Verifies `password` against a stored hash. Without one it fails after the same work.
    ///
    /// Only with `renew` is an outdated hash made anew: the time that takes would tell whose
    /// password it is to somebody who may not sign in even with it.
    pub(crate) async fn verify(
        &mut self,
        password: Password,
        stored: Option<PasswordHash>,
        renew: bool,
    ) -> Result<Verdict, Error> {
        let params = self.params.clone();
        self.place
            .run(move |memory| {
                let stored = match stored {
                    Some(stored) => Phc::new(&stored.0).map_err(Error::internal)?,
                    None => nobodys_hash(&params)?,
                };
                let used = Params::try_from(&stored).map_err(Error::internal)?;
                if !within_bounds(&used) {
                    return Err(Error::internal("a stored hash asks for too much"));
                }
                if !matches(&password, &stored, &used, memory)? {
                    return Ok(Verdict::Wrong);
                }
                let current = stored.algorithm == Algorithm::Argon2id.ident()
                    && stored.version == Some(Version::V0x13.into())
                    && cost(&used) == cost(&params);
                Ok(if current || !renew {
                    Verdict::Right
                } else {
                    Verdict::Outdated(hash(&password, &params, memory)?)
                })
            })
            .await?
    }
}

fn within_bounds(params: &Params) -> bool {
    params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_ITERATIONS
        && params.p_cost() <= MAX_PARALLELISM
}

fn cost(params: &Params) -> (u32, u32, u32) {
    (params.m_cost(), params.t_cost(), params.p_cost())
}

/// A hash that no password has, of the current parameters: verifying against it takes as long as
/// against a real one.
fn nobodys_hash(params: &Params) -> Result<Phc, Error> {
    let random = Salt::try_from_rng(&mut SysRng).map_err(Error::internal)?;
    let output = Output::new(&[0; Params::DEFAULT_OUTPUT_LEN]).map_err(Error::internal)?;
    phc(params, random, output)
}

fn hash(
    password: &Password,
    params: &Params,
    memory: &mut Vec<Block>,
) -> Result<PasswordHash, Error> {
    let salt = Salt::try_from_rng(&mut SysRng).map_err(Error::internal)?;
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let blocks = reserve(memory, params);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), &salt, &mut output, blocks)
        .map_err(Error::internal)?;
    let output = Output::new(&output).map_err(Error::internal)?;
    Ok(PasswordHash(phc(params, salt, output)?.to_string()))
}

fn matches(
    password: &Password,
    stored: &Phc,
    params: &Params,
    memory: &mut Vec<Block>,
) -> Result<bool, Error> {
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(Error::internal)?;
    let version = stored
        .version
        .map_or(Ok(Version::V0x13), Version::try_from)
        .map_err(Error::internal)?;
    let (Some(salt), Some(expected)) = (stored.salt, stored.hash) else {
        return Err(Error::internal(
            "a stored hash lacks its salt or its output",
        ));
    };
    let mut output = [0; Output::MAX_LENGTH];
    let output = &mut output[..expected.len()];
    let blocks = reserve(memory, params);
    Argon2::new(algorithm, version, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), &salt, output, blocks)
        .map_err(Error::internal)?;
    // `Output` compares in constant time.
    Ok(Output::new(output).map_err(Error::internal)? == expected)
}

fn reserve<'a>(memory: &'a mut Vec<Block>, params: &Params) -> &'a mut [Block] {
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    &mut memory[..blocks]
}

fn phc(params: &Params, salt: Salt, output: Output) -> Result<Phc, Error> {
    Ok(Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().map_err(Error::internal)?,
        salt: Some(salt),
        hash: Some(output),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(iterations: u32) -> Passwords {
        Passwords::start(8, iterations, 1, NonZeroUsize::MIN, 0).unwrap()
    }

    #[tokio::test]
    async fn an_outdated_hash_is_made_anew_only_where_it_is_wanted() {
        let password = || Password::attempt("correct horse battery staple");
        let mut slot = passwords(1).reserve().unwrap();
        let old = slot.hash(password()).await.unwrap();
        let mut slot = passwords(2).reserve().unwrap();
        let verdict = slot.verify(password(), Some(old.clone()), false).await;
        assert!(matches!(verdict, Ok(Verdict::Right)));
        let verdict = slot.verify(password(), Some(old), true).await;
        let Ok(Verdict::Outdated(new)) = verdict else {
            panic!("{verdict:?}");
        };
        let verdict = slot.verify(password(), Some(new), true).await;
        assert!(matches!(verdict, Ok(Verdict::Right)));
    }
}
