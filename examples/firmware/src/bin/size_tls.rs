//! Mutual TLS 1.3, whole: the handshake, the server's chain and signature by every rule, the client's own signature.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::Timestamp;
use iot_core::time::TimeBounds;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{
    CHAIN_FROM, CHAIN_TO, DEVICE_LEAF, FROM_DEVICE, FROM_SERVER, GREETING, ROOT, SERVER, Seed,
};
use iot_firmware::replay::Replay;
use iot_identity::cert::path::{Algorithms, Anchor, PathError, PathPolicy, Purpose};
use iot_identity::embedded_tls::{Client, ConnectError, connect};
use iot_identity::rustcrypto::{ECDSA_P256_SHA256, P256Key};

static P256: Algorithms = &[ECDSA_P256_SHA256];

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let at = |seconds| opaque(TimeBounds::exact(Timestamp::from_secs(seconds)));
    let greeted = greeted(at(CHAIN_FROM));
    let late = greeted_late(at(CHAIN_TO + 1));
    match greeted {
        Some(Ok(bytes)) if late => board.finish(Ok(&[("greeting", bytes)])),
        _ => board.finish(Err("tls")),
    }
}

fn greeted_late(wall: TimeBounds) -> bool {
    let expired = PathError::Expired;
    matches!(greeted(wall), Some(Err(ConnectError::Server(error))) if error == expired)
}

/// How long the server's greeting is, when it is the one that it sent.
#[inline(never)]
fn greeted(wall: TimeBounds) -> Option<Result<usize, ConnectError>> {
    let key = P256Key::generate(&mut opaque(Seed)).ok()?;
    let anchors = [Anchor::of(opaque(ROOT)).ok()?];
    let purpose = Purpose::Server(opaque(SERVER).try_into().ok()?);
    let policy = PathPolicy::with(opaque(P256), wall, purpose);
    let own = opaque(DEVICE_LEAF);
    let client = Client::<_, _, 1>::new(&key, own, &policy, &anchors, &mut Seed).ok()?;
    let (mut read, mut write) = ([0; 2_048], [0; 1_024]);
    let link = Replay {
        server: opaque(FROM_SERVER),
        client: opaque(FROM_DEVICE),
    };
    let mut tls = match connect(link, &mut read, &mut write, client) {
        Ok(tls) => tls,
        Err(error) => return Some(Err(error)),
    };
    let mut greeting = [0; 16];
    let len = tls.read(&mut greeting).ok()?;
    (greeting.get(..len)? == GREETING).then_some(Ok(len))
}
