//! TLS for the client, with credentials that can be swapped while it runs.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_rustls::TlsConnector;

use super::connect::{Connect, Dialling, open_tcp};
use crate::mqtt::wire::Io;

/// TLS over TCP.
///
/// The configuration is asked for at every connect, so a client whose certificate was renewed presents the
/// new one with its next session.
///
/// ```
/// use std::sync::Arc;
/// use iot_transport::mqtt::Tls;
///
/// # fn configuration() -> Arc<rustls::ClientConfig> {
/// #     let provider = Arc::new(rustls::crypto::ring::default_provider());
/// #     Arc::new(rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
/// #         .unwrap().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
/// # }
/// let fixed = Tls::new("broker.example:8883", "broker.example", configuration())?;
/// let renewable = Tls::with_source("127.0.0.1:8883", "broker.example", configuration)?;
/// # Ok::<(), rustls::pki_types::InvalidDnsNameError>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    address: String,
    name: ServerName<'static>,
    source: Arc<dyn Fn() -> Arc<ClientConfig> + Send + Sync>,
}

impl core::fmt::Debug for Tls {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tls")
            .field("address", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Connects to `address` (`host:port`) and expects a certificate for `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidDnsNameError`] when `name` is neither a DNS name nor an IP address.
    pub fn new(
        address: impl Into<String>,
        name: &str,
        config: Arc<ClientConfig>,
    ) -> Result<Self, InvalidDnsNameError> {
        Self::with_source(address, name, move || config.clone())
    }

    /// The same, with a configuration asked for at every connect.
    ///
    /// # Errors
    ///
    /// [`InvalidDnsNameError`] when `name` is neither a DNS name nor an IP address.
    pub fn with_source(
        address: impl Into<String>,
        name: &str,
        source: impl Fn() -> Arc<ClientConfig> + Send + Sync + 'static,
    ) -> Result<Self, InvalidDnsNameError> {
        Ok(Self {
            address: address.into(),
            name: ServerName::try_from(name)?.to_owned(),
            source: Arc::new(source),
        })
    }
}

impl Connect for Tls {
    fn connect(&mut self) -> Dialling {
        let (address, name) = (self.address.clone(), self.name.clone());
        let connector = TlsConnector::from((self.source)());
        Box::pin(async move {
            let stream = open_tcp(&address).await?;
            let stream = connector.connect(name, stream).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}
