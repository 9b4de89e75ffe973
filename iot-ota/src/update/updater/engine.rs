//! The updater as an engine: what comes in, and what is to be done.

use iot_core::crypto::Digest;
use iot_core::engine::{Done, Failure, RecordRange};
use iot_core::message::{Fate, Priority, Qos};
use iot_core::time::Instant;
use iot_core::{Channel, Engine, Event, Message, Now, Step};

use super::{Issued, Phase, Updater};
use crate::alarm::{NEVER, if_ever, later};
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::slot::Banks;
use crate::update::fetch::{Asking, Course};
use crate::update::payload::Payloads;
use crate::update::wire::{ToDevice, told, write_report, write_request};

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Engine
    for Updater<'_, B, K, D, P>
{
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Update
    }

    fn records(&self) -> RecordRange {
        RecordRange::new(self.settings.records, 2)
    }

    #[inline(never)]
    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Record { key, value } if *key == self.settings.records => {
                self.restore(value);
            }
            Event::Record { value, .. } => {
                (self.passed, self.starts) = self.told.restore(value);
            }
            Event::Restored => self.restored(),
            Event::Message(message) if self.phase != Phase::Restoring => {
                match ToDevice::decode(message.payload) {
                    Ok(ToDevice::Offer { envelope }) => self.offered(now.wall, envelope),
                    Ok(ToDevice::Block {
                        sequence,
                        offset,
                        bytes,
                    }) => self.block(now.instant, sequence, offset, bytes),
                    Ok(ToDevice::Abort { sequence }) => self.abort(sequence),
                    Err(_) => {}
                }
            }
            Event::Settled { ticket, fate } => {
                let retry_at = later(now.instant, self.settings.timeout_ms);
                let delivered = *fate == Fate::Delivered;
                if self.told.settled(*ticket, delivered, retry_at) {
                    self.change = self.change.wrapping_add(1);
                }
            }
            // Time without a link is not held against a download.
            Event::Disconnected => self.rate = None,
            Event::Connected { .. } => {
                self.told.send_again();
                self.asking = Asking::AT_ONCE;
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = None;
        self.consent.pass(now.instant);
        if now.instant >= self.owed {
            self.raise(later(now.instant, self.settings.timeout_ms));
        }
        self.judge_rate(now.instant);
        self.complete();
        let unsaved = self.change != self.durable;
        if unsaved && now.instant >= self.hold {
            return self.persist(now, buffer);
        }
        let word = self.told.due(now.instant);
        // A download never runs ahead of its durable trace; a report may.
        let request = self.request(now.instant).filter(|_| !unsaved);
        let issued = match (word, request) {
            (Some(_), _) => Issued::Report,
            (None, Some(_)) => Issued::Request,
            (None, None) => return Step::Idle,
        };
        let payload = told(buffer, |out| match (word, request) {
            (Some(word), _) => {
                let boot = self.boot.as_ref();
                let runs = boot.and_then(|record| record.runs(self.banks.running()));
                let runs = runs.map(|release| (release.sequence, &release.digest));
                write_report(out, word.sequence, word.code, runs);
            }
            (None, Some((offset, length))) => {
                write_request(out, self.checkpoint.release.sequence, offset, length);
            }
            (None, None) => {}
        });
        self.issued = Some(issued);
        let Ok(payload) = payload else {
            return self.unfit(now);
        };
        let message = Message::new(Channel::Update, payload);
        Step::Send(match issued {
            // A lost request is asked again anyway: no broker need keep it.
            Issued::Request => message.with_qos(Qos::AtMostOnce),
            Issued::Report | Issued::Persist { .. } => message.with_priority(Priority::High),
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let timeout_ms = self.settings.timeout_ms;
        let retry_at = later(now.instant, timeout_ms);
        match (self.issued.take(), done) {
            (Some(Issued::Persist { change }), Done::Persisted) => {
                self.durable = change;
                self.hold = Instant::ZERO;
                self.begin();
            }
            (Some(Issued::Persist { .. }), _) => self.hold = retry_at,
            (Some(Issued::Report), Done::Sent(ticket)) => self.told.sent(ticket),
            (Some(Issued::Report), _) => self.told.send_at(retry_at),
            (Some(Issued::Request), done) => {
                self.asking.asked(now.instant, timeout_ms);
                // What the link did not take, nobody was slow to answer.
                if let Done::Sent(_) = done {
                    self.count_rate(now.instant);
                }
            }
            (None, _) => {}
        }
    }

    #[inline(never)]
    fn deadline(&self) -> Option<Instant> {
        // The next page can be erased at once.
        if self.is_whole() {
            return Some(Instant::ZERO);
        }
        let is_fetching = matches!(self.course, Course::Fetching(_));
        // While records wait to be saved, no request is due.
        let next = match self.change == self.durable {
            true if self.consent.may_fetch && is_fetching => self.asking.deadline(),
            true => NEVER,
            false => self.hold,
        };
        // What is to be done at once needs nobody to be woken.
        let next = if next == Instant::ZERO { NEVER } else { next };
        let rate = self.rate.as_ref().map_or(NEVER, MinimumRate::until);
        let others = [self.told.deadline(), self.consent.until(), rate, self.owed];
        if_ever(others.into_iter().fold(next, Instant::min))
    }
}

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    /// Keeps what a record says of a download until the boot record is read too.
    fn restore(&mut self, value: &[u8]) {
        if self.phase != Phase::Restoring {
            return;
        }
        self.course = Course::Nothing;
        if let Some(form) = self.checkpoint.read(value)
            && let Some(room) = self.room.as_mut().get_mut(..form.len())
        {
            room.copy_from_slice(form);
            self.course = Course::OnRecord { behind: form.len() };
        }
    }

    /// The block that is to be asked for now: where it begins, and how long it is.
    fn request(&self, now: Instant) -> Option<(u32, u32)> {
        // While the bank is erased behind an image nothing is missing.
        if !matches!(self.course, Course::Fetching(_)) || self.is_whole() {
            return None;
        }
        let (offset, length) = self
            .checkpoint
            .asked_for(self.received(), self.settings.block_bytes);
        let due = self.consent.may_fetch && self.asking.is_due(now);
        (due && length > 0).then_some((offset, length))
    }

    /// The driver's buffer is too small for the step: it is tried again later, as one that failed.
    pub(super) fn unfit(&mut self, now: Now) -> Step<'static> {
        self.done(now, Done::Failed(Failure::Buffer));
        Step::Idle
    }
}
