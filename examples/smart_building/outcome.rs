//! What a run found out: facts that the seed decides, and observations that it does not.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Everything that was counted.
#[derive(Debug, Default)]
pub struct Findings {
    /// Equal in every run with the same options.
    pub facts: Map<String, Value>,
    /// Measured; may differ from run to run.
    pub observed: Map<String, Value>,
    /// What became of each release; the seed decides that too.
    pub releases: Vec<Taken>,
}

/// What became of a release.
#[derive(Clone, Debug)]
pub struct Taken {
    pub release: u64,
    /// What it is, in words.
    pub what: &'static str,
    pub offered: usize,
    pub confirmed: usize,
    /// How many devices gave which reason, and how many said that which release runs.
    pub reasons: BTreeMap<String, usize>,
    pub ran: BTreeMap<u64, usize>,
    /// Why nobody else was offered it.
    pub halted: Option<String>,
}

impl Taken {
    /// Whether so many devices took it, and all gave this reason.
    pub fn said_by_all(&self, devices: usize, reason: &str) -> bool {
        self.offered == devices
            && self.reasons.len() == 1
            && self.reasons.get(reason) == Some(&devices)
    }

    /// Whether so many devices said that this release runs, and none said another one.
    pub fn runs_everywhere(&self, devices: usize, release: u64) -> bool {
        self.ran.len() == 1 && self.ran.get(&release) == Some(&devices)
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let reasons = self.reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|(reason, devices)| format!("{devices} said '{reason}'"))
            .collect();
        format!(
            "release {}, {}: {} devices took it, {}, {}",
            self.release,
            self.what,
            self.offered,
            reasons.join(", "),
            self.halted.as_ref().map_or_else(
                || format!("{} run it", self.confirmed),
                |why| format!("halted ({why})")
            )
        )
    }

    fn to_json(&self) -> Value {
        let ran = self.ran.iter();
        let ran = ran.map(|(release, devices)| (release.to_string(), json!(devices)));
        json!({
            "release": self.release,
            "what": self.what,
            "offered": self.offered,
            "confirmed": self.confirmed,
            "reasons": self.reasons,
            "runs": ran.collect::<Map<_, _>>(),
            "halted": self.halted,
        })
    }
}

impl Findings {
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.into(), value.into());
    }

    pub fn observe(&mut self, name: &str, value: impl Into<Value>) {
        self.observed.insert(name.into(), value.into());
    }

    /// Both as one object.
    pub fn to_json(&self, result: &str) -> Value {
        let mut facts = self.facts.clone();
        let releases = self.releases.iter().map(Taken::to_json).collect();
        facts.insert("releases".into(), releases);
        json!({ "result": result, "facts": facts, "observed": self.observed })
    }
}

/// Stops the stage unless `condition` holds.
pub fn must(
    condition: bool,
    what: impl FnOnce() -> String,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if condition {
        Ok(())
    } else {
        Err(what().into())
    }
}
