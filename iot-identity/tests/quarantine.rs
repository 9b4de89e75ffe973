//! A device that was revoked, and comes back under quarantine.
#![cfg(feature = "cert")]
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use core::time::Duration;

use iot_core::authz::{Action, Authorizer, Direction, OwnLane};
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::time::TimeBounds;
use iot_core::{Channel, DeviceId, Peer, Principal, Role, TenantId, Timestamp};
use iot_identity::cert::{AdmitError, Authority, Trust, TrustAnchors, Validity, csr};
use iot_identity::enrol::{Approval, Confined, Enrolled, Hold, Refusal, Registrar, Terms};
use iot_identity::revocation::{Denied, Revocations};
use iot_identity::ring::{SoftwareKey, SystemEntropy};

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const WALL: TimeBounds = TimeBounds::exact(START);

struct Desk {
    registrar: Registrar<SoftwareKey>,
    revocations: Revocations,
    trust: Trust,
    who: Principal,
}

impl Desk {
    fn new(approval: Approval) -> Self {
        let (tenant, device) = (
            TenantId::new("acme").unwrap(),
            DeviceId::new("boiler-7").unwrap(),
        );
        let years = Validity::lasting(START, Duration::from_secs(315_360_000));
        let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
        let authority = Authority::root(key, "Acme", years, &mut SystemEntropy::new()).unwrap();
        let mut anchors = TrustAnchors::new();
        anchors
            .add(authority.certificate(), tenant, Role::Device)
            .unwrap();
        let revocations = Revocations::default();
        let terms = Terms::default().approval(approval);
        Self {
            registrar: Registrar::new(authority, tenant, terms, revocations.clone()),
            trust: Trust::new(anchors, revocations.clone()),
            revocations,
            who: Principal::new(tenant, device, Role::Newcomer),
        }
    }

    fn ask(&mut self, key: &SoftwareKey) -> Result<Enrolled, Refusal> {
        let mut buffer = [0; csr::MAX_CSR_BYTES];
        let csr = csr::write(&self.who.device, key, &mut buffer).unwrap();
        self.registrar
            .enrol(&self.who, csr, WALL, &mut SystemEntropy::new())
    }

    fn admits(&self, enrolled: &Enrolled) -> Result<Principal, AdmitError> {
        self.trust
            .principal(&[enrolled.certificate().clone()], WALL)
    }

    fn waits_for(&self) -> Option<Hold> {
        let quarantine = self.registrar.quarantine();
        quarantine.waits_for(&self.who.tenant, &self.who.device)
    }
}

fn new_key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

#[test]
fn a_readmitted_device_gets_nothing_before_it_is_approved_and_its_old_certificate_never_counts_again()
 {
    let mut desk = Desk::new(Approval::Readmitted);
    let (old_key, fresh_key) = (new_key(), new_key());
    let old = desk.ask(&old_key).unwrap();
    assert!(desk.admits(&old).is_ok());
    let (tenant, device) = (desk.who.tenant, desk.who.device);
    desk.revocations.deny(Denied::Device(tenant, device));
    assert_eq!(desk.ask(&fresh_key), Err(Refusal::Revoked));
    assert_eq!(desk.waits_for(), None);

    assert_eq!(desk.registrar.readmit(&device).len(), 1);
    assert!(desk.revocations.withdraw(&Denied::Device(tenant, device)));
    assert_eq!(desk.admits(&old), Err(AdmitError::Revoked));
    assert_eq!(desk.waits_for(), Some(Hold::Approval));
    assert_eq!(desk.ask(&fresh_key), Err(Refusal::Later));
    assert_eq!(desk.ask(&old_key), Err(Refusal::Revoked));

    assert!(desk.registrar.quarantine().approve(&tenant, &device));
    let fresh = desk.ask(&fresh_key).unwrap();
    assert!(matches!(fresh, Enrolled::Issued(_)));
    assert!(desk.admits(&fresh).is_ok());
    assert_eq!(desk.waits_for(), Some(Hold::Release));
    assert_eq!(desk.ask(&old_key), Err(Refusal::Revoked));
    assert_eq!(
        desk.ask(&fresh_key).unwrap().certificate(),
        fresh.certificate()
    );
    assert!(desk.registrar.quarantine().release(&tenant, &device));
    assert_eq!(desk.waits_for(), None);
    assert_eq!(desk.admits(&old), Err(AdmitError::Revoked));
}

