//! An embedded OSS server: run, test and develop on one machine, offline.
//!
//! It is a small real server that speaks OSS's protocol to any client, the official SDKs included:
//! signatures V4 and V1 in headers and URLs are verified, with static and temporary keys; buckets
//! are addressed by path or by host name; AppendObject, SealAppendObject, HeadObject, GetObject,
//! GetObjectMeta, PutObject, DeleteObject, DeleteMultipleObjects, ListObjects (both versions),
//! PutBucket, DeleteBucket, GetBucketInfo and ListBuckets answer as OSS does, errors included, and so
//! do multipart uploads: InitiateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload,
//! AbortMultipartUpload, ListParts and ListMultipartUploads. Objects live in memory, or in a directory
//! and then survive restarts; uploads that are not completed end with the server.
//!
//! A page at `/_emulator` shows buckets, objects as they grow and the last requests, and has switches
//! for faults. It is only there while the server listens on the loopback interface, and shows no
//! secrets. `src/emulator/page/screenshot.png` in the repository is a picture of it.
//!
//! It fails where a [`Fault`] says so, and as other servers and proxies do when requests are
//! pipelined, see [`Pipelining`].
//!
//! ```
//! use oss_append::emulator::{Action, Emulator, Fault, Operation};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> oss_append::Result<()> {
//! let emulator = Emulator::builder().bucket("logs").start().await?;
//! println!("endpoint {} in {}", emulator.url(), emulator.region());
//!
//! // The next append is applied, but its answer is lost.
//! emulator.inject(Fault::new(Operation::AppendObject, Action::DropAnswer));
//!
//! // Another client appends.
//! emulator.append_foreign("logs", "app.log", "hello\n")?;
//! assert_eq!(emulator.object("logs", "app.log").unwrap().bytes, "hello\n");
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The account
//!
//! What OSS refuses depends on the age of the account and of its buckets: signatures V1, public ACLs
//! and sealing. The server acts for an account of today, see [`Account`], and what is needed of an
//! older one is set by [`account`](EmulatorBuilder::account), or by a switch alone: a program that
//! seals needs [`sealing`](EmulatorBuilder::sealing). Buckets can have [rules](BucketRules):
//! retention, versioning and requesters that pay.
//!
//! # What OSS's documents leave open
//!
//! The answers are those of the documents: the pages of the ECs, those of the HTTP statuses and those
//! of the operations; `tests/it/emulator/documented.jsonl` has them one by one, each with its source,
//! and all are tried. The page of an EC names a cause, and seldom status or code: these are those of
//! the page of the status, or else of the causes beside it, and 400 `InvalidArgument` for what is
//! wrong with an argument.
//!
//! Where documents are silent, or contradict each other, the emulator does this:
//!
//! | case | what the emulator does |
//! |---|---|
//! | a V4 signature that is less than 24 hours off | 403 `RequestTimeTooSkewed`, 0002-00000504; documented for 20 minutes |
//! | a V4 signature that is 24 hours off or more | 400 `InvalidArgument`, 0002-00000212; where it begins is not documented, nor its EC |
//! | an Authorization header with one field | a Credential 0002-00000202, a Signature 0002-00000205; the pages of 202, 205 and 207 contradict each other |
//! | a request without a date | V4 400 `InvalidArgument`, V1 403 `AccessDenied`, 0002-00000503; the pages name both |
//! | a V4 URL that has expired | 403 `AccessDenied` as for V1, 0002-00000236; status and code are not documented |
//! | a V4 URL that is not valid yet | 403 `AccessDenied`, 0002-00000235; status and code are not documented |
//! | another region in a V4 signature | 0002-00000226, in a URL too; the page of 0002-00000228 has the same cause |
//! | a signature V1 where it is not supported | 403 `AccessDenied`, 0002-00000080; the code is not documented |
//! | an empty parameter of a V1 URL | 400 `InvalidArgument`, 0002-00000068, -072 or -075; status and code are not documented |
//! | an access key id that no account can have | 400 `InvalidArgument`, 0002-00000064, -073, -206 or -222; the page of 0002-00000901 has the same cause |
//! | a security token beside a key that is not temporary | 403 `InvalidAccessKeyId`, 0002-00000002 |
//! | an anonymous request for a private object | EC 0003-00000001; users have seen 0003-00000905 too |
//! | an anonymous list of a public bucket | 200; tables of 2026 say that an ACL never allows it |
//! | a request of another account's key for a bucket whose requesters do not pay | 403 `AccessDenied`, 0003-00000001, as without a bucket policy |
//! | a public ACL for a bucket where public access is blocked | EC 0016-00000901, which is documented for objects |
//! | a key that is too long, or is not UTF-8 | EC 0016-00000002; the pages of -003 and -004 have the same causes |
//! | an append as Deep Cold Archive | refused as Cold Archive is, 0016-00000503 |
//! | encryption asked for by an operation that stores nothing | 400 `InvalidArgument`, 0005-00000002; status and code are not documented |
//! | a key of KMS for an append | 400 `InvalidParameter`, 0005-00000208; the page of the operation takes none, that of the EC those that KMS knows |
//! | a key of KMS for a PutObject | taken, and named in the answer |
//! | tags whose keys have a wrong character, or are there twice | 0010-00000212 and 0010-00000210; the page of -217 has the same causes |
//! | a traffic limit from 245,760 to 819,199 bit/s | refused; an SDK's documentation takes it |
//! | a condition on an append | refused as on a PutObject |
//! | a callback on an append | ignored |
//! | `x-oss-forbid-overwrite` on an append | ignored |
//! | a Content-Length that is not a number | 400 without a document, where OSS has 0017-00000103: the HTTP library refuses it |
//! | `x-oss-hash-crc64ecma` in a request | ignored |
//! | an append would pass the largest object size | 400 `InvalidArgument` |
//! | a normal object and a wrong position | 409 `ObjectNotAppendable` |
//! | an append to an existing object with creation headers | checks and then ignores them |
//! | an append to a sealed object, whatever the position | 400 `AppendSealedObjectNotAllowed`; a page has 409 |
//! | the headers of a seal's answer | `x-oss-sealed-time` alone; a sample has those of a HEAD |
//! | sealing a missing object | 404 `NoSuchKey` |
//! | an append to an object under retention, whatever the position; sealing it | 409 `FileImmutable` |
//! | an object under retention in a DeleteMultipleObjects | kept, and not named as deleted |
//! | a part that is copied from an appendable object | copied (earlier pages of OSS forbade it, those of 2026 do not) |
//! | a part that is copied from a range beyond the source's end | the whole source, as for a GET |
//! | an append in a bucket with ObjectWorm | 400 `OperationNotSupported`; no code is documented |
//! | PutObject with the parameter `append` | a PutObject |
//! | more than 50 ranges | 416 `MultiRangeFailed`, 0016-00000110; its status is not documented |
//! | `versionId` on GET, HEAD and DELETE | ignored |
//! | an empty key in a DeleteMultipleObjects | 400 `UserKeyMustBeSpecified`, 0016-00000611; the EC is not documented with the code |
//! | a body that stalls | 400 `RequestTimeout` after 60 s, then closes the connection |
//! | a head that stalls, a connection that is idle, an answer that is not read | closes the connection after 60 s |
//! | a body larger than any object may be | refuses it by its Content-Length, or as soon as it is too large |
//! | a request that is refused, with more than 1 MiB to come | answers at once and closes the connection; what still comes is read for a while, so that the client gets to see the answer |

