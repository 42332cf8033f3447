//! What is fetched is kept, renewed in time and by one request, and never sent when it has expired.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use oss_append::credentials::{self, CachedCredentials, Credentials, CredentialsProvider};
use oss_append::emulator::{Emulator, Operation};
use oss_append::{Error, OssAppendWriter, Result};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance};

use super::{error, id, temporary};
use crate::support::emulated::{content, start_with};
use crate::support::log::{Log, set_default};
use crate::support::{MS, SEC, object};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A wall clock that goes with tokio's.
#[derive(Clone, Copy, Debug)]
struct Wall {
    began: (Instant, SystemTime),
}

impl Wall {
    fn new() -> Self {
        Self {
            began: (Instant::now(), SystemTime::now()),
        }
    }

    fn now(&self) -> SystemTime {
        self.began.1 + self.began.0.elapsed()
    }
}

/// Gives key 1, 2, 3 and so on with this life, or what the script says.
#[derive(Debug)]
struct Source {
    wall: Wall,
    life: Option<Duration>,
    script: Mutex<VecDeque<Result<Credentials>>>,
    fetches: AtomicUsize,
    /// Each fetch waits for one of these.
    gate: Semaphore,
}

impl Source {
    fn new(life: impl Into<Option<Duration>>) -> Arc<Self> {
        Arc::new(Self {
            wall: Wall::new(),
            life: life.into(),
            script: Mutex::default(),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    /// What is fetched next, before new keys are given.
    fn then(self: &Arc<Self>, outcomes: impl IntoIterator<Item = Result<Credentials>>) {
        self.script.lock().unwrap().extend(outcomes);
    }

    fn cached(self: &Arc<Self>) -> CachedCredentials {
        let wall = self.wall;
        CachedCredentials::new(self.clone()).with_clock(move || wall.now())
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn release(&self, fetches: usize) {
        self.gate.add_permits(fetches);
    }
}

impl CredentialsProvider for Source {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        let number = self.fetches.fetch_add(1, Relaxed) + 1;
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            if let Some(outcome) = self.script.lock().unwrap().pop_front() {
                return outcome;
            }
            let key = key(number);
            Ok(match self.life {
                Some(life) => key.with_expiration(self.wall.now() + life),
                None => key,
            })
        })
    }
}

fn key(number: usize) -> Credentials {
    Credentials::new(format!("id-{number}"), "secret").with_session_token("token")
}

fn down() -> Result<Credentials> {
    Err(Error::credentials_unavailable("the vault is down"))
}

/// Lets what runs in the background come to an end.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_askers_make_one_fetch() {
    let source = Source::new(HOUR);
    source.hold();
    let cached = source.cached();
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let cached = cached.clone();
            tokio::spawn(async move { id(&cached).await })
        })
        .collect();
    settle().await;
    source.release(1000);
    for asker in asking {
        assert_eq!(asker.await.unwrap(), "id-1");
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_askers_on_many_threads_make_one_fetch() {
    let source = Source::new(HOUR);
    let cached = source.cached();
    let asking = (0..1000).map(|_| {
        let cached = cached.clone();
        tokio::spawn(async move { id(&cached).await })
    });
    for asker in join_all(asking.collect::<Vec<_>>()).await {
        assert_eq!(asker.unwrap(), "id-1");
    }
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_renewed_between_ten_and_five_minutes_before_its_expiry() {
    for _ in 0..50 {
        let source = Source::new(HOUR);
        let cached = source.cached();
        id(&cached).await;
        advance(50 * MINUTE - SEC).await;
        id(&cached).await;
        settle().await;
        assert_eq!(source.fetches(), 1, "not too early");
        advance(5 * MINUTE + 2 * SEC).await;
        assert_eq!(id(&cached).await, "id-1", "nobody waits for the new one");
        settle().await;
        assert_eq!(source.fetches(), 2, "not too late");
        assert_eq!(id(&cached).await, "id-2");
    }
}

#[tokio::test(start_paused = true)]
async fn many_keys_of_the_same_age_are_not_renewed_at_the_same_time() {
    let sources: Vec<_> = (0..100).map(|_| Source::new(HOUR)).collect();
    let cached: Vec<_> = sources.iter().map(Source::cached).collect();
    join_all(cached.iter().map(id)).await;
    advance(50 * MINUTE).await;
    let mut renewed = Vec::new();
    for _ in 0..5 {
        advance(MINUTE).await;
        join_all(cached.iter().map(id)).await;
        settle().await;
        renewed.push(
            sources
                .iter()
                .filter(|source| source.fetches() == 2)
                .count(),
        );
    }
    // Of 100 some 20 a minute; that a minute has none is less likely than 1 in 10⁸.
    assert!(
        renewed.windows(2).all(|pair| pair[0] < pair[1]),
        "{renewed:?}"
    );
    assert!(renewed[0] > 0 && renewed[0] < 100, "{renewed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_no_newer_key_yet_is_asked_again_and_not_stormed() {
    let source = Source::new(HOUR);
    let old = key(1).with_expiration(source.wall.now() + HOUR);
    source.then((0..1000).map(|_| Ok(old.clone())));
    let cached = source.cached();
    let began = Instant::now();
    while began.elapsed() < HOUR {
        assert_eq!(id(&cached).await, "id-1");
        settle().await;
        advance(5 * SEC).await;
    }
    // Each time after a half to three quarters of what was left of its life.
    assert!((5..=15).contains(&source.fetches()), "{}", source.fetches());
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_key_is_renewed_in_the_second_half_of_its_life() {
    let source = Source::new(8 * MINUTE);
    let cached = source.cached();
    id(&cached).await;
    advance(4 * MINUTE - SEC).await;
    id(&cached).await;
    settle().await;
    assert_eq!(source.fetches(), 1);
    advance(2 * MINUTE + 2 * SEC).await;
    id(&cached).await;
    settle().await;
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_old_key_is_used_while_it_is_valid_if_renewing_fails_and_never_after() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::WARN));
    let source = Source::new(HOUR);
    let cached = source.cached();
    id(&cached).await;
    source.then((0..1000).map(|_| down()));
    advance(55 * MINUTE).await;
    for _ in 0..5 * 60 {
        assert_eq!(id(&cached).await, "id-1");
        settle().await;
        advance(SEC).await;
    }
    let while_valid = source.fetches() - 1;
    assert!((10..=30).contains(&while_valid), "{while_valid} tries");
    assert!(log.text().contains("the vault is down"), "{}", log.text());
    assert!(log.text().contains("the old ones are used"));
    let expired = error(&cached).await;
    assert!(temporary(&expired) && expired.to_string().contains("the vault is down"));
    source.script.lock().unwrap().clear();
    advance(MINUTE).await;
    assert_ne!(id(&cached).await, "id-1");
}

#[tokio::test(start_paused = true)]
async fn an_expired_key_is_never_handed_out_but_the_next_is_waited_for() {
    let source = Source::new(HOUR);
    let cached = source.cached();
    id(&cached).await;
    advance(HOUR - MS).await;
    source.hold();
    assert_eq!(id(&cached).await, "id-1");
    advance(MS).await;
    let waiting = tokio::spawn({
        let cached = cached.clone();
        async move { id(&cached).await }
    });
    settle().await;
    assert!(!waiting.is_finished());
    source.release(1);
    assert_eq!(waiting.await.unwrap(), "id-2");
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_expired_when_it_comes_is_an_error() {
    let source = Source::new(HOUR);
    let now = source.wall.now();
    source.then([0, 30].map(|past| Ok(key(7).with_expiration(now - past * SEC))));
    let cached = source.cached();
    let first = error(&cached).await;
    assert!(temporary(&first));
    assert!(first.to_string().contains("expired 0 s ago"), "{first}");
    advance(2 * SEC).await;
    let second = error(&cached).await;
    assert!(second.to_string().contains("expired 32 s ago"), "{second}");
    advance(3 * SEC).await;
    assert_eq!(id(&cached).await, "id-3");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_an_expiry_is_kept_until_it_is_refused() {
    let source = Source::new(None);
    let cached = source.cached();
    let first = cached.credentials().await.unwrap();
    advance(1000 * HOUR).await;
    assert_eq!(id(&cached).await, "id-1");
    cached.invalidate(&first);
    assert_eq!(id(&cached).await, "id-2");
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_refusals_of_one_key_force_one_fetch() {
    let source = Source::new(HOUR);
    let cached = source.cached();
    let old = cached.credentials().await.unwrap();
    for _ in 0..1000 {
        cached.invalidate(&old);
        id(&cached).await;
    }
    assert_eq!(source.fetches(), 2, "the new key was not refused");
    assert_eq!(id(&cached).await, "id-2");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_differs_in_the_token_alone_is_another() {
    let source = Source::new(HOUR);
    let cached = source.cached();
    id(&cached).await;
    cached.invalidate(&key(1).with_session_token("another"));
    id(&cached).await;
    assert_eq!(source.fetches(), 1);
    cached.invalidate(&key(1));
    assert_eq!(id(&cached).await, "id-2");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_the_refused_key_again_is_not_stormed() {
    let source = Source::new(HOUR);
    source.then((0..1000).map(|_| Ok(key(1))));
    let cached = source.cached();
    for _ in 0..1000 {
        let given = cached.credentials().await.unwrap();
        cached.invalidate(&given);
        advance(10 * MS).await;
    }
    // 10 s in all: one in a second, and the first two.
    assert!(
        (10..=12).contains(&source.fetches()),
        "{}",
        source.fetches()
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_fetched_before_it_was_refused_is_fetched_again() {
    let source = Source::new(HOUR);
    let cached = source.cached();
    let old = cached.credentials().await.unwrap();
    advance(56 * MINUTE).await;
    source.hold();
    source.then([Ok(old.clone())]);
    id(&cached).await;
    settle().await;
    assert_eq!(source.fetches(), 2, "renewing is under way");
    cached.invalidate(&old);
    source.release(2);
    assert_eq!(id(&cached).await, "id-3");
}

#[tokio::test(start_paused = true)]
async fn failed_fetches_are_spaced_out_and_shared() {
    let source = Source::new(HOUR);
    source.then((0..1000).map(|_| down()));
    let cached = source.cached();
    let began = Instant::now();
    let mut fetched = Vec::new();
    while began.elapsed() < 3 * MINUTE {
        let failed = join_all((0..10).map(|_| error(&cached))).await;
        assert!(failed.iter().all(temporary));
        if fetched.len() < source.fetches() {
            assert_eq!(fetched.len() + 1, source.fetches());
            fetched.push(began.elapsed());
        }
        advance(100 * MS).await;
    }
    let pauses: Vec<_> = fetched.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (number, pause) in pauses.iter().enumerate() {
        let most = (SEC * (1 << number.min(5))).min(30 * SEC);
        assert!(
            *pause >= most / 2 && *pause <= most + 100 * MS,
            "{pauses:?}"
        );
    }
    assert!(pauses.len() >= 8, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_is_given_up_after_five_minutes() {
    let source = Source::new(HOUR);
    source.hold();
    let cached = source.cached();
    let began = Instant::now();
    let hung = error(&cached).await;
    assert!(
        temporary(&hung) && hung.to_string().contains("within 300 s"),
        "{hung}"
    );
    assert!((5 * MINUTE..5 * MINUTE + SEC).contains(&began.elapsed()));
    advance(SEC).await;
    source.release(1);
    assert_eq!(id(&cached).await, "id-2");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_goes_on_when_who_asked_gives_up() {
    let source = Source::new(HOUR);
    source.hold();
    let cached = source.cached();
    let asker = tokio::spawn({
        let cached = cached.clone();
        async move { id(&cached).await }
    });
    settle().await;
    asker.abort();
    assert!(asker.await.unwrap_err().is_cancelled());
    let next = tokio::spawn({
        let cached = cached.clone();
        async move { id(&cached).await }
    });
    settle().await;
    source.release(2);
    assert_eq!(next.await.unwrap(), "id-1");
    assert_eq!(source.fetches(), 1);
}

#[test]
fn a_fetch_that_was_lost_with_its_runtime_is_begun_anew() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let source = Source::new(HOUR);
    source.hold();
    let cached = source.cached();
    let lost = runtime();
    lost.block_on(async {
        let mut asking = std::pin::pin!(cached.credentials());
        assert!(futures::poll!(&mut asking).is_pending());
        settle().await;
    });
    drop(lost);
    assert_eq!(source.fetches(), 1);
    source.release(1);
    assert_eq!(runtime().block_on(id(&cached)), "id-2");
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let cached = Source::new(HOUR).cached();
    let error = futures::executor::block_on(error(&cached));
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_is_an_error_and_is_called_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let provider = credentials::from_fn(move || {
        let call = counted.fetch_add(1, Relaxed);
        async move {
            assert_ne!(call, 0, "the first call");
            Ok(key(call))
        }
    });
    let failed = error(&provider).await;
    assert!(failed.to_string().contains("panicked"), "{failed}");
    advance(SEC).await;
    assert_eq!(id(&provider).await, "id-1");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_panics_is_replaced_by_that_of_the_system() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let provider = Source::new(None).cached().with_clock(move || {
        counted.fetch_add(1, Relaxed);
        panic!("the program's clock");
    });
    assert_eq!(id(&provider).await, "id-1");
    assert_eq!(id(&provider).await, "id-1");
    assert!(calls.load(Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_its_own_keys_is_an_error_at_once() {
    let own: Arc<OnceLock<CachedCredentials>> = Arc::default();
    let asked = Arc::clone(&own);
    let provider = credentials::from_fn(move || {
        let own = asked.get().unwrap().clone();
        async move { own.credentials().await }
    });
    own.set(provider.clone()).unwrap();
    let began = Instant::now();
    let failed = error(&provider).await;
    assert!(failed.to_string().contains("it is to give"), "{failed}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// An error of the program that asks for credentials when it is dropped.
#[derive(Debug)]
struct AskingError {
    provider: CachedCredentials,
    asked: Arc<AtomicUsize>,
}

impl std::fmt::Display for AskingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("asks")
    }
}

impl std::error::Error for AskingError {}

impl Drop for AskingError {
    fn drop(&mut self) {
        let _ = self.provider.credentials().now_or_never();
        self.asked.fetch_add(1, Relaxed);
    }
}

#[test]
fn an_error_of_the_source_may_ask_for_credentials_when_it_is_dropped() {
    let asked = in_time(async {
        let source = Source::new(HOUR);
        let provider = source.cached();
        let asked = Arc::new(AtomicUsize::new(0));
        let cause = AskingError {
            provider: provider.clone(),
            asked: asked.clone(),
        };
        source.then([down().map_err(|error| error.with_source(cause))]);
        error(&provider).await;
        advance(2 * SEC).await;
        id(&provider).await;
        asked.load(Relaxed)
    });
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn a_function_is_called_once_for_all_requests() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let provider = credentials::from_fn(move || {
        let call = counted.fetch_add(1, Relaxed) + 1;
        async move { Ok(key(call).with_expiration(SystemTime::now() + HOUR)) }
    });
    for _ in 0..10 {
        assert_eq!(id(&provider).await, "id-1");
    }
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_id_or_secret_is_an_error() {
    let source = Source::new(HOUR);
    source.then([Ok(Credentials::new("", "s")), Ok(Credentials::new("i", ""))]);
    let cached = source.cached();
    for _ in 0..2 {
        let failed = error(&cached).await;
        assert!(!temporary(&failed) && failed.to_string().contains("empty"));
        advance(MINUTE).await;
    }
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_a_log_fetches_without_a_log() {
    let log = Log::default();
    let _guard = set_default(log.subscriber(tracing::Level::TRACE));
    let provider = credentials::from_fn(|| async {
        tracing::error!("fetching");
        Ok(key(1))
    });
    let asker = async { id(&provider).await };
    use tracing::instrument::WithSubscriber as _;
    asker.with_subscriber(tracing::Dispatch::none()).await;
    assert_eq!(log.text(), "");
}

/// A log that needs credentials for each line, as one that goes to OSS does.
#[derive(Clone)]
struct AskingLog {
    provider: CachedCredentials,
    lines: Arc<AtomicUsize>,
}

impl std::io::Write for AskingLog {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let asked = self.provider.credentials().now_or_never();
        asked.expect("no wait").unwrap();
        self.lines.fetch_add(1, Relaxed);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What comes of this in a thread of its own, which may hang.
fn in_time<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        done.send(runtime.block_on(work)).unwrap();
    });
    is_done.recv_timeout(60 * SEC).expect("it hangs")
}

#[test]
fn whoever_takes_the_warning_may_ask_for_credentials() {
    let lines = in_time(async {
        let source = Source::new(HOUR);
        let cached = source.cached();
        let lines = Arc::new(AtomicUsize::new(0));
        let log = AskingLog {
            provider: cached.clone(),
            lines: lines.clone(),
        };
        let subscriber = tracing_subscriber::fmt().with_writer(move || log.clone());
        let _guard = set_default(subscriber.finish());
        id(&cached).await;
        source.then([down()]);
        advance(56 * MINUTE).await;
        id(&cached).await;
        settle().await;
        lines.load(Relaxed)
    });
    assert_eq!(lines, 1);
}

/// An emulator that knows the keys that have been handed out last.
async fn serving(number: usize) -> Emulator {
    let key = key(number);
    let token = key.session_token().unwrap();
    start_with(Emulator::builder().sts(key.access_key_id(), key.access_key_secret(), token)).await
}

#[tokio::test]
async fn a_refused_key_forces_one_fetch_for_all_writers_and_the_same_bytes_again() {
    const WRITERS: usize = 20;
    let emulator = serving(1).await;
    let source = Source::new(HOUR);
    let client = emulator
        .client()
        .credentials(source.cached())
        .build()
        .unwrap();
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let path = format!("oss://bucket/{number}").parse().unwrap();
        let writer = OssAppendWriter::builder(client.clone(), path);
        writers.push(writer.open().await.unwrap());
    }
    let new = key(2);
    emulator.add_sts(new.access_key_id(), "secret", "token");
    emulator.expire_sts(key(1).access_key_id());
    let writing = writers
        .into_iter()
        .enumerate()
        .map(async |(number, mut writer)| {
            writer
                .write_all(format!("line {number}").as_bytes())
                .await
                .unwrap();
            writer.shutdown().await.unwrap();
        });
    join_all(writing).await;
    for number in 0..WRITERS {
        let stored = emulator.object("bucket", &number.to_string()).unwrap();
        assert_eq!(stored.bytes, format!("line {number}").as_bytes());
    }
    assert_eq!(source.fetches(), 2);
    let seen = emulator.requests();
    let refused = seen.iter().filter(|seen| seen.status == Some(403)).count();
    assert!((1..=WRITERS).contains(&refused), "{refused}");
    let appends = seen
        .iter()
        .filter(|seen| seen.operation == Operation::AppendObject);
    assert_eq!(appends.count(), WRITERS);
}

#[tokio::test]
async fn a_source_that_is_down_for_a_while_costs_no_byte() {
    let emulator = serving(2).await;
    let source = Source::new(HOUR);
    source.then([down()]);
    let client = emulator
        .client()
        .credentials(source.cached())
        .build()
        .unwrap();
    let mut writer = OssAppendWriter::builder(client, object())
        .open()
        .await
        .unwrap();
    writer.write_all(b"all of it").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"all of it");
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn keys_that_cannot_come_fail_the_writer_at_once_and_say_why() {
    let emulator = serving(1).await;
    let source = Source::new(HOUR);
    source.then([Err(Error::credentials("the role does not exist"))]);
    let client = emulator
        .client()
        .credentials(source.cached())
        .build()
        .unwrap();
    let opened = OssAppendWriter::builder(client, object()).open().await;
    let error = opened.unwrap_err();
    assert!(
        error.to_string().contains("the role does not exist"),
        "{error}"
    );
    assert!(emulator.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_clock_and_no_expiry_whatever_panics() {
    let year = 365 * 24 * HOUR;
    let times = [
        SystemTime::UNIX_EPOCH.checked_sub(100_000 * year).unwrap(),
        SystemTime::UNIX_EPOCH,
        SystemTime::now(),
        SystemTime::UNIX_EPOCH
            .checked_add(1_000_000 * year)
            .unwrap(),
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(i64::MAX as u64))
            .unwrap(),
    ];
    for now in times {
        for expiration in times {
            let provider = credentials::from_fn(move || async move {
                Ok(Credentials::new("id", "secret").with_expiration(expiration))
            });
            let provider = provider.with_clock(move || now);
            let given = provider.credentials().await;
            assert_eq!(given.is_ok(), now < expiration, "{now:?} {expiration:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn debug_shows_the_source_and_no_key() {
    let provider = credentials::from_fn(|| async { Ok(Credentials::new("marked-id", "marked")) });
    id(&provider).await;
    assert_eq!(format!("{provider:?}"), "CachedCredentials(a function)");
}
