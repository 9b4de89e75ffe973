//! A download into the spare bank under the explorer: an image, or a patch, that goes on wherever the power fails.
//!
//! The journal, the boot record and both banks lie on one flash, so that a cut anywhere is explored like any other: while a
//! page of the bank is erased or written, and while the checkpoint is. What must hold:
//!
//! - whatever was cut, the download goes on or begins again, and comes to an end;
//! - at its end the bank holds the image, to the byte, and nothing behind it;
//! - no word is programmed twice, and neither the boot record nor the confirmed image is touched;
//! - of an image that arrives as it is, at most a page and a piece are fetched again.

use core::cell::RefCell;

use iot_core::codec::FlatReader;
use iot_core::sim::flash::{FlashCell, FlashImage, Mode, Reading};
use iot_core::sim::power::{Config, Explorer, KeyHasher, Subject, Violation, WorldCell};
use iot_core::sim::{SimCounter, SimFlash};
use iot_ota::delta::{Declared, Decoder, DeltaAuthor};
use iot_ota::image::{Either, Expected, Intake, IntakeError, Plain};
use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, store};

use crate::delta::journal;
use crate::delta::{Sum, sum};
use crate::entry::{Effort, Entry, Outcome};
use crate::rig::read_any;

const WINDOW: usize = 16;
const SAVED: usize = WINDOW + 128;
/// Pages of a bank; the image has three, and what is behind it was written to by something older.
const BANK: usize = 4;
const RECORD: usize = 3;
const FIRST: usize = journal::PAGES + RECORD;
const PAGES: usize = FIRST + 2 * BANK;

/// What is to arrive, on a device that runs `old`.
pub(crate) struct Download {
    old: Vec<u8>,
    new: Vec<u8>,
    payload: Vec<u8>,
    /// `None` for an image as it is.
    patch: Option<Declared>,
    piece: usize,
    /// Of the journal that was looked at last.
    known: RefCell<Option<(u128, Meaning)>>,
}

/// What a journal means: two hashes, and how many pages of the spare bank it counts at most.
type Meaning = (u128, u64, usize);

type Transform = Either<Plain, Decoder<WINDOW>>;
type Taking<const E: usize> = Intake<Transform, Sum, E, SAVED>;

#[derive(Clone)]
pub(crate) struct Running<const W: usize, const E: usize> {
    flash: SimFlash<W, E>,
    intake: Option<Taking<E>>,
    received: u32,
}

impl Download {
    #[allow(clippy::expect_used, reason = "what it is made of is good")]
    fn new(page: usize, as_patch: bool) -> Self {
        let old: Vec<u8> = (0..page * 2 + page / 2)
            .map(|at| (at * at / 5 + at) as u8)
            .collect();
        let mut new = [&old[page..], &[7; 9], &old[..page * 2]].concat();
        new.truncate(page * 3 - 3);
        new[page / 2] ^= 0x55;
        let bytes = |all: &[u8]| all.len() as u32;
        let author = DeltaAuthor::new(&old, &new).widths(4, 3);
        let payload = match as_patch {
            true => author.sequential().expect("a small patch"),
            false => new.clone(),
        };
        Self {
            patch: as_patch.then(|| Declared::new(bytes(&old), bytes(&new), bytes(&payload))),
            // Pieces end everywhere; of an image it takes more than two to fill a page.
            piece: if as_patch { 9 } else { page * 2 / 5 + 3 },
            old,
            new,
            payload,
            known: RefCell::default(),
        }
    }

    fn expected(&self) -> Expected {
        let bytes = |all: &[u8]| all.len() as u32;
        Expected::new(bytes(&self.payload), bytes(&self.new), sum(&self.new))
    }

    fn transform(&self) -> Transform {
        match self.patch {
            Some(declared) => Either::Other(Decoder::new(declared)),
            None => Either::One(Plain::new()),
        }
    }

    /// The old image in bank A with its record, and something older all over bank B.
    #[allow(clippy::expect_used, reason = "what it is made of is good")]
    fn delivered<const W: usize, const E: usize>(&self, mode: Mode) -> FlashImage<W, E> {
        let mut flash = SimFlash::<W, E>::new(PAGES as u16, mode);
        let mut banks = banks(&mut flash).expect("a layout that fits");
        banks.write(Bank::A, 0, &self.old).expect("a fresh flash");
        banks
            .write(Bank::B, 0, &vec![0x3c; E * BANK])
            .expect("a fresh flash");
        let release = Release::new(1, sum(&self.old), self.old.len() as u32);
        let record = BootRecord::factory(Bank::A, release);
        assert!(store(&mut banks, &record).is_ok(), "a fresh flash");
        flash.into_image()
    }

