//! Compute what a password becomes under a scheme.

use std::sync::Mutex;

use argon2::{Block, Params};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::model::password_hash::{Argon2, HashParts, Scheme, Sha, Variant, Version};

/// bcrypt reads no further.
const BCRYPT_KEY: usize = 72;
/// It drops the last of the bytes it computes.
const BCRYPT_OUTPUT: usize = 23;
/// No hash that is read has a longer one.
const MAX_OUTPUT: usize = 64;

/// Whether `password` is the one that was hashed.
pub(super) fn matches(
    parts: &HashParts,
    password: &[u8],
    memory: &mut Vec<Block>,
) -> Result<bool, Error> {
    let HashParts {
        scheme,
        salt,
        output,
    } = parts;
    let mut computed = [0; MAX_OUTPUT];
    let computed = computed
        .get_mut(..output.len())
        .ok_or_else(|| Error::internal("a hash is longer than any is"))?;
    compute(*scheme, password, salt, computed, memory)?;
    Ok(computed.ct_eq(output).into())
}

/// Fills `output`. Only scrypt allocates memory, besides that of the first Argon2: the thread that
/// computes may be off the processor when others need the allocator.
fn compute(
    scheme: Scheme,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), Error> {
    match scheme {
        Scheme::Argon2(parameters) => argon2(parameters, password, salt, output, memory)?,
        Scheme::Bcrypt { cost } => {
            let salt = salt.try_into().map_err(Error::internal)?;
            // With the byte that ends it in C. What is longer was cut silently by all that made
            // such hashes, until some began to refuse it.
            let mut key = [0; BCRYPT_KEY];
            let length = password.len().min(BCRYPT_KEY);
            key[..length].copy_from_slice(&password[..length]);
            let key = &key[..BCRYPT_KEY.min(length + 1)];
            output.copy_from_slice(&bcrypt::bcrypt(cost, salt, key)[..BCRYPT_OUTPUT]);
        }
        Scheme::Scrypt { log_n, r, p } => {
            let params = scrypt::Params::new(log_n, r, p).map_err(Error::internal)?;
            scrypt::scrypt(password, salt, &params, output).map_err(Error::internal)?;
        }
        Scheme::Pbkdf2 { sha, iterations } => {
            let pbkdf2 = match sha {
                Sha::Sha1 => pbkdf2_hmac::<Sha1>,
                Sha::Sha256 => pbkdf2_hmac::<Sha256>,
                Sha::Sha512 => pbkdf2_hmac::<Sha512>,
            };
            pbkdf2(password, salt, iterations, output);
        }
    }
    Ok(())
}

/// Takes memory in huge pages if the system has them, also in a process that does without them else: a
/// hash goes all over its memory, and is quicker by up to a tenth.
#[cfg(target_os = "linux")]
fn in_huge_pages(take: impl FnOnce()) {
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};
    static OF_THE_PROCESS: Mutex<()> = Mutex::new(());
    let _turn = OF_THE_PROCESS.lock();
    let is_without = transparent_huge_pages_are_disabled().unwrap_or(false)
        && disable_transparent_huge_pages(false).is_ok();
    take();
    if is_without {
        let _ = disable_transparent_huge_pages(true);
    }
}

#[cfg(not(target_os = "linux"))]
fn in_huge_pages(take: impl FnOnce()) {
    take();
}

/// Fills `output`.
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
        in_huge_pages(|| memory.resize(blocks, Block::default()));
    }
    argon2::Argon2::new(variant, version, params)
        .hash_password_into_with_memory(password, salt, output, &mut memory[..blocks])
        .map_err(Error::internal)
}
