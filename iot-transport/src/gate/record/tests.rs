use super::*;
use iot_core::Role;

fn enter<'r>(registry: &'r Registry, name: &str) -> Entered<'r> {
    let (tenant, device) = (TenantId::new("acme"), DeviceId::new(name));
    let who = Principal::new(tenant.unwrap(), device.unwrap(), Role::Device);
    let cuts = registry.cuts();
    registry.enter(who, Arc::from([]), cuts).unwrap()
}

#[test]
fn a_revocation_is_judged_without_the_lock() {
    let registry = Registry::default();
    let (one, other) = (enter(&registry, "d1"), enter(&registry, "d2"));
    let before = registry.cuts();
    let cut = registry.cut_judged(|who, _| {
        assert!(registry.live.try_lock().is_ok(), "asked under the lock");
        // Who was admitted before the cut and enters during it is admitted again.
        let late = registry.enter(*who, Arc::from([]), before);
        assert!(late.is_none());
        who.device.as_str() == "d1"
    });
    assert_eq!(cut, 1);
    assert_eq!((*one.end.borrow(), *other.end.borrow()), (true, false));
    assert_eq!(registry.cut_judged(|_, _| true), 1, "one was cut twice");
}
