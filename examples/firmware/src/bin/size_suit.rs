//! The whole SUIT processor without cryptography: a manifest decoded, verified and followed, with every condition
//! and directive there is. Its sequences lie as deep as the device follows, so that the stack is the worst.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{CLASS, COMPONENT, DEEP_MANIFEST, SEQUENCE, VENDOR};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey};
use iot_ota::process::{Capabilities, Component, Effect, Identity, Procedure, Process, Step};

/// Dependencies may be kept where the manifest does not say.
const COMPONENTS: &[Component<'static>] = &[Component::new(COMPONENT), Component::new(&[])];
const CAPABILITIES: Capabilities<'static> =
    Capabilities::new(Identity::new(VENDOR, CLASS), COMPONENTS);

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match size_of_image() {
        Some(bytes) => board.finish(Ok(&[("image", bytes)])),
        None => board.finish(Err("suit")),
    }
}

fn size_of_image() -> Option<usize> {
    let signed =
        SignedManifest::decode(opaque(DEEP_MANIFEST), Tagged::Required, Limits::default()).ok()?;
    let keys = SigningKey::new(Believer(DEEP_MANIFEST));
    let manifest = signed
        .verify(&keys, &mut Believer(DEEP_MANIFEST), opaque(SEQUENCE))
        .ok()?;
    let capabilities = opaque(&CAPABILITIES);
    let procedure = opaque(Procedure::Update);
    let mut process = Process::<32>::new(manifest, procedure, capabilities);
    // Where it was made: it is the most that this needs of the stack.
    let process = process.as_mut().ok()?;
    process.record_commands();
    let mut room = [0; 64];
    let mut size = None;
    loop {
        let step = process.step().ok()?;
        match opaque(&step) {
            Step::Finished => return size,
            Step::Dependency { .. } => process.dependency(Some(manifest)),
            Step::Perform {
                effect: Effect::Fetch(fetch),
                ..
            } => size = usize::try_from(fetch.size?).ok(),
            _ => {}
        }
        process.done(opaque(true));
        opaque(process.position()?.encode(&mut room)?);
    }
}
