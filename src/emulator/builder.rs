//! What a server is started with.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::account::{Account, BucketRules, Choice};
use super::auth::keys::{Key, Keys};
use super::clock::Clock;
use super::fault::{Fault, Faults};
use super::home::Home;
use super::log::{self, Log};
use super::pipelining::Pipelining;
use super::server::Server;
use super::shared::{Gate, Shared, Tasks};
use super::storage::{Fsync, Storage, Use};
use super::wire::Bandwidth;
use super::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator, REGION};
use crate::error::{Error, ErrorKind, Result};
use crate::values::path::check_bucket;

/// The options of an [`Emulator`], from [`Emulator::builder`].
#[must_use = "a builder does nothing until `start`"]
pub struct EmulatorBuilder {
    listen: SocketAddr,
    buckets: Vec<(String, Option<BucketRules>)>,
    region: String,
    keys: Keys,
    directory: Option<PathBuf>,
    wanted: Use,
    max_object_size: u64,
    account: Choice,
    latency: Duration,
    bandwidth: Option<u64>,
    clock_offset: i64,
    max_requests_per_connection: Option<u64>,
    pipelining: Pipelining,
    faults: Vec<Fault>,
    request_log: usize,
    on_current_runtime: bool,
}

impl EmulatorBuilder {
    pub(super) fn new() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            buckets: Vec::new(),
            region: REGION.into(),
            keys: Keys::default(),
            directory: None,
            wanted: Use::default(),
            max_object_size: super::MAX_OBJECT_SIZE,
            account: Choice::default(),
            latency: Duration::ZERO,
            bandwidth: None,
            clock_offset: 0,
            max_requests_per_connection: None,
            pipelining: Pipelining::default(),
            faults: Vec::new(),
            request_log: log::MOST,
            on_current_runtime: false,
        }
    }

    /// Where to listen. Default: `127.0.0.1:0`, a free port of the loopback interface.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Creates a bucket at the start, unless it exists. Default: none.
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push((name.into(), None));
        self
    }

    /// Creates a bucket at the start, unless it exists, and gives it these rules.
    ///
    /// ```
    /// use oss_append::emulator::{BucketRules, Emulator};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oss_append::Result<()> {
    /// // What is appended a second time is refused with 409 FileImmutable.
    /// let emulator = Emulator::builder()
    ///     .bucket_with("audit", BucketRules::new().retention(true))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn bucket_with(mut self, name: impl Into<String>, rules: BucketRules) -> Self {
        self.buckets.push((name.into(), Some(rules)));
        self
    }

    /// The region that signatures V4 must name. Default: [`REGION`].
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Adds an access key. Default: [`ACCESS_KEY_ID`] and [`ACCESS_KEY_SECRET`], if no key of any
    /// sort is added.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.keys.add(Key::fixed(id.into(), secret.into()));
        self
    }

    /// Adds a temporary access key with its security token.
    pub fn sts(
        mut self,
        id: impl Into<String>,
        secret: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        let key = Key::temporary(id.into(), secret.into(), token.into(), false);
        self.keys.add(key);
        self
    }

    /// Adds a temporary access key whose token has expired.
    pub fn expired_sts(
        mut self,
        id: impl Into<String>,
        secret: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        let key = Key::temporary(id.into(), secret.into(), token.into(), true);
        self.keys.add(key);
        self
    }

    /// Keeps everything in this directory, beginning with what is there. Default: in memory.
    ///
    /// The directory is made, for its owner alone, if it does not exist. One that is not empty is
    /// only used if it is that of an emulator, which a file `oss-append-emulator` says (those of
    /// older versions do not have it, and get it); any other is left as it is. No link in it is
    /// followed, and only the emulator's own files are ever deleted. Only one server at a time can
    /// use it: until this one has ended or is dropped.
    ///
    /// What is acknowledged survives a kill of the process. What it takes to survive a loss of power
    /// is said at [`Fsync`]. What was damaged is [set aside](Emulator::damaged).
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// When what is kept in a [directory](Self::directory) is written through to the disk. Default:
    /// [`Fsync::Never`].
    pub fn fsync(mut self, fsync: Fsync) -> Self {
        self.wanted.fsync = fsync;
        self
    }

    /// Only reads the [directory](Self::directory), in which nothing is made, changed or set aside.
    /// Requests that would change something are refused with 403 `AccessDenied`. Several servers can
    /// read a directory, as long as none changes it. Default: no.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.wanted.read_only = read_only;
        self
    }

    /// The most bytes of an object. Default: [`MAX_OBJECT_SIZE`](super::MAX_OBJECT_SIZE).
    pub fn max_object_size(mut self, bytes: u64) -> Self {
        self.max_object_size = bytes;
        self
    }

    /// What the account is like that the server acts for. Default: [`Account::Y2026`].
    ///
    /// ```
    /// use oss_append::emulator::{Account, Emulator};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oss_append::Result<()> {
    /// // An account of today that has been granted sealing.
    /// let emulator = Emulator::builder()
    ///     .bucket("logs")
    ///     .account(Account::Y2026)
    ///     .sealing(true)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn account(mut self, account: Account) -> Self {
        self.account.account = account;
        self
    }

    /// Accepts signatures V1, or refuses them with 403, EC 0002-00000080, as OSS does for accounts
    /// since March 2025 and for buckets since September 2025. Default: as the
    /// [account](Self::account) says.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/guidelines-for-upgrading-v1-signatures-to-v4-signatures>
    pub fn v1_signatures(mut self, accepted: bool) -> Self {
        self.account.v1_signatures = Some(accepted);
        self
    }

    /// Refuses public ACLs, of buckets and of objects, and ignores those that are there, as OSS does
    /// while Block Public Access is on, which it is by default for buckets made since October 2025.
    /// Default: as the [account](Self::account) says.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/mb-create-storage-space>
    pub fn block_public_access(mut self, blocked: bool) -> Self {
        self.account.public_access_blocked = Some(blocked);
        self
    }

    /// Grants SealAppendObject, which OSS does if a ticket asks for it; without, a seal is refused
    /// with 400 `OperationNotSupported`, EC 0016-00000513. Default: as the
    /// [account](Self::account) says. [`Emulator::seal`] works either way.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/sealappendobject>
    pub fn sealing(mut self, granted: bool) -> Self {
        self.account.sealing = Some(granted);
        self
    }

    /// Lets archived objects be read without being restored, as OSS does in buckets with real-time
    /// access of Archive objects; without, a GET of one is refused with 403 `InvalidObjectState`,
    /// EC 0016-00000404. Nothing restores objects here. Default: no.
    ///
    /// Source: <https://www.alibabacloud.com/help/en/oss/support/0016-00000404>
    pub fn archive_direct_read(mut self, on: bool) -> Self {
        self.account.archive_direct_read = on;
        self
    }

    /// Adds an access key of another account. With it, requests are allowed in buckets whose
    /// [requesters pay](BucketRules::requester_pays), as if a bucket policy granted them, and
    /// only if they say that the requester does. Default: none.
    pub fn requester(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.keys.add(Key::of_requester(id.into(), secret.into()));
        self
    }

    /// How long each answer is delayed, after the request was applied. Default: zero.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Limits the bytes per second, in each direction, of all connections together. Default: no
    /// limit.
    pub fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// Sets the server's clock ahead by this many seconds, or back. Default: 0.
    pub fn clock_offset(mut self, seconds: i64) -> Self {
        self.clock_offset = seconds;
        self
    }

    /// The most requests that are answered on one connection, at least 1. The last answer has
    /// `Connection: close`, and what was sent behind its request is not carried out. nginx calls
    /// it `keepalive_requests`. Default: no limit.
    pub fn max_requests_per_connection(mut self, requests: u64) -> Self {
        self.max_requests_per_connection = Some(requests.max(1));
        self
    }

    /// What becomes of requests that come on a connection before the one ahead of them is
    /// answered. Default: [`Pipelining::InOrder`].
    ///
    /// ```
    /// use oss_append::emulator::{Emulator, Pipelining};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oss_append::Result<()> {
    /// // The second append on a connection is carried out first.
    /// let emulator = Emulator::builder()
    ///     .bucket("logs")
    ///     .pipelining(Pipelining::AtOnce)
    ///     .fault("append:delay=50ms".parse()?)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn pipelining(mut self, pipelining: Pipelining) -> Self {
        self.pipelining = pipelining;
        self
    }

    /// Adds a fault. Default: none.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// How many requests are remembered for [`Emulator::requests`]. 0 is for a server that runs for
    /// long. Default: 100,000.
    pub fn request_log(mut self, requests: usize) -> Self {
        self.request_log = requests;
        self
    }

    /// Runs the server on the tokio runtime in which [`start`](Self::start) is called, whose time it
    /// then goes by. For tests with a paused clock (`tokio::time::pause`): tokio moves such a clock
    /// on when the runtime has nothing to do, and it does not know that a server on another thread
    /// is about to answer.
    ///
    /// On a runtime of one thread, as that of `#[tokio::test]`, nothing may block that thread then
    /// that needs the server: a `LogGuard` that is dropped waits for it in vain.
    ///
    /// Default: on a thread of its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use oss_append::emulator::Emulator;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oss_append::Result<()> {
    /// let emulator = Emulator::builder()
    ///     .bucket("logs")
    ///     .latency(Duration::from_secs(60)) // passes at once when the clock is paused
    ///     .on_current_runtime()
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_current_runtime(mut self) -> Self {
        self.on_current_runtime = true;
        self
    }

    /// Starts the server. It accepts connections on return.
    ///
    /// It runs on a thread of its own, so that a program or a test that blocks its thread is still
    /// answered, unless told [otherwise](Self::on_current_runtime). What it logs there goes to the
    /// `tracing` subscriber of the program, or of the caller if the program has none.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if a bucket's name is not valid, the address
    /// cannot be listened on, the directory cannot be used, or no thread or runtime can be had.
    ///
    /// # Cancel safety
    /// Safe: a server whose start was given up ends.
    pub async fn start(mut self) -> Result<Emulator> {
        for (bucket, _) in &self.buckets {
            check_bucket(bucket)?;
        }
        let failed = |what: &str| {
            let reason = format!("the emulator cannot {what}");
            move |error: io::Error| {
                Error::new(ErrorKind::InvalidInput {
                    reason: format!("{reason}: {error}"),
                })
                .with_source(error)
            }
        };
        let home = match self.on_current_runtime {
            true => Home::current(),
            false => Home::own_thread(),
        };
        let home = home.map_err(failed("start"))?;
        let wanted = self.wanted;
        let storage = match self.directory.take() {
            None => Storage::in_memory(),
            Some(path) => {
                let failed = failed(&format!("use the directory {}", path.display()));
                let opened = home.blocking(move || Storage::in_directory(&path, wanted));
                opened.await.map_err(failed)?
            }
        };
        if !self.keys.iter().any(|key| key.of_owner) {
            self = self.credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET);
        }
        let clock = Clock::default();
        clock.set_offset(self.clock_offset);
        let faults = Faults::default();
        for fault in self.faults {
            faults.inject(fault);
        }
        for damaged in storage.damaged() {
            tracing::warn!("{damaged}");
        }
        // Nothing is made where nothing may be changed.
        let made = self.buckets.iter().filter(|_| !wanted.read_only);
        for (bucket, rules) in made {
            storage
                .create_bucket(bucket, None, clock.now())
                .and_then(|()| match rules {
                    Some(rules) => storage.set_rules(bucket, *rules),
                    None => Ok(()),
                })
                .map_err(failed("create a bucket"))?;
        }
        let shared = Arc::new(Shared {
            storage,
            keys: RwLock::new(self.keys),
            region: self.region,
            clock,
            faults,
            log: Log::new(self.request_log),
            read_only: wanted.read_only,
            local: self.listen.ip().is_loopback(),
            max_object_size: self.max_object_size,
            traits: self.account.traits(),
            max_requests: self.max_requests_per_connection.unwrap_or(u64::MAX),
            pipelining: self.pipelining,
            latency: Mutex::new(self.latency),
            bandwidth: self.bandwidth.map(|rate| Arc::new(Bandwidth::new(rate))),
            gate: Gate::new(),
            tasks: Tasks::new(),
            closed: CancellationToken::new(),
        });
        let server = Server::start(Arc::clone(&shared), self.listen, home)
            .await
            .map_err(failed(&format!("listen on {}", self.listen)))?;
        Ok(Emulator { server, shared })
    }
}

impl fmt::Debug for EmulatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorBuilder")
            .field("listen", &self.listen)
            .field("buckets", &self.buckets)
            .field("region", &self.region)
            .field("keys", &self.keys)
            .field("directory", &self.directory)
            .field("use", &self.wanted)
            .field("max_object_size", &self.max_object_size)
            .field("account", &self.account)
            .field("latency", &self.latency)
            .field("bandwidth", &self.bandwidth)
            .field("clock_offset", &self.clock_offset)
            .field(
                "max_requests_per_connection",
                &self.max_requests_per_connection,
            )
            .field("pipelining", &self.pipelining)
            .field("faults", &self.faults)
            .field("request_log", &self.request_log)
            .field("on_current_runtime", &self.on_current_runtime)
            .finish()
    }
}
