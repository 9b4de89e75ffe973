//! A device's twin over the topics of a shadow.

mod fields;
mod intents;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use iot_core::Instant;

use super::Publish;
use super::limit::{MAX_STATE_BYTES, Rate};
use super::rejection::Rejection;
use super::request;
use super::topic::{Kind, Operation, ShadowId, Topic};
use crate::merge::merge;
use crate::sync::{TwinService, Version};
use crate::value::Value;
use intents::{Intents, Unknown};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after the service had too much to do, doubled up to so often.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// Carries the twin of one device over one shadow.
///
/// In its middle is a [`TwinService`]: what the shadow desires is desired there, and what the device reports there is
/// reported to the shadow. Pump messages between it and the [`TwinDevice`](crate::TwinDevice), over whatever lies
/// between both; in one process that is a function call.
///
/// **One intent, told once.** A shadow repeats its delta with every update, and so would tell a door that was locked
/// by hand to unlock again. A desired value counts here when its value or its time has changed, not when it differs.
/// After a restart without what it knew, an overridden value is told once more. What is no longer desired is withdrawn:
/// the device keeps the value that it has.
///
/// **Numbers.** JSON has none that is not finite: such a value is not in the shadow, as if it were not reported.
///
/// **Versions.** What is older than what was seen is ignored. A shadow that was removed begins anew with lower
/// versions: that is a new epoch of [`version`](Self::version), and everything is reported again.
///
/// It has one request under way at a time, so ten links fit one connection.
#[derive(Clone)]
pub struct ShadowLink {
    id: ShadowId,
    twin: TwinService,
    epoch: u32,
    version: u64,
    /// The shadow was removed since its version was seen.
    removed: bool,
    intents: Intents,
    /// Our fields as the shadow has them, and both sections as far as they are known.
    known: BTreeMap<String, Value>,
    sections: [Value; 2],
    connected: bool,
    barred: bool,
    met: bool,
    want_get: bool,
    pending: Option<Pending>,
    requests: u64,
    token: String,
    withheld: Option<Value>,
    rate: Rate,
    hold_until: Option<Instant>,
    doublings: u32,
}

/// A request that was not answered yet.
#[derive(Clone)]
struct Pending {
    token: String,
    ask: Ask,
    until: Instant,
    /// The version that was known when it was made.
    version: u64,
}

#[derive(Clone)]
enum Ask {
    Get,
    Update(BTreeMap<String, Value>, Value),
}

/// What a message was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Not this shadow's, not for us, or not readable.
    Ignored,
    /// Older than what was seen already.
    Stale,
    /// The shadow desires something.
    Desired {
        /// How many fields have a new intent.
        news: usize,
        /// How many the twin does not have, or cannot have so.
        refused: usize,
    },
    /// What was reported is in the shadow.
    Reported,
    /// The shadow was removed.
    Removed,
    /// A request of ours was not done.
    Rejected(Rejection),
}

/// Why what the device reports cannot be sent; it is held back until it changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The state would be too large for the shadow.
    #[error("the shadow would have {bytes} bytes of state, at most {MAX_STATE_BYTES} are allowed")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// The state has too many levels.
    #[error("the shadow would have more than 6 levels: flatten the twin")]
    TooDeep,
    /// An array has a null in it.
    #[error("the shadow takes no null in an array")]
    Null,
}

impl ShadowLink {
    /// Carries a twin over a shadow; `twin` brings the schema: `TwinService::of::<Room>()`.
    #[must_use]
    pub fn new(id: ShadowId, twin: TwinService) -> Self {
        Self {
            id,
            twin,
            epoch: 1,
            version: 0,
            removed: false,
            intents: Intents::default(),
            known: BTreeMap::new(),
            sections: [Value::Null, Value::Null],
            connected: false,
            barred: false,
            met: false,
            want_get: false,
            pending: None,
            requests: 0,
            token: "twin".into(),
            withheld: None,
            rate: Rate::new(),
            hold_until: None,
            doublings: 0,
        }
    }

