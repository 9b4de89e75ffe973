//! The shadow service, as far as a device sees it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use iot_core::{Instant, Timestamp};

use super::Publish;
use super::limit::{MAX_IN_FLIGHT, Rate};
use super::rejection::Rejection;
use super::request::{self, Section, Update};
use super::shadow::{Shadow, stamped};
use super::topic::{Kind, Operation, ShadowId, Topic};
use crate::value::Value;

/// How long the version of a removed shadow is remembered.
const MEMORY_S: u64 = 48 * 3_600;

/// Who asks, as the connection knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Caller {
    /// Whether it is known who it is; otherwise everything is rejected with 401.
    pub authenticated: bool,
    /// Whether it may do this; otherwise it is rejected with 403.
    pub authorized: bool,
    /// How many of its requests are under way, this one counted; with more than ten it is rejected with 429.
    pub in_flight: usize,
}

impl Caller {
    /// Somebody who may, with one request under way.
    pub const ALLOWED: Self = Self {
        authenticated: true,
        authorized: true,
        in_flight: 1,
    };
}

/// The shadows of some things.
///
/// A request in, and what is published because of it out, in order: the answer to who asked, then what everybody who
/// follows is told.
#[derive(Clone, Debug, Default)]
pub struct Shadows {
    things: BTreeSet<String>,
    shadows: BTreeMap<ShadowId, Kept>,
    rates: BTreeMap<String, Rate>,
    failing: bool,
}

#[derive(Clone, Debug)]
enum Kept {
    There(Shadow),
    /// Removed, with which version and when.
    Gone(u64, u64),
}

impl Shadows {
    /// No things.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a thing known; others are rejected with 404.
    pub fn add_thing(&mut self, thing: &str) {
        self.things.insert(thing.into());
    }

    /// Fails from now on, or no more: every request is rejected with 500.
    pub const fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// Answers a request; nothing for a topic that is none, which nobody subscribed to.
    pub fn handle(
        &mut self,
        now: Timestamp,
        caller: Caller,
        topic: &str,
        payload: &[u8],
    ) -> Vec<Publish> {
        let Some(Topic {
            id,
            operation,
            kind: Kind::Request,
        }) = Topic::parse(topic)
        else {
            return Vec::new();
        };
        let mut token = None;
        match self.answer(now, caller, &id, operation, payload, &mut token) {
            Ok(published) => published,
            Err(rejection) => {
                let mut body = vec![
                    ("code", rejection.code().into()),
                    ("message", rejection.message(&id).into()),
                    ("timestamp", now.as_secs().into()),
                ];
                body.extend(token.map(|token| ("clientToken", Value::Text(token))));
                vec![publish(&id, operation, Kind::Rejected, body)]
            }
        }
    }

    fn answer(
        &mut self,
        now: Timestamp,
        caller: Caller,
        id: &ShadowId,
        operation: Operation,
        payload: &[u8],
        token: &mut Option<String>,
    ) -> Result<Vec<Publish>, Rejection> {
        let body = match (operation, payload) {
            (Operation::Get | Operation::Delete, []) => Ok(Value::map([])),
            _ => request::object(payload),
        };
        // Whatever is wrong, who asked recognises the answer by its token.
        let given = body.as_ref().map_or(Ok(None), request::token);
        *token = given.clone().ok().flatten();
        if !caller.authenticated {
            return Err(Rejection::Unauthorized);
        }
        if !caller.authorized {
            return Err(Rejection::Forbidden);
        }
        let instant = Instant::from_millis(now.as_millis());
        if caller.in_flight > MAX_IN_FLIGHT {
            return Err(Rejection::TooMany);
        }
        // What is no thing has no rate that would be kept for it.
        let known = self.things.contains(id.thing());
        if known {
            let rate = self.rates.entry(id.thing().into()).or_insert(Rate::new());
            if !rate.is_free(instant) {
                return Err(Rejection::TooMany);
            }
            rate.take(instant);
        }
        if self.failing {
            return Err(Rejection::Internal);
        }
        let body = body?;
        given?;
        if !known {
            return Err(Rejection::NoThing);
        }
        let token = token.clone();
        match operation {
            Operation::Get => self.get(now, id, token),
            Operation::Delete => self.delete(now, id, token),
            Operation::Update => self.update(now, id, token, &body),
        }
    }

