//! What a CONNECT comes to.

use core::sync::atomic::Ordering;
use core::time::Duration;

use super::board::Visit;
use super::count;
use super::serve::{Connection, End, Held};
use super::will::Legacy;
use crate::mqtt::packet::Version;
use crate::mqtt::packet::server::{self, Connect, Welcome};
use crate::mqtt::wire::Io;

impl<S: Io> Connection<'_, S> {
    /// Gives a client its session, or refuses it.
    pub(super) fn greet(&mut self, connect: Connect) -> Result<(), End> {
        let shared = &self.hub.shared;
        let settings = &shared.settings;
        self.version = connect.version;
        let number = shared.counters.numbers.fetch_add(1, Ordering::Relaxed);
        let assigned = connect
            .client_id
            .is_empty()
            .then(|| alloc::format!("auto-{number}"));
        // A client without a name cannot come back to its session [MQTT-3.1.3-8].
        if assigned.is_some() && !connect.clean && connect.version == Version::V3 {
            server::put_refusal(&mut self.wire.out, self.version, 2, 0x85);
            return Err(End::Fault(0x85));
        }
        if connect
            .will
            .as_ref()
            .is_some_and(|will| will.topic.is_empty() || will.topic.contains(['+', '#', '\0']))
        {
            return Err(End::Fault(0x81));
        }
        let expiry = settings.lives_on(connect.session_expiry_s);
        let client_id = assigned.as_deref().unwrap_or(&connect.client_id);
        let visit = Visit {
            client_id,
            clean: connect.clean,
            expiry,
            connection: number,
            wake: self.wake.clone(),
        };
        let (entry, left) = shared.board.attach(visit, settings.sessions);
        let Some(entry) = entry else {
            shared.settle(left);
            server::put_refusal(&mut self.wire.out, self.version, 3, 0x97);
            return Err(End::Fault(0x97));
        };
        // Held from here on: whatever happens, the session is given back.
        self.held = Some(Held {
            hub: self.hub,
            session: entry.session,
            connection: number,
            will: connect
                .will
                .map(|will| Legacy::new(will, self.vouch.take())),
            outlives: connect.session_expiry_s > 0,
        });
        shared.settle(left);
        count(&shared.counters.taken_over, u64::from(entry.took_over));
        count(&shared.counters.accepted, 1);
        self.window = usize::from(settings.window.min(connect.receive_maximum));
        self.packet_limit = connect.packet_limit;
        self.keep_alive =
            (connect.keep_alive_s > 0).then(|| Duration::from_secs(connect.keep_alive_s.into()));
        let told = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        server::put_connack(
            &mut self.wire.out,
            self.version,
            Welcome {
                session_present: entry.present,
                receive_maximum: settings.window,
                packet_limit: u32::try_from(settings.packet_bytes).unwrap_or(u32::MAX),
                aliases: settings.aliases,
                assigned: assigned.as_deref(),
                session_expiry_s: (told != connect.session_expiry_s).then_some(told),
            },
        )?;
        Ok(())
    }
}
