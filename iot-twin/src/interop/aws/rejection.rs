//! Why the shadow service does not do what it was asked.

use alloc::format;
use alloc::string::String;

use super::topic::ShadowId;

/// Every documented error of the shadow service.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// 400: the payload is no JSON object.
    InvalidJson,
    /// 400: there is no `state`.
    MissingState,
    /// 400: `state` is no object.
    StateNotObject,
    /// 400: `desired` is no object.
    DesiredNotObject,
    /// 400: `reported` is no object.
    ReportedNotObject,
    /// 400: the version is no whole number from 0.
    InvalidVersion,
    /// 400: the client token is no text, or longer than 64 bytes.
    InvalidClientToken,
    /// 400: more than six levels.
    TooDeep,
    /// 400: something else than `desired` and `reported` in `state`, or a null in an array.
    InvalidNode,
    /// 401: nobody knows who asks.
    Unauthorized,
    /// 403: who asks may not.
    Forbidden,
    /// 404: there is no such thing.
    NoThing,
    /// 404: the thing has no such shadow.
    NoShadow,
    /// 409: the version is another one.
    VersionConflict,
    /// 413: the state would be too large.
    TooLarge,
    /// 415: the payload is not UTF-8.
    NotUtf8,
    /// 429: too many requests are under way, or were made in the last second.
    TooMany,
    /// 500: the service has failed.
    Internal,
}

impl Rejection {
    /// Every one.
    pub const ALL: [Self; 18] = [
        Self::InvalidJson,
        Self::MissingState,
        Self::StateNotObject,
        Self::DesiredNotObject,
        Self::ReportedNotObject,
        Self::InvalidVersion,
        Self::InvalidClientToken,
        Self::TooDeep,
        Self::InvalidNode,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NoThing,
        Self::NoShadow,
        Self::VersionConflict,
        Self::TooLarge,
        Self::NotUtf8,
        Self::TooMany,
        Self::Internal,
    ];

    /// The number under which it is told.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::MissingState
            | Self::StateNotObject
            | Self::DesiredNotObject
            | Self::ReportedNotObject
            | Self::InvalidVersion
            | Self::InvalidClientToken
            | Self::TooDeep
            | Self::InvalidNode => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NoThing | Self::NoShadow => 404,
            Self::VersionConflict => 409,
            Self::TooLarge => 413,
            Self::NotUtf8 => 415,
            Self::TooMany => 429,
            Self::Internal => 500,
        }
    }

    /// The text with which it is told.
    #[must_use]
    pub fn message(self, id: &ShadowId) -> String {
        match self {
            Self::InvalidJson => "Invalid JSON",
            Self::MissingState => "Missing required node: state",
            Self::StateNotObject => "State node must be an object",
            Self::DesiredNotObject => "Desired node must be an object",
            Self::ReportedNotObject => "Reported node must be an object",
            Self::InvalidVersion => "Invalid version",
            Self::InvalidClientToken => "Invalid clientToken",
            Self::TooDeep => "JSON contains too many levels of nesting; maximum is 6",
            Self::InvalidNode => "State contains an invalid node",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NoThing => "Thing not found",
            Self::NoShadow => {
                let name = id.name().unwrap_or(id.thing());
                return format!("No shadow exists with name: {name}");
            }
            Self::VersionConflict => "Version conflict",
            Self::TooLarge => "The payload exceeds the maximum size allowed",
            Self::NotUtf8 => "Unsupported documented encoding; supported encoding is UTF-8",
            Self::TooMany => "Too many requests",
            Self::Internal => "Internal service failure",
        }
        .into()
    }

    /// Recognises one by its number, and by its text where the number has several.
    #[must_use]
    pub fn read(code: u64, message: &str, id: &ShadowId) -> Option<Self> {
        let of_code = || {
            Self::ALL
                .into_iter()
                .filter(|known| u64::from(known.code()) == code)
        };
        let exact = of_code().find(|known| known.message(id) == message);
        // The service may word it otherwise some day; the number keeps its meaning.
        exact.or_else(|| match code {
            404 if message.starts_with("No shadow") => Some(Self::NoShadow),
            400 => Some(Self::InvalidJson),
            _ => of_code().next(),
        })
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::TooMany | Self::Internal)
    }
}
