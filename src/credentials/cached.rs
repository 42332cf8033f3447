//! Credentials that are fetched once for everybody, kept, and renewed before they expire.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::instrument::WithSubscriber as _;

use super::{Credentials, CredentialsProvider};
use crate::callback::caught;
use crate::error::{Error, Result};
use crate::values::backoff::Backoff;
use crate::values::locks::MutexExt;

/// The least time before the expiry at which a key is renewed; of a short-lived one a quarter of
/// its life.
const AHEAD: Duration = Duration::from_secs(300);

/// How long a key is kept, refused or not, that the source gave again after it was refused.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// The longest that a fetch takes: nobody else would begin one while it hangs.
const LONGEST_FETCH: Duration = Duration::from_secs(300);

/// How often a fetch that was lost with its runtime is started again.
const BEGINNINGS: u32 = 3;

tokio::task_local! {
    /// The address of the [`Shared`] that the task fetches for.
    static FETCHING: usize;
}

/// Fetches credentials from another provider, keeps them, and renews them before they expire.
///
/// All providers of this module that fetch something are built as one of these. It does the same
/// around a [`CredentialsProvider`] of your own:
///
/// - One fetch is in flight at a time, however many writers ask.
/// - A key that expires is renewed in the background, when somebody asks, at a random moment between 10
///   and 5 minutes before (for one that lives for less than 20 minutes, between a half and a quarter of
///   its life). Until the new one is there the old one is handed out, also if renewing fails. An expired
///   one is never handed out.
/// - A key without an expiry is kept until OSS refuses it.
/// - A refused key is forgotten, and the next request waits for a new one.
/// - A fetch that takes 5 minutes is given up.
/// - After a failed fetch the next one begins after 0.5 to 1 s, doubling up to 30 s; callers in between
///   get the same error.
///
/// Nothing is fetched unless somebody asks. Clones share everything.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use oss_append::OssClient;
/// use oss_append::credentials::{self, Credentials};
///
/// let provider = credentials::from_fn(|| async {
///     // Ask the vault of your company.
///     let expiration = SystemTime::now() + Duration::from_secs(3600);
///     Ok(Credentials::new("id", "secret").with_expiration(expiration))
/// });
/// let client = OssClient::builder()
///     .region("cn-hangzhou")
///     .credentials(provider)
///     .build()?;
/// # Ok::<(), oss_append::Error>(())
/// ```
///
/// # Cancel safety
/// Dropping the future of a caller does no harm: a fetch is a task of its own on the tokio runtime
/// of the first caller, and goes on for the next ones.
#[derive(Clone)]
pub struct CachedCredentials {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn CredentialsProvider>,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The fetch that is under way. Its channel closes without an outcome if it is lost.
    fetch: Option<Fetch>,
    /// The last fetch has failed.
    failure: Option<Failure>,
    /// What OSS has refused last.
    refused: Option<Credentials>,
    /// It was refused after the fetch under way had begun, which may give it once more.
    refused_in_flight: bool,
}

type Fetch = watch::Receiver<Option<Result<Credentials>>>;

struct Held {
    credentials: Credentials,
    /// When to renew it.
    due: Option<SystemTime>,
    since: Instant,
    /// The source gave it again after OSS had refused it.
    again: bool,
}

struct Failure {
    error: Error,
    /// Failures in a row.
    count: u32,
    /// When to try again.
    until: Instant,
}

enum Asked {
    Have(Credentials),
    Wait(Fetch),
}

impl CachedCredentials {
    /// Keeps what this provider gives.
    pub fn new(source: impl CredentialsProvider) -> Self {
        Self {
            shared: Arc::new(Shared {
                source: Arc::new(source),
                clock: Arc::new(SystemTime::now),
                state: Mutex::default(),
            }),
        }
    }

    /// Sets the clock that expiries are compared with, and forgets what was fetched. Default: the
    /// system's, which also stands in when this one panics.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                source: Arc::clone(&self.shared.source),
                clock: Arc::new(now),
                state: Mutex::default(),
            }),
        }
    }
}

