//! The front with real certificates: who is refused, where, and that nothing of theirs is delivered.
//!
//! Each case plays an intruder against a gate, before the hub of this workspace and before a real broker. A
//! watching service must then receive an honest device's message and nothing before it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

extern crate alloc;

mod front {
    pub(crate) mod broker;
    pub(crate) mod cases;
    pub(crate) mod mqtt;
    pub(crate) mod world;
}

use front::cases;
use front::world::World;

/// One set of tests for each thing that may stand behind the front.
macro_rules! behind {
    ($name:ident, $world:expr, $mark:tt) => {
        behind! { $name, $world, $mark,
            without_a_certificate_refused_in_the_handshake
            with_an_expired_certificate_refused_in_the_handshake
            of_another_authority_refused_in_the_handshake
            revoked_refused_in_the_handshake
            revoked_and_resuming_refused_after_accept
            under_anothers_client_id_refused_at_connect
            with_a_will_for_another_refused_at_connect
            publishing_for_another_refused_at_publish
            publishing_in_another_tenant_refused_at_publish
            listening_to_another_refused_at_subscribe
            a_newcomer_may_only_enrol
            a_revoked_devices_live_session_ends_within_a_second_of_the_decision
        }
    };
    ($name:ident, $world:expr, $mark:tt, $($case:ident)*) => {
        mod $name {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                # $mark
                async fn $case() {
                    cases::$case(&$world).await;
                }
            )*
        }
    };
}

behind!(the_hub, World::before_hub(), [cfg(test)]);
behind!(
    mosquitto,
    World::before_mosquitto().await,
    [ignore = "needs mosquitto"]
);
