mod laws;

use core::time::Duration;

use iot_core::entropy::{Entropy, EntropyError};
use iot_core::retry::Policy;

use super::*;

const S: Duration = Duration::from_secs(1);
const RETRY: Policy = Policy::new(S, Duration::from_secs(60));
const TERMS: Terms = Terms::new(RETRY)
    .with_keep_alive(Duration::from_secs(100))
    .with_attempt(Duration::from_secs(20))
    .with_window(3);

/// The same bytes every time; counts how often it was asked.
struct Fixed(u8, usize);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.1 += 1;
        out.fill(self.0);
        Ok(())
    }
}

/// Xorshift: good enough to choose pauses.
struct Random(u64);

impl Entropy for Random {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            self.0 = (self.0 | 1) ^ (self.0 << 13);
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(())
    }
}

struct Broken;

impl Entropy for Broken {
    fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError::new())
    }
}

type Four = Session<u8, 4>;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

/// Takes the next step and reports it as done.
fn take(session: &mut Four, now: Instant) -> Step<u8> {
    let step = session.step(now, &mut Fixed(7, 0));
    session.done(now);
    step
}

fn welcome(session: &mut Four, now: Instant, welcome: Welcome) {
    assert_eq!(take(session, now), Step::Dial);
    session.input(now, Event::Opened);
    assert_eq!(take(session, now), Step::Greet);
    session.input(now, Event::Welcomed(welcome));
}

/// Stands since the moment of boot, with what `keys` say granted.
fn up(keys: &[u8]) -> Four {
    let mut session = Four::new(TERMS);
    for key in keys {
        session.subscribe(*key).unwrap();
    }
    session.start(at(0));
    welcome(&mut session, at(0), Welcome::new(false));
    for key in keys {
        assert_eq!(take(&mut session, at(0)), Step::Subscribe(*key));
        let (key, granted) = (*key, true);
        session.input(at(0), Event::Subscribed { key, granted });
    }
    assert_eq!(take(&mut session, at(0)), Step::Idle);
    session
}

const LOST: Event<u8> = Event::Lost { wait: None };

/// When the session dials next, as it says itself.
fn pause(session: &mut Four, now: Instant) -> Duration {
    assert_eq!(take(session, now), Step::Idle);
    let wake = session.wake().unwrap();
    assert_eq!(wake.cause, Cause::BackOff);
    wake.at.since(now)
}

#[test]
fn a_step_is_the_same_until_it_is_done() {
    let mut session = Four::new(TERMS);
    session.start(at(0));
    for _ in 0..3 {
        assert_eq!(session.step(at(0), &mut Fixed(0, 0)), Step::Dial);
    }
    session.done(at(0));
    session.done(at(0));
    assert_eq!(take(&mut session, at(0)), Step::Idle);
    assert_eq!(session.state(), State::Connecting);
}

#[test]
fn an_idle_poll_does_nothing() {
    let mut session = up(&[1, 2]);
    let (before, mut entropy) = (session, Fixed(0, 0));
    for second in 0..100 {
        assert_eq!(session.step(at(second), &mut entropy), Step::Idle);
        assert_eq!(session, before);
    }
    assert_eq!(entropy.1, 0, "it drew randomness for nothing");
    assert_eq!(session.deadline(), Some(at(100)));
}

#[test]
fn a_silent_link_is_pinged_and_then_given_up() {
    let mut session = up(&[]);
    assert_eq!(take(&mut session, at(99)), Step::Idle);
    assert_eq!(take(&mut session, at(100)), Step::Ping);
    session.input(at(100), Event::Sent);
    let wake = session.wake().unwrap();
    assert_eq!((wake.at, wake.cause), (at(150), Cause::PingAnswer));
    assert_eq!(take(&mut session, at(149)), Step::Idle);
    assert_eq!(take(&mut session, at(150)), Step::Close(Reason::Silent));
    assert_eq!(session.state(), State::Waiting);
}

#[test]
fn an_answer_makes_the_next_ping_due_one_keep_alive_later() {
    let mut session = up(&[]);
    assert_eq!(take(&mut session, at(100)), Step::Ping);
    session.input(at(101), Event::Received);
    // The ping went out a second before its answer came, and the other end counts from there.
    assert_eq!(session.deadline(), Some(at(200)));
}

#[test]
fn only_traffic_both_ways_keeps_the_ping_away() {
    let mut session = up(&[]);
    session.input(at(90), Event::Sent);
    assert_eq!(session.deadline(), Some(at(100)), "nothing came");
    session.input(at(95), Event::Received);
    assert_eq!(session.deadline(), Some(at(190)), "nothing was sent");
}

