//! A server's chain, from its leaf over an intermediate to an anchor: judged by every rule, with the curve.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::Timestamp;
use iot_core::time::TimeBounds;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{CHAIN_FROM, CHAIN_TO, MIDDLE, ROOT, SERVER, SERVER_LEAF};
use iot_identity::cert::path::{Algorithms, Anchor, PathError, PathPolicy, Purpose};
use iot_identity::rustcrypto::ECDSA_P256_SHA256;

static P256: Algorithms = &[ECDSA_P256_SHA256];

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let at = |seconds| TimeBounds::exact(Timestamp::from_secs(seconds));
    let since = |seconds| TimeBounds::at_least(Timestamp::from_secs(seconds));
    for (wall, name, expected) in [
        (at(CHAIN_FROM), SERVER, Ok(2)),
        (at(CHAIN_TO), SERVER, Ok(2)),
        (
            at(CHAIN_TO),
            "other.example.com",
            Err(PathError::ServerName),
        ),
        (since(CHAIN_TO + 1), SERVER, Err(PathError::Expired)),
        (at(CHAIN_FROM - 1), SERVER, Err(PathError::NotYetValid)),
        (since(CHAIN_FROM), SERVER, Err(PathError::TimeUncertain)),
        (TimeBounds::UNKNOWN, SERVER, Err(PathError::TimeUncertain)),
    ] {
        if judge(opaque(wall), opaque(name)) != expected {
            board.finish(Err("chain"));
        }
    }
    board.finish(Ok(&[("chains", 7)]))
}

fn judge(wall: TimeBounds, name: &str) -> Result<usize, PathError> {
    let anchors = [Anchor::of(opaque(ROOT)).map_err(PathError::Authority)?];
    let name = name.try_into().map_err(|_| PathError::ServerName)?;
    let policy = PathPolicy::with(opaque(P256), wall, Purpose::Server(name));
    let path = policy.verify_few::<2, _>(opaque(SERVER_LEAF), &[opaque(MIDDLE)], &anchors)?;
    Ok(path.certificates().len())
}
