//! How often each fault and each end really came about.

/// Counts `u64`s by name.
macro_rules! tally {
    ($($name:ident),* $(,)?) => {
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: u64,)*
        }

        impl Tally {
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// The names of what never happened.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                [$((stringify!($name), self.$name)),*]
                    .into_iter()
                    .filter(|(_, count)| *count == 0)
                    .map(|(name, _)| name)
                    .collect()
            }
        }
    };
}

tally! {
    // What was done to them.
    issued, refused_full, device_cuts, device_cuts_before, device_cuts_after, service_cuts,
    service_cuts_before, service_cuts_after, full_stores, dropped_steps, written_unheard, busy_links, lost,
    doubled, reordered, ancient, restored_backups, larger_firmware, wrong_firmware, damaged,
    // What they said and told.
    in_progress, progress, too_late, busy, clock_unknown, unknown_issuer, forgotten, too_old, done, failed, no_room, doubt_with_effect,
    doubt_without_effect, expired, expired_after_a_run, told_forgotten, unauthorised, refused_at_its_turn, cancelled, cancelled_after_a_run, unanswered, orphans,
    probes_done, probes_open, runs_again, effects_waited, told_again, worlds, quiet_commands,
}
