//! Name constraints (RFC 5280 §4.2.1.10): what an authority may name.

use super::certificate::{Certificate, is_empty, is_name};
use super::defect::Defect;
use super::directory::{self, COMMON_NAME, EMAIL_ADDRESS};
use super::extensions::only;
use super::general_name::{self, GeneralName, is_host, is_mailbox};
use super::limits::{Budget, MAX_NAMES};
use crate::der::{Reader, SEQUENCE};

const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;

/// The subtrees of one authority, each a run of `GeneralSubtree`.
#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct NameConstraints<'a> {
    permitted: &'a [u8],
    excluded: &'a [u8],
}

/// Why a certificate is not within them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outside {
    /// One of its names is not permitted, is excluded, or cannot be judged.
    Name,
    /// There are too many comparisons to make.
    Spent,
}

impl<'a> NameConstraints<'a> {
    pub(super) fn read(extension: &'a [u8]) -> Result<Self, Defect> {
        let list = only(extension, SEQUENCE).ok_or(Defect::NameConstraints)?;
        let mut inner = Reader::new(list);
        let mut found = Self {
            permitted: &[],
            excluded: &[],
        };
        // "Either the permittedSubtrees field or the excludedSubtrees MUST be present", and neither is empty.
        let mut last = 0;
        while !inner.is_empty() || last == 0 {
            let (tag, content, _) = inner.any().ok_or(Defect::NameConstraints)?;
            match tag {
                PERMITTED if last == 0 => found.permitted = content,
                EXCLUDED if last < EXCLUDED => found.excluded = content,
                _ => return Err(Defect::NameConstraints),
            }
            last = tag;
            let mut count = 0;
            for base in bases(content) {
                if !base.is_some_and(is_base) {
                    return Err(Defect::NameConstraints);
                }
                count += 1;
                if count > MAX_NAMES {
                    return Err(Defect::TooLarge);
                }
            }
            if count == 0 {
                return Err(Defect::NameConstraints);
            }
        }
        Ok(found)
    }

    /// Whether every name of `certificate` is permitted and none is excluded.
    pub(super) fn admit(
        &self,
        certificate: &Certificate<'_>,
        budget: &mut Budget,
    ) -> Result<(), Outside> {
        let names = certificate.extensions.names.map_or(&[][..], |(all, _)| all);
        let mut hosts = false;
        for name in general_name::all(names) {
            let name = name.ok_or(Outside::Name)?;
            hosts |= matches!(name, GeneralName::Dns(_));
            self.admit_name(name, budget)?;
        }
        if !is_empty(certificate.subject) {
            self.admit_name(GeneralName::Directory(certificate.subject), budget)?;
        }
        for attribute in directory::attributes(certificate.subject) {
            let attribute = attribute.ok_or(Outside::Name)?;
            if attribute.kind == EMAIL_ADDRESS {
                let text = attribute.text().ok_or(Outside::Name)?;
                self.admit_name(GeneralName::Email(text), budget)?;
            }
            // Others take a common name for the host where no alternative name says one.
            if attribute.kind == COMMON_NAME && !hosts {
                let host = attribute.text().filter(|text| text.contains('.'));
                if let Some(host) = host.filter(|text| is_host(text)) {
                    self.admit_name(GeneralName::Dns(host), budget)?;
                }
            }
        }
        Ok(())
    }

