//! Names of devices and tenants, channels and stages.

use iot_core::id::{MAX_NAME_BYTES, NameError, check_name};
use iot_core::lifecycle::Stage;
use iot_core::{Channel, DeviceId, Peer, TenantId};

/// What is accepted is kept to the letter and holds nothing that acts as a separator or a wildcard.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    match (DeviceId::new(text), check_name(text)) {
        (Ok(device), Ok(())) => name(text, device),
        (Err(NameError::Character { position }), Err(error)) => {
            assert_eq!(error, NameError::Character { position });
            // Everything in front of the offence is fine by itself.
            assert!(position == 0 || check_name(&text[..position]).is_ok());
        }
        (Err(error), Err(same)) => assert_eq!(error, same),
        (device, checked) => panic!("{device:?} but {checked:?}"),
    }
    if let Some((tenant, device)) = text.split_once('/') {
        let accepted = check_name(tenant).is_ok() && check_name(device).is_ok();
        match Peer::parse(tenant, device) {
            Ok(peer) => assert_eq!(
                (peer.tenant(), peer.device(), true),
                (tenant, device, accepted)
            ),
            Err(_) => assert!(!accepted),
        }
    }
    if let Some(channel) = Channel::from_name(text) {
        assert_eq!(channel.name(), text);
    }
    if let Some(stage) = Stage::from_name(text) {
        assert_eq!(stage.name(), text);
    }
}

fn name(text: &str, device: DeviceId) {
    assert!((1..=MAX_NAME_BYTES).contains(&text.len()));
    assert!(!text.contains(['/', '+', '#', '*', '$', ':', '\'', '"', ' ', '\0']));
    assert!(!text.starts_with('.'));
    assert_eq!(device.as_str(), text);
    assert_eq!(device.to_string().parse(), Ok(device));
    assert_eq!(
        TenantId::new(text).map(|tenant| tenant.to_string()),
        Ok(text.to_owned())
    );
}

/// Names, and what is none.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<String> = [
        "boiler-7",
        "a.b_c",
        "acme/boiler-7",
        "site/+",
        ".hidden",
        "x/#",
    ]
    .map(String::from)
    .into();
    seeds.push("x".repeat(MAX_NAME_BYTES));
    seeds.push("x".repeat(MAX_NAME_BYTES + 1));
    seeds.extend(Stage::ALL.map(|stage| stage.name().to_owned()));
    seeds.extend([Channel::Command, Channel::Telemetry].map(|channel| channel.name().to_owned()));
    seeds.into_iter().map(String::into_bytes).collect()
}

#[test]
fn the_seeds_hold_names_and_others_and_keep_the_claims() {
    let (names, others): (Vec<_>, Vec<_>) = seeds()
        .into_iter()
        .partition(|seed| DeviceId::new(core::str::from_utf8(seed).unwrap()).is_ok());
    assert!(names.len() >= 8 && others.len() >= 4);
    names.iter().chain(&others).for_each(|seed| run(seed));
}
