//! The packets that a device sends to a broker.

use iot_core::DeviceId;

use super::settings::{MAX_LOGIN_BYTES, Settings};
use crate::mqtt::Version;
use crate::topic::MAX_TOPIC_BYTES;

/// Room for the longest fixed header, which is written last, right before the rest.
const ROOM: usize = 5;
/// CONNECT without texts: protocol, flags, keep-alive, four properties, and the lengths of three texts.
const CONNECT_BYTES: usize = 10 + 1 + 5 + 3 + 5 + 3 * 2;
const HEAD: usize = ROOM + CONNECT_BYTES + iot_core::id::MAX_NAME_BYTES + MAX_LOGIN_BYTES;
const _: () = assert!(HEAD >= ROOM + MAX_TOPIC_BYTES + 16, "a PUBLISH fits too");

/// The beginning of a PUBLISH, whose payload is elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publish<'a> {
    pub(super) topic: &'a str,
    pub(super) payload_bytes: usize,
    /// 0 for one that is sent at most once.
    pub(super) id: u16,
    pub(super) again: bool,
    pub(super) expiry_s: Option<u32>,
}

/// One packet on its way out, or all of a PUBLISH but its payload.
#[derive(Clone, Debug)]
pub(super) struct Head {
    bytes: [u8; HEAD],
    from: usize,
    to: usize,
}

impl Head {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; HEAD],
            from: 0,
            to: 0,
        }
    }

    /// What is still to be written.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.from = self.to.min(self.from.saturating_add(bytes));
    }

    pub(super) const fn clear(&mut self) {
        self.from = self.to;
    }

    pub(super) fn connect(&mut self, settings: &Settings<'_>, packet_bytes: usize) {
        self.begin();
        self.text(b"MQTT");
        let is_5 = settings.version == Version::V5;
        self.put(&[if is_5 { 5 } else { 4 }]);
        let login = if settings.login.is_some() { 0xc0 } else { 0 };
        // Clean start is never asked for: the broker keeps what comes while the device is away.
        self.put(&[login]);
        // Within 1 to 65,535 s: `Terms` sees to that.
        let keep_alive = settings.terms.keep_alive().as_secs();
        self.u16(u16::try_from(keep_alive).unwrap_or(u16::MAX));
        if is_5 {
            self.put(&[5 + 3 + 5, 0x11]);
            self.put(&settings.session_expiry_s.to_be_bytes());
            self.put(&[0x21]);
            self.u16(settings.receive_maximum);
            self.put(&[0x27]);
            self.put(
                &u32::try_from(packet_bytes)
                    .unwrap_or(u32::MAX)
                    .to_be_bytes(),
            );
        }
        self.text(name(&settings.device));
        if let Some((name, password)) = settings.login {
            self.text(name.as_bytes());
            self.text(password);
        }
        self.seal(0x10, 0);
    }

    pub(super) fn subscribe(&mut self, version: Version, id: u16, filter: &str) {
        self.begin();
        self.u16(id);
        if version == Version::V5 {
            self.put(&[0]);
        }
        self.text(filter.as_bytes());
        self.put(&[1]);
        self.seal(0x82, 0);
    }

    pub(super) fn publish(&mut self, version: Version, publish: &Publish<'_>) {
        self.begin();
        self.text(publish.topic.as_bytes());
        let acknowledged = publish.id != 0;
        if acknowledged {
            self.u16(publish.id);
        }
        match (version, publish.expiry_s) {
            (Version::V5, Some(seconds)) => {
                self.put(&[5, 0x02]);
                self.put(&seconds.to_be_bytes());
            }
            (Version::V5, None) => self.put(&[0]),
            (Version::V3, _) => {}
        }
        let flags = u8::from(acknowledged) << 1 | u8::from(acknowledged && publish.again) << 3;
        self.seal(0x30 | flags, publish.payload_bytes);
    }

    pub(super) fn acknowledge(&mut self, id: u16) {
        self.begin();
        self.u16(id);
        self.seal(0x40, 0);
    }

    pub(super) fn ping(&mut self) {
        self.begin();
        self.seal(0xc0, 0);
    }

    pub(super) fn goodbye(&mut self) {
        self.begin();
        self.seal(0xe0, 0);
    }

    const fn begin(&mut self) {
        (self.from, self.to) = (ROOM, ROOM);
    }

    /// Appends; `HEAD` is long enough for everything that is written here.
    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.to + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.to..end) {
            room.copy_from_slice(bytes);
            self.to = end;
        }
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn text(&mut self, bytes: &[u8]) {
        // Names, topics and logins are far below the limit of 65,535 bytes.
        self.u16(u16::try_from(bytes.len()).unwrap_or(0));
        self.put(bytes);
    }

    /// Puts the fixed header in front; `more` bytes follow that are not here.
    fn seal(&mut self, first: u8, more: usize) {
        let mut length = self.to - self.from + more;
        let (mut header, mut used) = ([first, 0, 0, 0, 0], 1);
        for byte in header.iter_mut().skip(1) {
            *byte = u8::try_from(length & 0x7f).unwrap_or(0);
            length >>= 7;
            used += 1;
            if length == 0 {
                break;
            }
            *byte |= 0x80;
        }
        self.from = ROOM - used;
        for (to, byte) in self.bytes.iter_mut().skip(self.from).zip(header).take(used) {
            *to = byte;
        }
    }
}

fn name(device: &DeviceId) -> &[u8] {
    device.as_str().as_bytes()
}
