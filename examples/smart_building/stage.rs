//! The stage table: what each stage counted, and how long it took.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One finished stage.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    pub counted: String,
    pub took: Duration,
}

/// Runs stages one after the other and remembers what they counted.
#[derive(Debug)]
pub struct Stages {
    quiet: bool,
    pub rows: Vec<Row>,
    pub started: Instant,
    pub current: &'static str,
}

impl Stages {
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            rows: Vec::new(),
            started: Instant::now(),
            current: "start",
        }
    }

    /// A progress bar over `total`, shown only on a terminal.
    pub fn begin(&mut self, name: &'static str, total: usize) -> Running {
        self.current = name;
        let visible = !self.quiet && std::io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:13} {wide_bar} {pos}/{len} {elapsed}")
        {
            bar.set_style(style);
        }
        bar.set_message(name);
        Running {
            name,
            bar,
            since: Instant::now(),
        }
    }

    /// Ends a stage with what it counted.
    pub fn end(&mut self, running: Running, counted: impl Into<String>) {
        running.bar.finish_and_clear();
        let row = Row {
            name: running.name,
            counted: counted.into(),
            took: running.since.elapsed(),
        };
        if !self.quiet {
            println!(
                "{:13} {:>8.2} s  {}",
                row.name,
                row.took.as_secs_f64(),
                row.counted
            );
        }
        self.rows.push(row);
    }
}

/// A stage that is running.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    bar: ProgressBar,
    since: Instant,
}

impl Running {
    /// Shows how far it is.
    pub fn at(&self, position: usize) {
        self.bar.set_position(position as u64);
    }
}
