//! What a run found out: facts that the seed decides, and observations that it does not.

use serde_json::{Map, Value, json};

/// Everything that was counted.
#[derive(Debug, Default)]
pub struct Findings {
    /// Equal in every run with the same options.
    pub facts: Map<String, Value>,
    /// Measured; may differ from run to run.
    pub observed: Map<String, Value>,
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
        json!({ "result": result, "facts": self.facts, "observed": self.observed })
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
