//! Parameters and component identifiers (§8.4.8, §8.4.5.1).

use core::fmt;

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

use super::command::CommandError;

/// The number of a parameter, known or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParameterCode(i32);

impl ParameterCode {
    /// The code of a number, known or not.
    #[must_use]
    pub const fn new(code: i32) -> Self {
        Self(code)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ParameterCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "vendor-identifier",
            2 => "class-identifier",
            3 => "image-digest",
            4 => "use-before",
            5 => "component-slot",
            12 => "strict-order",
            13 => "soft-failure",
            14 => "image-size",
            18 => "content",
            19 => "encryption-info",
            21 => "uri",
            22 => "source-component",
            23 => "invoke-args",
            24 => "device-identifier",
            25 => "fetch-arguments",
            26 => "minimum-battery",
            27 => "update-priority",
            28 => "version",
            29 => "wait-info",
            30 => "component-metadata",
            code => return write!(f, "parameter {code}"),
        };
        f.write_str(name)
    }
}

/// One parameter and its value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Parameter<'a> {
    /// Whose device it is for: a UUID.
    VendorId([u8; 16]),
    /// What kind of device it is for: a UUID.
    ClassId([u8; 16]),
    /// The image's SHA-256.
    ImageDigest(Sha256Digest),
    /// The image's size in bytes.
    ImageSize(u64),
    /// Where the image is.
    Uri(&'a str),
    /// One that is not interpreted here.
    Other {
        /// Which one.
        code: ParameterCode,
        /// Its value as CBOR.
        value: &'a [u8],
    },
}

/// A map of parameters, decoded one by one.
#[derive(Clone, Debug)]
pub struct Parameters<'a> {
    reader: FlatReader<'a>,
    left: u32,
}

impl<'a> Parameters<'a> {
    /// Begins a map that [`iot_core::codec::check`] has passed; `None` when it is no map.
    pub(crate) fn of(map: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::new(map);
        let left = reader.map_len();
        reader.rest().map(|_| Self { reader, left })
    }

    /// The next parameter as it stands: its code, and its value as CBOR.
    #[inline(never)]
    pub(crate) fn pair(&mut self) -> Option<(i32, &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        let pair = (self.reader.i32(), self.reader.item());
        self.reader.rest().map(|_| pair)
    }

    /// Whether every parameter so far could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.reader.rest().is_some()
    }

    fn parameter(&mut self) -> Option<Result<Parameter<'a>, CommandError>> {
        if self.left == 0 {
            return None;
        }
        let Some((code, value)) = self.pair() else {
            return Some(Err(CommandError::Structure));
        };
        let mut reader = FlatReader::new(value);
        let parameter = match code {
            1 => uuid(&mut reader).map(Parameter::VendorId),
            2 => uuid(&mut reader).map(Parameter::ClassId),
            3 => digest_in(&mut reader).copied().map(Parameter::ImageDigest),
            14 => Some(Parameter::ImageSize(reader.uint())),
            21 => Some(Parameter::Uri(reader.text())),
            _ => {
                reader = FlatReader::new(&[]);
                Some(Parameter::Other {
                    code: ParameterCode(code),
                    value,
                })
            }
        };
        let code = ParameterCode(code);
        let parameter = parameter.filter(|_| reader.is_empty());
        Some(parameter.ok_or(CommandError::Parameter { code }))
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let parameter = self.parameter()?;
        if parameter.is_err() {
            self.left = 0;
        }
        Some(parameter)
    }
}

fn uuid(reader: &mut FlatReader<'_>) -> Option<[u8; 16]> {
    reader.bytes().try_into().ok()
}

/// The digest is wrapped in a byte string, which must hold nothing else.
#[inline(never)]
pub(crate) fn digest_in<'a>(reader: &mut FlatReader<'a>) -> Option<&'a Sha256Digest> {
    super::digest(reader.bytes())
}

/// Whether a value is one that a parameter of this code may have (§8.4.8 and its companions); `None` for a code that
/// no specification has.
#[inline(never)]
pub(crate) fn fits(code: i32, value: &[u8]) -> Option<bool> {
    let mut reader = FlatReader::new(value);
    let fits = match code {
        // A private enterprise number may stand for the vendor.
        1 if reader.peek() == Some(6) => reader.tag() == 112 && !reader.bytes().is_empty(),
        1 | 2 | 24 => reader.bytes().len() == 16,
        3 => digest_in(&mut reader).is_some(),
        4 | 5 | 14 | 22 | 26 => {
            reader.uint();
            true
        }
        12 | 13 => {
            reader.boolean();
            true
        }
        18 | 19 | 23 | 25 | 28 | 29 | 30 => {
            reader.bytes();
            true
        }
        21 => {
            reader.text();
            true
        }
        27 => {
            reader.int();
            true
        }
        _ => return None,
    };
    Some(fits && reader.is_empty())
}

/// Where something is installed: a path of byte strings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComponentId<'a>(&'a [u8]);

impl<'a> ComponentId<'a> {
    /// Reads one; `None` when it is no array of byte strings.
    #[inline(never)]
    pub(crate) fn decode(reader: &mut FlatReader<'a>) -> Option<Self> {
        let whole = reader.item();
        let mut segments = FlatReader::new(whole);
        for _ in 0..segments.array_len() {
            segments.bytes();
        }
        segments.is_empty().then_some(Self(whole))
    }

    /// Takes the next one of an array that was checked.
    pub(super) fn next(reader: &mut FlatReader<'a>) -> Self {
        Self(reader.item())
    }

    /// The identifier as CBOR: an array of byte strings.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = FlatReader::new(self.0);
        let segments = reader.array_len();
        (0..segments).map(move |_| reader.bytes())
    }
}

impl PartialEq<[&[u8]]> for ComponentId<'_> {
    fn eq(&self, other: &[&[u8]]) -> bool {
        let mut reader = FlatReader::new(self.0);
        let segments = usize::try_from(reader.array_len());
        segments == Ok(other.len()) && other.iter().all(|own| reader.bytes() == *own)
    }
}
