//! What a chain is to be good for.

use core::fmt::{self, Write};
use core::net::IpAddr;

use rustls_pki_types::{IpAddr as Asked, ServerName};

use super::certificate::Certificate;
use super::directory::{self, COMMON_NAME};
use super::encoding::OID;
use super::general_name::{self, GeneralName};
use crate::der::Reader;

const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(in crate::cert) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0];

/// What a peer's certificate has to be good for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Purpose<'a> {
    /// Whatever it says.
    Any,
    /// A TLS client.
    Client,
    /// A TLS server under this name.
    Server(ServerName<'a>),
}

impl Purpose<'_> {
    const fn id(&self) -> Option<&'static [u8]> {
        match self {
            Self::Any => None,
            Self::Client => Some(CLIENT_AUTH),
            Self::Server(_) => Some(SERVER_AUTH),
        }
    }

    /// Whether a leaf is for it: a purpose by name, and a key that may sign.
    pub(super) fn allows_leaf(&self, leaf: &Certificate<'_>) -> bool {
        let Some(id) = self.id() else {
            return true;
        };
        let extensions = &leaf.extensions;
        let signs = extensions.key_usage.is_none_or(|usage| usage.signs());
        signs
            && extensions.purposes.is_none_or(|list| {
                // "Applications MAY reject certificates that include the anyExtendedKeyUsage OID" (§4.2.1.12).
                all(list).any(|purpose| purpose == id) && !all(list).any(|purpose| purpose == ANY)
            })
    }

    /// Whether an authority may certify it. One that says its purposes has to name this one: "any" says nothing.
    pub(super) fn allows_authority(&self, authority: &Certificate<'_>) -> bool {
        let list = authority.extensions.purposes;
        match (self.id(), list) {
            (Some(id), Some(list)) => all(list).any(|one| one == id),
            _ => true,
        }
    }

    /// Whether a leaf is the server that is asked for (RFC 9525 §6).
    pub(super) fn names(&self, leaf: &Certificate<'_>) -> bool {
        let Self::Server(name) = self else {
            return true;
        };
        let Some((names, _)) = leaf.extensions.names else {
            return false;
        };
        let named = general_name::all(names)
            .flatten()
            .any(|one| match (one, name) {
                (GeneralName::Dns(pattern), ServerName::DnsName(host)) => {
                    matches(pattern, host.as_ref())
                }
                (GeneralName::Address(bytes), ServerName::IpAddress(address)) => match address {
                    Asked::V4(address) => address.as_ref() == bytes,
                    Asked::V6(address) => address.as_ref() == bytes,
                },
                _ => false,
            });
        named && common_names_agree(leaf, names)
    }
}

/// The object identifiers of a list of purposes, up to what is none.
pub(in crate::cert) fn all(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(list);
    core::iter::from_fn(move || reader.content(OID))
}

/// A wildcard is the whole leftmost label, and stands for exactly one.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

/// A common name is never matched here; but one that is an address must be an alternative name, as RFC 5952
/// writes it, and one that is a host is written in ASCII, or who does match it could see another server.
fn common_names_agree(leaf: &Certificate<'_>, names: &[u8]) -> bool {
    directory::attributes(leaf.subject).all(|attribute| {
        let Some(attribute) = attribute else {
            return false;
        };
        if attribute.kind != COMMON_NAME {
            return true;
        }
        let Some(text) = attribute.text() else {
            return false;
        };
        if is_address(text) {
            return general_name::all(names).flatten().any(|one| match one {
                GeneralName::Address(bytes) => is_written(bytes, text).is_some(),
                _ => false,
            });
        }
        text.is_ascii() || !text.contains('.') || text.contains(char::is_whitespace)
    })
}

/// Whether somebody may take it for an address, in whatever notation.
fn is_address(text: &str) -> bool {
    let all = |legal: fn(char) -> bool| text.chars().all(legal);
    text.starts_with("0x")
        || (text.contains('.') && all(|c| c.is_ascii_digit() || c == '.'))
        || (text.contains(':') && all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.'))
}

/// Whether `text` is the address as RFC 5952 writes it.
fn is_written(bytes: &[u8], text: &str) -> Option<()> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    let mut rest = Rest(text);
    write!(rest, "{address}").ok()?;
    rest.0.is_empty().then_some(())
}

/// A text from which is taken what is written; what it does not begin with fails.
struct Rest<'t>(&'t str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}
