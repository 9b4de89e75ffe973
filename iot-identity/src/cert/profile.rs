//! The kinds of certificate an authority issues.

use alloc::vec;
use alloc::vec::Vec;

use x509_cert::TbsCertificate;
use x509_cert::builder::Result;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoRef;

pub(super) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
pub(super) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// What a certificate is for.
pub(super) enum Kind {
    /// An authority; how many more may stand below it.
    Authority { below: u8 },
    /// A peer, for these uses and under these names. An IDevID has no uses: it is good for any.
    Peer {
        uses: Vec<ObjectIdentifier>,
        names: Vec<GeneralName>,
    },
}

/// One certificate to be issued.
pub(super) struct Profile {
    pub(super) issuer: Name,
    pub(super) subject: Name,
    pub(super) kind: Kind,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        let subject = tbs.subject();
        let mut list = Vec::new();
        list.push(AuthorityKeyIdentifier::try_from(issuer_key)?.to_extension(subject, &list)?);
        list.push(SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &list)?);
        match &self.kind {
            Kind::Authority { below } => {
                let constraints = BasicConstraints {
                    ca: true,
                    path_len_constraint: Some(*below),
                };
                list.push(constraints.to_extension(subject, &list)?);
                let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
                list.push(usage.to_extension(subject, &list)?);
            }
            Kind::Peer { uses, names } => {
                let usage = KeyUsage(KeyUsages::DigitalSignature.into());
                list.push(usage.to_extension(subject, &list)?);
                if !uses.is_empty() {
                    list.push(ExtendedKeyUsage(uses.clone()).to_extension(subject, &list)?);
                }
                list.push(SubjectAltName(names.clone()).to_extension(subject, &list)?);
            }
        }
        Ok(list)
    }
}

pub(super) fn client(name: GeneralName) -> Kind {
    Kind::Peer {
        uses: vec![CLIENT_AUTH],
        names: vec![name],
    }
}
