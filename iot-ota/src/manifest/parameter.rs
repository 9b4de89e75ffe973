//! Parameters and component identifiers (§8.4.8, §8.4.5.1).

use core::fmt;

use iot_core::crypto::Sha256Digest;
use minicbor::Decoder;
use minicbor::data::Type;

use super::command::CommandError;

/// The number of a parameter, known or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParameterCode(i64);

impl ParameterCode {
    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> i64 {
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
    decoder: Decoder<'a>,
    left: u64,
}

impl<'a> Parameters<'a> {
    /// Begins a map that [`iot_core::codec::check`] has passed.
    pub(super) fn of(map: &'a [u8]) -> Result<Self, CommandError> {
        let mut decoder = Decoder::new(map);
        let left = decoder.map().ok().flatten();
        Ok(Self {
            left: left.ok_or(CommandError::Structure)?,
            decoder,
        })
    }

    fn parameter(&mut self) -> Result<Parameter<'a>, CommandError> {
        let code = self.decoder.i64().map_err(|_| CommandError::Structure)?;
        let start = self.decoder.position();
        let mut value = self.decoder.clone();
        self.decoder.skip().map_err(|_| CommandError::Structure)?;
        let raw = self.decoder.input().get(start..self.decoder.position());
        let code = ParameterCode(code);
        let wrong = CommandError::Parameter { code };
        let uuid = |value: &mut Decoder<'a>| value.bytes().ok()?.try_into().ok();
        let parameter = match code.0 {
            1 => uuid(&mut value).map(Parameter::VendorId),
            2 => uuid(&mut value).map(Parameter::ClassId),
            3 => digest_in(value).map(Parameter::ImageDigest),
            14 => value.u64().ok().map(Parameter::ImageSize),
            21 => value.str().ok().map(Parameter::Uri),
            _ => raw.map(|value| Parameter::Other { code, value }),
        };
        parameter.ok_or(wrong)
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let parameter = self.parameter();
        if parameter.is_err() {
            self.left = 0;
        }
        Some(parameter)
    }
}

/// The digest is wrapped in a byte string, which must hold nothing else.
fn digest_in(mut value: Decoder<'_>) -> Option<Sha256Digest> {
    let content = value.bytes().ok()?;
    let mut decoder = Decoder::new(content);
    let digest = super::digest(&mut decoder)?;
    (decoder.position() == content.len()).then_some(digest)
}

/// Where something is installed: a path of byte strings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ComponentId<'a>(&'a [u8]);

impl<'a> ComponentId<'a> {
    pub(super) fn decode(decoder: &mut Decoder<'a>) -> Option<Self> {
        let start = decoder.position();
        let segments = decoder.array().ok()??;
        for _ in 0..segments {
            if decoder.datatype().ok()? != Type::Bytes {
                return None;
            }
            decoder.bytes().ok()?;
        }
        decoder.input().get(start..decoder.position()).map(Self)
    }

    /// The segments of the path.
    pub fn segments(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut decoder = Decoder::new(self.0);
        let segments = decoder.array().ok().flatten().unwrap_or(0);
        (0..segments).map_while(move |_| decoder.bytes().ok())
    }
}

impl PartialEq<[&[u8]]> for ComponentId<'_> {
    fn eq(&self, other: &[&[u8]]) -> bool {
        self.segments().eq(other.iter().copied())
    }
}
