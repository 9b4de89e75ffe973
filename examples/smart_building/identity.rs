//! A device's identity: what it loads, and how its link is kept in step with it.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use iot_core::Now;
use iot_identity::ring::SoftwareKeys;
use iot_identity::rotate::Policy;
use iot_identity::tls::{DeviceCredentials, Link, Setup};
use iot_transport::mqtt::{Client, ConnectError, Settings, Tls};

use crate::device::Site;
use crate::door::Doorway;
use crate::flash::Storage;
use crate::jobs::CERTIFICATES;
use crate::pki::{FACTORY, Fallible, Made, OPERATIONAL, SERVER_NAME};

/// How long what is on the wire may take to be acknowledged before the link shows another certificate.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an old key outlives its certificate: longer than a handshake takes.
const OVERLAP: Duration = Duration::from_secs(1);

pub type Renewal = iot_identity::tls::Renewal<SoftwareKeys>;

/// Where a device of this building keeps its keys and certificates.
pub fn setup() -> Setup {
    Setup::default()
        .slots(FACTORY, OPERATIONAL)
        .records(CERTIFICATES)
        .policy(Policy::default().overlap(OVERLAP))
}

/// What the device proves itself with, as its records and keys have it.
pub async fn credentials(
    made: &Made,
    records: &mut Storage,
) -> Fallible<DeviceCredentials<SoftwareKeys>> {
    Ok(DeviceCredentials::load(records, Arc::clone(&made.keys), setup()).await?)
}

/// A client that shows whatever is in force, and the number of the door that it dials at.
pub fn client(
    site: &Site,
    credentials: &DeviceCredentials<SoftwareKeys>,
) -> Fallible<(Client<Doorway>, Arc<AtomicU8>)> {
    let door = |address: &String| Tls::new(address, SERVER_NAME, credentials.client_tls());
    let [main, east, walled_up] = &site.doors;
    let (doorway, number) = Doorway::new([door(main)?, door(east)?, door(walled_up)?]);
    let settings = Settings::device(site.pki.tenant, *credentials.device())
        .with_retry(Duration::from_millis(50), Duration::from_millis(500))
        .with_queue(200, 4 << 20);
    Ok((Client::new(doorway, settings), number))
}

/// Lets the renewal go on, and the link show what it wants shown.
pub fn tend(renewal: &mut Renewal, client: &mut Client<Doorway>, now: Now) {
    let stats = client.stats();
    let mut link = Link::new(client.is_connected(), stats.connections, stats.failures);
    if let Some(ConnectError::Rejected(error)) = client.last_error() {
        link = link.rejected(error);
    }
    if renewal.tend(now, &link) {
        client.reconnect(PATIENCE);
    }
}
