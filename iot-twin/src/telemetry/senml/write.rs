//! Fills a buffer with a pack.

use minicbor::Encoder;
use minicbor::encode::write::Cursor;

use super::{Entry, Measured, Name, label};
use crate::leaf::narrow;

/// Why a measurement was not added.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PackError {
    /// The buffer has no room for it.
    #[error("the buffer is full: send the pack and begin another, or give it a larger buffer")]
    Full,
    /// The whole name is not one that SenML allows.
    #[error(
        "the name is not allowed: use letters, digits and -:./_, beginning with a letter or digit"
    )]
    Name,
    /// A number or a time is infinite or not a number.
    #[error(
        "SenML has no infinite numbers, and none that are not numbers: leave the measurement out"
    )]
    NotFinite,
    /// More than 65,535 measurements.
    #[error("a pack holds 65535 measurements: send it and begin another")]
    Count,
}

/// Writes a pack of measurements into a buffer, as deterministic CBOR.
///
/// ```
/// use iot_twin::telemetry::{Entry, Measured, Pack, Records};
///
/// let mut buffer = [0; 128];
/// let mut pack = Pack::new(&mut buffer).with_name("urn:dev:ow:10e2073a01080063:").with_unit("Cel");
/// pack.add(&Entry::new("in", 21.5))?;
/// pack.add(&Entry::new("out", 4.0).at_s(-5.0))?;
///
/// let mut records = Records::read(pack.finish());
/// let first = records.next().unwrap()?;
/// assert_eq!(first.name, "urn:dev:ow:10e2073a01080063:in");
/// assert_eq!((first.value, first.unit), (Some(Measured::Number(21.5)), Some("Cel")));
/// assert_eq!(records.next().unwrap()?.time_at_s(1_000_000_000.0), 999_999_995.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pack<'b> {
    buffer: &'b mut [u8],
    used: usize,
    count: u16,
    base: Base<'b>,
    /// The bases that the last record stands on.
    stated: Base<'b>,
}

/// What is put in front of names, units and times.
#[derive(Clone, Copy, Debug)]
struct Base<'b> {
    name: &'b str,
    unit: &'b str,
    time_s: f64,
}

impl Base<'_> {
    const NONE: Self = Self {
        name: "",
        unit: "",
        time_s: 0.0,
    };
}

// The longest head of the array; the head is put right before the records once their number is known.
const HEAD: usize = 3;

impl<'b> Pack<'b> {
    /// An empty pack.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            used: HEAD,
            count: 0,
            base: Base::NONE,
            stated: Base::NONE,
        }
    }

    /// Puts a name before each name from now on; what was added before keeps the name it has.
    #[must_use]
    pub const fn with_name(mut self, name: &'b str) -> Self {
        self.base.name = name;
        self
    }

    /// Gives a unit to each measurement without one, from now on; the empty one takes it back.
    #[must_use]
    pub const fn with_unit(mut self, unit: &'b str) -> Self {
        self.base.unit = unit;
        self
    }

    /// Adds a time to each time from now on, in seconds since 1970; what was added before keeps the time it has.
    ///
    /// A device without a clock leaves it out: then times are relative to the moment of arrival.
    #[must_use]
    pub const fn with_time_s(mut self, time_s: f64) -> Self {
        self.base.time_s = time_s;
        self
    }

    /// Adds a measurement.
    ///
    /// # Errors
    ///
    /// [`PackError`]; the pack is as it was.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), PackError> {
        let name = Name {
            base: self.base.name,
            rest: entry.name,
        };
        if !name.is_valid() {
            return Err(PackError::Name);
        }
        let number_is_finite = match entry.value {
            Measured::Number(number) => number.is_finite(),
            _ => true,
        };
        if !(number_is_finite && entry.time_s.is_finite() && self.base.time_s.is_finite()) {
            return Err(PackError::NotFinite);
        }
        let count = self.count.checked_add(1).ok_or(PackError::Count)?;
        let room = self.buffer.get_mut(self.used..).ok_or(PackError::Full)?;
        let mut out = Encoder::new(Cursor::new(room));
        write(&mut out, entry, &self.base, &self.stated).ok_or(PackError::Full)?;
        self.stated = self.base;
        self.used += out.writer().position();
        self.count = count;
        Ok(())
    }

    /// How many measurements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The finished pack; empty bytes when the buffer cannot hold even an empty pack.
    #[must_use]
    pub fn finish(self) -> &'b [u8] {
        let [high, low] = self.count.to_be_bytes();
        let head: &[u8] = match self.count {
            0..24 => &[0x80 | low],
            24..256 => &[0x98, low],
            _ => &[0x99, high, low],
        };
        let start = HEAD - head.len();
        let Some(pack) = self.buffer.get_mut(start..self.used) else {
            return &[];
        };
        for (to, from) in pack.iter_mut().zip(head) {
            *to = *from;
        }
        pack
    }
}

