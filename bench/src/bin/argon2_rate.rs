//! Measures how many passwords per second the crate hashes with Symbolon's parameters and reused memory.
//! This rate is an upper limit for sign-ins.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

fn rate(time: Duration) -> argon2::Result<f64> {
    let argon2 = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(19456, 2, 1, None)?,
    );
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut hash = [0; 32];
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        argon2.hash_password_into_with_memory(
            b"correct horse",
            b"0123456789abcdef",
            &mut hash,
            &mut memory,
        )?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().ok_or("usage: argon2_rate THREADS SECONDS");
    let threads: usize = number()?.parse()?;
    let time = Duration::from_secs_f64(number()?.parse()?);
    let mut sum = 0.0;
    let hashing: Vec<_> = (0..threads)
        .map(|_| thread::spawn(move || rate(time)))
        .collect();
    for one in hashing {
        sum += one.join().map_err(|_| "a thread panicked")??;
    }
    println!("{sum:.2}");
    Ok(())
}
