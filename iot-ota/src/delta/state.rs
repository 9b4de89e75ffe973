//! What a decoder remembers between two pieces, as bytes.
//!
//! `delta.cddl` beside this module defines them.

use iot_core::codec::{FlatReader, FlatWriter};

use super::decoder::{Decoder, Field, IDLE};
use super::expand::{Crle, Expand};
use super::heatshrink::{Heatshrink, Stage};
use super::layout::{Declared, Layout};
use super::number::Number;

const VERSION: u8 = 1;
const ITEMS: u8 = 19;

impl<const WINDOW: usize> Decoder<WINDOW> {
    /// Bytes that [`save`](Self::save) needs at most, for a window of that size.
    pub const SAVED_BYTES: usize = WINDOW + 128;

    /// Writes down all that it needs to go on later, and returns how many bytes that takes; `None` when `out` is too
    /// small or the patch was found bad.
    ///
    /// What the bytes are good for is [`restore`](Self::restore). They are CBOR, as `delta.cddl` says.
    #[must_use]
    pub fn save(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = FlatWriter::new(out);
        writer.array(ITEMS, VERSION);
        let Declared {
            old, new, patch, ..
        } = self.declared;
        let Layout {
            memory,
            segment,
            shift,
        } = self.layout;
        let [magnitude, bits] = self.number.parts();
        for number in [
            old,
            new,
            patch,
            self.consumed,
            self.written,
            self.end,
            code(self.field)?,
            magnitude,
            bits,
            self.at,
            self.left,
            u32::from(self.in_place),
            memory,
            segment,
            shift,
        ] {
            writer.uint(number.into());
        }
        let (method, numbers, window) = self.expand.parts();
        writer.uint(method);
        let mut packed = [0; 20];
        for (to, number) in packed.chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        writer.bytes(&packed);
        writer.bytes(window);
        writer.finish()
    }

    /// Goes on where [`save`](Self::save) was called: the patch goes on at [`consumed`](Self::consumed), the image at
    /// [`written`](Self::written).
    ///
    /// `None` for anything that no decoder with these declared sizes and this window could have written, whatever it
    /// is: begin again then.
    #[must_use]
    pub fn restore(declared: Declared, saved: &[u8]) -> Option<Self> {
        let mut reader = FlatReader::new(saved);
        reader.array(ITEMS, VERSION);
        let mut next = || reader.u32();
        let found = Declared::new(next(), next(), next()).in_memory(declared.memory);
        let (consumed, written, end) = (next(), next(), next());
        let field = field(next())?;
        let parts = [next(), next()];
        let number = Number::from_parts(parts).filter(|number| number.parts() == parts)?;
        let (at, left) = (next(), next());
        let in_place = match next() {
            0 => false,
            1 => true,
            _ => return None,
        };
        let layout = Layout {
            memory: next(),
            segment: next(),
            shift: next(),
        };
        let method = reader.u32();
        let (numbers, window) = (reader.bytes(), reader.bytes());
        let expand = Expand::from_parts(method, numbers, window)?;
        let decoder = Self {
            declared,
            consumed,
            written,
            end,
            field,
            number,
            at,
            left,
            in_place,
            layout,
            expand,
        };
        (reader.is_empty() && found == declared && decoder.is_possible()).then_some(decoder)
    }

    /// Whether nothing it does later can go past a bound that it was checked against before.
    fn is_possible(&self) -> bool {
        let begun = self.layout_known();
        let limit = match self.in_place && begun {
            true => self.layout.kept(self.declared.old),
            false => self.declared.old,
        };
        let past = |from: u32, bytes: u32, bound: u32| {
            from.checked_add(bytes).is_none_or(|past| past > bound)
        };
        let running = matches!(self.field, Field::Diff | Field::Extra);
        self.consumed <= self.declared.patch
            && self.written <= self.end
            && self.end <= self.declared.new
            && if running {
                self.left > 0 && !past(self.written, self.left, self.end)
            } else {
                self.left <= IDLE
            }
            && self.at <= limit
            && !(self.field == Field::Diff
                && (past(self.at, self.left, limit) || self.at < self.floor()))
            && (!self.in_place || !begun || self.layout.checked(self.declared).is_ok())
    }

    const fn layout_known(&self) -> bool {
        !matches!(
            self.field,
            Field::Head
                | Field::Memory
                | Field::Segment
                | Field::Shift
                | Field::OldSize
                | Field::NewSize
        )
    }
}

