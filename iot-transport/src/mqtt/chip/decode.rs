//! The packets that a broker sends to a device, read where they stand.

use core::time::Duration;

use crate::mqtt::Version;

/// The bytes are no packet that a broker may send to this client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// What the broker says about itself in its CONNACK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Welcome {
    pub(super) resumed: bool,
    pub(super) code: u8,
    pub(super) receive_maximum: u16,
    pub(super) packet_bytes: usize,
    pub(super) keep_alive: Option<Duration>,
    /// Whether it acknowledges messages at all.
    pub(super) acknowledges: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packet<'a> {
    Welcome(Welcome),
    Publish {
        topic: &'a str,
        /// 0 for one that is sent at most once.
        id: u16,
        payload: &'a [u8],
    },
    Acknowledged {
        id: u16,
        code: u8,
    },
    Subscribed {
        id: u16,
        code: u8,
    },
    Pong,
    Goodbye {
        code: u8,
    },
}

/// The lengths of the first packet in `bytes`: of its fixed header, and with it. `None` until the header is there.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut from = Reader(bytes);
    if from.u8().is_err() {
        return Ok(None);
    }
    // Four bytes without an end are no length, whatever comes.
    match from.varint() {
        Err(Malformed) if bytes.len() < 5 => Ok(None),
        Err(Malformed) => Err(Malformed),
        Ok(body) => {
            let header = bytes.len() - from.0.len();
            Ok(Some((header, header + body)))
        }
    }
}

/// Reads one packet: its first byte, and what follows its length.
pub(super) fn decode(version: Version, first: u8, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let mut from = Reader(body);
    let is_5 = version == Version::V5;
    let packet = match first {
        0x20 => {
            let resumed = from.u8()?;
            let code = from.u8()?;
            // "Bits 7-1 are reserved and MUST be set to 0" [MQTT-3.2.2-1]; a refusal has no session.
            if resumed > 1 || resumed == 1 && code != 0 {
                return Err(Malformed);
            }
            let mut welcome = Welcome {
                resumed: resumed == 1,
                code,
                receive_maximum: u16::MAX,
                packet_bytes: usize::MAX,
                keep_alive: None,
                acknowledges: true,
            };
            if is_5 {
                from.properties(|name, value| match name {
                    0x13 => welcome.keep_alive = Some(Duration::from_secs(value.into())),
                    // Both come from properties of their own lengths: neither is cut.
                    0x21 => welcome.receive_maximum = u16::try_from(value).unwrap_or(u16::MAX),
                    0x24 => welcome.acknowledges = value > 0,
                    0x27 => welcome.packet_bytes = usize::try_from(value).unwrap_or(usize::MAX),
                    _ => {}
                })?;
            }
            Packet::Welcome(welcome)
        }
        // Quality of service 2 was never asked for; bit 3 says that it comes again, bit 0 that it was retained.
        0x30..=0x3f if first & 0x04 == 0 => {
            let topic = from.text()?;
            let id = match first & 0x02 {
                0 => 0,
                _ => from.id()?,
            };
            if is_5 {
                from.properties(|_, _| {})?;
            }
            let payload = core::mem::take(&mut from.0);
            Packet::Publish { topic, id, payload }
        }
        0x40 => {
            let id = from.id()?;
            let code = from.reason(is_5)?;
            Packet::Acknowledged { id, code }
        }
        0x90 => {
            let id = from.id()?;
            if is_5 {
                from.properties(|_, _| {})?;
            }
            // One filter was asked for, so there is one answer.
            Packet::Subscribed {
                id,
                code: from.u8()?,
            }
        }
        0xd0 => Packet::Pong,
        0xe0 if is_5 => Packet::Goodbye {
            code: from.reason(is_5)?,
        },
        _ => return Err(Malformed),
    };
    from.0.is_empty().then_some(packet).ok_or(Malformed)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline(never)]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of one to four bytes, the most significant first.
    fn uint(&mut self, bytes: usize) -> Result<u32, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        let byte = self.take(1)?;
        byte.first().copied().ok_or(Malformed)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        u16::try_from(self.uint(2)?).map_err(|_| Malformed)
    }

    /// An identifier, which is never 0 [MQTT-2.2.1-3].
    fn id(&mut self) -> Result<u16, Malformed> {
        self.u16()
            .and_then(|id| if id == 0 { Err(Malformed) } else { Ok(id) })
    }

    /// A number in up to four bytes of seven bits, the least significant first (MQTT 5 §1.5.5).
    #[inline(never)]
    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.u16()?;
        core::str::from_utf8(self.take(bytes.into())?).map_err(|_| Malformed)
    }

    /// A reason that may be left out with all that follows; 0 then (MQTT 5 §3.4.2.1, §3.14.2.1).
    fn reason(&mut self, is_5: bool) -> Result<u8, Malformed> {
        if !is_5 || self.0.is_empty() {
            return Ok(0);
        }
        let code = self.u8()?;
        if !self.0.is_empty() {
            self.properties(|_, _| {})?;
        }
        Ok(code)
    }

    /// Walks over properties; numbers are told by name, texts are passed over (MQTT 5 §2.2.2.2).
    #[inline(never)]
    fn properties(&mut self, mut tell: impl FnMut(u8, u32)) -> Result<(), Malformed> {
        let bytes = self.varint()?;
        let mut from = Reader(self.take(bytes)?);
        while !from.0.is_empty() {
            let name = from.u8()?;
            let width = match name {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
                0x13 | 0x21 | 0x22 | 0x23 => 2,
                0x02 | 0x11 | 0x18 | 0x27 => 4,
                0x0b => {
                    from.varint()?;
                    continue;
                }
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => {
                    let bytes = from.u16()?;
                    from.take(bytes.into())?;
                    continue;
                }
                0x26 => {
                    for _ in 0..2 {
                        let bytes = from.u16()?;
                        from.take(bytes.into())?;
                    }
                    continue;
                }
                _ => return Err(Malformed),
            };
            tell(name, from.uint(width)?);
        }
        Ok(())
    }
}
