use alloc::vec::Vec;
use core::cell::Cell;

use futures::executor::block_on;
use futures::future::{Either, select};
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now};
use proptest::prelude::*;

use super::*;
use crate::memory::{End, Link};

/// A clock that moves one millisecond whenever it is looked at.
#[derive(Default)]
struct Ticks(Cell<u64>);

impl Timer for Ticks {
    fn now(&self) -> Now {
        self.0.set(self.0.get() + 1);
        Now::new(Instant::from_millis(self.0.get()), TimeBounds::UNKNOWN)
    }
    async fn until(&mut self, deadline: Option<Instant>) {
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            match deadline {
                Some(at) if self.now().instant >= at => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }
}

/// Answers each request with what `serve` returns, until the other side is done.
async fn serve(
    mut end: End<'_, 4, 128>,
    serve: impl Fn(Request<'_>, &mut [u8]) -> Option<Vec<u8>>,
) {
    end.subscribe(Channel::Enrol).await.unwrap();
    let mut buffer = [0; 128];
    loop {
        if let Event::Message(message) = end.next(&mut buffer).await.unwrap() {
            let request = Request::decode(message.payload).unwrap();
            if let Some(answer) = serve(request, &mut [0; 128]) {
                end.submit(&Message::new(Channel::Enrol, &answer))
                    .await
                    .unwrap();
            }
        }
    }
}

fn ask(
    serving: impl Fn(Request<'_>, &mut [u8]) -> Option<Vec<u8>>,
    path: &str,
    buffer: &mut [u8],
) -> Result<Vec<u8>, RequestsError> {
    let mut link = Link::<4, 128>::new();
    let (device, service) = link.split();
    let mut requests = Requests::<_, _, 128>::new(device, Ticks::default(), Channel::Enrol, 41);
    let asking = async {
        let second = Duration::from_secs(1);
        requests
            .exchange(path, b"hello", second, buffer)
            .await
            .map(<[u8]>::to_vec)
    };
    match block_on(select(pin!(asking), pin!(serve(service, serving)))) {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => panic!("the service ended"),
    }
}

#[test]
fn a_request_is_answered_and_an_answer_to_another_one_is_not_taken_for_it() {
    let echo = |request: Request<'_>, room: &mut [u8]| {
        assert_eq!((request.number, request.path), (42, "/echo"));
        Some(request.answer(request.body, room).unwrap().to_vec())
    };
    assert_eq!(ask(echo, "/echo", &mut [0; 64]), Ok(b"hello".to_vec()));
    let stale = |_: Request<'_>, room: &mut [u8]| {
        Some(
            Request::new(7, "/", b"")
                .answer(b"old", room)
                .unwrap()
                .to_vec(),
        )
    };
    assert_eq!(
        ask(stale, "/echo", &mut [0; 64]),
        Err(RequestsError::TimedOut)
    );
}

#[test]
fn no_answer_a_refusal_and_a_small_buffer_are_three_different_errors() {
    assert_eq!(
        ask(|_, _| None, "/x", &mut []),
        Err(RequestsError::TimedOut)
    );
    let refuse =
        |request: Request<'_>, room: &mut [u8]| Some(request.refuse(room).unwrap().to_vec());
    assert_eq!(ask(refuse, "/x", &mut []), Err(RequestsError::Refused));
    let answer = |request: Request<'_>, room: &mut [u8]| {
        Some(request.answer(b"abc", room).unwrap().to_vec())
    };
    assert_eq!(
        ask(answer, "/x", &mut [0; 2]),
        Err(RequestsError::Buffer { needed: 3 })
    );
    assert_eq!(ask(answer, "", &mut [0; 2]), Err(RequestsError::Path));
}

proptest! {
    #[test]
    fn requests_and_responses_survive_the_round_trip(
        number in any::<u64>(), path in "[a-z/]{1,64}", body in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let mut room = [0; 300 + OVERHEAD_BYTES];
        let request = Request::new(number, &path, &body);
        let bytes = request.encode(&mut room).unwrap().to_vec();
        prop_assert_eq!(Request::decode(&bytes), Ok(request));
        prop_assert!(bytes.len() <= body.len() + OVERHEAD_BYTES);
        prop_assert_eq!(response(&bytes), None);
        let answer = request.answer(&body, &mut room).unwrap();
        prop_assert_eq!(response(answer), Some((number, Some(&body[..]))));
        prop_assert_eq!(response(request.refuse(&mut room).unwrap()), Some((number, None)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Request::decode(&bytes);
        let _ = response(&bytes);
    }
}