impl CredentialsProvider for CachedCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials>> {
        Box::pin(async {
            if self.shared.is_asked_by_its_own_fetch() {
                return Err(Error::credentials(
                    "their source asks for the credentials that it is to give",
                ));
            }
            for _ in 0..BEGINNINGS {
                let mut fetch = match Shared::ask(&self.shared)? {
                    Asked::Have(credentials) => return Ok(credentials),
                    Asked::Wait(fetch) => fetch,
                };
                if let Ok(outcome) = fetch.wait_for(Option::is_some).await
                    && let Some(outcome) = &*outcome
                {
                    return outcome.clone();
                }
            }
            Err(Error::credentials_unavailable(
                "the tokio runtime that was to fetch them has ended",
            ))
        })
    }

    fn invalidate(&self, refused: &Credentials) {
        caught(|| self.shared.source.invalidate(refused));
        let mut state = self.shared.lock();
        let Some(held) = state.held.as_ref().filter(|h| h.credentials.same(refused)) else {
            return;
        };
        // Each of many writers that were refused would else fetch it anew.
        if held.again && held.since.elapsed() < LEAST_AGE {
            return;
        }
        state.held = None;
        state.refused = Some(refused.clone());
        state.refused_in_flight = state.fetch.is_some();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.locked()
    }

    /// By the program's clock, or the system's if that panics.
    fn now(&self) -> SystemTime {
        caught(|| (self.clock)()).unwrap_or_else(SystemTime::now)
    }

    /// What tells it from all others.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether who asks is the fetch itself, which would wait for its own end.
    fn is_asked_by_its_own_fetch(&self) -> bool {
        FETCHING.try_with(|address| *address == self.address()) == Ok(true)
    }

    /// What is held, else the fetch to wait for. Begins a fetch where one is needed.
    fn ask(this: &Arc<Self>) -> Result<Asked> {
        let now = this.now();
        let mut state = this.lock();
        // Closed while it is still here: the runtime that it ran on has ended.
        if let Some(fetch) = &state.fetch
            && fetch.has_changed().is_err()
        {
            state.fetch = None;
        }
        let paused = |state: &State| {
            let failure = state.failure.as_ref()?;
            (Instant::now() < failure.until).then(|| failure.error.clone())
        };
        if let Some(held) = state.held.as_ref().filter(|held| held.is_valid(now)) {
            let credentials = held.credentials.clone();
            if held.is_due(now)
                && state.fetch.is_none()
                && paused(&state).is_none()
                && let Ok(runtime) = Handle::try_current()
            {
                Self::begin(this, &mut state, &runtime);
            }
            return Ok(Asked::Have(credentials));
        }
        if let Some(fetch) = &state.fetch {
            return Ok(Asked::Wait(fetch.clone()));
        }
        if let Some(error) = paused(&state) {
            return Err(error);
        }
        let runtime = Handle::try_current().map_err(|_| {
            Error::credentials("they can only be fetched inside of a tokio runtime")
        })?;
        Ok(Asked::Wait(Self::begin(this, &mut state, &runtime)))
    }

    fn begin(this: &Arc<Self>, state: &mut State, runtime: &Handle) -> Fetch {
        let (sender, watched) = watch::channel(None);
        state.fetch = Some(watched.clone());
        state.refused_in_flight = false;
        let this = Arc::clone(this);
        let fetch = async move {
            let fetched = AssertUnwindSafe(async {
                let fetch = async { this.source.credentials().await };
                let fetch = FETCHING.scope(this.address(), fetch);
                let fetched = tokio::time::timeout(LONGEST_FETCH, fetch).await;
                fetched.unwrap_or_else(|_| {
                    Err(Error::credentials_unavailable(format!(
                        "the source gave none within {} s",
                        LONGEST_FETCH.as_secs()
                    )))
                })
            });
            let outcome = fetched
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Error::credentials("the provider has panicked")));
            this.finish(&sender, outcome);
        };
        // Who asks may be at work for a log: then it logs nothing itself.
        runtime.spawn(fetch.with_current_subscriber());
        watched
    }

    fn finish(
        &self,
        sender: &watch::Sender<Option<Result<Credentials>>>,
        outcome: Result<Credentials>,
    ) {
        let now = self.now();
        let outcome = outcome.and_then(|credentials| checked(credentials, now));
        let mut state = self.lock();
        state.fetch = None;
        let again = match (&outcome, &state.refused) {
            (Ok(credentials), Some(refused)) => credentials.same(refused),
            _ => false,
        };
        if again && state.refused_in_flight {
            // It is from before the refusal: whoever waits begins a new fetch.
            return;
        }
        let mut old_is_used = false;
        let before = state.failure.take();
        match &outcome {
            Ok(credentials) => {
                state.held = Some(Held::new(credentials.clone(), now, again));
            }
            Err(error) => {
                let count = before.as_ref().map_or(0, |failure| failure.count);
                let count = count.saturating_add(1);
                let pause = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
                let pause = pause.delay(count, 0.5 + fastrand::f64() / 2.0);
                old_is_used = state.held.as_ref().is_some_and(|held| held.is_valid(now));
                state.failure = Some(Failure {
                    error: error.clone(),
                    count,
                    until: Instant::now() + pause,
                });
            }
        }
        // Who takes the warning may need credentials for it, and so may the program's own error
        // in what has failed before, when it is dropped.
        drop(state);
        drop(before);
        sender.send_replace(Some(outcome.clone()));
        if let (Err(error), true) = (outcome, old_is_used) {
            tracing::warn!(
                %error,
                "renewing credentials failed; the old ones are used until they expire"
            );
        }
    }
}

/// Credentials that can be used.
fn checked(credentials: Credentials, now: SystemTime) -> Result<Credentials> {
    if credentials.access_key_id().is_empty() || credentials.access_key_secret().is_empty() {
        return Err(Error::credentials(
            "the source gave an empty access key id or secret",
        ));
    }
    match credentials.expiration() {
        Some(expiration) if expiration <= now => {
            let past = now.duration_since(expiration).unwrap_or_default();
            Err(Error::credentials_unavailable(format!(
                "the source gave a key that expired {} s ago by this machine's clock",
                past.as_secs()
            )))
        }
        _ => Ok(credentials),
    }
}

impl Held {
    fn new(credentials: Credentials, now: SystemTime, again: bool) -> Self {
        let due = credentials.expiration().and_then(|expiration| {
            let left = expiration.duration_since(now).ok()?;
            let ahead = AHEAD.min(left / 4);
            // Many machines with keys of the same moment do not renew them in the same moment.
            expiration.checked_sub(ahead + ahead.mul_f64(fastrand::f64()))
        });
        Self {
            credentials,
            due,
            since: Instant::now(),
            again,
        }
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        self.credentials
            .expiration()
            .is_none_or(|expiration| now < expiration)
    }

    fn is_due(&self, now: SystemTime) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// Shows where they come from, no key.
impl fmt::Debug for CachedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CachedCredentials")
            .field(&self.shared.source)
            .finish()
    }
}
