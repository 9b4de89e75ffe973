//! What the example `twin` prints of each conflict is how its policy decides.

#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "it is a program, whose main nobody calls here"
)]
#[path = "../twin.rs"]
mod twin;

use iot_twin::Code;

#[test]
fn every_policy_is_shown_and_decides_as_it_says() {
    let (decisions, _) = twin::live().unwrap();
    let told: Vec<_> = decisions
        .iter()
        .map(|decision| {
            let (desired, is) = (decision.desired.as_str(), decision.is.as_str());
            (decision.field, decision.policy, desired, is, decision.code)
        })
        .collect();
    let (applied, overridden) = (Code::APPLIED, Code::OVERRIDDEN);
    assert_eq!(
        told,
        [
            ("setpoint", "LastIntent", "24", "24", applied),
            ("blinds", "LocalSticky", "10", "80", overridden),
            ("fan", "Max", "1", "3", overridden),
            ("locked", "FollowDesired", "false", "false", applied),
            ("alarm", "Or", "false", "true", overridden),
            ("valve", "(measured)", "40", "35", applied),
            ("setpoint", "LastIntent", "24", "18", overridden),
        ]
    );
    for decision in decisions {
        let line = decision.to_string();
        let shown = [
            decision.field,
            decision.policy,
            decision.by_hand,
            decision.why,
        ];
        assert!(shown.iter().all(|part| line.contains(part)), "{line}");
    }
}
