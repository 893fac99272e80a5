//! `symbolon completions`

use std::error::Error;
use std::io::Write;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

#[derive(Args, Debug)]
pub(super) struct Completions {
    /// Shell that reads the script
    shell: Shell,
}

impl Completions {
    /// Prints the script that completes the subcommands and options of `program`.
    pub(super) fn run(&self, program: &mut Command) -> Result<(), Box<dyn Error>> {
        // `generate` panics if it cannot write, for example to a closed pipe.
        let mut script = Vec::new();
        generate(self.shell, program, "symbolon", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(())
    }
}
