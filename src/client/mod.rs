//! The OSS client: one signed HTTP request each, nothing repeated.
//!
//! [`OssClient`] speaks AppendObject and the few operations around it. The writers of this crate
//! stand on it, and it is useful on its own where a program wants to see each request's outcome.
//! Nothing here retries or follows a redirect: an append whose answer was lost may have been
//! applied, and only a caller that knows the position and the checksum can tell.

mod body;
mod builder;
mod document;
mod endpoint;
mod failure;
mod headers;
mod lane;
mod listing;
mod observed;
mod operations;
mod pace;
mod presign;
mod renewal;
mod request;
mod response;
pub(crate) mod sign;
mod store;
mod tls;
mod transport;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use builder::OssClientBuilder;
pub use endpoint::{Addressing, EndpointKind};
pub use observed::Observed;
pub use operations::append::{
    AppendObjectRequest, SealAppendObjectRequest, SealAppendObjectResult,
};
pub use operations::bucket::CreateBucketRequest;
pub use operations::delete::{DeleteObjectRequest, DeleteObjectResult};
pub(crate) use operations::get::Wanted;
pub use operations::get::{GetObjectRequest, GetObjectResult};
pub use operations::head::{HeadObjectRequest, ObjectMeta};
pub use operations::list::{ListObjectsRequest, ListedObject, ObjectListing};
pub use operations::multipart::UploadedPart;
pub use operations::multipart::abort::AbortMultipartUploadRequest;
pub use operations::multipart::complete::{
    CompleteMultipartUploadRequest, CompleteMultipartUploadResult,
};
pub use operations::multipart::initiate::{
    InitiateMultipartUploadRequest, InitiateMultipartUploadResult,
};
pub use operations::multipart::list::{
    ListMultipartUploadsRequest, ListedUpload, UploadListing, UploadMarker,
};
pub use operations::multipart::part::{
    UploadPartCopyRequest, UploadPartCopyResult, UploadPartRequest, UploadPartResult,
};
pub(crate) use operations::multipart::{MAX_PARTS, MIN_PART_SIZE};
pub use operations::put::{PutObjectRequest, PutObjectResult};
pub use presign::PresignMethod;
pub use response::ObjectBody;
pub(crate) use store::is_missing_object;

use crate::credentials::CredentialsProvider;
use crate::error::Result;
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::wire::clock::Clock;

/// A client of Alibaba Cloud OSS. Cheap to clone: clones share connections, credentials and the
/// correction of the clock.
///
/// Each operation returns a request, which `send` sends once. A request has to be sent inside a
/// tokio runtime with IO and time enabled.
///
/// ```no_run
/// use oss_append::{ObjectPath, OssClient};
///
/// # async fn example() -> oss_append::Result<()> {
/// let client = OssClient::from_env()?;
/// let object = ObjectPath::new("my-bucket", "hello.txt")?;
/// let answer = client.append_object(&object, "hello").send().await?;
/// assert_eq!(answer.next_position, Some(5));
/// # Ok(())
/// # }
/// ```
///
/// Requests that ask about objects (HEAD, GET and listings) are sent with `Cache-Control:
/// no-cache`. A cache or CDN on a custom domain that respects it does not answer with an earlier
/// state.
///
/// # Errors of every request
/// - [`InvalidInput`](crate::ErrorKind::InvalidInput) and
///   [`Credentials`](crate::ErrorKind::Credentials): nothing was sent.
/// - [`Transport`](crate::ErrorKind::Transport): no complete answer came. With
///   [`Connect`](crate::TransportCause::Connect) and [`Tls`](crate::TransportCause::Tls) nothing
///   was sent; with the others the request may have taken effect.
/// - [`Service`](crate::ErrorKind::Service): OSS answered with an error or a redirect. If it
///   refused the signing time, the clock is corrected, and
///   [`clock_corrected`](crate::ServiceError::clock_corrected) says that sending the request again
///   may help. If it refused the credentials, their provider is told and asked for others, and
///   [`credentials_renewed`](crate::ServiceError::credentials_renewed) says that there are some. A
///   key whose signature does not match is fetched again at most once a minute.
/// - [`BadAnswer`](crate::ErrorKind::BadAnswer): OSS does not give such an answer.
///
/// # Cancel safety
/// A request whose future is dropped may or may not take effect.
#[derive(Clone)]
pub struct OssClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    endpoint: endpoint::Endpoint,
    credentials: Arc<dyn CredentialsProvider>,
    clock: Clock,
    mismatch: renewal::Mismatch,
    observations: observed::Observations,
    pace: Option<Arc<pace::Pace>>,
    /// Where lanes can be opened.
    connections: Option<Arc<lane::Connections>>,
    attempt_timeout: Duration,
    user_agent: String,
    requester_pays: bool,
}

impl OssClient {
    /// Starts with the defaults; a region or endpoint and credentials must be given.
    pub fn builder() -> OssClientBuilder {
        OssClientBuilder::new()
    }

    /// A client configured by the environment alone, see [`OssClientBuilder::from_env`].
    ///
    /// # Errors
    /// As [`OssClientBuilder::build`]. Missing keys are an error of the first request.
    pub fn from_env() -> Result<Self> {
        OssClientBuilder::from_env().build()
    }

    /// Appends `body` to an appendable object, or creates it. At position 0 unless told otherwise.
    pub fn append_object(
        &self,
        object: &ObjectPath,
        body: impl Into<Batch>,
    ) -> AppendObjectRequest {
        AppendObjectRequest::new(self.clone(), object.clone(), body.into())
    }

