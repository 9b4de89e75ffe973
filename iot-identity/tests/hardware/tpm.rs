//! TPM 2.0, as swtpm speaks it.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId,
};
use iot_identity::conformance::{Subject, Work, run, together};
use iot_identity::key::{PublicKey, Secret};
use iot_identity::tpm::{Config, Fault, Link, LinkError, OpenError, Socket, TpmKeys};

use crate::swtpm::Swtpm;
use crate::{assert_passed, sign_from_threads};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const SLOT: SlotId = SlotId::new(0);
const HANDLE: u32 = 0x8130_0000;

fn code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

/// A command from its code and body; with a password's session when there are handles to authorise.
fn command(code: u32, handles: &[u32], auth: bool, body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    handles
        .iter()
        .for_each(|handle| all.extend(handle.to_be_bytes()));
    if auth {
        all.extend([0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    }
    all.extend(body);
    let size = u32::try_from(all.len() + 10).unwrap();
    let tag: [u8; 2] = if auth { [0x80, 2] } else { [0x80, 1] };
    [&tag[..], &size.to_be_bytes(), &code.to_be_bytes(), &all].concat()
}

/// `TPM2_CreatePrimary` of a P-256 key with these attributes; the handle is in the response.
fn create_primary(attributes: u32) -> Vec<u8> {
    let mut public = vec![0, 0x23, 0, 0x0b];
    public.extend(attributes.to_be_bytes());
    public.extend([0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10, 0, 0, 0, 0]);
    let mut body = vec![0, 4, 0, 0, 0, 0, 0, u8::try_from(public.len()).unwrap()];
    body.extend(public);
    body.extend([0, 0, 0, 0, 0, 0]);
    command(0x131, &[0x4000_0001], true, &body)
}

/// Leaves a transient object behind, as a process that crashed does.
fn litter(tpm: &Swtpm) -> u32 {
    let response = tpm.raw(&create_primary(0x0004_0072));
    let (said, handle) = (code(&response), response.get(10..14));
    assert_eq!(said, 0, "{response:02x?}");
    u32::from_be_bytes(handle.unwrap().try_into().unwrap())
}

fn transient(tpm: &Swtpm) -> usize {
    let ask = command(0x17a, &[], false, &[0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 64]);
    let response = tpm.raw(&ask);
    (response.len() - 19) / 4
}

/// One connection that several stores use, a command each in turn, as the kernel does it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Socket>>);

impl Shared {
    fn new(address: SocketAddr) -> Self {
        Self(Arc::new(Mutex::new(Socket::new(address))))
    }
}

impl Link for Shared {
    fn transact(
        &mut self,
        command: &[u8],
        out: &mut [u8],
        patience: Duration,
    ) -> Result<usize, LinkError> {
        self.0.lock().unwrap().transact(command, out, patience)
    }
}

/// Each store is on an emulator of its own, for keys for life stay.
struct Emulators(Option<Swtpm>);

impl Subject for Emulators {
    type Store = TpmKeys;

    fn open(&mut self) -> TpmKeys {
        let tpm = Swtpm::start();
        let keys = tpm.keys(Config::new());
        self.0 = Some(tpm);
        keys
    }

    fn reopen(&mut self, store: TpmKeys) -> TpmKeys {
        drop(store);
        let tpm = self.0.take().unwrap().power_cycle();
        let keys = tpm.keys(Config::new());
        self.0 = Some(tpm);
        keys
    }

    fn together(&self, store: &TpmKeys, threads: usize, work: Work<'_, TpmKeys>) {
        together(store, threads, work);
    }

    fn algorithms(&self) -> &[SignatureAlgorithm] {
        &[P256]
    }

    fn signatures(&self) -> usize {
        400
    }
}

#[test]
#[ignore = "needs swtpm"]
fn the_tpm_passes_the_suite() {
    assert_passed(&run(&mut Emulators(None)), &[]);
}

#[test]
#[ignore = "needs swtpm"]
fn many_threads_sign_without_a_slot_error() {
    let tpm = Swtpm::start();
    let keys = tpm.keys(Config::new());
    let slots = [0, 1, 2, 3].map(SlotId::new);
    for slot in slots {
        keys.generate(slot, P256, KeyPolicy::Sign).unwrap();
    }
    sign_from_threads("tpm", &keys, &slots);
    assert_eq!(keys.fault(), None);
    drop(keys);
    assert_eq!(transient(&tpm), 0);
}

#[test]
#[ignore = "needs swtpm"]
fn a_key_cannot_leave_the_tpm() {
    let tpm = Swtpm::start();
    let keys = tpm.keys(Config::new());
    keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    drop(keys);
    // TPM2_ReadPublic: fixedTPM, fixedParent, sensitiveDataOrigin and userWithAuth, no encryptedDuplication.
    let read = tpm.raw(&command(0x173, &[HANDLE], false, &[]));
    let attributes = u32::from_be_bytes(read[16..20].try_into().unwrap());
    assert_eq!(attributes, 0x0004_0472);
    // TPM2_Duplicate to nobody: it needs a policy that the key has not.
    let body = [0, 0, 0, 0x10];
    let both = [HANDLE, 0x4000_0007];
    let duplicated = tpm.raw(&command(0x14b, &both, true, &body));
    assert_ne!(code(&duplicated), 0);
    assert_eq!(duplicated.len(), 10);
}

#[test]
#[ignore = "needs swtpm"]
fn a_key_of_other_attributes_is_refused() {
    let tpm = Swtpm::start();
    // Not fixed to this TPM, and made persistent where the store looks.
    let response = tpm.raw(&create_primary(0x0004_0060));
    assert_eq!(code(&response), 0);
    let object = u32::from_be_bytes(response[10..14].try_into().unwrap());
    let body = HANDLE.to_be_bytes();
    let kept = tpm.raw(&command(0x120, &[0x4000_0001, object], true, &body));
    assert_eq!(code(&kept), 0);
    let opened = TpmKeys::open(Socket::new(tpm.address), Config::new()).map(|_| ());
    assert_eq!(opened, Err(OpenError::Foreign { slot: SLOT }));
    // Elsewhere there is room.
    let keys = tpm.keys(Config::new().base(0x8140_0000).sole_user());
    keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
}

#[test]
#[ignore = "needs swtpm"]
fn what_others_left_in_the_transient_slots_is_waited_for_or_flushed() {
    let tpm = Swtpm::start();
    let left: Vec<u32> = (0..3).map(|_| litter(&tpm)).collect();
    assert_eq!(transient(&tpm), 3);
    // Not ours to flush: a typed error, in time.
    let hasty = || Config::new().patience(Duration::from_secs(1));
    let keys = tpm.keys(hasty());
    assert_eq!(
        keys.generate(SLOT, P256, KeyPolicy::Sign),
        Err(KeyError::Device)
    );
    assert_eq!(keys.fault(), Some(Fault::Memory));
    drop(keys);
    assert_eq!(transient(&tpm), 3, "{left:x?}");
    let keys = tpm.keys(Config::new().sole_user());
    keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    drop(keys);
    assert_eq!(transient(&tpm), 0);
    // With a key in a slot, the TPM cannot even be looked at.
    for _ in 0..3 {
        litter(&tpm);
    }
    let opened = TpmKeys::open(Socket::new(tpm.address), hasty()).map(|_| ());
    assert_eq!(opened, Err(OpenError::Fault(Fault::Memory)));
    let more = SlotId::new(1);
    // Ours alone: flushed, and everything works again.
    let keys = tpm.keys(Config::new().sole_user());
    keys.generate(more, P256, KeyPolicy::Sign).unwrap();
    for slot in [SLOT, more] {
        let signer = keys.signer(slot).unwrap();
        signer.sign(&[b"x"], &mut Signature::empty()).unwrap();
    }
    drop(keys);
    assert_eq!(transient(&tpm), 0);
}

#[test]
#[ignore = "needs swtpm"]
fn a_tpm_whose_power_was_cut_is_found_again() {
    let tpm = Swtpm::start();
    let keys = tpm.keys(Config::new());
    keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    let public = PublicKey::of(&keys.signer(SLOT).unwrap()).unwrap();
    drop(keys);
    let mut tpm = tpm.power_cycle();
    let keys = tpm.keys(Config::new().patience(Duration::from_secs(2)));
    let lent = keys.signer(SLOT).unwrap();
    assert_eq!(PublicKey::of(&lent), Ok(public));
    tpm.stop();
    let mut out = Signature::empty();
    assert_eq!(lent.sign(&[b"x"], &mut out), Err(KeyError::Device));
    assert_eq!(keys.fault(), Some(Fault::Link));
}

#[test]
#[ignore = "needs swtpm"]
fn another_process_that_replaces_a_key_disarms_the_signers_of_this_one() {
    let tpm = Swtpm::start();
    // The emulator serves one connection at a time, so both speak through one, in turn.
    let link = Shared::new(tpm.address);
    let open = || TpmKeys::open(link.clone(), Config::new()).unwrap();
    let (ours, theirs) = (open(), open());
    ours.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    let lent = ours.signer(SLOT).unwrap();
    let mut out = Signature::empty();
    lent.sign(&[b"x"], &mut out).unwrap();
    assert_eq!(
        theirs.generate(SLOT, P256, KeyPolicy::Sign),
        Err(KeyError::Occupied)
    );
    theirs.destroy(SLOT).unwrap();
    assert_eq!(lent.sign(&[b"x"], &mut out), Err(KeyError::Absent));
    theirs.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    assert_eq!(lent.sign(&[b"x"], &mut out), Err(KeyError::Absent));
}

#[test]
#[ignore = "needs swtpm"]
fn of_two_processes_that_fill_one_slot_at_once_one_succeeds() {
    let tpm = Swtpm::start();
    let link = Shared::new(tpm.address);
    let stores: Vec<TpmKeys> = (0..3)
        .map(|_| TpmKeys::open(link.clone(), Config::new()).unwrap())
        .collect();
    for _ in 0..4 {
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = stores
                .iter()
                .map(|keys| scope.spawn(|| keys.generate(SLOT, P256, KeyPolicy::Sign)))
                .collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
            outcomes
                .map(|outcome| match outcome {
                    Ok(()) => 1,
                    Err(KeyError::Occupied) => 0,
                    Err(error) => panic!("{error}"),
                })
                .sum()
        });
        assert_eq!(made, 1);
        stores[0].destroy(SLOT).unwrap();
    }
    drop((stores, link));
    assert_eq!(transient(&tpm), 0);
}

#[test]
#[ignore = "needs swtpm"]
fn an_owner_with_a_password_is_obeyed() {
    let tpm = Swtpm::start();
    // TPM2_HierarchyChangeAuth of the owner.
    let changed = tpm.raw(&command(0x129, &[0x4000_0001], true, b"\0\x02pw"));
    assert_eq!(code(&changed), 0);
    let keys = tpm.keys(Config::new());
    let refused = keys.generate(SLOT, P256, KeyPolicy::Sign);
    assert_eq!(refused, Err(KeyError::Device));
    assert_eq!(keys.fault(), Some(Fault::Owner));
    drop(keys);
    let keys = tpm.keys(Config::new().owner(Secret::new("pw")));
    keys.generate(SLOT, P256, KeyPolicy::Sign).unwrap();
    keys.destroy(SLOT).unwrap();
}

#[test]
fn slots_outside_of_the_owners_handles_are_refused() {
    let nowhere = Socket::new(([127, 0, 0, 1], 1).into());
    let opened = TpmKeys::open(nowhere, Config::new().base(0x817f_fff8)).map(|_| ());
    assert_eq!(opened, Err(OpenError::Handles));
}