mod access;
mod account;
mod answer;
mod auth;
mod body;
mod builder;
mod clock;
mod conditions;
mod connection;
mod damage;
mod fault;
mod front;
mod handler;
mod home;
mod log;
mod object;
mod operation;
mod operations;
mod origin;
mod page;
mod pipelining;
mod refusal;
mod server;
mod shared;
mod storage;
mod target;
mod wire;
mod xml;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;

pub use self::account::{Account, BucketRules};
pub use self::builder::EmulatorBuilder;
pub use self::damage::Damaged;
pub use self::fault::{Action, ErrorAnswer, Fault, Faults, Late, Rest};
pub use self::log::RequestRecord;
pub use self::operation::Operation;
pub use self::pipelining::Pipelining;
pub use self::storage::Fsync;

use self::auth::keys::Key;
use self::body::Received;
use self::object::{Attributes, Kind, Properties};
use self::operations::check_mutable;
use self::refusal::Refusal;
use self::server::Server;
use self::shared::Shared;
use crate::client::{OssClient, OssClientBuilder};
use crate::credentials::{Credentials, StaticCredentials};
use crate::error::{Error, Result, ServiceError};
use crate::store::options::ObjectOptions;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::locks::{MutexExt, RwLockExt};
use crate::values::path::ObjectPath;

