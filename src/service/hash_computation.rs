//! The password hashing algorithms.

use std::borrow::Cow;
use std::fmt::Write as _;

use argon2::{Block, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::model::hash_formats::bcrypt_base64;
use crate::model::hash_parts::{
    Argon2, BcryptKey, Digest, HashAlgorithm, HashParts, Salting, Variant, Version,
};
use crate::model::password_hash::StoredParts;

/// The length of the longest key that bcrypt accepts, in bytes.
const BCRYPT_KEY: usize = 72;
/// The length of a bcrypt hash, in bytes. The format omits the last of the 24 bytes that bcrypt computes.
const BCRYPT_OUTPUT: usize = 23;
/// The length of the longest supported hash, in bytes.
const MAX_OUTPUT: usize = 64;

/// Returns whether a stored hash is the hash of `password`. Argon2 uses the buffer `memory`, which is enlarged if
/// necessary.
pub(super) fn is_match(
    stored: &StoredParts,
    password: &[u8],
    memory: &mut Vec<Block>,
) -> Result<bool, Error> {
    let StoredParts { inner, outer } = stored;
    let mut inner_buffer = [0; MAX_OUTPUT];
    let input = match inner {
        Some(inner) => compute(inner, password, &mut inner_buffer, memory)?,
        None => password,
    };
    let mut outer_buffer = [0; MAX_OUTPUT];
    let computed = compute(outer, input, &mut outer_buffer, memory)?;
    Ok(computed.ct_eq(&outer.output).into())
}

/// Computes the hash of `input` with the algorithm, the salt and the output length of `parts`.
fn compute<'a>(
    parts: &HashParts,
    input: &[u8],
    buffer: &'a mut [u8; MAX_OUTPUT],
    memory: &mut Vec<Block>,
) -> Result<&'a [u8], Error> {
    let salt = parts.salt.as_slice();
    let output = buffer
        .get_mut(..parts.output.len())
        .ok_or_else(|| Error::internal("the stored hash is too long"))?;
    match parts.algorithm {
        HashAlgorithm::Argon2(parameters) => argon2(parameters, input, salt, output, memory)?,
        HashAlgorithm::Bcrypt { cost, key } => {
            let key = bcrypt_key(key, input, salt)?;
            // bcrypt hashes the password as a C string, including the terminating zero byte, truncated to 72
            // bytes.
            let mut block = [0; BCRYPT_KEY];
            let length = key.len().min(BCRYPT_KEY);
            block[..length].copy_from_slice(&key[..length]);
            let block = &block[..BCRYPT_KEY.min(length + 1)];
            let salt = salt.try_into().map_err(Error::internal)?;
            output.copy_from_slice(&bcrypt::bcrypt(cost, salt, block)[..BCRYPT_OUTPUT]);
        }
        HashAlgorithm::Scrypt { log_n, r, p } => {
            let params = scrypt::Params::new(log_n, r, p).map_err(Error::internal)?;
            scrypt::scrypt(input, salt, &params, output).map_err(Error::internal)?;
        }
        HashAlgorithm::Pbkdf2 { digest, iterations } => {
            let pbkdf2 = match digest {
                Digest::Md5 => pbkdf2_hmac::<Md5>,
                Digest::Sha1 => pbkdf2_hmac::<Sha1>,
                Digest::Sha256 => pbkdf2_hmac::<Sha256>,
                Digest::Sha512 => pbkdf2_hmac::<Sha512>,
            };
            pbkdf2(input, salt, iterations, output);
        }
        HashAlgorithm::Fast {
            digest,
            salting: Salting::Prefix,
        } => {
            let text = [salt, input].concat();
            output.copy_from_slice(&match digest {
                Digest::Md5 => Md5::digest(text).to_vec(),
                Digest::Sha1 => Sha1::digest(text).to_vec(),
                Digest::Sha256 => Sha256::digest(text).to_vec(),
                Digest::Sha512 => Sha512::digest(text).to_vec(),
            });
        }
        HashAlgorithm::Fast {
            digest,
            salting: Salting::Hmac,
        } => output.copy_from_slice(&match digest {
            Digest::Md5 => hmac::<Hmac<Md5>>(salt, input)?,
            Digest::Sha1 => hmac::<Hmac<Sha1>>(salt, input)?,
            Digest::Sha256 => hmac::<Hmac<Sha256>>(salt, input)?,
            Digest::Sha512 => hmac::<Hmac<Sha512>>(salt, input)?,
        }),
    }
    Ok(output)
}

fn hmac<H: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut mac = <H as KeyInit>::new_from_slice(key).map_err(Error::internal)?;
    mac.update(message);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// Returns the key that bcrypt gets for a password.
fn bcrypt_key<'a>(key: BcryptKey, password: &'a [u8], salt: &[u8]) -> Result<Cow<'a, [u8]>, Error> {
    let text = match key {
        BcryptKey::Password => return Ok(password.into()),
        BcryptKey::Sha256Hex => {
            let digest = Sha256::digest(password);
            digest.iter().fold(String::new(), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
        }
        BcryptKey::Sha256Base64 => STANDARD.encode(Sha256::digest(password)),
        BcryptKey::HmacSha256Base64 => {
            let salt = bcrypt_base64(salt);
            STANDARD.encode(hmac::<Hmac<Sha256>>(salt.as_bytes(), password)?)
        }
    };
    Ok(text.into_bytes().into())
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
