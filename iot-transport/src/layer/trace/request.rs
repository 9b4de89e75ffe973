//! What a message belongs to, kept and shown.

use core::fmt;

use tracing::field::{DisplayValue, display};

use crate::envelope::{MAX_CORRELATION_BYTES, TRACE_BYTES};
use crate::outbox::Context;

const TRACE_ID_BYTES: usize = 16;
const PARENT_ID_BYTES: usize = 8;

/// A copy of a [`Context`]: the message is long gone when its fate is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Request {
    correlation: [u8; MAX_CORRELATION_BYTES],
    correlation_bytes: usize,
    trace: Option<([u8; TRACE_ID_BYTES], [u8; PARENT_ID_BYTES])>,
}

impl Request {
    /// Keeps what has the length that it must have; the rest counts as absent.
    pub(super) fn of(context: Context<'_>) -> Self {
        let mut request = Self::default();
        let bytes = context.correlation.len();
        if let Some(room) = request.correlation.get_mut(..bytes) {
            room.copy_from_slice(context.correlation);
            request.correlation_bytes = bytes;
        }
        request.trace = trace_of(context.trace);
        request
    }

    pub(super) fn correlation(&self) -> Option<DisplayValue<Correlation<'_>>> {
        let bytes = self.correlation.get(..self.correlation_bytes)?;
        (!bytes.is_empty()).then(|| display(Correlation(bytes)))
    }

    pub(super) fn trace_id(&self) -> Option<DisplayValue<Hex<'_>>> {
        self.trace.as_ref().map(|(id, _)| display(Hex(id)))
    }

    pub(super) fn parent_id(&self) -> Option<DisplayValue<Hex<'_>>> {
        self.trace.as_ref().map(|(_, id)| display(Hex(id)))
    }
}

/// "All bytes as zero (`00000000000000000000000000000000`) is considered an invalid value" (W3C Trace Context 1,
/// 3.2.2.3, and 3.2.2.4 for the parent): "vendors MUST ignore the traceparent".
fn trace_of(bytes: &[u8]) -> Option<([u8; TRACE_ID_BYTES], [u8; PARENT_ID_BYTES])> {
    let (trace, rest) = bytes.split_first_chunk()?;
    let (parent, _flags) = rest.split_first_chunk()?;
    let valid = bytes.len() == TRACE_BYTES
        && trace.iter().any(|&byte| byte > 0)
        && parent.iter().any(|&byte| byte > 0);
    valid.then_some((*trace, *parent))
}

/// Text where it is visible ASCII, hexadecimal behind `0x` elsewhere; no two correlations look alike.
pub(super) struct Correlation<'a>(&'a [u8]);

impl fmt::Display for Correlation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Spaces and control characters of a stranger must not look like further fields or lines of a log.
        let visible = self.0.iter().all(u8::is_ascii_graphic);
        match core::str::from_utf8(self.0) {
            Ok(text) if visible && !text.starts_with("0x") => f.write_str(text),
            _ => write!(f, "0x{}", Hex(self.0)),
        }
    }
}

/// Two lower-case digits for each byte.
pub(super) struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString as _};

    use super::*;

    fn shown(correlation: &[u8]) -> Option<String> {
        let request = Request::of(Context::NONE.correlated(correlation));
        request.correlation().map(|shown| shown.to_string())
    }

    #[test]
    fn a_correlation_is_text_or_hex_and_never_a_second_field() {
        for (bytes, expected) in [
            (&b"request-9"[..], "request-9"),
            (b"0x12", "0x30783132"),
            (b"a b", "0x612062"),
            (b"a\nb", "0x610a62"),
            (&[0x12], "0x12"),
            ("ä".as_bytes(), "0xc3a4"),
            (&[255; 16], "0xffffffffffffffffffffffffffffffff"),
        ] {
            assert_eq!(shown(bytes).as_deref(), Some(expected));
        }
        assert_eq!(shown(b""), None);
        assert_eq!(shown(&[1; 17]), None, "what no envelope holds is not shown");
    }

    #[test]
    fn a_trace_context_that_is_none_by_the_standard_is_not_shown() {
        let trace = |bytes: &[u8]| {
            let request = Request::of(Context::NONE.traced(bytes));
            let (id, parent) = (
                request.trace_id()?.to_string(),
                request.parent_id()?.to_string(),
            );
            Some((id, parent))
        };
        let mut bytes = [0; TRACE_BYTES];
        assert_eq!(trace(&bytes), None);
        bytes[15] = 0xab;
        assert_eq!(trace(&bytes), None, "without a parent");
        bytes[16] = 0xcd;
        let (id, parent) = trace(&bytes).unwrap();
        assert_eq!(id, "000000000000000000000000000000ab");
        assert_eq!(parent, "cd00000000000000");
        assert_eq!(trace(&bytes[..24]), None);
        assert_eq!(trace(&[]), None);
    }
}