    /// Seals an appendable object whose length is `position`: it takes no more appends.
    pub fn seal_append_object(
        &self,
        object: &ObjectPath,
        position: u64,
    ) -> SealAppendObjectRequest {
        SealAppendObjectRequest::new(self.clone(), object.clone(), position)
    }

    /// Asks what an object is: its length, type, checksum and metadata.
    pub fn head_object(&self, object: &ObjectPath) -> HeadObjectRequest {
        HeadObjectRequest::new(self.clone(), object.clone())
    }

    /// Reads an object, or a range of it.
    pub fn get_object(&self, object: &ObjectPath) -> GetObjectRequest {
        GetObjectRequest::new(self.clone(), object.clone())
    }

    /// Writes a whole normal object, replacing what is there, appendable or not.
    pub fn put_object(&self, object: &ObjectPath, body: impl Into<Batch>) -> PutObjectRequest {
        PutObjectRequest::new(self.clone(), object.clone(), body.into())
    }

    /// Deletes an object. A missing object is not an error.
    pub fn delete_object(&self, object: &ObjectPath) -> DeleteObjectRequest {
        DeleteObjectRequest::new(self.clone(), object.clone())
    }

    /// Lists a bucket's keys in the order of their bytes, one page.
    pub fn list_objects(&self, bucket: impl Into<String>) -> ListObjectsRequest {
        ListObjectsRequest::new(self.clone(), bucket.into())
    }

    /// Begins a multipart upload, by which an object is made of parts.
    pub fn initiate_multipart_upload(&self, object: &ObjectPath) -> InitiateMultipartUploadRequest {
        InitiateMultipartUploadRequest::new(self.clone(), object.clone())
    }

    /// Uploads a part of a multipart upload. `number` says where it stands, from 1 on.
    pub fn upload_part(
        &self,
        object: &ObjectPath,
        upload_id: impl Into<String>,
        number: u16,
        body: impl Into<Batch>,
    ) -> UploadPartRequest {
        let (client, object) = (self.clone(), object.clone());
        UploadPartRequest::new(client, object, upload_id.into(), number, body.into())
    }

    /// Copies `source`, or a range of it, to a part of a multipart upload, without a download.
    pub fn upload_part_copy(
        &self,
        object: &ObjectPath,
        upload_id: impl Into<String>,
        number: u16,
        source: &ObjectPath,
    ) -> UploadPartCopyRequest {
        let (client, object) = (self.clone(), object.clone());
        UploadPartCopyRequest::new(client, object, upload_id.into(), number, source.clone())
    }

    /// Makes the object of its parts, in the order of their numbers.
    pub fn complete_multipart_upload(
        &self,
        object: &ObjectPath,
        upload_id: impl Into<String>,
        parts: impl IntoIterator<Item = UploadedPart>,
    ) -> CompleteMultipartUploadRequest {
        let parts = parts.into_iter().collect();
        CompleteMultipartUploadRequest::new(self.clone(), object.clone(), upload_id.into(), parts)
    }

    /// Removes an unfinished upload with its parts.
    pub fn abort_multipart_upload(
        &self,
        object: &ObjectPath,
        upload_id: impl Into<String>,
    ) -> AbortMultipartUploadRequest {
        AbortMultipartUploadRequest::new(self.clone(), object.clone(), upload_id.into())
    }

    /// Lists a bucket's unfinished uploads, one page.
    pub fn list_multipart_uploads(&self, bucket: impl Into<String>) -> ListMultipartUploadsRequest {
        ListMultipartUploadsRequest::new(self.clone(), bucket.into())
    }

    /// Creates a bucket. One that the caller already owns is not an error.
    pub fn create_bucket(&self, bucket: impl Into<String>) -> CreateBucketRequest {
        CreateBucketRequest::new(self.clone(), bucket.into())
    }

    /// The region that requests are signed for; of a CloudBox its id.
    pub fn region(&self) -> &str {
        &self.inner.endpoint.region
    }

    /// Where requests go: scheme, host and port, without the bucket.
    pub fn endpoint(&self) -> String {
        self.inner.endpoint.to_string()
    }

    /// What the last answer told about the connection and the clock.
    pub fn observed(&self) -> Observed {
        self.inner.observations.last()
    }

    /// How long a request may stand still.
    pub fn attempt_timeout(&self) -> Duration {
        self.inner.attempt_timeout
    }
}

#[cfg(feature = "internals")]
impl OssClient {
    /// Builds and signs the HTTP request of an append: how many headers it has.
    pub(crate) fn build_append(
        &self,
        request: &crate::store::request::AppendRequest,
        credentials: &crate::credentials::Credentials,
    ) -> Result<usize> {
        let signed = self.inner.clock.signing_time(jiff::Timestamp::now());
        let mut call = operations::append::append_call(request);
        call.sign(self, credentials, signed);
        Ok(call.into_request(self)?.headers().len())
    }
}

/// Shows where the client sends to, but no credentials.
impl fmt::Debug for OssClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OssClient")
            .field("endpoint", &format_args!("{}", self.inner.endpoint))
            .field("region", &self.inner.endpoint.region)
            .field("product", &self.inner.endpoint.product)
            .field("attempt_timeout", &self.inner.attempt_timeout)
            .finish_non_exhaustive()
    }
}