    fn admit_name(&self, name: GeneralName<'_>, budget: &mut Budget) -> Result<(), Outside> {
        let (mut of_its_form, mut permitted) = (false, false);
        for base in bases(self.permitted).flatten() {
            budget.comparison().map_err(|_| Outside::Spent)?;
            if let Some(within) = judge(name, base, Side::Permitted) {
                of_its_form = true;
                permitted |= within.ok_or(Outside::Name)?;
            }
        }
        for base in bases(self.excluded).flatten() {
            budget.comparison().map_err(|_| Outside::Spent)?;
            match judge(name, base, Side::Excluded) {
                None | Some(Some(false)) => {}
                Some(Some(true) | None) => return Err(Outside::Name),
            }
        }
        if of_its_form && !permitted {
            return Err(Outside::Name);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Side {
    Permitted,
    Excluded,
}

/// `minimum` is zero and `maximum` absent, so that a subtree is its base alone.
fn bases(subtrees: &[u8]) -> impl Iterator<Item = Option<GeneralName<'_>>> {
    let mut reader = Reader::new(subtrees);
    let mut failed = false;
    core::iter::from_fn(move || {
        if failed || reader.is_empty() {
            return None;
        }
        let base = reader.enter(SEQUENCE).and_then(|mut subtree| {
            let base = GeneralName::read(&mut subtree)?;
            subtree.is_empty().then_some(base)
        });
        failed = base.is_none();
        Some(base)
    })
}

/// Whether it is a base as its form wants it. No leading period in a DNS name: that is a URI's.
fn is_base(base: GeneralName<'_>) -> bool {
    let domain = |text: &str| is_host(text.strip_prefix('.').unwrap_or(text));
    match base {
        GeneralName::Dns(text) => text.is_empty() || is_host(text),
        GeneralName::Email(text) => is_mailbox(text) || domain(text),
        GeneralName::Uri(text) => domain(text),
        GeneralName::Directory(name) => is_name(name),
        GeneralName::Address(bytes) => {
            matches!(bytes.len(), 8 | 32)
                && bytes
                    .split_at_checked(bytes.len() / 2)
                    .is_some_and(|(_, mask)| is_prefix(mask))
        }
        GeneralName::Other(_) => true,
    }
}

/// "In the style of RFC 4632 (CIDR)": ones, then zeros.
fn is_prefix(mask: &[u8]) -> bool {
    let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let set: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let ordered = mask.windows(2).all(|pair| match *pair {
        [before, after] => before == 0xff || after == 0,
        _ => true,
    });
    ones == set && ordered
}

/// `None` when the forms differ; `Some(None)` when the form is the same and nothing can be said.
fn judge(name: GeneralName<'_>, base: GeneralName<'_>, side: Side) -> Option<Option<bool>> {
    Some(match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => Some(dns(name, base, side)),
        (GeneralName::Email(name), GeneralName::Email(base)) => email(name, base),
        (GeneralName::Uri(name), GeneralName::Uri(base)) => {
            // "If a constraint is applied to … a URI that does not include an authority component …
            // the application MUST reject the URI."
            authority(name).map(|host| domain(host, base))
        }
        (GeneralName::Address(name), GeneralName::Address(base)) => Some(address(name, base)),
        (GeneralName::Directory(name), GeneralName::Directory(base)) => {
            directory::is_within(name, base)
        }
        // "The application MUST either process the constraint or reject the certificate."
        (GeneralName::Other(name), GeneralName::Other(base)) if name == base => None,
        _ => return None,
    })
}

/// A name is within a base by "adding zero or more labels"; a wildcard stands for every one label.
fn dns(name: &str, base: &str, side: Side) -> bool {
    match name.strip_prefix("*.") {
        None => ends_with(name, base),
        Some(rest) if ends_with(rest, base) => true,
        // One of the hosts that the wildcard stands for is the base itself.
        Some(rest) => {
            side == Side::Excluded
                && base
                    .split_once('.')
                    .is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(rest))
        }
    }
}

fn ends_with(name: &str, base: &str) -> bool {
    let Some(start) = name.len().checked_sub(base.len()) else {
        return false;
    };
    let (Some(head), Some(tail)) = (name.get(..start), name.get(start..)) else {
        return false;
    };
    tail.eq_ignore_ascii_case(base) && (head.is_empty() || base.is_empty() || head.ends_with('.'))
}

/// A mailbox, all mailboxes of a host, or with a leading period of all hosts below a domain.
fn email(name: &str, base: &str) -> Option<bool> {
    let (local, host) = name.split_once('@')?;
    Some(match base.split_once('@') {
        Some((other, at)) => local == other && host.eq_ignore_ascii_case(at),
        None => domain(host, base),
    })
}

/// A host exactly, or with a leading period one with "one or more labels" more.
fn domain(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(parent) => ends_with(host, parent) && host.len() > parent.len(),
        None => host.eq_ignore_ascii_case(base),
    }
}

/// The host of a URI that has one, by its name.
fn authority(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    is_host(host).then_some(host)
}

fn address(name: &[u8], base: &[u8]) -> bool {
    let (net, mask) = base.split_at_checked(base.len() / 2).unwrap_or((&[], &[]));
    name.len() == net.len()
        && name
            .iter()
            .zip(net)
            .zip(mask)
            .all(|((name, net), mask)| (name ^ net) & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_permitted_whole_or_not_and_excluded_by_any_part() {
        for (name, base, permitted, excluded) in [
            ("a.example.com", "example.com", true, true),
            ("aexample.com", "example.com", false, false),
            ("a.EXAMPLE.com", "Example.COM", true, true),
            ("*.example.com", "example.com", true, true),
            ("*.example.com", "a.example.com", false, true),
            ("*.example.com", "b.a.example.com", false, false),
            ("example.com", "", true, true),
        ] {
            assert_eq!(dns(name, base, Side::Permitted), permitted, "{name} {base}");
            assert_eq!(dns(name, base, Side::Excluded), excluded, "{name} {base}");
        }
    }

    #[test]
    fn mailboxes_hosts_and_domains_are_three_bases() {
        for (name, base, within) in [
            ("a@example.com", "a@EXAMPLE.com", true),
            ("A@example.com", "a@example.com", false),
            ("a@example.com", "example.com", true),
            ("a@b.example.com", "example.com", false),
            ("a@b.example.com", ".example.com", true),
            ("a@example.com", ".example.com", false),
        ] {
            assert_eq!(email(name, base), Some(within), "{name} {base}");
        }
        assert_eq!(authority("urn:iot:device:a"), None);
        assert_eq!(authority("https://u@a.example:8/x"), Some("a.example"));
        assert_eq!(authority("https://10.0.0.1/"), None);
    }

    #[test]
    fn a_mask_is_ones_and_then_zeros() {
        for (mask, good) in [
            ([255, 255, 0, 0], true),
            ([255, 240, 0, 0], true),
            ([0, 0, 0, 0], true),
            ([255, 0, 255, 0], false),
            ([255, 0x0f, 0, 0], false),
            ([240, 128, 0, 0], false),
        ] {
            assert_eq!(is_prefix(&mask), good, "{mask:?}");
        }
        assert!(address(&[10, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!address(&[11, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
    }
}