#[test]
fn a_link_that_needs_no_signs_of_life_never_wakes() {
    let mut session = Four::new(TERMS);
    session.start(at(0));
    let forever = Welcome::new(false).with_keep_alive(Duration::ZERO);
    welcome(&mut session, at(0), forever);
    assert_eq!(take(&mut session, at(1_000_000)), Step::Idle);
    assert_eq!(session.deadline(), None);
}

#[test]
fn the_other_ends_keep_alive_goes_before_ours() {
    let mut session = Four::new(TERMS);
    session.start(at(0));
    welcome(&mut session, at(0), Welcome::new(false).with_keep_alive(S));
    assert_eq!(session.deadline(), Some(at(1)));
}

#[test]
fn a_lost_session_gets_every_subscription_again_and_a_kept_one_none() {
    for (resumed, again) in [(false, 3), (true, 0)] {
        let mut session = up(&[1, 2, 3]);
        session.input(at(1), LOST);
        let pause = pause(&mut session, at(1));
        let back = at(1) + pause;
        welcome(&mut session, back, Welcome::new(resumed));
        let mut asked = 0;
        while let Step::Subscribe(_) = take(&mut session, back) {
            asked += 1;
        }
        assert_eq!(asked, again);
    }
}

#[test]
fn a_kept_session_is_asked_for_what_it_had_not_answered_or_had_refused() {
    let mut session = up(&[1]);
    session.subscribe(2).unwrap();
    session.subscribe(3).unwrap();
    assert_eq!(take(&mut session, at(0)), Step::Subscribe(2));
    assert_eq!(take(&mut session, at(0)), Step::Subscribe(3));
    let (key, granted) = (3, false);
    session.input(at(0), Event::Subscribed { key, granted });
    assert_eq!(take(&mut session, at(0)), Step::Idle);
    assert!(session.is_subscribed(1) && !session.is_subscribed(2) && !session.is_subscribed(3));
    session.input(at(1), LOST);
    let back = at(1) + pause(&mut session, at(1));
    welcome(&mut session, back, Welcome::new(true));
    assert_eq!(take(&mut session, back), Step::Subscribe(2));
    assert_eq!(take(&mut session, back), Step::Subscribe(3));
    assert_eq!(take(&mut session, back), Step::Idle);
}

#[test]
fn a_step_that_a_lost_link_made_stale_is_not_taken_for_done() {
    let mut session = up(&[]);
    session.subscribe(9).unwrap();
    let step = session.step(at(1), &mut Fixed(7, 0));
    assert_eq!(step, Step::Subscribe(9));
    session.input(at(1), LOST);
    session.done(at(1)); // the write ended, but on a link that is gone
    let back = at(1) + pause(&mut session, at(1));
    welcome(&mut session, back, Welcome::new(true));
    assert_eq!(take(&mut session, back), Step::Subscribe(9));
}

#[test]
fn nothing_is_published_before_the_subscriptions_are_out() {
    let mut session = Four::new(TERMS);
    session.subscribe(1).unwrap();
    session.start(at(0));
    welcome(&mut session, at(0), Welcome::new(false));
    assert_eq!(session.publish(), Err(PublishError::Closed));
    assert!(!session.may_publish());
    assert_eq!(take(&mut session, at(0)), Step::Subscribe(1));
    assert_eq!(session.publish(), Ok(()));
}

#[test]
fn the_window_is_the_smaller_of_both_and_an_acknowledgement_too_many_does_not_widen_it() {
    for (theirs, places) in [(0, 1), (1, 1), (2, 2), (3, 3), (9, 3)] {
        let mut session = Four::new(TERMS);
        session.start(at(0));
        let narrow = Welcome::new(false).with_window(theirs);
        welcome(&mut session, at(0), narrow);
        session.input(at(0), Event::Acknowledged);
        for _ in 0..places {
            assert_eq!(session.publish(), Ok(()));
        }
        let full = PublishError::Full { in_flight: places };
        assert_eq!(session.publish(), Err(full));
        session.input(at(0), Event::Acknowledged);
        assert_eq!(session.publish(), Ok(()));
    }
}

#[test]
fn a_lost_link_empties_the_window() {
    let mut session = up(&[]);
    session.publish().unwrap();
    session.input(at(1), LOST);
    assert_eq!(session.in_flight(), 0);
    assert_eq!(session.publish(), Err(PublishError::Closed));
}

#[test]
fn whom_the_other_end_asks_to_wait_waits_at_least_that_long() {
    let mut session = up(&[]);
    let wait = Some(Duration::from_secs(500));
    session.input(at(1), Event::Lost { wait });
    let pause = pause(&mut session, at(1));
    assert!((501..=625).contains(&pause.as_secs()), "{pause:?}");
}

