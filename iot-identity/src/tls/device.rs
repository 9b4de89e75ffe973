//! A device's credentials as they come from its records and its key store.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use iot_core::crypto::{KeyError, KeyStore, SignatureAlgorithm, SlotId};
use iot_core::engine::RecordKey;
use iot_core::node::restore;
use iot_core::port::Records;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Instant, Now};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use super::provision::{Provision, ProvisionError};
use super::renewal::{CHAIN_BYTES, Renewal, public};
use super::{ClientBuilder, Clock, Credential, CredentialError, Credentials, TlsError};
use crate::key::SharedKey;
use crate::ring::SystemEntropy;
use crate::rotate::{Identity, Policy, Rotation, Want};

/// Where a device keeps its keys and records, and when it renews; the default suits a device of one identity.
///
/// ```
/// use iot_core::{crypto::SlotId, engine::RecordKey};
/// use iot_identity::{rotate::Policy, tls::Setup};
/// let setup = Setup::default()
///     .slots(SlotId::new(4), [SlotId::new(5), SlotId::new(6)])
///     .records(RecordKey::new(0x4000))
///     .policy(Policy::default());
/// assert_eq!(setup.provision(), RecordKey::new(0x4000));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Setup {
    pub(super) factory: SlotId,
    pub(super) own: [SlotId; 2],
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) policy: Policy,
    records: RecordKey,
    clock: Clock,
}

impl Setup {
    /// The slot of the factory's key, and the two of the device's own; 0, 1 and 2 by default.
    pub const fn slots(mut self, factory: SlotId, own: [SlotId; 2]) -> Self {
        self.factory = factory;
        self.own = own;
        self
    }

    /// The first of four records: what the factory wrote, then the three of [`Rotation`]; 0x0100 by default.
    pub const fn records(mut self, first: RecordKey) -> Self {
        self.records = first;
        self
    }

    /// When certificates are renewed.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What kind of keys the device makes; P-256 by default.
    pub const fn algorithm(mut self, algorithm: SignatureAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Where TLS reads the time; the system's clock by default.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The record that the factory writes a [`Provision`] to.
    #[must_use]
    pub const fn provision(&self) -> RecordKey {
        self.records
    }

    pub(super) fn rotation(&self, device: DeviceId) -> Rotation<SystemEntropy, CHAIN_BYTES> {
        let first = self.records.offset(1).unwrap_or(self.records);
        Rotation::new(device, self.own, first, self.policy, SystemEntropy::new())
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            factory: SlotId::new(0),
            own: [SlotId::new(1), SlotId::new(2)],
            algorithm: SignatureAlgorithm::EcdsaP256Sha256,
            policy: Policy::default(),
            records: RecordKey::new(0x0100),
            clock: Clock::system(),
        }
    }
}

/// Why a device's credentials could not be loaded; nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<R> {
    /// The record store failed.
    #[error("the record store failed: {0}")]
    Records(R),
    /// The factory wrote nothing there.
    #[error("there is no provision: store one in the factory, under the record that `Setup` names")]
    NotProvisioned,
    /// What the factory wrote cannot be used.
    #[error(transparent)]
    Provision(ProvisionError),
    /// The key store failed.
    #[error(transparent)]
    Key(KeyError),
    /// The factory's certificate is not of the key in the factory's slot.
    #[error("the factory's certificate does not fit its key: {0}")]
    Factory(CredentialError),
    /// The roots make no TLS configuration.
    #[error(transparent)]
    Tls(TlsError),
}

/// What a device proves itself with: its factory identity, and its own once it has one, in a configuration that
/// always shows the one in force.
///
/// [`Credentials::load`] makes it.
pub struct DeviceCredentials<K> {
    device: DeviceId,
    identity: Identity,
    live: Credentials,
    factory: Credential,
    keys: Arc<K>,
    setup: Setup,
    config: Arc<ClientConfig>,
}

impl<K: KeyStore + Send + Sync + 'static> DeviceCredentials<K> {
    /// As [`Credentials::load`], with a [`Setup`] and a key store that others use as well.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    pub async fn load<R: Records>(
        records: &mut R,
        keys: Arc<K>,
        setup: Setup,
    ) -> Result<Self, LoadError<R::Error>> {
        let found = Provision::read(records, setup.provision()).await;
        let found = found.map_err(LoadError::Records)?;
        let provision = found.ok_or(LoadError::NotProvisioned)?;
        let provision = provision.map_err(LoadError::Provision)?;
        let key = SharedKey::new(Arc::clone(&keys), setup.factory).map_err(LoadError::Key)?;
        let factory = Credential::new(key, provision.idevid().to_vec());
        let factory = factory.map_err(LoadError::Factory)?;
        let (identity, first) = current(records, &keys, &setup, *provision.device()).await?;
        let live = Credentials::new(first.unwrap_or_else(|| factory.clone()));
        let builder = ClientBuilder::new(provision.servers()).map_err(LoadError::Tls)?;
        let builder = builder.credentials(&live).clock(setup.clock.clone());
        Ok(Self {
            device: *provision.device(),
            identity,
            live,
            factory,
            keys,
            config: builder.build().map_err(LoadError::Tls)?,
            setup,
        })
    }

    /// The engine that enrols the device and renews its certificate; what it puts into force, every configuration
    /// of these credentials shows from then on.
    #[must_use]
    pub fn renewal(&self) -> Renewal<K> {
        Renewal::new(
            self.setup.rotation(self.device),
            Arc::clone(&self.keys),
            self.setup.algorithm,
            self.factory.clone(),
            self.live.clone(),
        )
    }
}

