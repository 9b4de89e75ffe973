//! What is published for a client that vanished: at once, or when it has not come back in time.

use alloc::sync::Arc;
use core::time::Duration;

use mqtt_protocol_core::mqtt::IntoPayload;
use tokio::runtime::Handle;

use super::session::{Letter, Session};
use super::{Shared, count};
use crate::mqtt::packet::server::Will;

/// The message that a will is, and how long it waits.
pub(super) fn letter(will: Will) -> (Letter, Duration) {
    let letter = Letter {
        topic: will.topic.into(),
        payload: will.payload.into_payload(),
        qos: will.qos.min(1),
        retain: will.retain,
        properties: Arc::from([]),
        expires: None,
    };
    (letter, Duration::from_secs(will.delay_s.into()))
}

pub(super) fn publish(shared: &Shared, letter: &Letter) {
    count(&shared.counters.published, 1);
    shared
        .board
        .publish(letter, None, &shared.settings, &shared.counters);
}

/// Publishes what `connection` left in its session, unless somebody took it out until then.
pub(super) fn wait(shared: &Arc<Shared>, session: &Arc<Session>, connection: u64, span: Duration) {
    let (shared, session) = (Arc::downgrade(shared), Arc::downgrade(session));
    let due = move || {
        let (Some(shared), Some(session)) = (shared.upgrade(), session.upgrade()) else {
            return;
        };
        let mine = |(left_by, _): &mut (u64, Letter)| *left_by == connection;
        let will = session.state().will.take_if(mine);
        if let Some((_, letter)) = will {
            publish(&shared, &letter);
        }
    };
    match Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(async move {
                tokio::time::sleep(span).await;
                due();
            });
        }
        // Nobody can wait where nothing runs: better too early than never.
        Err(_) => due(),
    }
}