/// The access key id that works unless others are configured.
pub const ACCESS_KEY_ID: &str = "emulator-id";

/// The secret of [`ACCESS_KEY_ID`].
pub const ACCESS_KEY_SECRET: &str = "emulator-secret";

/// The region unless another is configured.
pub const REGION: &str = "cn-hangzhou";

/// The most bytes of an object unless configured: OSS's 5 GiB.
pub const MAX_OBJECT_SIZE: u64 = 5 * 1024 * 1024 * 1024;

/// A running OSS server. Dropping it stops it at once; [`shutdown`](Emulator::shutdown) is gentler.
///
/// It runs on a thread of its own, so that it also answers a program that blocks: in a
/// `#[tokio::test]`, which has one thread, a `LogGuard` can be dropped, a blocking client used and a
/// child process waited for. [`on_current_runtime`](EmulatorBuilder::on_current_runtime) is for
/// tests with a paused clock.
pub struct Emulator {
    server: Server,
    shared: Arc<Shared>,
}

/// An object as the emulator holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredObject {
    /// All its bytes.
    pub bytes: Bytes,
    /// Length, CRC-64, type, and whether it is sealed.
    pub info: ObjectInfo,
    /// The opaque tag, without quotes.
    pub etag: String,
    /// The `Content-Type`.
    pub content_type: String,
    /// The ACL: `default`, `private`, `public-read` or `public-read-write`.
    pub acl: String,
    /// The storage class, such as `Standard`.
    pub storage_class: String,
    /// `Cache-Control`, `Content-Disposition`, `Content-Encoding` and `Expires`, by lower-case
    /// name.
    pub headers: BTreeMap<String, String>,
    /// The user metadata, by name without `x-oss-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// The tags, decoded.
    pub tags: BTreeMap<String, String>,
    /// The `x-oss-server-side-*` headers.
    pub encryption: BTreeMap<String, String>,
}

impl Emulator {
    /// The options of a new server.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The endpoint: `http://ADDRESS`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The region that signatures V4 must name.
    pub fn region(&self) -> &str {
        &self.shared.region
    }

