//! The records of an inbox: one for each slot, with how far its command came and what is known of its issuer.
//!
//! So one record tells both "ended" and "how", and no cut separates them. Of the records of one issuer the
//! one with the highest serial number knows everything that the others know about the issuer.

use super::ledger::Ledger;
use super::slot::{Phase, Slot};
use crate::command::cbor::{Reader, Writer};
use crate::command::envelope::Fingerprint;
use crate::command::state::Code;
use crate::command::window::Window;

const VERSION: u8 = 1;
const ITEMS: u8 = 15;

/// Where a code would say how it ended, while it is accepted and not started.
const ACCEPTED: u32 = 0;

/// The sizes of the inbox that wrote a record: they decide where each record lies and how far it speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    pub(super) issuers: u8,
    pub(super) results: u8,
    pub(super) window: u16,
}

impl Shape {
    const fn number(self) -> u32 {
        let [a, b] = self.window.to_be_bytes();
        u32::from_be_bytes([self.issuers, self.results, a, b])
    }

    /// Whether an inbox of this shape sees all that one of another left. Another number of results moves
    /// the records of every issuer but the first; fewer issuers, or a narrower window, hide what has ended.
    const fn reads(self, number: u32) -> bool {
        let [issuers, results, a, b] = number.to_be_bytes();
        results == self.results
            && issuers <= self.issuers
            && u16::from_be_bytes([a, b]) <= self.window
    }
}

/// Writes everything but the command, which is the last item.
pub(super) fn write<const WINDOW: usize>(
    out: &mut Writer<'_>,
    shape: Shape,
    serial: u32,
    slot: &Slot,
    window: &Window<WINDOW>,
) {
    out.array(ITEMS, VERSION);
    out.uint(shape.number().into());
    out.uint(serial.into());
    out.uint(window.floor().into());
    out.bytes(window.ended());
    out.id(&slot.head.id);
    out.uint(slot.fingerprint.get());
    out.uint(slot.head.not_before.as_millis());
    out.uint(slot.head.expires.as_millis());
    match slot.phase {
        Phase::Accepting => out.uint(ACCEPTED.into()),
        _ => out.uint(slot.code.unwrap_or(Code::InProgress) as u64),
    }
    out.uint(slot.number.into());
    out.bytes(slot.output.as_bytes());
}

/// Reads a record of an inbox of `shape`: what it says of the command, and what of its issuer. Returns the
/// encoded command; `None` when it is no record, or of an inbox that saw more than this one does.
pub(super) fn read<'b, const WINDOW: usize>(
    bytes: &'b [u8],
    shape: Shape,
    slot: &mut Slot,
    ledger: &mut Ledger<WINDOW>,
) -> Option<&'b [u8]> {
    let mut reader = Reader::new(bytes);
    reader.array(ITEMS, VERSION);
    let written = reader.u32();
    let serial = reader.u32();
    let floor = reader.u32();
    let ended = reader.bytes();
    reader.id(&mut slot.head.id);
    slot.fingerprint = Fingerprint::new(reader.uint());
    slot.head.not_before = reader.timestamp();
    slot.head.expires = reader.timestamp();
    let stage = reader.u32();
    let (number, output) = (reader.u32(), reader.bytes());
    let rest = reader.rest()?;
    slot.code = Code::of(stage).filter(|code| code.is_last());
    slot.phase = match slot.code {
        Some(_) => Phase::Ended,
        None if stage == ACCEPTED => Phase::Waiting,
        None => Phase::Started,
    };
    slot.arrival = serial;
    slot.on_record = true;
    ledger.serial = serial;
    ledger.issuer = Some(slot.head.id.issuer);
    ledger.epoch = slot.head.id.epoch;
    ledger.durable = floor;
    let mut fits = ledger.window.restore(floor, ended);
    match slot.code {
        Some(Code::Done) => fits &= slot.output.set(output),
        Some(Code::Failed) => slot.number = number & u32::from(u16::MAX),
        _ => {}
    }
    (fits && shape.reads(written)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::envelope::Head;
    use crate::command::outcome::Output;
    use crate::id::{CommandId, IssuerId};
    use crate::time::Timestamp;

    const SHAPE: Shape = Shape {
        issuers: 3,
        results: 4,
        window: 64,
    };

    fn written(slot: &Slot, window: &Window<64>) -> ([u8; 256], usize) {
        let mut bytes = [0; 256];
        let mut out = Writer::new(&mut bytes);
        write(&mut out, SHAPE, 9, slot, window);
        out.null();
        let len = out.finish().unwrap();
        (bytes, len)
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_written(
            numbers in any::<(u32, u32, u32, u64, u64, u64, u32, u32)>(),
            stage in 0..13u32,
            ended in any::<[u8; 32]>(),
            output in proptest::collection::vec(any::<u8>(), 0..=Output::MAX_BYTES),
        ) {
            let (issuer, epoch, sequence, fingerprint, not_before, expires, floor, number) = numbers;
            let code = Code::of(stage).filter(|code| code.is_last());
            // A result belongs to what was done, and a number to what failed.
            let output = if code == Some(Code::Done) { &output[..] } else { &[] };
            let number = if code == Some(Code::Failed) { number & 0xFFFF } else { 0 };
            let phase = match stage {
                0 => Phase::Accepting,
                _ if code.is_some() => Phase::Ending,
                _ => Phase::Starting,
            };
            let slot = Slot {
                phase,
                code,
                number,
                head: Head {
                    id: CommandId::new(IssuerId::new(issuer), epoch, sequence),
                    not_before: Timestamp::from_millis(not_before),
                    expires: Timestamp::from_millis(expires),
                },
                fingerprint: Fingerprint::new(fingerprint),
                output: Output::new(output).unwrap(),
                ..Slot::FREE
            };
            let mut window = Window::new(0);
            prop_assert!(window.restore(floor, &ended));
            let (bytes, len) = written(&slot, &window);
            let (mut read_slot, mut ledger) = (Slot::FREE, Ledger::FREE);
            let command = read(&bytes[..len], SHAPE, &mut read_slot, &mut ledger);
            prop_assert_eq!(command, Some(&[0xf6][..]));
            let phase = match phase {
                Phase::Accepting => Phase::Waiting,
                Phase::Starting => Phase::Started,
                _ => Phase::Ended,
            };
            prop_assert_eq!(read_slot, Slot { phase, arrival: 9, on_record: true, ..slot });
            let issuer = Some(IssuerId::new(issuer));
            prop_assert_eq!(ledger, Ledger { issuer, epoch, window, durable: floor, serial: 9 });
            for cut in 0..len - 1 {
                let read = read::<64>(&bytes[..cut], SHAPE, &mut read_slot, &mut ledger);
                prop_assert_eq!(read, None);
            }
        }
    }

    #[test]
    fn a_record_of_an_inbox_that_sees_less_or_lies_elsewhere_is_refused() {
        let (bytes, len) = written(&Slot::FREE, &Window::new(1));
        let reads = |shape| {
            let (mut slot, mut ledger) = (Slot::FREE, Ledger::<64>::FREE);
            read(&bytes[..len], shape, &mut slot, &mut ledger).is_some()
        };
        assert!(reads(SHAPE));
        for shape in [
            Shape {
                issuers: 2,
                ..SHAPE
            },
            Shape {
                window: 63,
                ..SHAPE
            },
            Shape {
                results: 3,
                ..SHAPE
            },
            Shape {
                results: 5,
                ..SHAPE
            },
        ] {
            assert!(!reads(shape), "{shape:?}");
        }
        assert!(reads(Shape {
            issuers: 255,
            window: 256,
            ..SHAPE
        }));
    }
}
