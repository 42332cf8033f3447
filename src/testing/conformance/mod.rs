//! The suite that every [`AppendStore`] must pass.

mod appends;
mod looks;
pub(super) mod report;
mod states;

use std::fmt;

use bytes::Bytes;
use futures::StreamExt as _;

use self::report::{CaseOutcome, ConformanceReport};
use crate::error::{Error, Refusal, Result};
use crate::store::AppendStore;
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::info::ObjectInfo;
use crate::values::path::ObjectPath;

/// Checks a store against the contract of [`AppendStore`].
///
/// Each case works on objects of its own below the prefix, which are left there. What a case cannot
/// try with this store is skipped, and the report says so.
///
/// ```no_run
/// # async fn example(store: impl oss_append::AppendStore) {
/// use oss_append::testing::Conformance;
///
/// let suite = Conformance::new("my-bucket", "conformance/run-1/").missing_bucket("not-there");
/// suite.run(&store).await.assert_passed();
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "call `run`"]
pub struct Conformance {
    bucket: String,
    prefix: String,
    foreign: Option<ObjectPath>,
    missing_bucket: Option<String>,
    seals: bool,
}

impl Conformance {
    /// Works in this bucket, on objects whose keys begin with `prefix`. None of them may exist.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: prefix.into(),
            foreign: None,
            missing_bucket: None,
            seals: true,
        }
    }

    /// Names an object that exists and was not made by appends. Default: what is said about those is
    /// not tried.
    pub fn foreign(mut self, object: ObjectPath) -> Self {
        self.foreign = Some(object);
        self
    }

    /// Names a bucket that does not exist. Default: what is said about those is not tried.
    pub fn missing_bucket(mut self, name: impl Into<String>) -> Self {
        self.missing_bucket = Some(name.into());
        self
    }

    /// Whether objects can be sealed. Default: they can. A store that cannot seal works all the same
    /// with writers that do not ask for it.
    pub fn seals(mut self, seals: bool) -> Self {
        self.seals = seals;
        self
    }

    /// Runs all cases, one after the other.
    ///
    /// # Cancel safety
    /// Nothing is cleaned up, neither at the end nor when it is dropped.
    pub async fn run<S: AppendStore>(&self, store: &S) -> ConformanceReport {
        let suite = Suite { store, given: self };
        let mut report = ConformanceReport::new();
        suite.appends(&mut report).await;
        suite.looks(&mut report).await;
        suite.states(&mut report).await;
        report
    }
}

/// A run of the suite.
struct Suite<'a, S> {
    store: &'a S,
    given: &'a Conformance,
}

/// Why a case does not pass.
enum Fail {
    Demand(String),
    Skip(&'static str),
}

type Case = Result<(), Fail>;

/// What a demand is about when a request failed that should not have.
impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Demand(format!("this request must succeed: {}", shown(&error)))
    }
}

/// What the contract demands, if it is not so.
fn demand(holds: bool, what: &str, found: impl fmt::Debug) -> Case {
    match holds {
        true => Ok(()),
        false => Err(Fail::Demand(format!("{what}; found {found:?}"))),
    }
}

fn shown(error: &Error) -> String {
    match error.refusal() {
        Some(refusal) => format!("{error} ({refusal:?})"),
        None => error.to_string(),
    }
}

/// Adds how a case went to the report.
fn note(report: &mut ConformanceReport, name: &'static str, case: Case) {
    let outcome = match case {
        Ok(()) => CaseOutcome::Passed,
        Err(Fail::Demand(why)) => CaseOutcome::Failed(why),
        Err(Fail::Skip(why)) => CaseOutcome::Skipped(why.into()),
    };
    report.add(name, outcome);
}

impl<S: AppendStore> Suite<'_, S> {
    /// An object of this name below the prefix.
    fn object(&self, name: &str) -> Result<ObjectPath, Fail> {
        let key = format!("{}{name}", self.given.prefix);
        ObjectPath::new(&self.given.bucket, key).map_err(|error| Fail::Demand(error.to_string()))
    }

    /// Appends as an engine does: with properties if the object may be new.
    async fn append(
        &self,
        object: &ObjectPath,
        position: u64,
        body: impl Into<Bytes>,
    ) -> Result<AppendAnswer> {
        let body: Bytes = body.into();
        let mut request = AppendRequest::new(object.clone(), position, body);
        request.create = (position == 0).then(Default::default);
        self.store.append(request).await
    }

    async fn info(&self, object: &ObjectPath) -> Result<ObjectInfo, Fail> {
        let seen = self.store.head(object).await?;
        seen.ok_or_else(|| Fail::Demand("a look shows an object that exists; found none".into()))
    }

    async fn read(&self, object: &ObjectPath, start: u64, end: u64) -> Result<Vec<u8>, Fail> {
        let mut pieces = self.store.read_range(object, start..end).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    /// Demands that the object holds exactly this, by a look and by reading it.
    async fn holds(&self, object: &ObjectPath, content: &[u8], what: &str) -> Case {
        let length = content.len() as u64;
        let info = self.info(object).await?;
        demand(info.length == length, what, info.length)?;
        let found = self.read(object, 0, length).await?;
        demand(found == content, what, found.len())
    }
}

/// Demands that a request was refused for this reason.
fn refused<T>(outcome: Result<T>, refusal: Refusal, what: &str) -> Case {
    match outcome {
        Ok(_) => Err(Fail::Demand(format!("{what}; found that it succeeds"))),
        Err(error) => demand(error.refusal() == Some(refusal), what, shown(&error)),
    }
}
