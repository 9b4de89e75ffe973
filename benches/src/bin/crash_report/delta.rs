//! An in-place patch on flash under the explorer: the old image becomes the new one, whatever is cut.
//!
//! The journal is records on the same flash, in front of the memory that is patched: so a cut while it is written is
//! explored like any other. Whoever writes it opens the records anew, as a driver does that lends its flash. Pages that a
//! cut left behind are taken as they are, in every torn state. At the end the image must be the new one, to the byte; a
//! machine that is stuck, or that finds its patch or its journal broken, is a violation.

pub(crate) mod journal;

use core::cell::RefCell;

use iot_core::codec::FlatReader;
use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Mode, Reading};
use iot_core::sim::power::{Config, Explorer, KeyHasher, Subject, Violation, WorldCell};
use iot_ota::delta::{Declared, DeltaAuthor, InPlace, Rehearsed};

use crate::entry::{Effort, Entry, Outcome};
use crate::rig::{Stopped, read_any, rehearse, turn, write_padded};

const WINDOW: usize = 16;
/// Bytes of the patch in one step: few, so that pieces end everywhere.
const PIECE: usize = 9;

/// Tells images apart that differ; nobody forges any here.
#[derive(Clone, Default)]
pub(crate) struct Sum(Sha256Digest);

impl Digest for Sum {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0.rotate_left(1);
            self.0[0] = self.0[0].wrapping_mul(31).wrapping_add(*byte);
        }
    }
    fn finish(&mut self) -> Sha256Digest {
        core::mem::take(&mut self.0)
    }
}

pub(crate) fn sum(bytes: &[u8]) -> Sha256Digest {
    let mut digest = Sum::default();
    digest.update(bytes);
    digest.finish()
}

/// A patch over the image that it is for.
pub(crate) struct Patched {
    old: Vec<u8>,
    new: Vec<u8>,
    patch: Vec<u8>,
    declared: Declared,
    evidence: Rehearsed,
    /// Of the journal that was looked at last: most operations change the memory alone.
    known: RefCell<Option<Known>>,
}

/// What a journal says of the memory.
struct Known {
    of: (u128, u32),
    /// What it means to later boots, and a second hash of that.
    meaning: (u128, u64),
    /// Which pages of the memory are still needed.
    lives: Vec<bool>,
}

#[derive(Clone)]
pub(crate) struct Running<const W: usize, const E: usize> {
    flash: SimFlash<W, E>,
    machine: InPlace<WINDOW, E>,
    finished: bool,
}

impl Patched {
    /// Images of at least three pages in a memory of `pages`, erased by segments of so many pages.
    #[allow(clippy::expect_used, reason = "what it is made of is good")]
    fn new(page: usize, pages: u16, segment: u16) -> Self {
        let old: Vec<u8> = (0..page * 3 + page / 2)
            .map(|at| (at * at / 5 + at) as u8)
            .collect();
        // The second half comes first, something is new, and one byte is another.
        let mut new = [&old[page..], &[7; 9], &old[..page * 2]].concat();
        new.truncate(page * 4 - 3);
        new[page / 2] ^= 0x55;
        let size = |pages: u16| u32::from(pages) * page as u32;
        let author = DeltaAuthor::new(&old, &new).widths(4, 3);
        let patch = author
            .in_place(size(pages), size(segment))
            .expect("room for both");
        let bytes = |all: &[u8]| all.len() as u32;
        Self {
            declared: Declared::new(bytes(&old), bytes(&new), bytes(&patch)).in_memory(size(pages)),
            evidence: rehearse::<WINDOW, _>(&old, &new, &patch, Sum::default(), Sum::default()),
            old,
            new,
            patch,
            known: RefCell::default(),
        }
    }
}

impl Patched {
    /// The old image in the memory, in front of it a journal that nobody has opened yet.
    #[allow(clippy::expect_used, reason = "what it is made of is good")]
    fn delivered<const W: usize, const E: usize>(
        &self,
        pages: u16,
        mode: Mode,
    ) -> FlashImage<W, E> {
        let mut flash = SimFlash::new(journal::PAGES as u16 + pages, mode);
        write_padded(&mut flash, journal::bytes::<E>(), &self.old).expect("a fresh flash");
        flash.into_image()
    }

    /// What these pages of the journal say of a memory of so many pages.
    fn look<const W: usize, const E: usize>(&self, front: FlashImage<W, E>, pages: usize) -> Known {
        let of = (front.hash(), front.unstable_units());
        let readings: &[Reading] = match front.unstable_units() {
            0 => &[Reading::Erased],
            _ => &[Reading::Erased, Reading::Value],
        };
        let mut lives = vec![false; pages];
        for reading in readings {
            let saved = journal::look(&front, *reading);
            for (at, lives) in lives.iter_mut().enumerate() {
                *lives |= self.lives(saved.as_deref(), (at * E) as u32, E as u32);
            }
        }
        let mut key = KeyHasher::new();
        journal::add_meaning(front, &mut key);
        Known {
            of,
            meaning: (key.key(), key.audit()),
            lives,
        }
    }

    /// Whether the page at `at` holds what is still needed when `saved` is resumed.
    fn lives(&self, saved: Option<&[u8]>, at: u32, page: u32) -> bool {
        let layout = self.evidence.layout();
        let kept = layout.kept(self.declared.old);
        let mut reader = FlatReader::new(saved.unwrap_or_default());
        reader.array(6, 1);
        let [_, _, _, unmoved] = [(); 4].map(|()| reader.u32());
        reader.array(19, 1);
        let [_, _, _, _, written] = [(); 5].map(|()| reader.u32());
        let unmoved = match saved {
            None => kept.div_ceil(page),
            Some(_) => unmoved,
        };
        // Where the old image is read from, once it has moved; a segment reads nothing below its own end.
        let segment_end = match unmoved {
            0 => written + layout.segment,
            _ => 0,
        };
        let moved = (unmoved * page + layout.shift).max(segment_end);
        at < unmoved * page || at < written || (moved..kept + layout.shift).contains(&at)
    }
}

