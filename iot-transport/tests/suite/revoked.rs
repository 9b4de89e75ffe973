//! Who lost an identity keeps nothing that went with it.

use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Message, Role};
use iot_transport::mqtt::Client;

use crate::common::{self, PATIENCE, device_settings, service_settings, tenant};
use crate::site::Site;

#[tokio::test]
async fn a_newcomer_does_not_inherit_the_session_of_the_device_it_was() {
    let site = Site::new().await;
    let mut device = site.client("d1", device_settings("d1"));
    device.subscribe(Channel::Command).await.unwrap();
    common::subscribed(&site.hub, &mut device, 1).await;
    device.close(PATIENCE).await;
    let service = site.pki.client("backend", Role::Service);
    let mut service = Client::new(site.tls(service), service_settings());
    let (tenant, d1) = (tenant(), DeviceId::new("d1").unwrap());
    let command = Message::new(Channel::Command, b"secret").to(iot_core::Peer::new(&tenant, &d1));
    service.submit(&command).await.unwrap();
    common::settled(&mut service, 1).await;
    assert_eq!(site.hub.stats().queued, 1);

    // The operational certificate is revoked, the one of the factory is not.
    site.pki.revoke("d1");
    let newcomer = site.pki.client("d1", Role::Newcomer);
    let mut newcomer = Client::new(site.tls(newcomer), device_settings("d1"));
    newcomer.connected(PATIENCE).await.unwrap();
    let stats = site.hub.stats();
    assert_eq!((stats.sessions, stats.taken_over, stats.queued), (3, 0, 1));
    assert!(site.hub.sessions().contains(&("acme:n:d1".into(), true)));
}