type Out<'a> = Encoder<Cursor<&'a mut [u8]>>;

/// Labels in the order of their encodings: 0 to 8, then −1 to −6. A base is stated where it is not the one before.
fn write(out: &mut Out<'_>, entry: &Entry<'_>, base: &Base<'_>, before: &Base<'_>) -> Option<()> {
    let unit = entry.unit.unwrap_or("");
    let base_name = (base.name != before.name).then_some(base.name);
    let base_unit = (base.unit != before.unit).then_some(base.unit);
    let moved = base.time_s.to_bits() != before.time_s.to_bits();
    let base_time_s = moved.then_some(base.time_s);
    let optional = [
        !entry.name.is_empty(),
        !unit.is_empty(),
        is_some(entry.time_s),
        base_name.is_some(),
        base_time_s.is_some(),
        base_unit.is_some(),
    ];
    let count = optional.into_iter().filter(|&present| present).count();
    out.map(1 + count as u64).ok()?;
    text(out, label::NAME, entry.name)?;
    text(out, label::UNIT, unit)?;
    match entry.value {
        Measured::Number(number) => {
            out.i64(label::VALUE).ok()?;
            write_number(out, number)?;
        }
        Measured::Text(text) => drop(out.i64(label::TEXT).ok()?.str(text).ok()?),
        Measured::Bool(value) => drop(out.i64(label::BOOL).ok()?.bool(value).ok()?),
        Measured::Data(_) => {}
    }
    time(out, label::TIME, entry.time_s)?;
    if let Measured::Data(bytes) = entry.value {
        out.i64(label::DATA).ok()?.bytes(bytes).ok()?;
    }
    if let Some(name) = base_name {
        out.i64(label::BASE_NAME).ok()?.str(name).ok()?;
    }
    if let Some(time_s) = base_time_s {
        out.i64(label::BASE_TIME).ok()?;
        write_number(out, time_s)?;
    }
    if let Some(unit) = base_unit {
        out.i64(label::BASE_UNIT).ok()?.str(unit).ok()?;
    }
    Some(())
}

fn is_some(time_s: f64) -> bool {
    time_s != 0.0
}

fn text(out: &mut Out<'_>, label: i64, text: &str) -> Option<()> {
    if !text.is_empty() {
        out.i64(label).ok()?.str(text).ok()?;
    }
    Some(())
}

fn time(out: &mut Out<'_>, label: i64, time_s: f64) -> Option<()> {
    if is_some(time_s) {
        out.i64(label).ok()?;
        write_number(out, time_s)?;
    }
    Some(())
}

/// The shortest form that keeps the number: whole, single or double precision.
fn write_number(out: &mut Out<'_>, number: f64) -> Option<()> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the cast is undone and compared; beyond 2^53 a float is as short"
    )]
    let whole = Some(number as i64).filter(|whole| {
        whole.unsigned_abs() <= 1 << 53 && (*whole as f64).to_bits() == number.to_bits()
    });
    match (whole, narrow(number)) {
        (Some(whole), _) => out.i64(whole).ok().map(drop),
        (None, Some(narrow)) => out.f32(narrow).ok().map(drop),
        (None, None) => out.f64(number).ok().map(drop),
    }
}