impl<const W: usize, const E: usize> Subject<W, E> for Patched {
    /// Nothing outside knows anything: what counts is the image in the end.
    type World = ();
    type Session = Running<W, E>;

    fn boot(
        &self,
        mut flash: SimFlash<W, E>,
        _: &WorldCell<()>,
    ) -> Result<Self::Session, Violation> {
        let machine = match journal::read(&mut flash).map_err(Violation::new)? {
            None => InPlace::new(self.evidence).map_err(Violation::new)?,
            Some(saved) => InPlace::resume(self.declared, &saved)
                .ok_or_else(|| Violation::new("what was persisted is not resumed"))?,
        };
        Ok(Running {
            flash,
            machine,
            finished: false,
        })
    }

    fn choices(&self, session: &Self::Session, (): &()) -> usize {
        usize::from(!session.finished)
    }

    fn step(
        &self,
        _: usize,
        session: &mut Self::Session,
        _: &WorldCell<()>,
    ) -> Result<(), Violation> {
        let Running { flash, machine, .. } = session;
        let memory = journal::bytes::<E>();
        let turned: Result<bool, Stopped> =
            turn(machine, flash, memory, &self.patch, PIECE, journal::write);
        if !turned.map_err(Violation::new)? {
            return Ok(());
        }
        session.finished = true;
        let mut found = vec![0; self.new.len()];
        read_any(&mut session.flash, memory, &mut found).map_err(Violation::new)?;
        if found == self.new {
            return Ok(());
        }
        let at = found.iter().zip(&self.new).position(|(a, b)| a != b);
        Err(Violation::new(format!("another image from {at:?} on")))
    }

    fn flash<'s>(&self, session: &'s Self::Session) -> &'s SimFlash<W, E> {
        &session.flash
    }

    fn session_key(&self, session: &Self::Session, key: &mut KeyHasher) {
        key.word(u64::from(session.finished));
        session.machine.add_session::<{ journal::ROOM }>(key);
    }

    /// What the journal means; and of the memory the pages that are still needed from what it says, under either reading
    /// of its doubtful words. Pages that are erased before anybody reads them mean nothing: what was moved or written
    /// after the last persisted state is moved or written again.
    fn key(&self, flash: &mut SimFlash<W, E>, (): &(), key: &mut KeyHasher) {
        let image = flash.image();
        let front = image.front(journal::PAGES);
        let pages = journal::PAGES..image.pages();
        let of = (front.hash(), front.unstable_units());
        let mut last = self.known.borrow_mut();
        let known = match last.take() {
            Some(known) if known.of == of => known,
            _ => self.look(front, pages.len()),
        };
        key.image(known.meaning.0);
        key.word(known.meaning.1);
        for (page, lives) in pages.zip(&known.lives) {
            if *lives {
                key.word(page as u64);
                key.image(image.page_hash(page));
            }
        }
        *last = Some(known);
    }
}

macro_rules! patched {
    ($(($write:literal, $erase:literal, $pages:literal, $segment:literal, $u:literal)),*) => {
        [$(
            patched!("rewritable", Rewritable, $write, $erase, $pages, $segment, $u),
            patched!("multiwrite", Multiwrite, $write, $erase, $pages, $segment, $u),
            patched!("write-once", WriteOnce, $write, $erase, $pages, $segment, $u),
        )*]
    };
    ($mode_name:literal, $mode:ident, $write:literal, $erase:literal, $pages:literal, $segment:literal, $u:literal) => {
        Entry {
            name: "delta",
            flash: concat!("mode=", $mode_name, " write=", $write, " u=", $u, " pages=", $pages, " segment=", $segment),
            run: |effort| apply::<$write, $erase>(effort, Mode::$mode, $pages, $segment, $u),
        }
    };
}

/// One page free, several, and segments of two pages. With one unstable unit, the fewest pages.
pub(crate) const DELTA: [Entry; 18] = patched!(
    (4, 256, 5, 1, 0),
    (4, 256, 8, 2, 0),
    (8, 256, 7, 1, 0),
    (32, 544, 5, 1, 0),
    (4, 256, 5, 1, 1),
    (32, 544, 5, 1, 1)
);

fn apply<const W: usize, const E: usize>(
    effort: Effort,
    mode: Mode,
    pages: u16,
    segment: u16,
    unstable: u32,
) -> Outcome {
    let subject = Patched::new(E, pages, segment);
    let start = subject.delivered::<W, E>(pages, mode);
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
        Effort::Full => (50_000, 150_000),
        Effort::Whole => (50_000, 20_000_000),
    };
    config.states = match unstable {
        0 => 20_000_000,
        _ => unsettled,
    };
    // With an unstable unit this one was seen to close; what the others need is not known.
    let must_close = unstable == 0
        || effort == Effort::Whole
        || (effort >= Effort::Full && W == 32 && mode == Mode::WriteOnce);
    let erased = crate::entry::erases(&subject, SimFlash::from_image(start.clone()));
    // Each page that is moved, and each that is written.
    let least = u64::from(pages.min(7));
    let outcome = Outcome::of(Explorer::new(subject, start, (), config), cuts);
    let scope = format!("journal_pages={} segment={segment}", journal::PAGES);
    let outcome = outcome
        .with_pages(pages.into(), erased, least)
        .with_scope(scope);
    match must_close {
        true => outcome,
        false => outcome.may_stay_open(),
    }
}