#[test]
fn a_spent_budget_ends_the_attempts_until_it_is_started_again() {
    let mut session = Four::new(Terms::new(RETRY.attempts(2)));
    session.start(at(0));
    assert_eq!(take(&mut session, at(0)), Step::Dial);
    session.input(at(0), LOST);
    let back = at(0) + pause(&mut session, at(0));
    assert_eq!(take(&mut session, back), Step::Dial);
    session.input(back, LOST);
    assert_eq!(take(&mut session, back), Step::Idle);
    assert_eq!(session.state(), State::GaveUp);
    assert_eq!(session.deadline(), None);
    for again in [Session::start, |session: &mut Four, now| {
        session.reconnect(now, S)
    }] {
        let mut session = session;
        again(&mut session, back);
        assert_eq!(take(&mut session, back), Step::Dial);
        session.input(back, LOST);
        // The budget is whole again.
        assert!(pause(&mut session, back) >= S);
    }
}

#[test]
fn without_randomness_it_waits_a_minute_instead_of_not_at_all() {
    let mut session = up(&[]);
    session.input(at(1), LOST);
    assert_eq!(session.step(at(1), &mut Broken), Step::Idle);
    assert_eq!(session.deadline(), Some(at(61)));
}

#[test]
fn who_is_thrown_out_at_once_comes_back_ever_more_slowly() {
    let mut session = Four::new(TERMS);
    session.start(at(0));
    let (mut now, mut longest) = (at(0), Duration::ZERO);
    for round in 1..=20 {
        welcome(&mut session, now, Welcome::new(false));
        session.input(now, LOST);
        assert_eq!(session.step(now, &mut Fixed(round, 0)), Step::Idle);
        assert_eq!(session.attempts(), u32::from(round));
        longest = longest.max(session.deadline().unwrap().since(now));
        now = session.deadline().unwrap();
    }
    assert!(longest > 30 * S, "{longest:?}");
    // A link that stood for as long as an attempt may take is a success.
    welcome(&mut session, now, Welcome::new(false));
    session.input(now + Duration::from_secs(20), LOST);
    let soon = pause(&mut session, now + Duration::from_secs(20));
    assert!((S..=3 * S).contains(&soon), "{soon:?}");
    assert_eq!(session.attempts(), 1);
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up_wherever_it_stands() {
    let too_long = Step::Close(Reason::TimedOut);
    let mut session = Four::new(TERMS);
    session.start(at(0));
    assert_eq!(take(&mut session, at(0)), Step::Dial);
    assert_eq!(take(&mut session, at(19)), Step::Idle);
    assert_eq!(session.wake().unwrap().cause, Cause::Attempt);
    assert_eq!(take(&mut session, at(20)), too_long);
    let back = at(20) + pause(&mut session, at(20));
    assert_eq!(take(&mut session, back), Step::Dial);
    session.input(back, Event::Opened);
    assert_eq!(take(&mut session, back), Step::Greet);
    // The time for dialling and greeting is one.
    assert_eq!(session.deadline(), Some(back + Duration::from_secs(20)));
    assert_eq!(take(&mut session, back + Duration::from_secs(20)), too_long);
}

#[test]
fn a_reconnect_lets_what_is_on_the_wire_be_acknowledged_and_dials_at_once() {
    let mut session = up(&[1]);
    session.publish().unwrap();
    session.reconnect(at(5), 10 * S);
    assert_eq!(session.publish(), Err(PublishError::Closed));
    assert_eq!(take(&mut session, at(5)), Step::Idle);
    assert_eq!(session.wake().unwrap().cause, Cause::Drain);
    session.input(at(6), Event::Acknowledged);
    assert_eq!(session.wake().unwrap().cause, Cause::Work);
    assert_eq!(take(&mut session, at(6)), Step::Close(Reason::Asked));
    assert_eq!(take(&mut session, at(6)), Step::Dial);
}

#[test]
fn a_reconnect_does_not_wait_for_ever() {
    let mut session = up(&[]);
    session.publish().unwrap();
    session.reconnect(at(5), 10 * S);
    assert_eq!(take(&mut session, at(14)), Step::Idle);
    assert_eq!(take(&mut session, at(15)), Step::Close(Reason::Asked));
    // While nothing stands there is nothing to wait for.
    session.input(at(15), LOST);
    assert_eq!(take(&mut session, at(15)), Step::Dial);
    session.reconnect(at(15), 10 * S);
    assert_eq!(take(&mut session, at(15)), Step::Close(Reason::Asked));
    assert_eq!(take(&mut session, at(15)), Step::Dial);
}

#[test]
fn the_outcome_of_a_step_stands_for_its_being_done() {
    let (mut session, mut entropy) = (Four::new(TERMS), Fixed(7, 0));
    session.start(at(0));
    assert_eq!(session.step(at(0), &mut entropy), Step::Dial);
    session.input(at(0), LOST);
    // Otherwise it would dial again at once, for ever.
    let back = at(0) + pause(&mut session, at(0));
    assert_eq!(session.step(back, &mut entropy), Step::Dial);
    session.input(back, Event::Opened);
    assert_eq!(session.step(back, &mut entropy), Step::Greet);
    session.input(back, Event::Welcomed(Welcome::new(true)));
    assert_eq!(session.state(), State::Up);
}

#[test]
fn who_is_stopped_says_goodbye_and_stays_away() {
    let mut session = up(&[]);
    session.stop();
    assert_eq!(take(&mut session, at(1)), Step::Close(Reason::Stopped));
    assert!(Reason::Stopped.is_polite());
    assert_eq!(take(&mut session, at(1_000)), Step::Idle);
    assert_eq!(session.deadline(), None);
    session.start(at(2_000));
    assert_eq!(take(&mut session, at(2_000)), Step::Dial);
    session.stop();
    session.start(at(2_000));
    assert_eq!(take(&mut session, at(2_000)), Step::Close(Reason::Asked));
    assert_eq!(take(&mut session, at(2_000)), Step::Dial);
}

#[test]
fn who_is_stopped_while_the_binding_begins_to_dial_closes_that_stream() {
    let mut session = Four::new(TERMS);
    session.start(at(0));
    assert_eq!(session.step(at(0), &mut Fixed(0, 0)), Step::Dial);
    session.stop();
    session.done(at(0));
    assert_eq!(take(&mut session, at(0)), Step::Close(Reason::Stopped));
    session.start(at(0));
    assert_eq!(session.step(at(0), &mut Fixed(0, 0)), Step::Dial);
    session.reconnect(at(0), S);
    session.done(at(0));
    assert_eq!(take(&mut session, at(0)), Step::Idle, "two dials at once");
}

#[test]
fn a_subscription_without_a_place_is_refused_and_a_known_one_needs_none() {
    let mut session = up(&[1, 2, 3, 4]);
    let full = SubscribeError { capacity: 4 };
    assert_eq!(session.subscribe(5), Err(full));
    assert_eq!(session.subscribe(4), Ok(()));
}

#[test]
fn it_is_small() {
    let bytes = size_of::<Session<u8, 8>>();
    assert!(bytes <= 200, "{bytes} bytes");
}

/// Chooses the pause, and waits for its end.
fn after_pause(session: &mut Four, now: Instant) -> Instant {
    assert_eq!(take(session, now), Step::Idle);
    session.deadline().unwrap()
}

#[test]
fn a_session_that_an_unanswered_greeting_may_have_made_is_not_believed() {
    let mut session = up(&[1, 2]);
    let mut now = Instant::ZERO;
    // The other end lost everything; a greeting made it a new session, and the answer was lost.
    session.input(now, Event::Lost { wait: None });
    for is_answered in [false, true] {
        now = after_pause(&mut session, now);
        assert_eq!(take(&mut session, now), Step::Dial);
        session.input(now, Event::Opened);
        assert_eq!(take(&mut session, now), Step::Greet);
        session.input(
            now,
            if is_answered {
                Event::Welcomed(Welcome::new(true))
            } else {
                Event::Lost { wait: None }
            },
        );
    }
    assert!(!session.is_resumed() && !session.is_subscribed(1));
    assert_eq!(take(&mut session, now), Step::Subscribe(1));

    // The next one is believed again.
    session.input(now, Event::Lost { wait: None });
    now = after_pause(&mut session, now);
    welcome(&mut session, now, Welcome::new(true));
    assert!(session.is_resumed());
}

#[test]
fn whom_the_other_end_asks_to_wait_waits_also_when_a_new_session_was_asked_for() {
    let told = Event::Lost {
        wait: Some(Duration::from_secs(500)),
    };
    let mut draining = up(&[]);
    draining.publish().unwrap();
    draining.reconnect(at(5), 10 * S);
    let mut closing = draining;
    assert_eq!(
        closing.step(at(15), &mut Fixed(7, 0)),
        Step::Close(Reason::Asked)
    );
    for mut session in [draining, closing] {
        session.input(at(16), told);
        assert!(pause(&mut session, at(16)) >= 500 * S);
        assert_eq!(take(&mut session, at(515)), Step::Idle);
    }
}
