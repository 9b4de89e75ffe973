//! The updater as an engine: what comes in, and what is to be done.

use iot_core::crypto::Digest;
use iot_core::engine::{Done, Failure, RecordRange};
use iot_core::message::{Fate, Priority, Qos};
use iot_core::time::Instant;
use iot_core::{Channel, Engine, Event, Message, Now, Step};

use super::{Issued, Phase, Updater};
use crate::image::MinimumRate;
use crate::manifest::ManifestKeys;
use crate::slot::Banks;
use crate::update::fetch::{Checkpoint, Fetch, later};
use crate::update::payload::Payloads;
use crate::update::wire::{FromDevice, ToDevice};

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Engine
    for Updater<'_, B, K, D, P>
{
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Update
    }

    fn records(&self) -> RecordRange {
        RecordRange::new(self.settings.records, 2)
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Record { key, value } if *key == self.settings.records => {
                self.restored = self.restore(value);
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
                let retry_at = later(now.instant, self.settings.timeout_ms, 0);
                let delivered = *fate == Fate::Delivered;
                if self.told.settled(*ticket, delivered, retry_at) {
                    self.change = self.change.wrapping_add(1);
                }
            }
            // Time without a link is not held against a download.
            Event::Disconnected => self.rate = None,
            Event::Connected { .. } => {
                self.told.send_again();
                if let Some(fetch) = &mut self.fetch {
                    fetch.ask_again();
                }
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.issued = None;
        self.consent.pass(now.instant);
        if self.owed.is_some_and(|at| now.instant >= at) {
            self.raise(later(now.instant, self.settings.timeout_ms, 0));
        }
        self.judge_rate(now.instant);
        let unsaved = self.change != self.durable;
        if unsaved && self.hold.is_none_or(|at| now.instant >= at) {
            let issued = Some(Issued::Persist {
                change: self.change,
            });
            self.issued = issued;
            return match self.persist(buffer) {
                Some(step) => step,
                None => self.unfit(now),
            };
        }
        let block_bytes = self.settings.block_bytes;
        // A download never runs ahead of its durable trace; a report may.
        let request = self.fetch.as_ref();
        let request = request.filter(|_| !unsaved && self.consent.may_fetch());
        let request = request.and_then(|fetch| fetch.request(now.instant, block_bytes));
        let (issued, message) = match (self.told.due(now.instant), request) {
            (Some(report), _) => (Issued::Report, FromDevice::Report(report)),
            (None, Some(request)) => (Issued::Request, FromDevice::Request(request)),
            (None, None) => return Step::Idle,
        };
        self.issued = Some(issued);
        let Ok(payload) = message.encode(buffer) else {
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
        let retry_at = later(now.instant, timeout_ms, 0);
        match (self.issued.take(), done) {
            (Some(Issued::Persist { change }), Done::Persisted) => {
                self.durable = change;
                self.hold = None;
                self.begin();
            }
            (Some(Issued::Persist { .. }), _) => self.hold = Some(retry_at),
            (Some(Issued::Report), Done::Sent(ticket)) => self.told.sent(ticket),
            (Some(Issued::Report), _) => self.told.send_at(retry_at),
            (Some(Issued::Request), done) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.asked(now.instant, timeout_ms);
                }
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
        // While records wait to be saved, no request is due.
        let next = match self.change == self.durable {
            true if self.consent.may_fetch() => self.fetch.as_ref().and_then(Fetch::deadline),
            true => None,
            false => self.hold,
        };
        let rate = self.rate.as_ref().map(MinimumRate::until);
        let all = [
            next,
            self.told.deadline(),
            self.consent.until(),
            rate,
            self.owed,
        ];
        all.into_iter().flatten().min()
    }
}

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Updater<'_, B, K, D, P> {
    /// Keeps what a record says of a download until the boot record is read too.
    fn restore(&mut self, value: &[u8]) -> Option<(Checkpoint, usize)> {
        let (checkpoint, behind) = Checkpoint::decode(value)?;
        let room = self.room.as_mut().get_mut(..behind.len())?;
        room.copy_from_slice(behind);
        Some((checkpoint, behind.len()))
    }

    /// The driver's buffer is too small for the step: it is tried again later, as one that failed.
    fn unfit(&mut self, now: Now) -> Step<'static> {
        self.done(now, Done::Failed(Failure::Buffer));
        Step::Idle
    }
}
