//! The update engine with its schedule: a release offered, agreed to, fetched, staged, tried and confirmed, on banks
//! that are somebody else's.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::engine::{Done, Engine, Event, RecordRange, Step};
use iot_core::{Channel, Instant, Now};
use iot_firmware::believer::Believer;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::drive::{Driven, Flash, drive};
use iot_firmware::fixture::{DEVICE, IMAGE_BYTES, MANIFEST, SEQUENCE};
use iot_ota::manifest::SigningKey;
use iot_ota::schedule::{ByteBudget, Conditions, Days, Schedule, Stage, Window};
use iot_ota::update::{Trust, Updater, Want};

struct Device {
    update: Updater<'static, Flash, SigningKey<Believer>, Believer>,
    schedule: Schedule<1>,
    conditions: Conditions,
}

impl Driven for Device {
    fn turn(&mut self, now: Now) -> bool {
        for stage in [Stage::Fetch, Stage::Restart] {
            self.update
                .gate(stage, self.schedule.may(now, stage, &self.conditions));
        }
        if self.update.progress().is_some() {
            self.schedule
                .fetched(now.instant, opaque(1_024), &self.conditions);
        }
        match self.update.wants() {
            Want::Approve => {
                self.update.approve(SEQUENCE);
            }
            Want::Confirm => self.update.confirm(opaque(true)),
            Want::Reboot => return true,
            _ => {}
        }
        false
    }

    fn flash(&self) -> &Flash {
        self.update.banks()
    }
}

impl Engine for Device {
    fn handles(&self, channel: Channel) -> bool {
        self.update.handles(channel)
    }
    fn records(&self) -> RecordRange {
        self.update.records()
    }
    fn input(&mut self, now: Now, event: &Event<'_>) {
        self.update.input(now, event);
    }
    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.update.step(now, buffer)
    }
    fn done(&mut self, now: Now, done: Done<'_>) {
        self.update.done(now, done);
    }
    fn deadline(&self) -> Option<Instant> {
        self.update.deadline()
    }
}

#[entry]
fn main() -> ! {
    let Some((board, flash)) = Board::start().zip(Flash::factory()) else {
        exit(false)
    };
    let mut device = device(flash);
    // What came is not what was signed: nothing hashes here.
    let (fetched, ended) = drive(&mut device, IMAGE_BYTES);
    if opaque(false) {
        device.update.cancel();
        device.schedule.end();
    }
    let facts = [("fetched", fetched)];
    board.finish(if fetched == IMAGE_BYTES as usize && ended {
        Ok(&facts)
    } else {
        Err("update")
    })
}

/// With settings that are constants, as those of a firmware are.
#[inline(never)]
fn device(flash: Flash) -> Device {
    let trust = Trust::new(
        SigningKey::new(Believer(MANIFEST)),
        Believer(MANIFEST),
        *opaque(&DEVICE),
    );
    let update = Updater::new(flash, trust)
        .with_block_bytes(1_024)
        .with_timeout(Duration::from_secs(9))
        .with_trials(3)
        .with_minimum_rate(100, Duration::from_secs(60))
        .with_approval();
    let window = Window::new(Days::ALL, 60, Duration::from_secs(86_000)).east_of_utc(60);
    let mut schedule = Schedule::new([Some(window)])
        .battery_at_least(30)
        .jitter(opaque(7_u32).into(), Duration::from_secs(2))
        .budget(ByteBudget::per_day(1 << 20, Instant::ZERO));
    schedule.begin(Instant::ZERO, Some(Duration::from_secs(90_000)));
    schedule.defer(Instant::ZERO);
    Device {
        update,
        schedule,
        conditions: *opaque(&Conditions::default().battery(80, false).metered(true)),
    }
}
