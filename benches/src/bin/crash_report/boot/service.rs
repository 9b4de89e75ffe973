//! What the service says to a device, and hears from it.

use iot_core::engine::Done;
use iot_core::message::Fate;
use iot_core::sim::power::{Violation, WorldCell};
use iot_core::{Channel, Engine, Event, Instant, Message, Step, Ticket};
use iot_ota::update::{FromDevice, Report, Status, ToDevice};

use super::{Booted, NOW, Truth, Updates, World, encoded, truth};

impl<const W: usize, const E: usize> Updates<W, E> {
    /// Does what the updater wants, except for what the service must answer.
    pub(super) fn pump(
        &self,
        booted: &mut Booted<W, E>,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let mut buffer = [0; 256];
        for _ in 0..20 {
            let (mut done, mut reported) = (Done::Sent(Ticket::new(1)), false);
            match booted.updater.step(NOW, &mut buffer) {
                // It has more to do at once: a page to erase.
                Step::Idle if booted.updater.deadline() == Some(Instant::ZERO) => continue,
                Step::Idle => return Ok(()),
                Step::Persist(batch) => {
                    if self.keeps {
                        world.update(|world| world.kept.get_or_insert_default().take(&batch));
                    }
                    done = Done::Persisted;
                }
                Step::Send(message) => {
                    if let Ok(FromDevice::Report(report)) = FromDevice::decode(message.payload) {
                        heard(&report, &booted.updater.status(), world)?;
                        reported = true;
                    }
                }
                _ => return Err(Violation::new("an updater has no such step")),
            }
            booted.updater.done(NOW, done);
            if reported && self.keeps {
                let (ticket, fate) = (Ticket::new(1), Fate::Delivered);
                booted.updater.input(NOW, &Event::Settled { ticket, fate });
            }
        }
        Err(Violation::new("the updater never rests"))
    }

    fn say(
        &self,
        booted: &mut Booted<W, E>,
        payload: &[u8],
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let message = Message::new(Channel::Update, payload);
        booted.updater.input(NOW, &Event::Message(message));
        self.pump(booted, world)
    }

    /// The release that the service offers next.
    pub(super) fn next(&self, booted: &Booted<W, E>) -> Option<usize> {
        let status = booted.updater.status();
        let installed = status.running.map_or(0, |release| release.sequence);
        let ended = status.ended.map_or(0, |ended| ended.sequence);
        let next = installed.max(ended) as usize + 1;
        (next < self.offers.len()).then_some(next)
    }

    pub(super) fn offer(
        &self,
        booted: &mut Booted<W, E>,
        release: usize,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        booted.offered = Some(release as u64);
        self.say(booted, &self.offers[release], world)
    }

    /// Sends the block at `offset`; before the last one the offer again, if it was not made since the boot.
    pub(super) fn answer(
        &self,
        booted: &mut Booted<W, E>,
        sequence: u64,
        offset: u32,
        world: &WorldCell<World>,
    ) -> Result<(), Violation> {
        let image = &self.images[sequence as usize];
        // Blocks keep to their grid, also where a download goes on between two of them.
        let start = offset as usize;
        let end = ((start / self.block() + 1) * self.block()).min(image.len());
        if end == image.len() {
            truth::may_also(world, |truth| truth.staged(sequence));
            if booted.offered != Some(sequence) {
                self.offer(booted, sequence as usize, world)?;
            }
        }
        let bytes = &image[start..end];
        if bytes.is_empty() {
            return Ok(());
        }
        let message = encoded(&ToDevice::Block {
            sequence,
            offset,
            bytes,
        });
        self.say(booted, &message, world)
    }
}

/// A report must be true, and what it says is observed: it is never taken back. What the status says of what runs is held
/// against the flash.
fn heard(report: &Report, status: &Status, world: &WorldCell<World>) -> Result<(), Violation> {
    let runs = status
        .running
        .map(|release| (release.sequence, release.digest));
    if report.running.map(|runs| (runs.sequence, runs.digest)) != runs {
        return Err(Violation::new(format!("{report:?}, but {runs:?} runs")));
    }
    let truths = world.read(|world| world.truths.clone());
    let fits = |truth: &&Truth| truth.ended_so(report);
    let left = truth::set(truths.iter().filter(fits).copied());
    if left.is_empty() {
        return Err(Violation::new(format!(
            "{:?} is reported of {:?}; allowed is {truths:?}",
            report.outcome, report.sequence
        )));
    }
    world.update(|world| world.truths = left);
    Ok(())
}
