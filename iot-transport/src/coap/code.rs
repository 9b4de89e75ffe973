//! What a message says it is.

use core::fmt;

/// The code of a CoAP message: a class of three bits and a detail of five (RFC 7252 §3, §12.1).
///
/// It is shown as it is written: `4.04`.
///
/// ```
/// use iot_transport::coap::Code;
///
/// let code = Code::new(0x84);
/// assert_eq!((code.class(), code.detail()), (4, 4));
/// assert_eq!(code.to_string(), "4.04");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Code(u8);

impl Code {
    pub(super) const EMPTY: Self = Self(0);
    pub(super) const GET: Self = Self(1);
    pub(super) const CONTENT: Self = Self(0x45);

    /// The code of this byte; every byte is one.
    #[must_use]
    pub const fn new(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// 0 for requests, 2 for success, 4 for a client's error, 5 for a server's.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// Which one of its class, 0 to 31.
    #[must_use]
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// Whether waiting may help: 4.29 (RFC 8516) and every 5.xx.
    pub(super) const fn is_transient(self) -> bool {
        self.class() == 5 || self.0 == 0x9d
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}
