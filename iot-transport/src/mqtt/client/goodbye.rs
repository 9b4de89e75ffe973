//! How a client leaves.

use core::task::{Context, Poll};

use tokio::time::Instant;

use super::Client;
use super::clock::Spread;
use super::connect::Connect;
use super::link::Link;
use crate::mqtt::packet;
use crate::mqtt::packet::client::{Reply, decode};

/// As often input is read for each poll of a closing link, so that a busy broker cannot hold the end up.
const LAST_READS: usize = 64;

impl<C: Connect> Client<C> {
    /// Takes in the acknowledgements that have arrived already.
    fn take_last_fates(&mut self, cx: &mut Context<'_>) {
        for _ in 0..LAST_READS {
            loop {
                let Link::Up(up) = &mut self.link else {
                    return;
                };
                let Ok(Some((first, body))) = up.wire.frame() else {
                    break;
                };
                let Ok(packet) = decode(self.settings.version, first, body) else {
                    return;
                };
                // Nothing else is answered or handed over any more.
                if matches!(packet, Reply::Puback { .. }) && self.receive(packet).is_err() {
                    return;
                }
            }
            let Link::Up(up) = &mut self.link else {
                return;
            };
            if !matches!(up.wire.poll_read(cx), Poll::Ready(Ok(1..))) {
                return;
            }
        }
    }

    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let version = self.settings.version;
        if matches!(&self.link, Link::Up(up) if !up.parting) {
            // Subscriptions go before messages, also here.
            while {
                let step = self.session.step(self.clock.now(), &mut Spread);
                self.serve(step)
            } {}
            self.fill(Instant::now());
        }
        self.take_last_fates(cx);
        let Link::Up(up) = &mut self.link else {
            return Poll::Ready(());
        };
        // Written once and last: an empty buffer afterwards means that the goodbye is out.
        if !up.parting {
            packet::put_disconnect(&mut up.wire.out, version, 0);
            up.parting = true;
        }
        match up.wire.poll_write(cx) {
            Poll::Ready(Ok(())) => up.wire.poll_shutdown(cx).map(|_| ()),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Says goodbye once, as far as that goes without waiting, before another session is begun.
    pub(super) fn part(&mut self, cx: &mut Context<'_>) {
        self.take_last_fates(cx);
        let Link::Up(up) = &mut self.link else {
            return;
        };
        packet::put_disconnect(&mut up.wire.out, self.settings.version, 0);
        if let Poll::Ready(Ok(())) = up.wire.poll_write(cx) {
            // A stream that does not end politely ends all the same.
            let _ = up.wire.poll_shutdown(cx);
        }
    }
}
