//! What the suite has found.

use std::fmt;

/// What the suite has found, case by case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it may tell of failures"]
pub struct ConformanceReport {
    cases: Vec<(&'static str, CaseOutcome)>,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseOutcome {
    /// The store keeps this part of the contract.
    Passed,
    /// It could not be tried, for this reason.
    Skipped(String),
    /// What the contract demands, and what was found.
    Failed(String),
}

impl ConformanceReport {
    pub(super) fn new() -> Self {
        Self { cases: Vec::new() }
    }

    pub(super) fn add(&mut self, name: &'static str, outcome: CaseOutcome) {
        self.cases.push((name, outcome));
    }

    /// All cases by their names, in the order in which they were run.
    pub fn cases(&self) -> impl Iterator<Item = (&'static str, &CaseOutcome)> {
        self.cases.iter().map(|(name, outcome)| (*name, outcome))
    }

    /// The cases that have failed: the name, and what the contract demands.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.cases().filter_map(|(name, outcome)| match outcome {
            CaseOutcome::Failed(why) => Some((name, why.as_str())),
            CaseOutcome::Passed | CaseOutcome::Skipped(_) => None,
        })
    }

    /// Ends a test if a case has failed.
    ///
    /// # Panics
    /// With the whole report, if a case has failed.
    pub fn assert_passed(&self) {
        assert!(self.failures().next().is_none(), "{self}");
    }
}

/// One line a case.
impl fmt::Display for ConformanceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in self.cases() {
            match outcome {
                CaseOutcome::Passed => writeln!(f, "passed  {name}")?,
                CaseOutcome::Skipped(why) => writeln!(f, "skipped {name}: {why}")?,
                CaseOutcome::Failed(why) => writeln!(f, "FAILED  {name}: {why}")?,
            }
        }
        Ok(())
    }
}
