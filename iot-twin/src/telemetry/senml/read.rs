//! Reads a pack where it lies.

use minicbor::Decoder;
use minicbor::data::Type;

use super::{Measured, Name, Record, VERSION, label};
use crate::leaf::half_in;

/// Why a pack cannot be read on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are no SenML in CBOR.
    #[error("the bytes at {position} are no SenML record in CBOR")]
    Malformed {
        /// Where, in bytes.
        position: usize,
    },
    /// The pack is of a version this crate does not speak, or of more than one.
    #[error(
        "the pack is of version {version}: this reader speaks up to {VERSION}, and one for each pack"
    )]
    Version {
        /// Which.
        version: u64,
    },
    /// A field that must be understood, and is not (RFC 8428 §4.4).
    #[error("the record at {position} has a field that must be understood, and is not")]
    MustUnderstand {
        /// Where the record begins, in bytes.
        position: usize,
    },
    /// A name that SenML does not allow.
    #[error("the record at {position} has a name that is not allowed")]
    Name {
        /// Where the record begins, in bytes.
        position: usize,
    },
    /// A record with two values, or with a field of the standard twice, which no CBOR map may have (RFC 8949 §5.6).
    #[error("the record at {position} has more than one value, or a field twice")]
    Ambiguous {
        /// Where the record begins, in bytes.
        position: usize,
    },
    /// A number that is none any more once its base is added.
    #[error("the record at {position} has a number that is too large with its base")]
    Number {
        /// Where the record begins, in bytes.
        position: usize,
    },
    /// More records than the limit.
    #[error("the pack has more than {limit} records: raise the limit or have it split")]
    Limit {
        /// The limit.
        limit: u32,
    },
}

/// Goes through the records of a pack and resolves their base values; it allocates nothing.
///
/// Records come in the order of the pack, which need not be that of time. A record that states base values only
/// is not handed out. After an error there is nothing more. It reads packs of one length and streams alike.
///
/// See [`Pack`](super::Pack) for an example.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    input: Decoder<'a>,
    left: Left,
    budget: u32,
    limit: u32,
    base: Base<'a>,
    /// The pack's, once a record was read.
    version: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Left {
    /// The head has not been read.
    All,
    Some(u64),
    /// Until the break.
    Stream,
    None,
}

#[derive(Clone, Copy, Debug)]
struct Base<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    time_s: f64,
    value: f64,
    sum: Option<f64>,
}

/// A record's own fields.
#[derive(Clone, Copy, Debug, Default)]
struct Own<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    value: Option<Measured<'a>>,
    values: u8,
    sum: Option<f64>,
    time_s: f64,
    update_s: Option<f64>,
    version: Option<u64>,
    /// One bit for each label that was there.
    seen: u16,
}

impl<'a> Records<'a> {
    /// How many records are read at most when no other limit is given.
    pub const DEFAULT_LIMIT: u32 = 1_024;

    /// Reads a pack.
    #[must_use]
    pub fn read(pack: &'a [u8]) -> Self {
        Self::with_limit(pack, Self::DEFAULT_LIMIT)
    }

    /// Reads at most `limit` records.
    #[must_use]
    pub fn with_limit(pack: &'a [u8], limit: u32) -> Self {
        Self {
            input: Decoder::new(pack),
            left: Left::All,
            budget: limit,
            limit,
            base: Base {
                name: "",
                unit: None,
                time_s: 0.0,
                value: 0.0,
                sum: None,
            },
            version: None,
        }
    }

