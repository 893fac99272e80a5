//! `symbolon schema`

use std::error::Error;
use std::io::Write;

pub(super) fn run() -> Result<(), Box<dyn Error>> {
    std::io::stdout().write_all(symbolon::sdl().as_bytes())?;
    Ok(())
}
