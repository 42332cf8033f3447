//! The requests of an examination, and what they show.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use oss_append::client::{ListedObject, ObjectMeta};
use oss_append::credentials::CredentialsProvider;
use oss_append::{
    AppendRequest, AppendStore, Error, ErrorKind, ObjectKind, ObjectOptions, ObjectPath, OssClient,
    Refusal, defaults,
};

use super::Prefix;
use super::report::{Appends, Clock, Encoded, Endpoint, Permission, Pipelining, Report, RoundTrip};
use crate::ask::ask;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::patience::Patience;

/// The first bytes of the object that is written.
const PROBE: Bytes = Bytes::from_static(b"doctor\n");

const ROUND_TRIPS: usize = 5;

/// Among the first of the objects that are there, so many are looked at.
const MOST_LISTED: u16 = 100;
const MOST_LOOKED_AT: usize = 5;

/// The bandwidth is measured by appends that double in length until one takes as long as this
/// beyond a round trip, or has this length.
const LONG_APPEND: Duration = Duration::from_millis(500);
const LONGEST_APPEND: usize = 16 << 20;

/// How often two appends are sent together.
const PIPELINES: usize = 3;

/// Servers and proxies end connections after 100 requests.
const MOST_IN_FLIGHT: u64 = 64;

/// In seconds.
const MONTH: f64 = 30.0 * 86_400.0;

/// A clock that is less wrong than this is right: the header `Date` has no fractions.
const CLOCK_TOLERANCE: u64 = 2;

pub(super) struct Examination {
    client: OssClient,
    provider: Arc<dyn CredentialsProvider>,
    target: Prefix,
    /// An object that does not exist, until it is written.
    probe: ObjectPath,
    /// How long is tried to look and to list.
    patience: Patience,
    /// Whether it may exist.
    made: bool,
    report: Report,
    /// The first problem, whose exit code is that of the command.
    first: Option<Failure>,
}

impl Examination {
    pub(super) fn new(
        connection: &Connection,
        target: Prefix,
        probe: ObjectPath,
        patience: Patience,
    ) -> Self {
        let client = connection.client();
        Self {
            report: Report::new(target.to_string(), connection.credentials_from()),
            provider: connection.credentials(),
            client,
            target,
            probe,
            patience,
            made: false,
            first: None,
        }
    }

    /// What was found, and the first problem.
    pub(super) fn finish(self) -> (Report, Option<Failure>) {
        (self.report, self.first)
    }

    pub(super) async fn examine(&mut self, write: bool) {
        self.report.endpoint = Endpoint {
            url: self.client.endpoint(),
            region: self.client.region().to_owned(),
            address: None,
        };
        let credentials = match self.provider.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => return self.problem(Failure::from(error)),
        };
        self.report.credentials.found(&credentials);

