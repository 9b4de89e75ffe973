//! The command line.

use std::path::PathBuf;

/// The largest image a campaign carries, in bytes.
pub const MAX_FIRMWARE_BYTES: usize = 1 << 20;

pub const USAGE: &str = "\
Usage: smart_building [options]
  --devices N            sensor devices beside the gateway, 10 to 2000 (300)
  --seed N               decides everything that chance decides (1)
  --broker mqtt://H:P    put this broker behind the gate instead of the embedded hub
  --broker-restart       stop the hub in the middle of the telemetry and start it without its state
  --firmware PATH        the image to roll out, at most 1 MiB (the first 256 KiB of this program);
                         at most 32 devices fetch it at once
  --report PATH          write a self-contained HTML report
  --json                 print one JSON object as the last line
  --help                 this text";

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Args {
    pub devices: usize,
    pub seed: u64,
    pub broker: Option<(String, u16)>,
    pub broker_restart: bool,
    pub firmware: Option<PathBuf>,
    pub report: Option<PathBuf>,
    pub json: bool,
}

impl Args {
    /// Reads the arguments; `Ok(None)` when the user only asked for help.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self {
            devices: 300,
            seed: 1,
            broker: None,
            broker_restart: false,
            firmware: None,
            report: None,
            json: false,
        };
        let mut arguments = arguments;
        while let Some(option) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "--devices" => {
                    args.devices = number(&option, &value()?)?;
                    if !(10..=2_000).contains(&args.devices) {
                        return Err(
                            "--devices takes 10 to 2000: fewer make no canary, more no machine"
                                .into(),
                        );
                    }
                }
                "--seed" => args.seed = number(&option, &value()?)?,
                "--broker" => args.broker = Some(broker(&value()?)?),
                "--broker-restart" => args.broker_restart = true,
                "--firmware" => args.firmware = Some(value()?.into()),
                "--report" => args.report = Some(value()?.into()),
                "--json" => args.json = true,
                "--help" | "-h" => return Ok(None),
                other => return Err(format!("{other} is no option\n{USAGE}")),
            }
        }
        if args.broker.is_some() && args.broker_restart {
            return Err("--broker-restart restarts the embedded hub: leave --broker out".into());
        }
        Ok(Some(args))
    }

    /// The image to roll out.
    pub fn image(&self) -> Result<Vec<u8>, String> {
        let (path, limit) = match &self.firmware {
            Some(path) => (path.clone(), MAX_FIRMWARE_BYTES),
            None => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                (own, usize::MAX)
            }
        };
        let mut image = std::fs::read(&path).map_err(|error| {
            format!(
                "cannot read {}: {error}; give a readable file",
                path.display()
            )
        })?;
        if image.is_empty() || image.len() > limit {
            return Err(format!(
                "{} has {} bytes: give an image of 1 to {MAX_FIRMWARE_BYTES}",
                path.display(),
                image.len()
            ));
        }
        if self.firmware.is_none() {
            image.truncate(256 * 1024);
        }
        Ok(image)
    }
}

fn number<N: std::str::FromStr>(option: &str, text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| format!("{option} takes a number, not '{text}'"))
}

fn broker(url: &str) -> Result<(String, u16), String> {
    let remedy = || format!("--broker takes mqtt://host:port, not '{url}'");
    let (host, port) = url
        .strip_prefix("mqtt://")
        .and_then(|rest| rest.trim_end_matches('/').rsplit_once(':'))
        .ok_or_else(remedy)?;
    if host.is_empty() {
        return Err(remedy());
    }
    Ok((host.into(), port.parse().map_err(|_| remedy())?))
}
