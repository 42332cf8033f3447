//! A long day, shortened: keys that expire a hundred times under a writer and a hundred keyed
//! ones, while the clock jumps and the provider is down at times.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use oss_append::credentials::{self, Credentials};
use oss_append::emulator::Emulator;
use oss_append::{Backoff, Error, KeyedWriter, OssAppendWriter};

use crate::support::emulated::{content, start_with};
use crate::support::object;

const EXPIRIES: usize = 100;
const KEYS: usize = 100;
/// How many of the keys are written to in the life of a credential.
const BUSY: usize = 10;
const LIFE: Duration = Duration::from_secs(3600);

/// Hands out a new key each time, and is down at times.
struct Provider {
    emulator: Arc<Emulator>,
    /// Its time, which goes on by a life at once.
    now: Arc<Mutex<SystemTime>>,
    given: AtomicUsize,
    failed: AtomicUsize,
    /// How many of the next fetches fail.
    down: AtomicUsize,
}

impl Provider {
    fn give(&self) -> Result<Credentials, Error> {
        let takes_one = |left: usize| left.checked_sub(1);
        if self
            .down
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes_one)
            .is_ok()
        {
            self.failed.fetch_add(1, Ordering::SeqCst);
            return Err(Error::credentials_unavailable("the vault is down"));
        }
        let number = self.given.fetch_add(1, Ordering::SeqCst);
        let [id, secret, token] = key(number);
        self.emulator.add_sts(&id, &secret, &token);
        let expiration = *self.now.lock().unwrap() + LIFE;
        Ok(Credentials::new(id, secret)
            .with_session_token(token)
            .with_expiration(expiration))
    }

    /// The key that was given last is worth nothing any more. `announced`: as its expiry says.
    fn expire(&self, announced: bool) {
        if announced {
            *self.now.lock().unwrap() += LIFE;
        }
        let last = self.given.load(Ordering::SeqCst) - 1;
        self.emulator.expire_sts(&key(last)[0]);
    }
}

fn key(number: usize) -> [String; 3] {
    ["STS.id", "secret", "token"].map(|part| format!("{part}-{number}"))
}

/// What the `number`th life of a credential writes to a key.
fn record(key: &str, number: usize) -> String {
    format!("{key}: line {number}\n")
}

#[tokio::test]
async fn a_hundred_expiries_lose_nothing_and_cost_a_fetch_each() {
    let emulator = Arc::new(start_with(Emulator::builder()).await);
    let provider = Arc::new(Provider {
        emulator: Arc::clone(&emulator),
        now: Arc::new(Mutex::new(SystemTime::now())),
        given: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
        down: AtomicUsize::new(0),
    });
    let (source, now) = (Arc::clone(&provider), Arc::clone(&provider.now));
    let credentials = credentials::from_fn(move || {
        let given = source.give();
        async move { given }
    });
    let credentials = credentials.with_clock(move || *now.lock().unwrap());
    let client = emulator.client().credentials(credentials).build().unwrap();

    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
    let mut one = OssAppendWriter::builder(client.clone(), object())
        .backoff(backoff)
        .open()
        .await
        .unwrap();
    let many = KeyedWriter::builder(client, "bucket")
        .objects(|key| format!("keyed/{key}"))
        .writer(move |_, writer| writer.backoff(backoff))
        .max_open(KEYS)
        .start()
        .unwrap();
    let name = |number: usize| format!("key-{:04}", number % KEYS);
    let mut refusals = Vec::new();
    for life in 0..EXPIRIES {
        one.write_bytes(record("one", life).into()).await.unwrap();
        for busy in 0..BUSY {
            let key = name(life * BUSY + busy);
            let _ = many.write(&key, record(&key, life).into()).await.unwrap();
        }
        // On the way while the key expires.
        let (synced, flushed) = tokio::join!(one.sync(), many.sync());
        synced.unwrap();
        flushed.unwrap();
        let expired = |request: &&oss_append::emulator::RequestRecord| {
            request.code.as_deref() == Some("SecurityTokenExpired")
        };
        refusals.push(emulator.requests().iter().filter(expired).count());
        emulator.clear_requests();

        match life {
            30 => emulator.set_clock_offset(3600),
            60 => emulator.set_clock_offset(-3600),
            _ => {}
        }
        if life % 20 == 10 {
            provider.down.store(2, Ordering::SeqCst);
        }
        provider.expire(life % 2 == 0);
    }
    one.write_bytes("the end\n".into()).await.unwrap();
    one.sync().await.unwrap();
    many.shutdown().await.unwrap();

    let lines: String = (0..EXPIRIES).map(|life| record("one", life)).collect();
    assert_eq!(content(&emulator), (lines + "the end\n").as_bytes());
    let mut records = vec![String::new(); KEYS];
    for life in 0..EXPIRIES {
        for busy in 0..BUSY {
            let number = life * BUSY + busy;
            records[number % KEYS] += &record(&name(number), life);
        }
    }
    for (number, expected) in records.iter().enumerate() {
        let stored = emulator.object("bucket", &format!("keyed/{}", name(number)));
        assert_eq!(stored.unwrap().bytes, expected.as_bytes());
    }

    // One for each life, whoever asked.
    assert_eq!(provider.given.load(Ordering::SeqCst), EXPIRIES + 1);
    assert_eq!(provider.failed.load(Ordering::SeqCst), 10);
    for (life, refusals) in refusals.into_iter().enumerate() {
        match life > 0 && life % 2 == 0 {
            // The key before was revoked before its time: those under way find it out.
            true => assert!((1..=17).contains(&refusals), "{refusals} in {life}"),
            // It expired as announced, and was never sent after that.
            false => assert_eq!(refusals, 0, "in {life}"),
        }
    }
}