impl<K> DeviceCredentials<K> {
    /// A configuration for clients: TLS 1.3, servers of the roots that the factory gave, and the identity in force
    /// when a connection is made.
    #[must_use]
    pub fn client_tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The device that the factory certificate names.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// What was in force when they were loaded: [`Identity::Factory`] until the device is enrolled.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// The credential in force, for a configuration of one's own ([`ClientBuilder::credentials`]).
    #[must_use]
    pub const fn live(&self) -> &Credentials {
        &self.live
    }

    /// The key store.
    #[must_use]
    pub const fn keys(&self) -> &Arc<K> {
        &self.keys
    }
}

impl<K> fmt::Debug for DeviceCredentials<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceCredentials")
            .field("device", &self.device)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Loads what a device proves itself with: the factory identity, and the operational one that its records and
    /// keys agree on.
    ///
    /// `records` are those that the node will own, `keys` a store of keys that outlive the process. The defaults of
    /// [`Setup`] say where both are looked for; [`DeviceCredentials::load`] takes others.
    ///
    /// # Errors
    ///
    /// [`LoadError`].
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use iot_core::{DeviceId, Timestamp, crypto::{KeyPolicy, KeyStore, SignatureAlgorithm::EcdsaP256Sha256, SlotId}};
    /// # use iot_core::{node::block_on, storage::memory::MemoryRecords};
    /// # use iot_identity::cert::{Authority, Validity};
    /// # use iot_identity::{key::PublicKey, ring::{SoftwareKey, SoftwareKeys, SystemEntropy}};
    /// # let (since, mut entropy) = (Timestamp::from_secs(1_800_000_000), SystemEntropy::new());
    /// # let years = Validity::lasting(since, Duration::from_secs(315_360_000));
    /// # let authority = |name, entropy: &mut SystemEntropy| Authority::root(SoftwareKey::generate(EcdsaP256Sha256).unwrap(), name, years, entropy);
    /// # let (factory, servers) = (authority("Boiler factory", &mut entropy)?, authority("Acme servers", &mut entropy)?);
    /// # let (device, keys, mut store) = (DeviceId::new("boiler-7")?, SoftwareKeys::new(), MemoryRecords::new());
    /// # keys.generate(SlotId::new(0), EcdsaP256Sha256, KeyPolicy::SignForLife)?;
    /// # let public = PublicKey::of(&keys.signer(SlotId::new(0))?)?;
    /// # let idevid = factory.idevid(&device, "1.3.6.1.4.1.32473.1", &public, since, &mut entropy)?;
    /// use iot_identity::rotate::{Identity, Standing};
    /// use iot_identity::tls::{Credentials, Provision, Setup};
    ///
    /// // In the factory, once:
    /// let provision = Provision::new(vec![idevid], vec![servers.certificate().clone()])?;
    /// block_on(provision.store(&mut store, Setup::default().provision()))?;
    ///
    /// // On every start:
    /// let credentials = block_on(Credentials::load(&mut store, keys))?;
    /// let tls = credentials.client_tls(); // for a client
    /// let renewal = credentials.renewal(); // for a node
    /// assert_eq!((credentials.device(), credentials.identity()), (&device, Identity::Factory));
    /// assert_eq!(renewal.standing(), Standing::Restoring);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn load<R: Records, K: KeyStore + Send + Sync + 'static>(
        records: &mut R,
        keys: K,
    ) -> Result<DeviceCredentials<K>, LoadError<R::Error>> {
        DeviceCredentials::load(records, Arc::new(keys), Setup::default()).await
    }
}

/// What records and keys agree on, as a rotation sees it that looks and does nothing.
async fn current<R: Records, K: KeyStore + Send + Sync + 'static>(
    records: &mut R,
    keys: &Arc<K>,
    setup: &Setup,
    device: DeviceId,
) -> Result<(Identity, Option<Credential>), LoadError<R::Error>> {
    let mut rotation = setup.rotation(device);
    let mut buffer = alloc::vec![0; CHAIN_BYTES + 64];
    // Nothing here depends on the time.
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let restored = restore(&mut rotation, records, now, &mut buffer).await;
    restored.map_err(LoadError::Records)?;
    while let Some(Want::Inspect(slot)) = rotation.wants(now) {
        let key = public(&**keys, slot).map_err(LoadError::Key)?;
        rotation.holds(now, slot, key);
    }
    let Identity::Own(slot) = rotation.identity() else {
        return Ok((Identity::Factory, None));
    };
    let credential = credential(keys, &rotation, slot);
    Ok((
        Identity::Own(slot),
        Some(credential.map_err(LoadError::Factory)?),
    ))
}

/// The key in `slot` with its chain.
pub(super) fn credential<K: KeyStore + Send + Sync + 'static>(
    keys: &Arc<K>,
    rotation: &Rotation<SystemEntropy, CHAIN_BYTES>,
    slot: SlotId,
) -> Result<Credential, CredentialError> {
    let chain = rotation.chain(slot);
    let chain: Vec<_> = chain
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    Credential::new(SharedKey::new(Arc::clone(keys), slot)?, chain)
}