impl<const WINDOW: usize> Expand<WINDOW> {
    fn parts(&self) -> (u64, [u32; 5], &[u8]) {
        match self {
            Self::Plain => (0, [0; 5], &[]),
            Self::Crle(crle) => {
                let [stage, a, b] = match *crle {
                    Crle::Kind => [0, 0, 0],
                    Crle::Length { repeated, length } => {
                        let [magnitude, bits] = length.parts();
                        [1 + u32::from(repeated), magnitude, bits]
                    }
                    Crle::Scattered { left } => [3, left, 0],
                    Crle::Repeated { left, byte: None } => [4, left, 0],
                    Crle::Repeated {
                        left,
                        byte: Some(byte),
                    } => [5, left, byte.into()],
                };
                (2, [stage, a, b, 0, 0], &[])
            }
            Self::Heatshrink(heatshrink) => heatshrink.parts(),
        }
    }

    fn from_parts(method: u32, numbers: &[u8], window: &[u8]) -> Option<Self> {
        let mut unpacked = [0; 5];
        if numbers.len() != 20 {
            return None;
        }
        for (to, from) in unpacked.iter_mut().zip(numbers.chunks_exact(4)) {
            *to = u32::from_le_bytes(*from.first_chunk()?);
        }
        let [stage, a, b, ..] = unpacked;
        let expand = match method {
            0 => Self::Plain,
            2 => Self::Crle(match stage {
                0 => Crle::Kind,
                1 | 2 => Crle::Length {
                    repeated: stage == 2,
                    length: Number::from_parts([a, b])?,
                },
                3 if a > 0 => Crle::Scattered { left: a },
                4 if a > 0 => Crle::Repeated {
                    left: a,
                    byte: None,
                },
                5 if a > 0 => Crle::Repeated {
                    left: a,
                    byte: Some(u8::try_from(b).ok()?),
                },
                _ => return None,
            }),
            4 => Self::Heatshrink(Heatshrink::from_parts(unpacked, window)?),
            _ => return None,
        };
        // There is one spelling of each state.
        (expand.parts() == (method.into(), unpacked, window)).then_some(expand)
    }
}

impl<const WINDOW: usize> Heatshrink<WINDOW> {
    fn parts(&self) -> (u64, [u32; 5], &[u8]) {
        let widths = match self.stage {
            Stage::Widths => return (4, [0; 5], &[]),
            _ => u32::from(self.window_bits - 4) << 4 | u32::from(self.count_bits - 3),
        };
        let [stage, a, b] = match self.stage {
            Stage::Widths | Stage::Tag => [1, 0, 0],
            Stage::Literal => [2, 0, 0],
            Stage::Distance => [3, 0, 0],
            Stage::Count { distance } => [4, distance, 0],
            Stage::Copy { distance, left } => [5, distance, left],
        };
        let window = usize::try_from(self.mask()).unwrap_or(0) + 1;
        let window = self.window.get(..window).unwrap_or(&[]);
        let held = u32::from(self.held) << 8 | widths;
        // At most 22 bits are held at a time.
        let bits = self.bits << 8 | stage;
        (4, [bits, a, b, held, self.head], window)
    }

    fn from_parts([bits, a, b, held, head]: [u32; 5], window: &[u8]) -> Option<Self> {
        let mut heatshrink = Self::new();
        if bits == 0 {
            return Some(heatshrink);
        }
        heatshrink.set_widths(held & 0xff).ok()?;
        heatshrink.held = u8::try_from(held >> 8).ok().filter(|&held| held <= 22)?;
        heatshrink.bits = bits >> 8;
        heatshrink.head = head;
        heatshrink.stage = match bits & 0xff {
            1 => Stage::Tag,
            2 => Stage::Literal,
            3 => Stage::Distance,
            4 => Stage::Count { distance: a },
            5 => Stage::Copy {
                distance: a,
                left: b,
            },
            _ => return None,
        };
        let size = heatshrink.mask() + 1;
        let fits = usize::try_from(size) == Ok(window.len())
            && head < size
            && heatshrink.bits < 1 << heatshrink.held
            && a <= size
            && b < 1 << heatshrink.count_bits;
        for (to, from) in heatshrink.window.iter_mut().zip(window) {
            *to = *from;
        }
        fits.then_some(heatshrink)
    }
}

const FIELDS: [Field; 13] = [
    Field::Head,
    Field::Memory,
    Field::Segment,
    Field::Shift,
    Field::OldSize,
    Field::NewSize,
    Field::Format,
    Field::DiffSize,
    Field::Diff,
    Field::ExtraSize,
    Field::Extra,
    Field::Move,
    Field::End,
];

fn code(field: Field) -> Option<u32> {
    let at = FIELDS.iter().position(|&known| known == field)?;
    u32::try_from(at).ok()
}

fn field(code: u32) -> Option<Field> {
    FIELDS.get(usize::try_from(code).ok()?).copied()
}
