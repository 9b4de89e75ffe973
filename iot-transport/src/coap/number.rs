//! The numbers of the options that are read or written here (RFC 7252 §12.2, RFC 7959 §6).

pub(super) const URI_HOST: u16 = 3;
pub(super) const ETAG: u16 = 4;
pub(super) const URI_PATH: u16 = 11;
pub(super) const URI_QUERY: u16 = 15;
pub(super) const BLOCK2: u16 = 23;
pub(super) const SIZE2: u16 = 28;

/// Whether an option must be understood: odd numbers are critical (RFC 7252 §5.4.6).
pub(super) const fn is_critical(number: u16) -> bool {
    number & 1 == 1
}