        let looked = self.look().await;
        let observed = self.client.observed();
        self.report.endpoint.address = observed.address.map(|address| address.to_string());
        if let Some(ahead) = observed.clock_ahead {
            self.report.clock = Some(Clock {
                server_ahead_seconds: ahead,
            });
            if ahead.unsigned_abs() > CLOCK_TOLERANCE {
                self.problem(Failure::local(format!(
                    "this machine's clock is {} s {}: set it; requests are signed with the \
                     server's time once it has refused one",
                    ahead.unsigned_abs(),
                    if ahead > 0 { "slow" } else { "fast" },
                )));
            }
        }
        match looked {
            Err(error) if is_fatal(&error) => return self.problem(Failure::from(error)),
            looked => self.report.permissions.head = self.judge(looked, "oss:GetObject"),
        }
        let list = self
            .client
            .list_objects(&self.target.bucket)
            .prefix(&self.target.prefix)
            .max_keys(MOST_LISTED);
        let listed = ask(self.patience, async || list.clone().send().await).await;
        if let Ok(listing) = &listed {
            self.look_at_encodings(&listing.objects).await;
        }
        self.report.permissions.list = self.judge(listed.map(drop), "oss:ListObjects");
        self.measure_round_trip().await;
        if write {
            self.write().await;
        }
        self.recommend();
    }

    /// Looks at the object that is not there.
    async fn look(&self) -> Result<(), Error> {
        match ask(self.patience, async || self.head(&self.probe).await).await {
            Err(error) if is_missing(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn head(&self, object: &ObjectPath) -> Result<ObjectMeta, Error> {
        self.client.head_object(object).send().await
    }

    /// Looks for objects of appends that clients are told to decode. What cannot be looked at is left
    /// out.
    async fn look_at_encodings(&mut self, listed: &[ListedObject]) {
        let appended = |object: &&ListedObject| object.kind == ObjectKind::Appendable;
        for listed in listed.iter().filter(appended).take(MOST_LOOKED_AT) {
            let Ok(object) = ObjectPath::new(&self.target.bucket, &listed.key) else {
                continue;
            };
            let looked = ask(self.patience, async || self.head(&object).await).await;
            let encoding = looked.ok().and_then(|meta| meta.content_encoding);
            if let Some(encoding) = encoding.filter(|encoding| encoding != "identity") {
                self.report.encoded.push(Encoded {
                    key: listed.key.clone(),
                    content_encoding: encoding,
                });
            }
        }
    }

    async fn measure_round_trip(&mut self) {
        let mut times = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let mut start = Instant::now();
            let look = async || {
                start = Instant::now();
                self.head(&self.probe).await
            };
            let looked = ask(self.patience, look).await;
            // A refusal takes as long.
            if matches!(&looked, Err(error) if error.service_error().is_none()) {
                return;
            }
            times.push(start.elapsed());
        }
        times.sort_unstable();
        self.report.round_trip_ms = Some(RoundTrip {
            min: milliseconds(times[0]),
            median: milliseconds(times[times.len() / 2]),
            max: milliseconds(times[times.len() - 1]),
        });
    }

    async fn write(&mut self) {
        self.made = true;
        let tagged = match ObjectOptions::new().tag("oss-append", "doctor") {
            Ok(tag) => self.append(0, PROBE, Some(tag)).await,
            Err(error) => Err(error),
        };
        let untagged = match &tagged {
            Err(error) if is_denied(error) => self.append(0, PROBE, None).await.map(drop),
            Err(error) => Err(error.clone()),
            Ok(_) => Ok(()),
        };
        let may_append = untagged.is_ok();
        self.report.permissions.append = self.judge(untagged, "oss:PutObject");
        if !may_append {
            return;
        }
        self.report.permissions.tag = self.judge(tagged.map(drop), "oss:PutObjectTagging");
        let length = self.measure_upload().await;
        let length = self.try_two_in_flight(length).await;
        let sealed = self.seal(length).await;
        self.report.permissions.seal = match &sealed {
            // As with most accounts: nothing is wrong.
            Err(error) if is_ungranted(error) => Permission::Ungranted,
            _ => self.judge(sealed, "oss:SealAppendObject"),
        };
    }

    async fn append(
        &self,
        position: u64,
        bytes: Bytes,
        options: Option<ObjectOptions>,
    ) -> Result<Duration, Error> {
        let mut request = self.client.append_object(&self.probe, bytes);
        request = request.position(position);
        if let Some(options) = options {
            request = request.options(options);
        }
        let start = Instant::now();
        request.send().await?;
        Ok(start.elapsed())
    }

    /// Appends more and more, and gives the object's length.
    async fn measure_upload(&mut self) -> u64 {
        let mut position = PROBE.len() as u64;
        let mut length = 64 << 10;
        let round_trip = self.report.round_trip_ms.as_ref().map_or(0.0, |t| t.min);
        let round_trip = Duration::from_secs_f64(round_trip / 1e3);
        loop {
            let bytes = Bytes::from(vec![b'.'; length]);
            let took = match self.append(position, bytes, None).await {
                Ok(took) => took,
                Err(error) => {
                    self.problem(Failure::from(error));
                    return position;
                }
            };
            position += length as u64;
            let moving = took
                .saturating_sub(round_trip)
                .max(Duration::from_micros(1));
            if moving >= LONG_APPEND || length >= LONGEST_APPEND {
                let rate = length as f64 / moving.as_secs_f64();
                self.report.upload_bytes_per_second = Some(rate as u64);
                return position;
            }
            length *= 2;
        }
    }

    /// Sends an append before the one before it is answered, several times, and gives the object's
    /// length.
    async fn try_two_in_flight(&mut self, mut length: u64) -> u64 {
        let Some(mut lane) = self.client.lane(&self.probe) else {
            self.pipelining(Some("this client cannot send more".into()));
            return length;
        };
        for _ in 0..PIPELINES {
            let ends = [1, 2].map(|number| length + number * PROBE.len() as u64);
            let sent = ends.map(|end| {
                let start = end - PROBE.len() as u64;
                lane.append(AppendRequest::new(self.probe.clone(), start, PROBE))
            });
            let answers = join_all(sent).await;
            let refused = answers
                .iter()
                .zip(ends)
                .find_map(|(answer, end)| match answer {
                    Ok(answer) if answer.next_position == Some(end) => None,
                    Ok(_) => Some("the answers are in another order".into()),
                    Err(error) => Some(error.to_string()),
                });
            if let Some(reason) = refused {
                self.pipelining(Some(reason));
                let looked = self.client.head(&self.probe).await;
                return looked.ok().flatten().map_or(length, |found| found.length);
            }
            length = ends[1];
        }
        self.pipelining(None);
        length
    }

    /// An append that was not answered may land until now.
    async fn seal(&self, mut length: u64) -> Result<(), Error> {
        loop {
            let sealed = self.client.seal_append_object(&self.probe, length).send();
            let error = match sealed.await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let is = error
                .service_error()
                .and_then(|answer| answer.next_append_position);
            match is {
                Some(is) if is > length => length = is,
                _ => return Err(error),
            }
        }
    }

    fn pipelining(&mut self, reason: Option<String>) {
        self.report.pipelining = Some(Pipelining {
            taken: reason.is_none(),
            reason,
            recommended_max_in_flight: None,
            gain: None,
        });
    }

    /// While a batch is on its way the next gathers, so that what a round trip costs is small
    /// beside the batch if that takes ten times as long.
    fn recommend(&mut self) {
        const SMALLEST: u64 = 256 << 10;
        const LARGEST: u64 = 64 << 20;
        let (Some(round_trip), Some(rate)) = (
            &self.report.round_trip_ms,
            self.report.upload_bytes_per_second,
        ) else {
            return;
        };
        let bytes = 10.0 * round_trip.median / 1e3 * rate as f64;
        let batch = (bytes as u64).clamp(SMALLEST, LARGEST).next_power_of_two();
        self.report.recommended_batch_size = Some(batch);
        let per_second = rate as f64 / batch as f64;
        self.report.appends = Some(Appends {
            per_second: (per_second * 1e3).round() / 1e3,
            per_month: (per_second * MONTH) as u64,
        });
        // As many as are on their way in a round trip, and half as many more for those that are late.
        let on_the_way = round_trip.median / 1e3 * rate as f64 / defaults::BATCH_SIZE as f64;
        if let Some(pipelining) = self.report.pipelining.as_mut().filter(|tried| tried.taken) {
            let most = (1.5 * (1.0 + on_the_way)).ceil() as u64;
            pipelining.recommended_max_in_flight = Some(most.clamp(2, MOST_IN_FLIGHT));
            let gain = (1.0 + on_the_way).min(MOST_IN_FLIGHT as f64);
            pipelining.gain = Some((gain * 100.0).round() / 100.0);
        }
    }

    /// Deletes what was made. Says so if it stays.
    pub(super) async fn clean_up(&mut self) {
        if !self.made {
            return;
        }
        let deleted = self.client.delete_object(&self.probe).send().await;
        let stays = deleted.is_err() && self.report.permissions.append == Permission::Allowed;
        self.report.permissions.delete = self.judge(deleted.map(drop), "oss:DeleteObject");
        if stays {
            let problem = format!("{} stays and has to be deleted", self.probe);
            self.report.problems.push(problem);
        }
    }

    fn judge(&mut self, done: Result<(), Error>, permission: &str) -> Permission {
        let Err(error) = done else {
            return Permission::Allowed;
        };
        let denied = is_denied(&error);
        self.problem(Failure::of_request(&error, permission));
        match denied {
            true => Permission::Denied,
            false => Permission::Failed,
        }
    }

    fn problem(&mut self, failure: Failure) {
        self.report.problems.push(failure.message().to_owned());
        self.first.get_or_insert(failure);
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn is_missing(error: &Error) -> bool {
    error.refusal() == Some(Refusal::NoSuchObject)
}

/// Whether the account would have to ask for the operation.
///
/// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/sealappendobject>
fn is_ungranted(error: &Error) -> bool {
    error
        .service_error()
        .is_some_and(|answer| answer.code == "OperationNotSupported")
}

fn is_denied(error: &Error) -> bool {
    error.refusal() == Some(Refusal::Denied)
}

/// Nothing else will succeed either.
fn is_fatal(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Service(answer) => {
            answer.refusal != Refusal::Denied || answer.endpoint.is_some()
        }
        _ => true,
    }
}