    /// A client for this server, with its first access key. Use it as it is, or change what it is
    /// built with.
    ///
    /// ```
    /// # use oss_append::emulator::Emulator;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> oss_append::Result<()> {
    /// let emulator = Emulator::builder().bucket("logs").start().await?;
    /// let client = emulator.client().build()?;
    /// let object = "oss://logs/app.log".parse()?;
    /// client.append_object(&object, "hello\n").send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(&self) -> OssClientBuilder {
        let keys = self.shared.keys.read_locked();
        let builder = OssClient::builder()
            .endpoint(self.url())
            .region(self.region());
        match keys.iter().find(|key| key.of_owner) {
            Some(Key {
                id, secret, token, ..
            }) => {
                let credentials = Credentials::new(id, secret.as_str());
                builder.credentials(StaticCredentials::from(match token {
                    Some(token) => credentials.with_session_token(token.text.as_str()),
                    None => credentials,
                }))
            }
            None => builder,
        }
    }

    /// Adds a fault behind those that are there.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault);
    }

    /// The faults of this server.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// Lets all requests go on that a fault holds, does the late appends that wait for it, and
    /// returns how many both were. Late appends are applied, or refused, on return.
    pub async fn release(&self) -> usize {
        let shared = Arc::clone(&self.shared);
        let released = self
            .server
            .spawn(async move { shared.gate.release().await });
        // Nothing is held where nothing runs any more.
        released.await.unwrap_or_default()
    }

    /// Changes the delay of each answer.
    pub fn set_latency(&self, latency: Duration) {
        let mut current = self.shared.latency.locked();
        *current = latency;
    }

    /// Sets the server's clock ahead by this many seconds of the real time, or back.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.shared.clock.set_offset(seconds);
    }

    /// Adds a temporary access key with its security token.
    pub fn add_sts(
        &self,
        id: impl Into<String>,
        secret: impl Into<String>,
        token: impl Into<String>,
    ) {
        let key = Key::temporary(id.into(), secret.into(), token.into(), false);
        let mut keys = self.shared.keys.write_locked();
        keys.add(key);
    }

    /// Replaces the secret of this access key id, as when a key is rotated: the one before makes
    /// wrong signatures.
    pub fn set_secret(&self, id: &str, secret: impl Into<String>) {
        let secret = secret.into();
        let mut keys = self.shared.keys.write_locked();
        keys.set_secret(id, &secret);
    }

    /// Lets the tokens of this access key id expire.
    pub fn expire_sts(&self, id: &str) {
        let mut keys = self.shared.keys.write_locked();
        keys.expire(id);
    }

    /// The requests received so far, oldest first. Those before the last 100,000 are forgotten, or
    /// [as many as were asked for](EmulatorBuilder::request_log).
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.records()
    }

    /// How many requests there were for an operation, among those in [`requests`](Self::requests).
    pub fn count(&self, operation: Operation) -> usize {
        self.requests()
            .iter()
            .filter(|request| request.operation == operation)
            .count()
    }

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Waits until the requests received so far fulfil a condition.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn wait_for(&self, condition: impl FnMut(&[RequestRecord]) -> bool) {
        self.shared.log.wait_for(condition).await;
    }

    /// An object with all its bytes, if it is there.
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        let found = self.shared.storage.bucket(bucket)?;
        let read = self.shared.storage.with_view(&found, key, |object| {
            let properties = object.properties()?.clone();
            let reading = object.read(0..properties.length);
            let bytes = reading.and_then(storage::Reading::into_bytes);
            Some(bytes.map(|bytes| StoredObject::new(properties, bytes)))
        });
        // Who takes it may ask for the object.
        read?
            .inspect_err(|error| tracing::error!(%error, bucket, key, "object cannot be read"))
            .ok()
    }

    /// The length of an object, if it is there.
    pub fn length(&self, bucket: &str, key: &str) -> Option<u64> {
        let found = self.shared.storage.bucket(bucket)?;
        Some(found.object(key)?.length)
    }

    /// What was damaged in the [directory](EmulatorBuilder::directory) when it was opened: objects,
    /// which are not served, and the properties of buckets. The machine has lost power, or somebody
    /// has changed the files. All was moved to `DIR/damaged`, unless the directory is only read.
    pub fn damaged(&self) -> &[Damaged] {
        self.shared.storage.damaged()
    }

    /// Appends at the object's end, whatever its length, as another client would. Makes the object
    /// if it is missing. Returns its new length.
    ///
    /// # Errors
    /// [`Service`](crate::ErrorKind::Service) as the server would refuse an append.
    pub fn append_foreign(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Result<u64> {
        let object = ObjectPath::new(bucket, key)?;
        self.shared
            .append_foreign(bucket, key, &bytes.into())
            .map_err(|refusal| refused(refusal, "append", &object))
    }

    /// Makes a normal object, in place of any other.
    ///
    /// # Errors
    /// [`Service`](crate::ErrorKind::Service) as the server would refuse it.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let object = ObjectPath::new(bucket, key)?;
        // A copy: an owner of the program's is not dropped in a locked object.
        let bytes = Bytes::copy_from_slice(&bytes.into());
        let body = Received::from_bytes(bytes, true);
        let md5 = body.md5.unwrap_or_default();
        let properties = Properties {
            kind: Kind::Normal,
            length: body.length,
            crc64: body.crc64,
            etag: hex::encode_upper(md5),
            md5: Some(base64::prelude::BASE64_STANDARD.encode(md5)),
            modified: self.shared.clock.now(),
            sealed: None,
            retained: false,
            attributes: Attributes::plain(),
        };
        self.change(&object, "put", |slot, rules| {
            check_mutable(slot)?;
            let properties = Properties {
                retained: rules.retention,
                ..properties
            };
            Ok(slot.replace(body, properties)?)
        })
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// [`Service`](crate::ErrorKind::Service) as the server would refuse it.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let object = ObjectPath::new(bucket, key)?;
        self.change(&object, "delete", |slot, _| {
            check_mutable(slot)?;
            Ok(slot.remove()?)
        })
    }

    /// Seals an appendable object, if it is there.
    ///
    /// # Errors
    /// [`Service`](crate::ErrorKind::Service) as the server would refuse it.
    pub fn seal(&self, bucket: &str, key: &str) -> Result<()> {
        let object = ObjectPath::new(bucket, key)?;
        self.change(&object, "seal", |slot, _| {
            let Some(mut properties) = slot.properties().cloned() else {
                return Ok(());
            };
            check_mutable(slot)?;
            let now = self.shared.clock.now();
            properties.sealed.get_or_insert(now);
            Ok(slot.set_properties(properties)?)
        })
    }

    /// Puts an object under retention, if it is there, as a retention policy (WORM) of its bucket
    /// does. From then on it can only be read: what would append to it, replace, delete or seal it
    /// is refused with 409 `FileImmutable`. For a whole bucket with such a policy, see
    /// [`BucketRules::retention`].
    ///
    /// # Errors
    /// [`Service`](crate::ErrorKind::Service) if there is no such bucket.
    pub fn retain(&self, bucket: &str, key: &str) -> Result<()> {
        let object = ObjectPath::new(bucket, key)?;
        self.shared
            .retain(bucket, key)
            .map_err(|refusal| refused(refusal, "retain", &object))
    }

    fn change(
        &self,
        object: &ObjectPath,
        operation: &'static str,
        change: impl FnOnce(&mut storage::Slot<'_>, BucketRules) -> Result<(), Refusal>,
    ) -> Result<()> {
        let bucket =
            self.shared.storage.bucket(object.bucket()).ok_or_else(|| {
                refused(Refusal::no_such_bucket(object.bucket()), operation, object)
            })?;
        self.shared
            .storage
            .with_slot(&bucket, object.key(), |slot| change(slot, bucket.rules()))
            .map_err(|refusal| refused(refusal, operation, object))
    }

    /// Makes the server unreachable: connections break, and new ones are refused.
    pub async fn pause(&self) {
        self.server.stop(true).await;
    }

    /// Makes the server reachable again, at the same address.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if something else listens there by now.
    pub async fn resume(&self) -> Result<()> {
        self.server.resume().await.map_err(|error| {
            Error::invalid_input(format!("the emulator cannot resume: {error}")).with_source(error)
        })
    }

    /// Stops the server: no new connections, up to five seconds for requests under way, none for
    /// those that a fault holds or stalls. Late appends that have not been applied never are.
    pub async fn shutdown(self) {
        self.server.stop(false).await;
        self.shared.end();
        self.shared.tasks.finish().await;
        self.shared.storage.close();
    }
}

