//! What a client says, read and judged before it goes on. No I/O: bytes in, vetted bytes out.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use iot_core::authz::{Action, Authorizer};
use iot_core::{Principal, Role};

use super::Stage;
use crate::mqtt::packet::server::{self, Request};
use crate::mqtt::packet::{self, Publish, Version};
use crate::topic::{Filter, Topic};

/// The first byte of every CONNECT.
const CONNECT: u8 = 0x10;
/// The flag of a PUBLISH that asks the broker to keep it for later subscribers.
const RETAIN: u8 = 1;
/// Where the flags of a CONNECT stand.
const FLAGS: usize = 7;
/// How many topic aliases one client may set.
const ALIASES: usize = 64;

/// What ends a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    pub(super) stage: Stage,
    pub(super) reason: String,
    /// What an MQTT 3.1.1 and an MQTT 5 client are told at CONNECT.
    pub(super) codes: (u8, u8),
}

impl Violation {
    fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self {
            stage,
            reason: reason.into(),
            codes: (5, 0x87),
        }
    }
}

/// Reads one client's packets and lets through what its principal may do.
pub(crate) struct Inspector {
    principal: Principal,
    authorizer: Arc<dyn Authorizer + Send + Sync>,
    limit: usize,
    version: Option<Version>,
    /// The beginning of a packet whose end has not come yet.
    input: Vec<u8>,
    aliases: BTreeMap<u16, String>,
}

