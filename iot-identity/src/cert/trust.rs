//! Anchors and deny-list together: the one question a front asks.

use alloc::sync::Arc;

use iot_core::Principal;
use iot_core::time::TimeBounds;
use rustls_pki_types::CertificateDer;

use super::anchors::{AdmitError, TrustAnchors, VerifiedPeer};
use crate::revocation::Revocations;

/// Who a peer is, unless it is revoked; cheap to clone, shared between threads.
///
/// Ask it after every handshake, of resumed sessions too: a resumed TLS session never reaches the verifier.
#[derive(Clone, Debug)]
pub struct Trust {
    anchors: Arc<TrustAnchors>,
    revocations: Revocations,
}

impl Trust {
    /// Joins both.
    #[must_use]
    pub fn new(anchors: TrustAnchors, revocations: Revocations) -> Self {
        Self {
            anchors: Arc::new(anchors),
            revocations,
        }
    }

    /// Verifies a chain, the peer's own certificate first, against anchors and deny-list.
    ///
    /// # Errors
    ///
    /// [`AdmitError`]; the peer must not be served.
    pub fn principal(
        &self,
        chain: &[CertificateDer<'_>],
        wall: TimeBounds,
    ) -> Result<Principal, AdmitError> {
        let peer = self.anchors.verify(chain, wall)?;
        if self.is_revoked(&peer) {
            return Err(AdmitError::Revoked);
        }
        Ok(*peer.principal())
    }

    /// The deny-list it asks.
    #[must_use]
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    fn is_revoked(&self, peer: &VerifiedPeer) -> bool {
        let Principal { tenant, device, .. } = *peer.principal();
        self.revocations.is_denied(&tenant, &device, peer.links())
    }
}
