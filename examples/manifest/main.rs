//! Writes, signs, encrypts, shows, verifies and compares SUIT manifests: the release engineer's side of `iot-ota`.
//!
//! ```console
//! manifest key new release.pem
//! manifest create boiler.toml --output boiler.suit
//! manifest sign boiler.suit --key release.pem
//! manifest verify boiler.suit --key release.pub.pem --image firmware.bin
//! ```
//!
//! The chapter on it in iot-ota's README says what each command does. Exit code 0: done, or the
//! manifests are the same; 1: refused, or they differ; 2: the command line was not understood.

extern crate alloc;

mod args;
mod compare;
mod create;
mod description;
mod encrypt;
mod files;
mod followed;
mod inspect;
mod keys;
mod named;
mod opened;
mod payloads;
mod plan;
mod problem;
mod render;
mod sign;
mod token;
mod values;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command, KeyCommand};
use problem::Problem;

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(1)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::Key(KeyCommand::New { key, algorithm }) => keys::create(&key, algorithm)?,
        Command::Key(KeyCommand::Show { key, rust }) => match rust {
            None => keys::show(&key)?,
            Some(prefix) => keys::show_rust(&key, &prefix)?,
        },
        Command::Create(options) => create::create(&options)?,
        Command::Sign(options) => sign::sign(&options)?,
        Command::Encrypt(options) => encrypt::encrypt(&options)?,
        Command::Inspect { envelope } => inspect::inspect(&envelope)?,
        Command::Verify(options) => verify::verify(&options)?,
        Command::Diff { old, new } => {
            if compare::compare(&old, &new)? {
                return Ok(ExitCode::from(1));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