    /// The next record that measures something; `None` at the end.
    fn advance(&mut self) -> Result<Option<Record<'a>>, ReadError> {
        while self.enter()? {
            let position = self.input.position();
            self.budget = self
                .budget
                .checked_sub(1)
                .ok_or(ReadError::Limit { limit: self.limit })?;
            let own = self.record(position)?;
            if let Some(record) = self.resolve(&own, position)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether another record follows.
    fn enter(&mut self) -> Result<bool, ReadError> {
        let malformed = ReadError::Malformed {
            position: self.input.position(),
        };
        if let Left::All = self.left {
            self.left = match self.input.array().map_err(|_| malformed)? {
                Some(count) => Left::Some(count),
                None => Left::Stream,
            };
        }
        match self.left {
            Left::Some(count) if count > 0 => {
                self.left = Left::Some(count - 1);
                return Ok(true);
            }
            Left::Stream => {
                // A stream ends with its break, or where it was cut off between two records.
                match self.input.datatype() {
                    Ok(Type::Break) => self.input.set_position(self.input.position() + 1),
                    Ok(_) => return Ok(true),
                    Err(_) => {}
                }
            }
            _ => {}
        }
        self.left = Left::None;
        if self.input.position() < self.input.input().len() {
            return Err(ReadError::Malformed {
                position: self.input.position(),
            });
        }
        Ok(false)
    }

    fn record(&mut self, position: usize) -> Result<Own<'a>, ReadError> {
        let mut own = Own::default();
        let here = |input: &Decoder<'_>| ReadError::Malformed {
            position: input.position(),
        };
        let count = self.input.map().map_err(|_| here(&self.input))?;
        let count = count.ok_or(ReadError::Malformed { position })?;
        for _ in 0..count {
            if let Ok(Type::String) = self.input.datatype() {
                let name = self.input.str().map_err(|_| here(&self.input))?;
                if name.ends_with('_') {
                    return Err(ReadError::MustUnderstand { position });
                }
                self.input.skip().map_err(|_| here(&self.input))?;
                continue;
            }
            let label = self.input.i64().map_err(|_| here(&self.input))?;
            if own.has(label) {
                return Err(ReadError::Ambiguous { position });
            }
            let read = self.field(label, &mut own);
            read.ok_or_else(|| here(&self.input))?;
        }
        // All records of a pack are of one version, 10 where none is stated (RFC 8428 §4.4).
        let version = own.version.or(self.version).unwrap_or(VERSION);
        if version > VERSION || self.version.is_some_and(|before| before != version) {
            return Err(ReadError::Version { version });
        }
        self.version = Some(version);
        if own.values > 1 {
            return Err(ReadError::Ambiguous { position });
        }
        Ok(own)
    }

    fn field(&mut self, label: i64, own: &mut Own<'a>) -> Option<()> {
        let input = &mut self.input;
        match label {
            label::VERSION => own.version = Some(input.u64().ok()?),
            label::BASE_NAME => self.base.name = input.str().ok()?,
            label::BASE_TIME => self.base.time_s = number(input)?,
            // An empty one takes back what stood before it.
            label::BASE_UNIT => {
                self.base.unit = Some(input.str().ok()?).filter(|unit| !unit.is_empty())
            }
            label::BASE_VALUE => self.base.value = number(input)?,
            label::BASE_SUM => self.base.sum = Some(number(input)?),
            label::NAME => own.name = input.str().ok()?,
            label::UNIT => own.unit = Some(input.str().ok()?),
            label::VALUE => own.measured(Measured::Number(number(input)?)),
            label::TEXT => own.measured(Measured::Text(input.str().ok()?)),
            label::BOOL => own.measured(Measured::Bool(input.bool().ok()?)),
            label::DATA => own.measured(Measured::Data(input.bytes().ok()?)),
            label::SUM => own.sum = Some(number(input)?),
            label::TIME => own.time_s = number(input)?,
            label::UPDATE => own.update_s = Some(number(input)?),
            _ => input.skip().ok()?,
        }
        Some(())
    }

    fn resolve(&self, own: &Own<'a>, position: usize) -> Result<Option<Record<'a>>, ReadError> {
        let sum = match (self.base.sum, own.sum) {
            (None, None) => None,
            (base, own) => Some(base.unwrap_or(0.0) + own.unwrap_or(0.0)),
        };
        if own.value.is_none() && own.sum.is_none() {
            return Ok(None);
        }
        let name = Name {
            base: self.base.name,
            rest: own.name,
        };
        if !name.is_valid() {
            return Err(ReadError::Name { position });
        }
        let value = own.value.map(|value| match value {
            Measured::Number(number) => Measured::Number(self.base.value + number),
            other => other,
        });
        let time_s = self.base.time_s + own.time_s;
        let number = match value {
            Some(Measured::Number(number)) => number,
            _ => 0.0,
        };
        if ![number, sum.unwrap_or(0.0), time_s]
            .iter()
            .all(|number| number.is_finite())
        {
            return Err(ReadError::Number { position });
        }
        Ok(Some(Record {
            name,
            unit: own.unit.or(self.base.unit),
            value,
            sum,
            time_s,
            update_s: own.update_s,
        }))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Left::None = self.left {
            return None;
        }
        match self.advance() {
            Ok(record) => record.map(Ok),
            Err(error) => {
                self.left = Left::None;
                Some(Err(error))
            }
        }
    }
}

impl<'a> Own<'a> {
    /// Whether a label of the standard was there before; from now on it was.
    fn has(&mut self, label: i64) -> bool {
        let first = label::BASE_SUM;
        let bit = match u32::try_from(label.saturating_sub(first)) {
            Ok(place) if label <= label::DATA => 1_u16 << place,
            _ => return false,
        };
        let before = self.seen;
        self.seen |= bit;
        before & bit != 0
    }

    const fn measured(&mut self, value: Measured<'a>) {
        self.value = Some(value);
        self.values = self.values.saturating_add(1);
    }
}

/// Any finite number: whole, float, or decimal fraction (RFC 8949 §3.4.4), which SenML allows.
fn number(input: &mut Decoder<'_>) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "SenML's numbers have double precision (RFC 8428 §4.4)"
    )]
    let whole = |input: &mut Decoder<'_>| Some(i128::from(input.int().ok()?) as f64);
    let number = match input.datatype().ok()? {
        Type::F16 => half_in(input)?,
        Type::F32 | Type::F64 => input.f64().ok()?,
        Type::Tag => {
            let fraction = input.tag().ok()?.as_u64() == 4 && input.array().ok()? == Some(2);
            let exponent = input.i8().ok().filter(|_| fraction)?;
            let mantissa = whole(input)?;
            let power = (0..exponent.unsigned_abs()).fold(1.0, |power: f64, _| power * 10.0);
            if exponent < 0 {
                mantissa / power
            } else {
                mantissa * power
            }
        }
        _ => whole(input)?,
    };
    number.is_finite().then_some(number)
}
