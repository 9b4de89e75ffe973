//! A building lives its life: devices are made, enrolled, configured, measure, obey, are updated, and leave.
//!
//! Everything is real but the rooms: keys and certificates, mutual TLS on loopback, an MQTT broker, signed
//! manifests, transfers block by block. Each stage asserts its facts from what both sides recorded; the
//! last line says `RESULT ok` or names the stage that failed.

#![allow(
    unreachable_pub,
    missing_docs,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "the modules of one program on std share what is in them"
)]

mod args;
mod backlog;
mod board;
mod chip;
mod desk;
mod device;
mod door;
mod firmware;
mod flash;
mod fleet;
mod identity;
mod jobs;
mod keeper;
mod ledger;
mod member;
mod mishap;
mod outcome;
mod pack;
mod pki;
mod plant;
mod power;
mod report;
mod sensor;
mod service;
mod stage;
mod stages;
mod transfers;
mod weather;
mod wired;
mod witness;
mod world;

use std::process::ExitCode;

use args::Args;
use outcome::{Findings, Taken};
use pki::Fallible;
use report::Plots;
use stage::Stages;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            println!("RESULT failed stage=arguments");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(&args));
    runtime.shutdown_background();
    code
}

async fn run(args: &Args) -> ExitCode {
    let mut stages = Stages::new(args.json);
    let (mut findings, mut plots) = (Findings::default(), Plots::default());
    let lived = stages::live(args, &mut stages, &mut findings, &mut plots).await;
    let seconds = stages.started.elapsed().as_secs_f64();
    let (result, code) = match &lived {
        Ok(()) => (
            format!(
                "RESULT ok devices={} seed={} seconds={seconds:.1}",
                args.devices, args.seed
            ),
            ExitCode::SUCCESS,
        ),
        Err(error) => {
            eprintln!("{error}");
            (
                format!(
                    "RESULT failed stage={} devices={}",
                    stages.current, args.devices
                ),
                ExitCode::FAILURE,
            )
        }
    };
    plots.releases = findings.releases.iter().map(Taken::line).collect();
    if !args.json {
        for line in &plots.releases {
            println!("{line}");
        }
    }
    let json = findings.to_json(&result);
    let written = write_report(args, &stages, &plots, &result, &json);
    if let Err(error) = &written {
        eprintln!("{error}");
    }
    let failed = if written.is_ok() {
        None
    } else {
        Some("RESULT failed stage=report")
    };
    match (args.json, failed) {
        (true, _) => println!("{json}"),
        (false, Some(line)) => println!("{line}"),
        (false, None) => println!("{result}"),
    }
    if failed.is_some() {
        ExitCode::FAILURE
    } else {
        code
    }
}

fn write_report(
    args: &Args,
    stages: &Stages,
    plots: &Plots,
    result: &str,
    json: &serde_json::Value,
) -> Fallible<()> {
    let Some(path) = &args.report else {
        return Ok(());
    };
    let json = serde_json::to_string_pretty(json)?;
    Ok(report::write(path, &stages.rows, plots, result, &json)?)
}