impl core::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inspector")
            .field("principal", &self.principal)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Inspector {
    pub(crate) fn new(
        principal: Principal,
        authorizer: Arc<dyn Authorizer + Send + Sync>,
        limit: usize,
    ) -> Self {
        Self {
            principal,
            authorizer,
            limit,
            version: None,
            input: Vec::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// The version the client speaks, once its CONNECT was let through.
    pub(super) const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes bytes in and appends to `out` every whole packet that is allowed.
    ///
    /// After an error the inspector must not be used again; `out` holds only what was allowed before.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        let mut stored = core::mem::take(&mut self.input);
        // Most reads hold whole packets: those are judged where they are, without a copy.
        let waiting = if stored.is_empty() {
            bytes
        } else {
            stored.extend_from_slice(bytes);
            &stored
        };
        let mut used = 0;
        while let Some(rest @ [_, ..]) = waiting.get(used..) {
            if self.version.is_none() && rest.first() != Some(&CONNECT) {
                // Judged from its first byte: a length that never ends must not hold a place.
                return Err(Violation::new(
                    Stage::Connect,
                    "the first packet is not CONNECT",
                ));
            }
            let framed = packet::frame(rest, self.limit)
                .map_err(|error| Violation::new(self.stage(rest), error.to_string()))?;
            let Some((header, body)) = framed else {
                break;
            };
            let whole = rest.get(..header + body).unwrap_or_default();
            used += whole.len();
            self.judge(whole, header, out)?;
        }
        if stored.is_empty() {
            stored.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            stored.drain(..used);
        }
        self.input = stored;
        Ok(())
    }

    /// Where a broken packet is to be counted.
    fn stage(&self, packet: &[u8]) -> Stage {
        match (self.version, packet.first().map_or(0, |first| first >> 4)) {
            (None, _) => Stage::Connect,
            (Some(_), 8 | 10) => Stage::Subscribe,
            _ => Stage::Publish,
        }
    }

    fn judge(&mut self, whole: &[u8], header: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        let stage = self.stage(whole);
        let broken = || Violation::new(stage, "a malformed packet");
        let (Some(first), Some(body)) = (whole.first(), whole.get(header..)) else {
            return Err(broken());
        };
        let Some(version) = self.version else {
            return self.judge_connect(*first, body, out);
        };
        if first & RETAIN != 0 && first >> 4 == 3 && !self.may_retain() {
            let reason = "only a service may have messages retained";
            return Err(Violation::new(stage, reason));
        }
        // PUBREC, PUBREL and PUBCOMP name an identifier only: quality 2 is between client and broker.
        if matches!(first >> 4, 5..=7) && body.len() >= 2 {
            out.extend_from_slice(whole);
            return Ok(());
        }
        if (version, first >> 4) == (Version::V3, 3) {
            let topic = server::topic_v3(*first, body)
                .map_err(|error| Violation::new(stage, error.to_string()))?;
            self.judge_topic(topic)?;
            out.extend_from_slice(whole);
            return Ok(());
        }
        let packet = server::decode(version, *first, body)
            .map_err(|error| Violation::new(stage, error.to_string()))?;
        match packet {
            Request::Publish(publish) => self.judge_publish(&publish)?,
            Request::Subscribe { wishes, .. } => {
                for wish in wishes {
                    self.judge_filter(&wish.filter)?;
                }
            }
            Request::Unsubscribe { filters, .. } => {
                for filter in filters {
                    self.judge_filter(&filter)?;
                }
            }
            Request::Puback { .. } | Request::Pingreq | Request::Disconnect(_) => {}
            _ => {
                return Err(Violation::new(
                    stage,
                    "a packet that no client may send here",
                ));
            }
        }
        out.extend_from_slice(whole);
        Ok(())
    }

    /// A retained message outlives its sender's identity and greets every later listener.
    fn may_retain(&self) -> bool {
        self.principal.role == Role::Service
    }

    fn allows(&self, action: &Action<'_>) -> bool {
        self.authorizer.decide(&self.principal, action).is_allowed()
    }

    fn judge_connect(
        &mut self,
        first: u8,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let refuse = |reason: String| Violation::new(Stage::Connect, reason);
        // The version is not known yet; a CONNECT is read the same way under each.
        let connect = match server::decode(Version::V3, first, body) {
            Ok(Request::Connect(connect)) => connect,
            Ok(_) => return Err(refuse("the first packet is not CONNECT".into())),
            Err(error) => return Err(refuse(error.to_string())),
        };
        self.version = Some(connect.version);
        let client_id = connect.client_id.as_str();
        if !self.allows(&Action::Connect { client_id }) {
            let mut violation = refuse(format!("the client id {client_id:?} is not its own"));
            violation.codes = (2, 0x85);
            return Err(violation);
        }
        if let Some(will) = &connect.will {
            let allowed =
                Topic::parse(&will.topic).is_ok_and(|topic| self.allows(&topic.publish()));
            if !allowed {
                return Err(refuse(format!("its will goes to {:?}", will.topic)));
            }
            if will.retain && !self.may_retain() {
                return Err(refuse("its will is to be retained".into()));
            }
        }
        let scoped = upstream_id(&self.principal, client_id)
            .ok_or_else(|| refuse("its role has no sessions".into()))?;
        rename(first, body, connect.version, &scoped, out)
            .ok_or_else(|| refuse("a malformed packet".into()))
    }

    fn judge_publish(&mut self, publish: &Publish) -> Result<(), Violation> {
        let refuse = |reason: String| Violation::new(Stage::Publish, reason);
        let topic = match (publish.alias(), publish.topic()) {
            (None, topic) => topic,
            (Some(alias), "") => match self.aliases.get(&alias) {
                Some(topic) => topic,
                None => return Err(refuse(format!("topic alias {alias} was never set"))),
            },
            (Some(alias), topic) => {
                if self.aliases.len() >= ALIASES && !self.aliases.contains_key(&alias) {
                    return Err(refuse(format!("more than {ALIASES} topic aliases")));
                }
                self.aliases.insert(alias, topic.into());
                topic
            }
        };
        // An alias is judged each time it is used: policy may have changed since it was set.
        self.judge_topic(topic)
    }

    fn judge_topic(&self, topic: &str) -> Result<(), Violation> {
        if Topic::parse(topic).is_ok_and(|topic| self.allows(&topic.publish())) {
            Ok(())
        } else {
            let reason = format!("it may not publish to {topic:?}");
            Err(Violation::new(Stage::Publish, reason))
        }
    }

    fn judge_filter(&self, filter: &str) -> Result<(), Violation> {
        // A member of a group takes messages away from the others: nobody joins one of another tenant, whatever
        // policy lets it read there.
        let allowed = server::unshared(filter).is_some_and(|(group, filter)| {
            Filter::parse(filter).is_ok_and(|filter| {
                let own = filter.tenant == self.principal.tenant.as_str();
                (group.is_none() || own) && self.allows(&filter.subscribe())
            })
        });
        if allowed {
            Ok(())
        } else {
            let reason = format!("it may not listen to {filter:?}");
            Err(Violation::new(Stage::Subscribe, reason))
        }
    }
}

/// What a client is called upstream: tenant and role stand before its own id, so that neither an equal name of
/// another tenant nor one of another role (a newcomer with the name of an enrolled device) finds its session.
pub(super) fn upstream_id(who: &Principal, client_id: &str) -> Option<String> {
    let role = match who.role {
        Role::Newcomer => 'n',
        Role::Device => 'd',
        Role::Gateway => 'g',
        Role::Service => 's',
        // Two roles unknown here must not share a letter.
        _ => return None,
    };
    Some(format!("{}:{role}:{client_id}", who.tenant))
}

/// Writes the CONNECT again under another client id, the first field behind the fixed fields and properties, and
/// without user name and password: the client proved itself here, and its secrets are nothing to the upstream.
pub(crate) fn rename(
    first: u8,
    body: &[u8],
    version: Version,
    id: &str,
    out: &mut Vec<u8>,
) -> Option<()> {
    const FIXED: usize = 10;
    const WILL: u8 = 0b0000_0100;
    const LOGIN: u8 = 0b1100_0000;
    let behind_properties = |at: usize| match version {
        Version::V3 => Some(at),
        Version::V5 => {
            let (count, bytes) = varint(body.get(at..)?)?;
            Some(at + bytes + count)
        }
    };
    let behind_field = |at: usize| {
        let length = body.get(at..)?.first_chunk()?;
        Some(at + 2 + usize::from(u16::from_be_bytes(*length)))
    };
    let flags = *body.get(FLAGS)?;
    let name = behind_properties(FIXED)?;
    let will = behind_field(name)?;
    let end = if flags & WILL == 0 {
        will
    } else {
        behind_field(behind_field(behind_properties(will)?)?)?
    };
    let (before, after) = (body.get(..FLAGS)?, body.get(FLAGS + 1..name)?);
    let will = body.get(will..end)?;
    let length = u16::try_from(id.len()).ok()?.to_be_bytes();
    out.push(first);
    packet::put_varint(out, name + 2 + id.len() + will.len());
    for part in [
        before,
        &[flags & !LOGIN],
        after,
        &length,
        id.as_bytes(),
        will,
    ] {
        out.extend_from_slice(part);
    }
    Some(())
}

/// Reads a variable byte integer: its value and its own length.
pub(crate) fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
