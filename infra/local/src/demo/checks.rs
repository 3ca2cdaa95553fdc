//! Checking of the figures.

use serde_json::Value;

/// Compares figures with those that the contract requires.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) right: usize,
    pub(super) wrong: Vec<String>,
}

impl Checks {
    pub(super) fn equal(&mut self, what: &str, found: &Value, expected: impl Into<Value>) {
        let expected = expected.into();
        if *found == expected {
            self.right += 1;
        } else {
            self.wrong
                .push(format!("{what} is {found}, but must be {expected}"));
        }
    }

    /// Compares members of an object, each by name.
    pub(super) fn members(&mut self, what: &str, found: &Value, expected: &Value) {
        for (name, value) in expected.as_object().into_iter().flatten() {
            self.equal(&format!("{what}: {name}"), &found[name], value.clone());
        }
    }
}