    /// Begins its client tokens so; who else speaks to the same shadow must begin otherwise. At most 40 bytes count.
    #[must_use]
    pub fn with_token(mut self, prefix: &str) -> Self {
        self.token = prefix.chars().take(10).collect();
        self
    }

    /// What must be subscribed before [`connected`](Self::connected) is told.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<String> {
        [
            (Operation::Get, Kind::Accepted),
            (Operation::Get, Kind::Rejected),
            (Operation::Update, Kind::Accepted),
            (Operation::Update, Kind::Rejected),
            (Operation::Update, Kind::Delta),
            (Operation::Delete, Kind::Accepted),
        ]
        .map(|(operation, kind)| self.id.topic(operation, kind))
        .into()
    }

    /// The connection is there, and everything is subscribed: asks for the whole shadow.
    pub fn connected(&mut self) {
        self.connected = true;
        self.barred = false;
        self.want_get = true;
        self.pending = None;
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.pending = None;
    }

    /// The half towards the device.
    #[must_use]
    pub const fn twin(&self) -> &TwinService {
        &self.twin
    }

    /// The same, to pump its messages.
    pub const fn twin_mut(&mut self) -> &mut TwinService {
        &mut self.twin
    }

    /// In which life of the shadow, and up to which of its versions, everything was seen.
    #[must_use]
    pub fn version(&self) -> Version {
        // A shadow's versions are 64 bits at the cloud; nobody has made so many.
        Version::new(self.epoch, u32::try_from(self.version).unwrap_or(u32::MAX))
    }

    /// Takes a message in.
    pub fn receive(&mut self, now: Instant, topic: &str, payload: &[u8]) -> Notice {
        let topic = Topic::parse(topic).filter(|topic| topic.id == self.id);
        let (Some(topic), Ok(body)) = (topic, request::object(payload)) else {
            return Notice::Ignored;
        };
        match (topic.operation, topic.kind) {
            (Operation::Update, Kind::Delta) => self.take_delta(&body),
            (Operation::Delete, Kind::Accepted) => self.take_removal(&body),
            (operation, kind @ (Kind::Accepted | Kind::Rejected)) => {
                let token = request::token(&body).ok().flatten();
                let ours = |pending: &mut Pending| {
                    token.as_ref() == Some(&pending.token) && pending.ask.is(operation)
                };
                let Some(pending) = self.pending.take_if(ours) else {
                    let is_theirs = (operation, kind) == (Operation::Update, Kind::Accepted);
                    return if is_theirs {
                        self.take_theirs(&body)
                    } else {
                        Notice::Ignored
                    };
                };
                if kind == Kind::Rejected {
                    return self.take_rejection(now, pending, &body);
                }
                self.doublings = 0;
                match pending.ask {
                    Ask::Get => self.take_document(&body, pending.version),
                    Ask::Update(changes, patch) => self.take_acceptance(&body, changes, &patch),
                }
            }
            _ => Notice::Ignored,
        }
    }

    /// The next request, if one is due.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the shadow would not take what the device reports; told once, until that changes.
    pub fn next(&mut self, now: Instant) -> Result<Option<Publish>, SendError> {
        if self
            .pending
            .take_if(|pending| now >= pending.until)
            .is_some_and(|lost| lost.ask.is(Operation::Get))
        {
            self.want_get = true;
        }
        let held = self.hold_until.is_some_and(|until| now < until);
        let waits = !self.connected || self.barred || self.pending.is_some() || held;
        if waits || !self.rate.is_free(now) {
            return Ok(None);
        }
        self.hold_until = None;
        if self.want_get {
            self.want_get = false;
            return Ok(Some(self.ask(now, Operation::Get, Ask::Get, Vec::new())));
        }
        if !self.met {
            return Ok(None);
        }
        let changes = self.changes();
        let patch = fields::nest(&changes);
        if changes.is_empty() || self.withheld.as_ref() == Some(&patch) {
            return Ok(None);
        }
        if let Err(error) = self.check(&patch) {
            self.withheld = Some(patch);
            return Err(error);
        }
        let state = Value::map([("reported", patch.clone())]);
        let ask = Ask::Update(changes, patch);
        Ok(Some(self.ask(
            now,
            Operation::Update,
            ask,
            [("state", state)].into(),
        )))
    }

    /// When [`next`](Self::next) may have something that it has not now.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.connected || self.barred {
            return None;
        }
        let until = self.pending.as_ref().map(|pending| pending.until);
        let rate = Some(self.rate.next_at(now)).filter(|at| *at > now);
        until.or(self.hold_until).or(rate)
    }

    fn ask(
        &mut self,
        now: Instant,
        operation: Operation,
        ask: Ask,
        mut body: Vec<(&'static str, Value)>,
    ) -> Publish {
        self.requests += 1;
        let token = format!("{}-{}", self.token, self.requests);
        body.push(("clientToken", token.clone().into()));
        self.pending = Some(Pending {
            token,
            ask,
            until: now + PATIENCE,
            version: self.version,
        });
        self.rate.take(now);
        Publish {
            topic: self.id.topic(operation, Kind::Request),
            payload: Value::map(body).to_json(),
        }
    }

    /// What the device reports and the shadow does not have so.
    fn changes(&self) -> BTreeMap<String, Value> {
        let own = fields::said(&self.twin);
        let gone = self.known.keys().filter(|name| !own.contains_key(*name));
        let gone: Vec<_> = gone.map(|name| (name.clone(), Value::Null)).collect();
        let new = own
            .into_iter()
            .filter(|(name, value)| self.known.get(name) != Some(value));
        new.chain(gone).collect()
    }

    fn check(&self, patch: &Value) -> Result<(), SendError> {
        let [desired, reported] = &self.sections;
        let mut after = reported.clone();
        merge(&mut after, patch);
        match request::check(&after) {
            Err(Rejection::TooDeep) => return Err(SendError::TooDeep),
            Err(Rejection::InvalidNode) => return Err(SendError::Null),
            _ => {}
        }
        let size = |value: &Value| {
            if value.is_null() {
                0
            } else {
                value.to_json().len()
            }
        };
        let bytes = size(desired) + size(&after);
        if bytes > MAX_STATE_BYTES {
            return Err(SendError::TooLarge { bytes });
        }
        Ok(())
    }

    /// Whether a message of this version is news; a shadow that was removed may begin anew.
    fn advance(&mut self, version: u64) -> bool {
        if version < self.version && self.removed {
            self.begin_epoch();
        } else if version < self.version {
            return false;
        }
        self.removed = false;
        self.version = version;
        true
    }

    fn begin_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.version = 0;
        self.forget();
    }

    /// There is no shadow any more: whatever is desired next is a new intent, and everything is to be reported.
    fn forget(&mut self) {
        self.intents.clear();
        self.known.clear();
        self.sections = [Value::Null, Value::Null];
        self.withheld = None;
    }

    fn take_delta(&mut self, body: &Value) -> Notice {
        let Some(version) = number(body, "version") else {
            return Notice::Ignored;
        };
        if !self.advance(version) {
            // Late, or a shadow of which we missed that it was removed: the whole of it tells which.
            self.want_get = true;
            return Notice::Stale;
        }
        self.desire(body.get("state"), body.get("metadata"), Unknown::HandOn)
    }

    /// Somebody else's update: what is desired there is an intent, also where the device has that value already and no
    /// delta will ever say so.
    fn take_theirs(&mut self, body: &Value) -> Notice {
        let desired = body.get("state").and_then(|state| state.get("desired"));
        let (Some(version), Some(desired)) = (number(body, "version"), desired) else {
            return Notice::Ignored;
        };
        if !self.advance(version) {
            self.want_get = true;
            return Notice::Stale;
        }
        if desired.is_null() {
            let news = self.withdraw_all_but(desired);
            return Notice::Desired { news, refused: 0 };
        }
        let times = body.get("metadata").and_then(|times| times.get("desired"));
        self.desire(Some(desired), times, Unknown::HandOn)
    }

    fn take_document(&mut self, body: &Value, asked_at: u64) -> Notice {
        let Some(version) = number(body, "version") else {
            return Notice::Ignored;
        };
        if version < asked_at && !self.removed {
            // It was made after what we had seen, and is lower: we missed that the shadow was removed.
            self.removed = true;
        }
        if !self.advance(version) {
            self.want_get = true;
            return Notice::Stale;
        }
        let section = |name| body.get("state").and_then(|state| state.get(name));
        let reported = section("reported").cloned().unwrap_or(Value::Null);
        self.known = fields::own(&self.twin, &reported);
        let desired = section("desired").cloned().unwrap_or(Value::Null);
        let times = body.get("metadata").and_then(|times| times.get("desired"));
        let mut notice = self.desire(section("delta"), times, Unknown::HandOn);
        let agreed = self.desire(Some(&desired), times, Unknown::Note);
        let withdrawn = self.withdraw_all_but(&desired);
        if let (Notice::Desired { news, .. }, Notice::Desired { news: more, .. }) =
            (&mut notice, agreed)
        {
            *news += more + withdrawn;
        }
        self.sections = [desired, reported];
        self.met = true;
        notice
    }

    fn take_acceptance(
        &mut self,
        body: &Value,
        changes: BTreeMap<String, Value>,
        patch: &Value,
    ) -> Notice {
        if let Some(version) = number(body, "version") {
            let _ = self.advance(version);
        }
        for (name, value) in changes {
            if value.is_null() {
                self.known.remove(&name);
            } else {
                self.known.insert(name, value);
            }
        }
        let [_, reported] = &mut self.sections;
        merge(reported, patch);
        self.withheld = None;
        Notice::Reported
    }

    fn take_removal(&mut self, body: &Value) -> Notice {
        let version = number(body, "version").unwrap_or(self.version);
        if version < self.version {
            return Notice::Stale;
        }
        self.version = version;
        self.removed = true;
        self.forget();
        Notice::Removed
    }

    fn take_rejection(&mut self, now: Instant, pending: Pending, body: &Value) -> Notice {
        let message = body.get("message").and_then(Value::as_str).unwrap_or("");
        let code = number(body, "code").unwrap_or(500);
        let rejection = Rejection::read(code, message, &self.id).unwrap_or(Rejection::Internal);
        match rejection {
            Rejection::NoShadow => {
                self.removed = self.version > 0;
                self.forget();
                self.met = true;
            }
            Rejection::VersionConflict => self.want_get = true,
            Rejection::Unauthorized | Rejection::Forbidden => self.barred = true,
            rejection if rejection.is_transient() => {
                self.hold_until = Some(now + PAUSE * (1 << self.doublings));
                self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
                self.want_get |= pending.ask.is(Operation::Get);
            }
            _ => match pending.ask {
                Ask::Update(_, patch) => self.withheld = Some(patch),
                // What is wrong with a request that has nothing in it will not get better.
                Ask::Get => self.barred = true,
            },
        }
        Notice::Rejected(rejection)
    }
}

// No values: some are not for logs.
impl fmt::Debug for ShadowLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShadowLink")
            .field("id", &self.id)
            .field("version", &self.version())
            .field("connected", &self.connected)
            .field(
                "awaits",
                &self.pending.as_ref().map(|pending| pending.until),
            )
            .finish_non_exhaustive()
    }
}

impl Ask {
    const fn is(&self, operation: Operation) -> bool {
        match self {
            Self::Get => matches!(operation, Operation::Get),
            Self::Update(..) => matches!(operation, Operation::Update),
        }
    }
}

fn number(body: &Value, name: &str) -> Option<u64> {
    match body.get(name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
