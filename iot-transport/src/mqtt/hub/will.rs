//! What is published for a client that vanished: at once, or when it has not come back in time.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use mqtt_protocol_core::mqtt::IntoPayload;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::letter::{Letter, ends};
use super::session::Session;
use super::{Shared, count};
use crate::mqtt::packet::server::Will;

/// Says, when a will is due, whether its client may still speak to that topic.
#[derive(Clone)]
pub(crate) struct Vouch(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Vouch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vouch")
    }
}

#[cfg(feature = "gate")]
impl Vouch {
    pub(crate) fn new(may_say: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may_say))
    }
}

/// A will that its connection left behind.
#[derive(Debug)]
pub(super) struct Legacy {
    letter: Letter,
    /// How long it waits for the client to come back.
    pub(super) delay: Duration,
    /// How long the message lives once it is published.
    expiry_s: Option<u32>,
    vouch: Option<Vouch>,
}

impl Legacy {
    pub(super) fn new(will: Will, vouch: Option<Vouch>) -> Self {
        Self {
            letter: Letter {
                topic: will.topic.into(),
                payload: will.payload.into_payload(),
                qos: will.qos,
                retain: will.retain,
                properties: will.properties.into(),
                expires: None,
                share: None,
            },
            delay: Duration::from_secs(will.delay_s.into()),
            expiry_s: will.expiry_s,
            vouch,
        }
    }
}

/// A will that waits in its session; with it goes its timer.
#[derive(Debug)]
pub(super) struct Waiting {
    connection: u64,
    pub(super) legacy: Legacy,
    timer: Option<Timer>,
}

impl Waiting {
    pub(super) const fn new(connection: u64, legacy: Legacy) -> Self {
        Self {
            connection,
            legacy,
            timer: None,
        }
    }
}

/// Dropping it ends the task: a client that is cut again and again must not leave one each time.
#[derive(Debug)]
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Publishes a will, unless its client may not say it any more.
pub(super) fn publish(shared: &Shared, legacy: Legacy) {
    let Legacy {
        mut letter,
        expiry_s,
        vouch,
        ..
    } = legacy;
    if vouch.is_some_and(|Vouch(may_say)| !may_say(&letter.topic)) {
        return count(&shared.counters.withheld, 1);
    }
    letter.expires = expiry_s.and_then(ends);
    count(&shared.counters.published, 1);
    shared
        .board
        .publish(&letter, None, &shared.settings, &shared.counters);
}

/// Publishes what `connection` left in its session, unless somebody took it out until then.
pub(super) fn wait(shared: &Arc<Shared>, session: &Arc<Session>, connection: u64, span: Duration) {
    let (weak_shared, weak_session) = (Arc::downgrade(shared), Arc::downgrade(session));
    let due = move || {
        let (Some(shared), Some(session)) = (weak_shared.upgrade(), weak_session.upgrade()) else {
            return;
        };
        let mine = |waiting: &mut Waiting| waiting.connection == connection;
        let will = session.state().will.take_if(mine);
        if let Some(waiting) = will {
            publish(&shared, waiting.legacy);
        }
    };
    // Nobody can wait where nothing runs: better too early than never.
    let Ok(runtime) = Handle::try_current() else {
        return due();
    };
    let task = runtime.spawn(async move {
        tokio::time::sleep(span).await;
        due();
    });
    let timer = Timer(task.abort_handle());
    let mut state = session.state();
    if let Some(waiting) = &mut state.will
        && waiting.connection == connection
    {
        waiting.timer = Some(timer);
    }
}