    fn look<const W: usize, const E: usize>(front: &FlashImage<W, E>) -> Meaning {
        let mut pages = 0;
        for reading in [Reading::Erased, Reading::Value] {
            if let Some(saved) = journal::look(front, reading) {
                let mut reader = FlatReader::new(&saved);
                reader.array(5, 2);
                let (_, _, written) = (reader.bytes(), reader.u32(), reader.u32());
                pages = pages.max(written as usize / E);
            }
        }
        let mut key = KeyHasher::new();
        journal::add_meaning(front.clone(), &mut key);
        (key.key(), key.audit(), pages)
    }

    /// Compares the bank with the image, and looks whether all behind it is erased.
    fn judge<const W: usize, const E: usize>(
        &self,
        flash: &mut SimFlash<W, E>,
    ) -> Result<(), Violation> {
        let spare = FIRST + BANK;
        let mut found = vec![0; self.new.len()];
        read_any(flash, (spare * E) as u32, &mut found).map_err(Violation::new)?;
        if let Some(at) = found.iter().zip(&self.new).position(|(a, b)| a != b) {
            return Err(Violation::new(format!("another image from {at} on")));
        }
        let words = self.new.len().div_ceil(W)..BANK * E / W;
        let (image, words_of_page) = (flash.image(), E / W);
        for word in words {
            let (page, word) = (spare + word / words_of_page, word % words_of_page);
            if !matches!(image.cell(page, word), Some(FlashCell::Erased)) {
                return Err(Violation::new(format!(
                    "word {word} of page {page} is not erased"
                )));
            }
        }
        Ok(())
    }
}

type OnFlash<'f, const W: usize, const E: usize> = FlashBanks<&'f mut SimFlash<W, E>, SimCounter>;

fn banks<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
) -> Result<OnFlash<'_, W, E>, Violation> {
    let at = |page: usize| (page * E) as u32;
    let layout = Layout::direct(
        at(journal::PAGES),
        at(FIRST),
        at(FIRST + BANK),
        at(BANK),
        Bank::A,
    );
    FlashBanks::open(flash, layout, SimCounter::new(0)).map_err(Violation::new)
}

impl<const W: usize, const E: usize> Subject<W, E> for Download {
    /// The most bytes of the payload that were taken in.
    type World = u32;
    type Session = Running<W, E>;

    fn boot(
        &self,
        mut flash: SimFlash<W, E>,
        world: &WorldCell<u32>,
    ) -> Result<Self::Session, Violation> {
        let saved = journal::read(&mut flash).map_err(Violation::new)?;
        let (transform, expected) = (self.transform(), self.expected());
        let (mut banks, digest) = (banks(&mut flash)?, Sum::default());
        let intake = match saved {
            None => Taking::begin(transform, digest, expected, &mut banks),
            Some(saved) => Taking::resume(transform, digest, expected, &mut banks, &saved),
        };
        let intake = intake.map_err(Violation::new)?;
        let received = intake.received();
        let lost = world.read(|furthest| furthest.saturating_sub(received)) as usize;
        if self.patch.is_none() && lost > E + self.piece {
            return Err(Violation::new(format!("{lost} bytes are fetched again")));
        }
        // From here on it may lose as much again.
        world.update(|furthest| *furthest = received);
        Ok(Running {
            flash,
            received,
            intake: Some(intake),
        })
    }

    fn choices(&self, session: &Self::Session, _: &u32) -> usize {
        usize::from(session.intake.is_some())
    }

    fn step(
        &self,
        _: usize,
        session: &mut Self::Session,
        world: &WorldCell<u32>,
    ) -> Result<(), Violation> {
        let Some(mut intake) = session.intake.take() else {
            return Ok(());
        };
        let failed = |error: IntakeError<_>| Violation::new(format!("{error:?}"));
        let from = session.received as usize;
        if from < self.payload.len() {
            let piece = &self.payload[from..(from + self.piece).min(self.payload.len())];
            let before = intake.written();
            let mut banks = banks(&mut session.flash)?;
            intake
                .push(&mut banks, session.received, piece)
                .map_err(failed)?;
            session.received = intake.received();
            world.update(|furthest| *furthest = session.received);
            let mut room = [0; journal::ROOM];
            if intake.written() > before
                && let Some(len) = intake.checkpoint(&mut room)
            {
                journal::write(&mut session.flash, &room[..len]).map_err(Violation::new)?;
            }
            session.intake = Some(intake);
            return Ok(());
        }
        let mut banks = banks(&mut session.flash)?;
        if !intake.clear_next(&mut banks).map_err(failed)? {
            session.intake = Some(intake);
            return Ok(());
        }
        intake.finish(&mut banks).map_err(failed)?;
        self.judge(&mut session.flash)
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        &session.flash
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        let intake = session.intake.as_ref();
        key.word(session.received.into());
        key.word(intake.map_or(u64::MAX, |intake| intake.written().into()));
        // The page behind what is written is erased, or all pages are.
        let front = journal::PAGES..FIRST + BANK;
        let image = session.flash.image();
        for page in front.end..image.pages() {
            key.image(image.page_hash(page));
        }
    }

