//! Responses on the wire.

use iot_core::command::{Answer, MAX_MESSAGE_BYTES, Outcome, Reason, Response};
use iot_core::{CommandId, IssuerId};

/// What is accepted has no other spelling, and nothing shorter or longer is the same message.
pub fn run(data: &[u8]) {
    let Ok(response) = Response::decode(data) else {
        return;
    };
    assert!(data.len() <= MAX_MESSAGE_BYTES);
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let len = response.encode(&mut buffer).expect("no longer than it was");
    assert_eq!(&buffer[..len], data);
    assert!(Response::decode(&data[..data.len() - 1]).is_err());
    assert!(Response::decode(&[data, &[0]].concat()).is_err());
}

/// One response of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let reason = Reason::Mismatch;
    let outcomes = [
        Outcome::DONE,
        Outcome::done_with(&[7; 32]).expect("the longest result"),
        Outcome::Failed { code: 300 },
        Outcome::InDoubt,
        Outcome::Rejected { reason },
    ];
    let answers = outcomes.into_iter().map(Answer::Ended);
    answers
        .chain([Answer::InProgress, Answer::Busy])
        .map(|answer| {
            let id = CommandId::new(IssuerId::new(1), 2, 40);
            let mut buffer = [0; MAX_MESSAGE_BYTES];
            let len = Response::new(id, answer)
                .encode(&mut buffer)
                .expect("it fits");
            buffer[..len].to_vec()
        })
        .collect()
}

#[test]
fn every_seed_is_a_response_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Response::decode(&seed).is_ok());
        run(&seed);
    }
}
