//! An object in memory, with OSS's rule for appends: whole, and only at its length. It counts the
//! requests, and each takes its time.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use oss_append::crc64::{checksum, combine};
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Error, ObjectInfo, ObjectPath, Result, ServiceError,
};

/// Clones share the object.
#[derive(Clone)]
pub struct Store {
    /// From the client to the object, and the same back, in the mean.
    way: Duration,
    /// The part by which it may be faster or slower.
    jitter: f64,
    state: Arc<Mutex<State>>,
}

struct State {
    random: fastrand::Rng,
    data: Vec<u8>,
    crc64: u64,
    exists: bool,
    counts: Counts,
}

/// How many requests there were.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub appends: usize,
    pub refused: usize,
    pub looks: usize,
}

impl Store {
    /// A store without the object, each of whose requests takes `request`, give or take the part
    /// `jitter` of it.
    pub fn new(request: Duration, jitter: f64, seed: u64) -> Self {
        Self {
            way: request / 2,
            jitter,
            state: Arc::new(Mutex::new(State {
                random: fastrand::Rng::with_seed(seed),
                data: Vec::new(),
                crc64: 0,
                exists: false,
                counts: Counts::default(),
            })),
        }
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub fn content(&self) -> Vec<u8> {
        self.lock().data.clone()
    }

    /// Does this when the request has arrived, and answers when the answer is back.
    async fn request<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        tokio::time::sleep(self.one_way()).await;
        let answer = work(&mut self.lock());
        tokio::time::sleep(self.one_way()).await;
        answer
    }

    fn one_way(&self) -> Duration {
        let random = self.lock().random.f64();
        self.way.mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl AppendStore for Store {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        self.request(|state| {
            state.counts.appends += 1;
            let length = state.data.len() as u64;
            if request.position != length {
                state.counts.refused += 1;
                let mut answer = ServiceError::new(409, "PositionNotEqualToLength");
                answer.next_append_position = Some(length);
                return Err(Error::service(answer));
            }
            let body = request.body.chunks().concat();
            state.crc64 = combine(state.crc64, checksum(&body), body.len() as u64);
            state.data.extend_from_slice(&body);
            state.exists = true;
            Ok(AppendAnswer::new(state.data.len() as u64, state.crc64))
        })
        .await
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.request(|state| {
            state.counts.looks += 1;
            let info = ObjectInfo::appendable(state.data.len() as u64, Some(state.crc64));
            Ok(state.exists.then_some(info))
        })
        .await
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let bytes = self
            .request(|state| {
                state.counts.looks += 1;
                let within = |position: u64| (position as usize).min(state.data.len());
                Bytes::copy_from_slice(&state.data[within(range.start)..within(range.end)])
            })
            .await;
        Ok(stream::iter([Ok(bytes)]).boxed())
    }

    async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
        Err(Error::invalid_input("nobody seals here"))
    }
}
