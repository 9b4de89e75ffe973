//! How many instructions it takes to look up whether somebody is denied, among twenty thousand; `.ci/count` runs it.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::crypto::SignatureAlgorithm;
use iot_core::{DeviceId, TenantId};
use iot_firmware::board::opaque;
use iot_firmware::count::{self, ticks};
use iot_firmware::denied::{ENTRIES, VERSION, key_hash};
use iot_firmware::fixture::RELEASE_KEY;
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{CompactList, Denied};
use iot_identity::rustcrypto::{P256Verifier, Sha256};

static LIST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/deny-list.cbor"));

/// So many keys that are denied, and as many that are not; the slowest counts.
const ASKED: u32 = 200;

#[entry]
fn main() -> ! {
    count::start();
    let Some(list) = installed() else {
        count::finish(false, &[])
    };
    let (mut found, mut hit, mut miss) = (0, 0, 0);
    for number in 0..ASKED {
        let denied = KeyHash::new(key_hash(number * (ENTRIES / ASKED)));
        hit = hit.max(ticks(|| found += u32::from(asks(&list, &denied))));
        let other = KeyHash::new(key_hash(ENTRIES + number));
        miss = miss.max(ticks(|| found += u32::from(asks(&list, &other))));
    }
    let mut named = None;
    let device = ticks(|| named = asks_for_device(&list));
    let whole = list.len() == ENTRIES as usize && list.edition().version == u64::from(VERSION);
    let ok = whole && found == ASKED && named == Some(false);
    count::finish(ok, &[("hit", hit), ("miss", miss), ("device", device)])
}

/// Signature, version and order, in the bytes where they lie.
#[inline(never)]
fn installed() -> Option<CompactList<'static>> {
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, opaque(RELEASE_KEY))?;
    let issuer = P256Verifier::new(&key)?;
    CompactList::verify(opaque(LIST), &issuer, None, &mut Sha256::new()).ok()
}

#[inline(never)]
fn asks(list: &CompactList<'_>, key: &KeyHash) -> bool {
    opaque(list).denies_key(opaque(key))
}

/// A device is named by a hash, which is most of the work.
#[inline(never)]
fn asks_for_device(list: &CompactList<'_>) -> Option<bool> {
    let tenant = TenantId::new(opaque("acme")).ok()?;
    let device = DeviceId::new(opaque("boiler-7")).ok()?;
    let entry = Denied::Device(tenant, device);
    Some(opaque(list).denies(opaque(&entry), &mut Sha256::new()))
}
