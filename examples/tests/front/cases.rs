//! The intruders.

use alloc::sync::Arc;
use core::time::Duration;
use std::time::Instant;

use iot_core::TenantId;
use iot_identity::revocation::Denied;
use iot_transport::gate::Stage;
use tokio_rustls::rustls::ClientConfig;

use super::mqtt::{Raw, connect, connect_with_will, publish, subscribe};
use super::world::{World, name, tenant, up};

const CONNACK: u8 = 2;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const PINGREQ: [u8; 2] = [0xc0, 0];
const PINGRESP: u8 = 13;

/// Opens a connection, says everything at once, and hears what comes until the end.
async fn intrude(port: u16, config: &Arc<ClientConfig>, packets: &[Vec<u8>]) -> Vec<u8> {
    match Raw::open(port, config).await {
        Ok(mut intruder) => {
            intruder.say(&packets.concat()).await;
            intruder.until_the_end().await
        }
        Err(_) => Vec::new(),
    }
}

/// Plays one intruder who must be refused at `stage` and be told no more than `told`.
async fn refused(
    world: &World,
    config: Arc<ClientConfig>,
    packets: &[Vec<u8>],
    stage: Stage,
    told: &[u8],
) {
    let front = world.front().await;
    let mut watcher = world.watch(&front).await;
    let heard = intrude(front.port, &config, packets).await;
    assert!(told.starts_with(&heard), "the intruder was told {heard:?}");
    assert_eq!(front.refused_at().await, stage);
    world.hears_only_the_honest(&front, &mut watcher).await;
}

fn ordinary(device: &str) -> [Vec<u8>; 2] {
    [connect(device), publish(&up(device), "evil")]
}

pub(crate) async fn without_a_certificate_refused_in_the_handshake(world: &World) {
    let packets = ordinary("victim");
    refused(world, world.nobody(), &packets, Stage::Handshake, &[]).await;
}

pub(crate) async fn with_an_expired_certificate_refused_in_the_handshake(world: &World) {
    let (config, packets) = (world.expired("late"), ordinary("late"));
    refused(world, config, &packets, Stage::Handshake, &[]).await;
}

pub(crate) async fn of_another_authority_refused_in_the_handshake(world: &World) {
    let (config, packets) = (world.stranger("victim"), ordinary("victim"));
    refused(world, config, &packets, Stage::Handshake, &[]).await;
}

pub(crate) async fn revoked_refused_in_the_handshake(world: &World) {
    let (config, packets) = (world.device("thief"), ordinary("thief"));
    world
        .revocations
        .deny(Denied::Device(tenant(), name("thief")));
    refused(world, config, &packets, Stage::Handshake, &[]).await;
}

pub(crate) async fn revoked_and_resuming_refused_after_accept(world: &World) {
    let front = world.resuming_front().await;
    let mut watcher = world.watch(&front).await;
    let config = world.device("thief");
    let mut first = Raw::open(front.port, &config).await.unwrap();
    first.say(&ordinary("thief").concat()).await;
    first.expect(PUBACK).await;
    // Before it is revoked the same bytes are delivered: the refusal below is not for another reason.
    assert_eq!(watcher.message().await, (up("thief"), "evil".to_owned()));

    world
        .revocations
        .deny(Denied::Device(tenant(), name("thief")));
    first.until_the_end().await;
    let mut again = Raw::open(front.port, &config).await.unwrap();
    assert!(
        again.resumed(),
        "the session was not resumed: nothing is proved"
    );
    again.say(&ordinary("thief").concat()).await;
    assert!(again.until_the_end().await.is_empty());
    assert_eq!(front.refused_at().await, Stage::Admit);
    assert_eq!(front.gate.stats().resumed, 1);
    world.hears_only_the_honest(&front, &mut watcher).await;
}

pub(crate) async fn under_anothers_client_id_refused_at_connect(world: &World) {
    let packets = [connect("victim"), publish(&up("thief"), "evil")];
    let config = world.device("thief");
    refused(world, config, &packets, Stage::Connect, &[CONNACK]).await;
}

