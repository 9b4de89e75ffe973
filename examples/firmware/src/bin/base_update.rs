//! A manifest verified, and followed by the processor, without cryptography: what every updater has at least.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{CLASS, COMPONENT, MANIFEST, SEQUENCE, VENDOR};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey};
use iot_ota::process::{Capabilities, Component, Effect, Identity, Procedure, Process, Step};
use iot_ota::update::ToDevice;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match size_of_image() {
        Some(bytes) => board.finish(Ok(&[("image", bytes)])),
        None => board.finish(Err("process")),
    }
}

fn size_of_image() -> Option<usize> {
    let envelope = opaque(MANIFEST);
    let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
    let keys = SigningKey::new(Believer(MANIFEST));
    let current = opaque(SEQUENCE) - 1;
    let manifest = signed
        .verify(&keys, &mut Believer(MANIFEST), current)
        .ok()?;
    let own = [Component::new(COMPONENT)];
    let capabilities = Capabilities::new(Identity::new(VENDOR, CLASS), &own);
    let mut process =
        Process::<32>::new(manifest, opaque(Procedure::Update), opaque(&capabilities));
    let process = process.as_mut().ok()?;
    let mut size = None;
    loop {
        match opaque(process.step().ok()?) {
            Step::Finished => break,
            Step::Perform {
                effect: Effect::Fetch(fetch),
                ..
            } => size = fetch.size,
            _ => {}
        }
        process.done(opaque(true));
    }
    // What the image of the engine does in its service's place.
    let (mut room, image) = ([0; 1_100], [opaque(0); 1_024]);
    for message in [
        ToDevice::Offer { envelope },
        ToDevice::Block {
            sequence: SEQUENCE,
            offset: opaque(0),
            bytes: opaque(&image),
        },
    ] {
        opaque(message.encode(&mut room).ok()?);
    }
    usize::try_from(size?).ok()
}
