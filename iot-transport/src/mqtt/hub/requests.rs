//! What a client asks for once it was greeted.

use alloc::sync::Arc;

use super::count;
use super::letter::Letter;
use super::serve::{Connection, End, Held};
use super::session::Session;
use super::settings::HubSettings;
use super::stats::Counters;
use crate::mqtt::packet::server::{self, Goodbye, Request, Wish};
use crate::mqtt::packet::{self, Publish, Version};
use crate::mqtt::wire::Io;

/// No packet of that identifier is on its way.
const UNKNOWN: u8 = 0x92;

impl<S: Io> Connection<'_, S> {
    pub(super) fn handle(&mut self, packet: Request) -> Result<(), End> {
        let shared = &self.hub.shared;
        let held = match (packet, &mut self.held) {
            (Request::Connect(connect), None) => return self.greet(connect),
            (_, None) => return Err(End::Fault(0x82)),
            (packet, Some(held)) => (packet, held),
        };
        match held {
            (Request::Publish(publish), held) => {
                let session = held.session.clone();
                self.publish(&publish, &session)
            }
            (Request::Puback { id, code }, held) => {
                if held.session.state().acknowledged(id) {
                    count_end(&shared.counters, code);
                }
                Ok(())
            }
            (Request::Pubrec { id, code }, held) => {
                let mut state = held.session.state();
                if code >= 0x80 {
                    let refused = state.refused(id);
                    count(&shared.counters.rejected, u64::from(refused));
                } else {
                    let code = if state.received(id) { 0 } else { UNKNOWN };
                    let out = &mut self.wire.out;
                    server::put_ack(out, self.version, server::PUBREL, id, code);
                }
                Ok(())
            }
            (Request::Pubrel { id }, held) => {
                let known = held.session.state().unreleased.remove(&id);
                let code = if known { 0 } else { UNKNOWN };
                let out = &mut self.wire.out;
                server::put_ack(out, self.version, server::PUBCOMP, id, code);
                Ok(())
            }
            (Request::Pubcomp { id }, held) => {
                let completed = held.session.state().completed(id);
                count(&shared.counters.delivered, u64::from(completed));
                Ok(())
            }
            (Request::Subscribe { id, wishes }, held) => {
                let session = held.session.clone();
                self.subscribe(id, &wishes, &session)
            }
            (Request::Unsubscribe { id, filters }, held) => {
                shared.board.unsubscribe(&held.session, &filters);
                server::put_unsuback(&mut self.wire.out, self.version, id, filters.len())?;
                Ok(())
            }
            (Request::Pingreq, _) => {
                server::put_pingresp(&mut self.wire.out);
                Ok(())
            }
            (Request::Disconnect(goodbye), held) => Err(held.goodbye(goodbye, &shared.settings)),
            _ => Err(End::Fault(0x82)),
        }
    }

    fn publish(&mut self, publish: &Publish, session: &Session) -> Result<(), End> {
        let shared = &self.hub.shared;
        let letter = Letter::received(self.topic(publish)?, publish);
        let exact = publish.id().filter(|_| letter.qos == 2);
        if let Some(id) = exact {
            let most = usize::from(shared.settings.window);
            let unreleased = &mut session.state().unreleased;
            if !unreleased.insert(id) {
                // It has its readers already; only the answer was lost.
                server::put_ack(&mut self.wire.out, self.version, server::PUBREC, id, 0);
                return Ok(());
            }
            // 3.1.1 has no way to tell a client how many it may have.
            if self.version == Version::V5 && unreleased.len() > most {
                unreleased.remove(&id);
                return Err(End::Fault(0x93));
            }
        }
        count(&shared.counters.published, 1);
        let reached = shared.board.publish(
            &letter,
            Some(session.number),
            &shared.settings,
            &shared.counters,
        );
        // 0x10: nobody subscribes.
        let code = if reached == 0 { 0x10 } else { 0 };
        let (out, version) = (&mut self.wire.out, self.version);
        match (publish.id(), exact) {
            (_, Some(id)) => server::put_ack(out, version, server::PUBREC, id, code),
            (Some(id), None) => packet::put_puback(out, version, id, code),
            (None, None) => {}
        }
        Ok(())
    }

    /// The topic that a PUBLISH names, or that its alias stands for.
    fn topic(&mut self, publish: &Publish) -> Result<Arc<str>, End> {
        let most = self.hub.shared.settings.aliases;
        let unknown = End::Fault(0x94);
        match (publish.alias(), publish.topic()) {
            (None, topic) => Ok(topic.into()),
            (Some(alias), _) if alias == 0 || alias > most => Err(unknown),
            (Some(alias), "") => self.aliases.get(&alias).cloned().ok_or(unknown),
            (Some(alias), topic) => {
                let topic: Arc<str> = topic.into();
                self.aliases.insert(alias, topic.clone());
                Ok(topic)
            }
        }
    }

    fn subscribe(&mut self, id: u16, wishes: &[Wish], session: &Arc<Session>) -> Result<(), End> {
        let shared = &self.hub.shared;
        let board = &shared.board;
        // "It is a Protocol Error to set the No Local bit to 1 on a Shared Subscription" [MQTT-3.8.3-4].
        if wishes.iter().any(|wish| wish.no_local && wish.is_shared()) {
            return Err(End::Fault(0x82));
        }
        let Some((granted, retained)) = board.subscribe(session, wishes, shared.settings.filters)
        else {
            return Err(End::TakenOver);
        };
        server::put_suback(&mut self.wire.out, self.version, id, &granted)?;
        let mut state = session.state();
        for letter in retained {
            count(&shared.counters.routed, 1);
            count(
                &shared.counters.overflowed,
                state.push(letter, shared.settings.queue),
            );
        }
        Ok(())
    }
}

impl Held<'_> {
    fn goodbye(&mut self, goodbye: Goodbye, settings: &HubSettings) -> End {
        if let Some(seconds) = goodbye.session_expiry_s {
            // "If the Session Expiry Interval in the CONNECT packet was zero, then it is a Protocol Error to set
            // a non-zero Session Expiry Interval in the DISCONNECT packet" (5.0 §3.14.2.2.2).
            if !self.outlives && seconds > 0 {
                return End::Fault(0x82);
            }
            let mut state = self.session.state();
            if state.is_live(self.connection) {
                state.expiry = settings.lives_on(seconds);
            }
        }
        // 4: the client wants its will published although it says goodbye.
        if goodbye.code != 4 {
            self.will = None;
        }
        End::Goodbye
    }
}

/// Counts a letter that its subscriber ended with this reason.
fn count_end(counters: &Counters, code: u8) {
    let counter = match code {
        0..0x80 => &counters.delivered,
        _ => &counters.rejected,
    };
    count(counter, 1);
}