pub(crate) async fn with_a_will_for_another_refused_at_connect(world: &World) {
    let packets = [connect_with_will("thief", &up("victim"))];
    let config = world.device("thief");
    refused(world, config, &packets, Stage::Connect, &[CONNACK]).await;
}

pub(crate) async fn publishing_for_another_refused_at_publish(world: &World) {
    let packets = [connect("thief"), publish(&up("victim"), "evil")];
    let config = world.device("thief");
    refused(world, config, &packets, Stage::Publish, &[CONNACK]).await;
}

pub(crate) async fn publishing_in_another_tenant_refused_at_publish(world: &World) {
    let topic = "iot/1/rival/thief/telemetry/up";
    let packets = [connect("thief"), publish(topic, "evil")];
    let config = world.device("thief");
    refused(world, config, &packets, Stage::Publish, &[CONNACK]).await;
}

pub(crate) async fn listening_to_another_refused_at_subscribe(world: &World) {
    for filter in [
        "iot/1/acme/victim/command/down",
        "iot/1/acme/+/command/down",
        "#",
    ] {
        let packets = [connect("thief"), subscribe(filter)];
        let config = world.device("thief");
        refused(world, config, &packets, Stage::Subscribe, &[CONNACK]).await;
    }
    // To its own it may, or the refusals above would prove nothing.
    let front = world.front().await;
    let mut own = Raw::open(front.port, &world.device("thief")).await.unwrap();
    own.say(&connect("thief")).await;
    own.say(&subscribe("iot/1/acme/thief/command/down")).await;
    own.expect(SUBACK).await;
}

pub(crate) async fn a_newcomer_may_only_enrol(world: &World) {
    let (config, packets) = (world.newcomer("fresh"), ordinary("fresh"));
    refused(world, config.clone(), &packets, Stage::Publish, &[CONNACK]).await;
    let front = world.front().await;
    let mut newcomer = Raw::open(front.port, &config).await.unwrap();
    newcomer.say(&connect("fresh")).await;
    newcomer
        .say(&publish("iot/1/acme/fresh/enrol/up", "please"))
        .await;
    newcomer.expect(PUBACK).await;
}

/// The claim: a revoked device's live session ends within this long of the decision.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// For every way to decide it, with as many sessions of others open meanwhile.
pub(crate) async fn a_revoked_devices_live_session_ends_within_a_second_of_the_decision(
    world: &World,
) {
    let front = world.front().await;
    let mut watcher = world.watch(&front).await;
    let mut others = Vec::new();
    for number in 0..20 {
        let name = format!("other-{number}");
        let mut other = Raw::open(front.port, &world.device(&name)).await.unwrap();
        other.say(&connect(&name)).await;
        other.expect(CONNACK).await;
        others.push(other);
    }
    let mut slowest = Duration::ZERO;
    let decisions = world.decisions();
    for (cuts, (way, decide)) in (1..).zip(&decisions) {
        let name = format!("thief-{way}");
        let config = world.device(&name);
        let mut thief = Raw::open(front.port, &config).await.unwrap();
        thief.say(&connect(&name)).await;
        thief.expect(CONNACK).await;
        let since = Instant::now();
        decide(&name, &config);
        thief.say(&publish(&up(&name), "evil")).await;
        thief.until_the_end().await;
        slowest = slowest.max(since.elapsed());
        assert_eq!(front.gate.stats().cut, cuts, "{way}");
    }
    assert_eq!(decisions.len(), 5);
    println!(
        "revoked_session front={} decisions={} slowest_ms={} limit_ms={}",
        world.behind(),
        decisions.len(),
        slowest.as_millis(),
        SESSION_ENDS_WITHIN.as_millis()
    );
    assert!(slowest < SESSION_ENDS_WITHIN, "{slowest:?}");
    world.hears_only_the_honest(&front, &mut watcher).await;

    // A namesake in another tenant is nobody's business here.
    let rival = TenantId::new("rival").unwrap();
    world
        .revocations
        .deny(Denied::Device(rival, name("other-1")));
    assert_eq!(front.gate.stats().cut, 5);
    for mut other in others {
        other.say(&PINGREQ).await;
        other.expect(PINGRESP).await;
    }
}
