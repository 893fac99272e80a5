//! The password hashing algorithms.

use argon2::{Block, Params};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::model::password_hash::{Argon2, HashAlgorithm, HashParts, Sha, Variant, Version};

/// The length of the longest key that bcrypt accepts, in bytes.
const BCRYPT_KEY: usize = 72;
/// The length of a bcrypt hash, in bytes. The format omits the last of the 24 bytes that bcrypt computes.
const BCRYPT_OUTPUT: usize = 23;
/// The length of the longest supported hash, in bytes.
const MAX_OUTPUT: usize = 64;

/// Returns whether `parts` contains a hash of `password`. Argon2 uses the buffer `memory`, which is enlarged if
/// necessary.
pub(super) fn is_match(
    parts: &HashParts,
    password: &[u8],
    memory: &mut Vec<Block>,
) -> Result<bool, Error> {
    let HashParts {
        algorithm,
        salt,
        output,
    } = parts;
    let mut computed = [0; MAX_OUTPUT];
    let computed = computed
        .get_mut(..output.len())
        .ok_or_else(|| Error::internal("the stored hash is too long"))?;
    match *algorithm {
        HashAlgorithm::Argon2(parameters) => argon2(parameters, password, salt, computed, memory)?,
        HashAlgorithm::Bcrypt { cost } => {
            let salt = salt.as_slice().try_into().map_err(Error::internal)?;
            // bcrypt hashes the password as a C string, including the terminating zero byte, truncated to 72
            // bytes.
            let mut key = [0; BCRYPT_KEY];
            let length = password.len().min(BCRYPT_KEY);
            key[..length].copy_from_slice(&password[..length]);
            let key = &key[..BCRYPT_KEY.min(length + 1)];
            computed.copy_from_slice(&bcrypt::bcrypt(cost, salt, key)[..BCRYPT_OUTPUT]);
        }
        HashAlgorithm::Scrypt { log_n, r, p } => {
            let params = scrypt::Params::new(log_n, r, p).map_err(Error::internal)?;
            scrypt::scrypt(password, salt, &params, computed).map_err(Error::internal)?;
        }
        HashAlgorithm::Pbkdf2 { sha, iterations } => {
            let pbkdf2 = match sha {
                Sha::Sha1 => pbkdf2_hmac::<Sha1>,
                Sha::Sha256 => pbkdf2_hmac::<Sha256>,
                Sha::Sha512 => pbkdf2_hmac::<Sha512>,
            };
            pbkdf2(password, salt, iterations, computed);
        }
    }
    Ok(computed.ct_eq(output).into())
}

/// Writes the Argon2 hash of `password` to `output`. Uses the buffer `memory`, which is enlarged if necessary.
pub(super) fn argon2(
    parameters: Argon2,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), Error> {
    let variant = match parameters.variant {
        Variant::D => argon2::Algorithm::Argon2d,
        Variant::I => argon2::Algorithm::Argon2i,
        Variant::Id => argon2::Algorithm::Argon2id,
    };
    let version = match parameters.version {
        Version::V16 => argon2::Version::V0x10,
        Version::V19 => argon2::Version::V0x13,
    };
    let Argon2 {
        memory_kib,
        iterations,
        parallelism,
        ..
    } = parameters;
    let params = Params::new(memory_kib, iterations, parallelism, Some(output.len()))
        .map_err(Error::internal)?;
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    argon2::Argon2::new(variant, version, params)
        .hash_password_into_with_memory(password, salt, output, &mut memory[..blocks])
        .map_err(Error::internal)
}