    /// What the journal means, and the pages of the spare bank that it counts: all others are erased before they are
    /// written, and the record and the confirmed image never change.
    fn key(&self, flash: &mut SimFlash<W, E>, _: &u32, key: &mut KeyHasher) {
        let image = flash.image();
        for page in journal::PAGES..FIRST + BANK {
            key.image(image.page_hash(page));
        }
        let front = image.front(journal::PAGES);
        let of = front.hash();
        let mut last = self.known.borrow_mut();
        let (_, known) = match last.take() {
            Some(known) if known.0 == of => known,
            _ => (of, Self::look(&front)),
        };
        key.image(known.0);
        key.word(known.1);
        for page in FIRST + BANK..FIRST + BANK + known.2 {
            key.image(image.page_hash(page));
        }
        *last = Some((of, known));
    }
}

macro_rules! downloaded {
    ($name:literal, $patch:literal, $(($write:literal, $erase:literal, $u:literal)),*) => {
        [$(
            downloaded!("rewritable", Rewritable, $name, $patch, $write, $erase, $u),
            downloaded!("multiwrite", Multiwrite, $name, $patch, $write, $erase, $u),
            downloaded!("write-once", WriteOnce, $name, $patch, $write, $erase, $u),
        )*]
    };
    ($mode_name:literal, $mode:ident, $name:literal, $patch:literal, $write:literal, $erase:literal, $u:literal) => {
        Entry {
            name: $name,
            flash: concat!("mode=", $mode_name, " write=", $write, " u=", $u),
            run: |effort| download::<$write, $erase>(effort, Mode::$mode, $patch, $u),
        }
    };
}

/// Images as they are.
pub(crate) const IMAGE: [Entry; 18] = downloaded!(
    "download",
    false,
    (4, 256, 0),
    (8, 256, 0),
    (32, 544, 0),
    (4, 256, 1),
    (8, 256, 1),
    (32, 544, 1)
);
/// Patches to the image that runs.
pub(crate) const PATCH: [Entry; 18] = downloaded!(
    "download-patch",
    true,
    (4, 256, 0),
    (8, 256, 0),
    (32, 544, 0),
    (4, 256, 1),
    (8, 256, 1),
    (32, 544, 1)
);

fn download<const W: usize, const E: usize>(
    effort: Effort,
    mode: Mode,
    as_patch: bool,
    unstable: u32,
) -> Outcome {
    let subject = Download::new(E, as_patch);
    let start = subject.delivered::<W, E>(mode);
    let mut config = match unstable {
        0 => Config::STABLE,
        _ => Config::UNSTABLE,
    };
    config.torn.reordered = 6;
    config.audit = effort >= Effort::Full;
    config.merged_samples = 100;
    config.filter_bits = 22;
    let (cuts, unsettled) = match effort {
        Effort::Quick => (500, 1_000),
        Effort::Full => (50_000, 300_000),
        Effort::Whole => (50_000, 20_000_000),
    };
    config.states = match unstable {
        0 => 20_000_000,
        _ => unsettled,
    };
    let erased = crate::entry::erases(&subject, SimFlash::from_image(start.clone()));
    let payload = subject.payload.len();
    let outcome = Outcome::of(Explorer::new(subject, start, 0, config), cuts);
    let scope = format!(
        "journal_pages={} image_pages=3 payload={payload}",
        journal::PAGES
    );
    let outcome = outcome
        .with_pages(PAGES, erased, BANK as u64)
        .with_scope(scope);
    // With an unstable unit these were seen to close.
    match unstable == 0
        || effort == Effort::Whole
        || (effort >= Effort::Full && mode == Mode::WriteOnce)
    {
        true => outcome,
        false => outcome.may_stay_open(),
    }
}
