//! Measures how many passwords per second a crate hashes with Symbolon's parameters and reused memory. With the crate
//! argon2, which Symbolon uses, this rate is an upper limit for sign-ins. The crate argon2-rust, which @node-rs/argon2
//! uses, has code for AVX-512 and places its memory in huge pages.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

const MEMORY_KIB: u32 = 19456;
const PASSES: u32 = 2;
const PASSWORD: &[u8] = b"correct horse";
const SALT: &[u8] = b"0123456789abcdef";

type Hash = Box<dyn FnMut(&mut [u8; 32]) -> Result<(), String>>;

fn argon2() -> Result<Hash, String> {
    use argon2::{Algorithm, Argon2, Block, Params, Version};

    let text = |error: argon2::Error| error.to_string();
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(text)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    Ok(Box::new(move |hash| {
        argon2
            .hash_password_into_with_memory(PASSWORD, SALT, hash, &mut memory)
            .map_err(text)
    }))
}

fn argon2_rust() -> Result<Hash, String> {
    use argon2_rust::{Algorithm, Argon2, Error, Params, Version, params::Memory};

    let text = |error: Error| error.to_string();
    let params = Params::builder()
        .memory(Memory::kib(MEMORY_KIB.into()))
        .passes(PASSES)
        .lanes(1)
        .build()
        .map_err(text)?;
    let mut hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hasher();
    Ok(Box::new(move |hash| {
        hasher.hash_into(PASSWORD, SALT, hash).map_err(text)
    }))
}

fn rate(prepare: fn() -> Result<Hash, String>, time: Duration) -> Result<f64, String> {
    let mut compute = prepare()?;
    let mut hash = [0; 32];
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        compute(&mut hash)?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, threads, seconds] = arguments.as_slice() else {
        return Err("usage: argon2_rate argon2|argon2-rust THREADS SECONDS".into());
    };
    let prepare = match engine.as_str() {
        "argon2" => argon2,
        "argon2-rust" => argon2_rust,
        _ => return Err(format!("unknown crate: {engine}").into()),
    };
    let (mut one, mut other) = ([0; 32], [0; 32]);
    argon2()?(&mut one)?;
    argon2_rust()?(&mut other)?;
    if one != other {
        return Err("the crates compute different hashes".into());
    }
    let threads: usize = threads.parse()?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    let hashing: Vec<_> = (0..threads)
        .map(|_| thread::spawn(move || rate(prepare, time)))
        .collect();
    let mut sum = 0.0;
    for one in hashing {
        sum += one.join().map_err(|_| "a thread panicked")??;
    }
    println!("{sum:.2}");
    Ok(())
}
