//! Both servers, a stream with messages, and what is in the bucket.

use std::collections::{BTreeMap, VecDeque};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, Context, stream};
use oss_append::emulator::{Emulator, EmulatorBuilder, Operation};

use crate::messages;
use crate::nats::Nats;
use crate::worker::{LIMIT, Worker, command};

pub struct World {
    pub nats: Nats,
    pub emulator: Emulator,
    pub client: async_nats::Client,
    pub context: Context,
}

impl World {
    /// `None`: there is no `nats-server`.
    pub async fn start() -> Option<Self> {
        Self::start_with(Emulator::builder()).await
    }

    pub async fn start_with(emulator: EmulatorBuilder) -> Option<Self> {
        let nats = Nats::start().await?;
        let emulator = emulator.bucket("bucket").start().await.unwrap();
        let client = async_nats::connect(nats.url()).await.unwrap();
        let context = jetstream::new(client.clone());
        let stream = stream::Config {
            name: "EVENTS".into(),
            subjects: vec!["events.*".into()],
            ..Default::default()
        };
        context.create_stream(stream).await.unwrap();
        Some(Self {
            nats,
            emulator,
            client,
            context,
        })
    }

    /// Publishes the messages of this range, whose numbers in the stream they get.
    pub async fn publish(&self, range: std::ops::RangeInclusive<u64>) {
        publish(&self.context, range).await;
    }

    pub fn worker(&self, arguments: &[&str]) -> Worker {
        Worker::start(command(&self.emulator, &self.nats.url(), arguments))
    }

    pub async fn consumer(&self, name: &str) -> PullConsumer {
        let stream = self.context.get_stream("EVENTS").await.unwrap();
        stream.get_consumer(name).await.unwrap()
    }

    /// Waits until so many appends to keys that begin with `prefix` were asked for, behind the first
    /// `from` requests.
    pub async fn appends(&self, prefix: &str, from: usize, count: usize) {
        self.requests(prefix, from, count, Some(Operation::AppendObject))
            .await;
    }

    /// The same for requests of any kind, or of one.
    pub async fn requests(
        &self,
        prefix: &str,
        from: usize,
        count: usize,
        operation: Option<Operation>,
    ) {
        let (mut looked, mut found) = (from, 0);
        let reached = self.emulator.wait_for(|seen| {
            found += seen[looked..]
                .iter()
                .filter(|request| operation.is_none_or(|wanted| request.operation == wanted))
                .filter(|request| {
                    let key = request.key.as_deref();
                    key.is_some_and(|key| key.starts_with(prefix))
                })
                .count();
            looked = seen.len();
            found >= count
        });
        reached.await;
    }

    /// How many requests there were.
    pub async fn seen(&self) -> usize {
        let mut seen_now = 0;
        self.emulator
            .wait_for(|seen| {
                seen_now = seen.len();
                true
            })
            .await;
        seen_now
    }

    pub fn object(&self, key: &str) -> Vec<u8> {
        let object = self.emulator.object("bucket", key);
        object
            .map(|object| object.bytes.to_vec())
            .unwrap_or_default()
    }

    /// Waits until an object has this length.
    pub async fn length(&self, key: &str, length: usize) {
        let stored = || self.emulator.length("bucket", key).unwrap_or(0);
        let reached = self.emulator.wait_for(|_| stored() >= length as u64);
        if tokio::time::timeout(LIMIT, reached).await.is_err() {
            panic!("{key} has {} of {length} bytes after {LIMIT:?}", stored());
        }
    }

    /// The sequences of the lines of all objects, by the name that their keys have in the midst, as
    /// in `shared/NAME/1.ndjson`. Each line must be whole, and that of its message.
    pub async fn lines(&self) -> BTreeMap<String, Vec<u64>> {
        let client = self.emulator.client().build().unwrap();
        let mut request = client.list_objects("bucket").prefix("shared/");
        let mut lines: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        loop {
            let page = request.clone().send().await.unwrap();
            for found in &page.objects {
                let name = found.key.split('/').nth(1).unwrap();
                let lines = lines.entry(name.into()).or_default();
                let content = String::from_utf8(self.object(&found.key)).unwrap();
                for line in content.split_inclusive('\n') {
                    let seq = line
                        .strip_prefix("{\"seq\":")
                        .and_then(|l| l.split_once(','));
                    let seq = seq.and_then(|(seq, _)| seq.parse().ok());
                    let seq = seq.unwrap_or_else(|| panic!("{}: {line:?}", found.key));
                    assert_eq!(line, messages::line(seq), "{}", found.key);
                    lines.push(seq);
                }
            }
            match page.next_continuation_token {
                Some(token) => request = request.continuation_token(token),
                None => return lines,
            }
        }
    }
}

/// The most publications that are under way.
const OUTSTANDING: usize = 2_000;

pub async fn publish(context: &Context, range: std::ops::RangeInclusive<u64>) {
    let mut outstanding = VecDeque::new();
    let mut confirmed = *range.start();
    for seq in range {
        let (subject, payload) = (messages::subject(seq), messages::payload(seq));
        let headers = messages::headers(seq);
        let publication = match headers.is_empty() {
            true => context.publish(subject, payload).await,
            false => {
                context
                    .publish_with_headers(subject, headers, payload)
                    .await
            }
        };
        outstanding.push_back(publication.unwrap().into_future());
        if outstanding.len() == OUTSTANDING {
            confirm(&mut outstanding, &mut confirmed).await;
        }
    }
    while !outstanding.is_empty() {
        confirm(&mut outstanding, &mut confirmed).await;
    }
}

async fn confirm<F>(outstanding: &mut VecDeque<F>, next: &mut u64)
where
    F: Future<
        Output = Result<
            async_nats::jetstream::publish::PublishAck,
            async_nats::jetstream::context::PublishError,
        >,
    >,
{
    let first = outstanding.pop_front().unwrap();
    assert_eq!(first.await.unwrap().sequence, *next);
    *next += 1;
}