#[test]
fn the_terms_say_who_waits() {
    for (approval, newcomer, readmitted) in [
        (Approval::Nobody, None, None),
        (Approval::Readmitted, None, Some(Hold::Approval)),
        (
            Approval::Everybody,
            Some(Hold::Approval),
            Some(Hold::Approval),
        ),
    ] {
        let mut desk = Desk::new(approval);
        let (tenant, device) = (desk.who.tenant, desk.who.device);
        let first = desk.ask(&new_key());
        assert_eq!(first.is_ok(), newcomer.is_none(), "{approval:?}");
        assert_eq!(desk.waits_for(), newcomer, "{approval:?}");
        let quarantine = desk.registrar.quarantine().clone();
        assert_eq!(quarantine.approve(&tenant, &device), newcomer.is_some());
        desk.ask(&new_key()).unwrap();
        assert_eq!(quarantine.release(&tenant, &device), newcomer.is_some());
        // Whoever has a certificate is no newcomer: it renews without anybody.
        desk.ask(&new_key()).unwrap();
        assert_eq!(desk.waits_for(), None, "{approval:?}");
        desk.revocations.deny(Denied::Device(tenant, device));
        desk.registrar.readmit(&device);
        assert_eq!(desk.waits_for(), readmitted, "{approval:?}");
    }
}

#[test]
fn a_quarantine_is_restored_as_it_was_stored() {
    let desk = Desk::new(Approval::Nobody);
    let (tenant, quarantine) = (desk.who.tenant, desk.registrar.quarantine());
    let [a, b] = ["a", "b"].map(|name| DeviceId::new(name).unwrap());
    quarantine.hold(&tenant, &a);
    quarantine.hold(&tenant, &b);
    quarantine.approve(&tenant, &b);
    let restored = iot_identity::enrol::Quarantine::default();
    restored.restore(quarantine.entries());
    assert_eq!(
        restored.entries(),
        [(tenant, a, Hold::Approval), (tenant, b, Hold::Release)]
    );
}

#[test]
fn a_confined_device_speaks_of_its_repair_alone_and_is_given_no_command() {
    let desk = Desk::new(Approval::Nobody);
    let (tenant, device) = (desk.who.tenant, desk.who.device);
    let quarantine = desk.registrar.quarantine().clone();
    let rule = Confined::new(OwnLane, quarantine.clone());
    let who = Principal::new(tenant, device, Role::Device);
    let service = Principal::new(tenant, DeviceId::new("hq").unwrap(), Role::Service);
    let peer = Peer::new(&tenant, &device);
    let says = |who: &Principal, channel, direction| {
        let what = Action::Publish {
            peer,
            channel,
            direction,
        };
        rule.decide(who, &what).is_allowed()
    };
    let up = || Channel::ALL.map(|channel| says(&who, channel, Direction::Up));
    let command = || {
        rule.decide(&service, &Action::Command { peer })
            .is_allowed()
    };
    assert_eq!((up(), command()), ([true; 6], true));
    let steps: [&dyn Fn() -> bool; 2] = [&|| true, &|| quarantine.approve(&tenant, &device)];
    for step in steps {
        quarantine.hold(&tenant, &device);
        assert!(step());
        let repairs =
            Channel::ALL.map(|channel| !matches!(channel, Channel::Command | Channel::Telemetry));
        assert_eq!((up(), command()), (repairs, false));
        // Nobody else is confined, and the service's own messages still go down.
        assert!(says(&service, Channel::Command, Direction::Down));
        let stranger = DeviceId::new("boiler-8").unwrap();
        let other = Peer::new(&tenant, &stranger);
        assert!(
            rule.decide(&service, &Action::Command { peer: other })
                .is_allowed()
        );
    }
    assert!(quarantine.release(&tenant, &device));
    assert_eq!((up(), command()), ([true; 6], true));
}
