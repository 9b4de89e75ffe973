//! The boot environment as text.

use alloc::string::String;
use core::fmt::Write as _;

use crate::slot::crc::crc32;
use crate::slot::record::decode;
use crate::slot::{Bank, RECORD_BYTES};

/// No environment is longer.
pub(super) const MAX_BYTES: u64 = 512;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Environment {
    pub(super) record: Option<[u8; RECORD_BYTES]>,
    pub(super) counter: u64,
}

impl Environment {
    pub(super) const EMPTY: Self = Self {
        record: None,
        counter: 0,
    };

    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        let record = self.record.as_ref().and_then(decode);
        let [active, boots] = match record {
            Some((record, _)) => [record.active, record.boots()],
            None => [Bank::A; 2],
        }
        .map(|bank| match bank {
            Bank::A => 'a',
            Bank::B => 'b',
        });
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "iot_version=1\niot_active={active}\niot_boots={boots}\niot_counter={}\niot_record=",
            self.counter
        );
        match &self.record {
            Some(record) => {
                for byte in record {
                    let _ = write!(text, "{byte:02x}");
                }
            }
            None => text.push('-'),
        }
        text.push('\n');
        let sum = crc32(text.as_bytes().iter());
        let _ = writeln!(text, "iot_sum={sum:08x}");
        text
    }

    /// `None` unless it is exactly what [`encode`](Self::encode) gives.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?;
        let line = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let record = match line("iot_record")? {
            "-" => None,
            digits => Some(bytes_of(digits)?),
        };
        let counter = line("iot_counter")?.parse().ok()?;
        let environment = Self { record, counter };
        // One comparison checks the sum, the version and the lines for scripts.
        (environment.encode() == text).then_some(environment)
    }
}

fn bytes_of(digits: &str) -> Option<[u8; RECORD_BYTES]> {
    let mut record = [0; RECORD_BYTES];
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != RECORD_BYTES || !rest.is_empty() {
        return None;
    }
    for (to, pair) in record.iter_mut().zip(pairs) {
        let pair = core::str::from_utf8(pair).ok()?;
        *to = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(record)
}
