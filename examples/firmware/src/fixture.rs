//! What the service of this device made: its release key, a signed manifest, and messages.
//!
//! The files are written, and proved current, by `examples/tests/firmware_fixture.rs`, which includes this
//! module to share the names of things.

use iot_core::entropy::{Entropy, EntropyError};
use iot_ota::manifest::Device;
use iot_twin::Twin;

/// The device's maker, as a UUID (RFC 9562).
pub const VENDOR: [u8; 16] = *b"fixture-vendor--";
/// The kind of device.
pub const CLASS: [u8; 16] = *b"fixture-class---";
/// The component that holds the firmware.
pub const COMPONENT: &[&[u8]] = &[b"firmware"];
/// The device that the manifest is for.
pub const DEVICE: Device<'static> = Device::new(VENDOR, CLASS, COMPONENT);
/// The number of the release that the manifest announces.
pub const SEQUENCE: u64 = 7;
/// The size of its image in bytes.
pub const IMAGE_BYTES: u32 = 4_096;
/// The size in bytes of an image that takes three pages of [`cut::PAGE`](crate::cut::PAGE), so that each operation of its
/// update can be cut.
pub const SMALL_IMAGE_BYTES: u32 = 1_536;
/// Where its image is.
pub const URI: &str = "iot:firmware";
/// Who issues the commands.
pub const ISSUER: u32 = 1;

/// The public key of the releases, an uncompressed point on P-256.
pub static RELEASE_KEY: &[u8] = include_bytes!("../fixture/release-key.bin");
/// The signed manifest of release [`SEQUENCE`].
pub static MANIFEST: &[u8] = include_bytes!("../fixture/manifest.suit");
/// A signed manifest of release [`SEQUENCE`] whose image has only [`SMALL_IMAGE_BYTES`].
pub static SMALL_MANIFEST: &[u8] = include_bytes!("../fixture/small.suit");
/// A signed manifest of release [`SEQUENCE`] whose sequences lie within each other as deep as devices follow.
pub static DEEP_MANIFEST: &[u8] = include_bytes!("../fixture/deep.suit");
/// A signature of [`SIGNED`] under the release key.
pub static SIGNATURE: &[u8] = include_bytes!("../fixture/signature.bin");
/// What was signed.
pub static SIGNED: &[u8] = b"a message of the usual length, signed to measure the curve alone";
/// A request to open the valve.
pub static SET_VALVE: &[u8] = include_bytes!("../fixture/set-valve.cbor");

/// The service desires a setpoint of [`SETPOINT`] for a device it has not met yet.
pub static DESIRED: &[u8] = include_bytes!("../fixture/desired.cbor");
/// In degrees Celsius.
pub const SETPOINT: f32 = 21.0;

/// Who the device is.
pub const NAME: &str = "boiler-7";
/// The certification request of [`NAME`] under the key that [`Seed`] makes.
pub static REQUEST: &[u8] = include_bytes!("../fixture/request.csr");

/// The server that the device asks for.
pub const SERVER: &str = "mqtt.example.com";
/// The first second of its chain, in seconds of POSIX time: 2027-01-15T08:00:00Z.
pub const CHAIN_FROM: u64 = 1_800_000_000;
/// The last second of its chain.
pub const CHAIN_TO: u64 = CHAIN_FROM + 86_400;
/// The certificate of the anchor.
pub static ROOT: &[u8] = include_bytes!("../fixture/root.der");
/// The certificate of the authority below it.
pub static MIDDLE: &[u8] = include_bytes!("../fixture/middle.der");
/// The certificate of [`SERVER`].
pub static SERVER_LEAF: &[u8] = include_bytes!("../fixture/server.der");

/// The certificate of [`NAME`], whose key [`Seed`] makes.
pub static DEVICE_LEAF: &[u8] = include_bytes!("../fixture/device.der");
/// What [`SERVER`] sent to [`NAME`], seeded by [`Seed`], in a handshake and after it.
pub static FROM_SERVER: &[u8] = include_bytes!("../fixture/from-server.bin");
/// What [`NAME`] sent, before [`SERVER`] greeted it.
pub static FROM_DEVICE: &[u8] = include_bytes!("../fixture/from-device.bin");
/// What it sent after it, inside the connection.
pub const GREETING: &[u8] = b"good morning";

/// In place of a chip's random generator: the same key for everybody, which is no secret.
#[derive(Clone, Copy, Debug)]
pub struct Seed;

impl Entropy for Seed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        out.fill(7);
        Ok(())
    }
}

/// A byte of the release's image.
#[must_use]
pub fn image_byte(offset: u32) -> u8 {
    offset.wrapping_mul(167).wrapping_add(offset >> 8) as u8
}

/// The device's twin.
#[derive(Clone, Copy, Debug, PartialEq, Twin)]
pub struct Room {
    /// How warm it should be.
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    pub setpoint: f32,
    /// How warm it is.
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    pub temperature: f32,
}

iot_core::commands! {
    /// What the device does when it is told to.
    pub enum Job {
        /// Opens or closes the valve.
        #[idempotent]
        SetValve {
            /// Whether to open it.
            open: bool,
        },
        /// Lets one person in.
        #[opaque]
        Unlock,
    }
}