    fn get(
        &self,
        now: Timestamp,
        id: &ShadowId,
        token: Option<String>,
    ) -> Result<Vec<Publish>, Rejection> {
        let Some(Kept::There(shadow)) = self.shadows.get(id) else {
            return Err(Rejection::NoShadow);
        };
        let body = envelope(now, shadow.version, token, shadow.show(true));
        Ok(vec![publish(id, Operation::Get, Kind::Accepted, body)])
    }

    fn delete(
        &mut self,
        now: Timestamp,
        id: &ShadowId,
        token: Option<String>,
    ) -> Result<Vec<Publish>, Rejection> {
        let Some(Kept::There(shadow)) = self.shadows.get(id) else {
            return Err(Rejection::NoShadow);
        };
        let version = shadow.version.saturating_add(1);
        self.shadows
            .insert(id.clone(), Kept::Gone(version, now.as_secs()));
        let body = envelope(now, version, token, []);
        Ok(vec![publish(id, Operation::Delete, Kind::Accepted, body)])
    }

    fn update(
        &mut self,
        now: Timestamp,
        id: &ShadowId,
        token: Option<String>,
        body: &Value,
    ) -> Result<Vec<Publish>, Rejection> {
        let update = Update::read(body)?;
        let second = now.as_secs();
        let before = match self.shadows.get(id) {
            Some(Kept::There(shadow)) => shadow.clone(),
            Some(Kept::Gone(version, at)) if second.saturating_sub(*at) <= MEMORY_S => {
                Shadow::of_version(*version)
            }
            _ => Shadow::of_version(0),
        };
        let after = before.updated(&update, second)?;
        let mut published = Vec::new();
        let sent = sent(&update, second);
        let accepted = envelope(now, after.version, token.clone(), sent);
        published.push(publish(id, Operation::Update, Kind::Accepted, accepted));
        if let Some((state, metadata)) = after.delta() {
            let delta = [("state", state), ("metadata", metadata)];
            let delta = envelope(now, after.version, token.clone(), delta);
            published.push(publish(id, Operation::Update, Kind::Delta, delta));
        }
        let whole = |shadow: &Shadow| {
            let mut whole = Vec::from(shadow.show(false));
            whole.push(("version", shadow.version.into()));
            Value::map(whole)
        };
        let mut documents = vec![
            ("previous", whole(&before)),
            ("current", whole(&after)),
            ("timestamp", second.into()),
        ];
        documents.extend(token.map(|token| ("clientToken", Value::Text(token))));
        published.push(publish(id, Operation::Update, Kind::Documents, documents));
        self.shadows.insert(id.clone(), Kept::There(after));
        Ok(published)
    }
}

/// What was sent, and when.
fn sent(update: &Update, second: u64) -> [(&'static str, Value); 2] {
    let Some(sections) = &update.sections else {
        let time = Value::map([("timestamp", second.into())]);
        return [("state", Value::Null), ("metadata", time)];
    };
    let named = ["desired", "reported"].into_iter().zip(sections);
    let named: Vec<_> = named
        .filter_map(|(name, section)| match section {
            Section::Keep => None,
            Section::Remove => Some((name, Value::Null)),
            Section::Merge(patch) => Some((name, patch.clone())),
        })
        .collect();
    let times = named
        .iter()
        .map(|(name, patch)| (*name, stamped(patch, second)));
    let metadata = Value::map(times);
    [("state", Value::map(named)), ("metadata", metadata)]
}

fn envelope(
    now: Timestamp,
    version: u64,
    token: Option<String>,
    content: impl IntoIterator<Item = (&'static str, Value)>,
) -> Vec<(&'static str, Value)> {
    let mut body: Vec<_> = content.into_iter().collect();
    body.push(("version", version.into()));
    body.push(("timestamp", now.as_secs().into()));
    body.extend(token.map(|token| ("clientToken", Value::Text(token))));
    body
}

fn publish(
    id: &ShadowId,
    operation: Operation,
    kind: Kind,
    body: Vec<(&'static str, Value)>,
) -> Publish {
    Publish {
        topic: id.topic(operation, kind),
        payload: Value::map(body).to_json(),
    }
}