/// Another server can use the directory on return.
impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.end();
        self.server.end();
        self.shared.storage.close();
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("address", &self.address())
            .field("region", &self.region())
            .finish_non_exhaustive()
    }
}

impl StoredObject {
    fn new(properties: Properties, bytes: Bytes) -> Self {
        let attributes = properties.attributes;
        Self {
            bytes,
            info: ObjectInfo {
                length: properties.length,
                crc64: Some(properties.crc64),
                kind: match properties.kind {
                    Kind::Appendable => ObjectKind::Appendable,
                    Kind::Normal => ObjectKind::Other("Normal".into()),
                    Kind::Multipart => ObjectKind::Other("Multipart".into()),
                },
                sealed: properties.sealed.is_some(),
                creator: attributes.metadata.get(ObjectOptions::CREATOR).cloned(),
                etag: Some(properties.etag.clone()),
                appends: None,
                properties: None,
            },
            etag: properties.etag,
            content_type: attributes.content_type,
            acl: attributes.acl,
            storage_class: attributes.storage_class,
            headers: attributes.headers,
            metadata: attributes.metadata,
            tags: attributes.tags,
            encryption: attributes.encryption,
        }
    }
}

fn refused(refusal: Refusal, operation: &'static str, object: &ObjectPath) -> Error {
    refusal.log();
    let mut answer = ServiceError::new(refusal.status.as_u16(), refusal.code.into_owned());
    answer.message = refusal.message.into_owned();
    answer.ec = refusal.ec.map(str::to_owned);
    Error::service(answer)
        .with_operation(operation)
        .with_object(object)
}
