//! AppendObject and SealAppendObject.
//!
//! <https://www.alibabacloud.com/help/en/oss/developer-reference/appendobject>

use std::sync::Arc;
use std::time::SystemTime;

use http::Method;

use crate::client::OssClient;
use crate::client::failure::qos_delay;
use crate::client::request::{Call, Context};
use crate::client::response::Answer;
use crate::error::Result;
use crate::store::options::{ObjectOptions, RequestOptions};
use crate::store::request::{AppendAnswer, AppendRequest};
use crate::values::batch::Batch;
use crate::values::path::ObjectPath;
use crate::values::progress::Progress;
use crate::wire::dates::system_time;

/// One append, made by [`OssClient::append_object`].
///
/// ```no_run
/// # async fn example(client: oss_append::OssClient, object: oss_append::ObjectPath)
/// # -> oss_append::Result<()> {
/// let first = client.append_object(&object, "one ").send().await?;
/// let position = first.next_position.expect("OSS names it in every success");
/// client.append_object(&object, "two").position(position).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct AppendObjectRequest {
    client: OssClient,
    request: AppendRequest,
}

impl AppendObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath, body: Batch) -> Self {
        Self::from_store(client, AppendRequest::new(object, 0, body))
    }

    pub(in crate::client) fn from_store(client: OssClient, request: AppendRequest) -> Self {
        Self { client, request }
    }

    /// Sets the object's length before the append, in bytes. Default: 0, for a new object.
    pub fn position(mut self, position: u64) -> Self {
        self.request.position = position;
        self
    }

    /// Sets the properties of a new object. Sent at position 0 alone, since OSS takes them from
    /// the append that creates the object. Default: the content type is guessed from the key.
    pub fn options(mut self, options: ObjectOptions) -> Self {
        self.request.create = Some(Arc::new(options));
        self
    }

    /// Sets what is sent with every append. Default: nothing.
    pub fn request_options(mut self, options: RequestOptions) -> Self {
        self.request.options = options;
        self
    }

    /// Counts the bytes that have been handed to the connection. Default: they are not counted.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.request.progress = progress;
        self
    }

    /// Sends the append, once.
    ///
    /// An answer without its next position or checksum is returned as it is: whether the append
    /// took effect is then open.
    ///
    /// # Errors
    /// As described at [`OssClient`]. OSS refuses a wrong position with the code
    /// `PositionNotEqualToLength` (409) and the right one in
    /// [`next_append_position`](crate::ServiceError::next_append_position), and an object that was
    /// not made by an append with `ObjectNotAppendable` (409).
    ///
    /// # Cancel safety
    /// If the future is dropped the append may or may not take effect.
    pub async fn send(self) -> Result<AppendAnswer> {
        let Self { client, request } = self;
        let context = Context::new("append", &request.object).at(request.position);
        send_append(&client, request)
            .await
            .map_err(|error| context.wrap(error))
    }
}

async fn send_append(client: &OssClient, request: AppendRequest) -> Result<AppendAnswer> {
    append_answer(append_call(&request).send(client).await?).await
}

/// What an answer says of the append.
pub(in crate::client) async fn append_answer(answer: Answer) -> Result<AppendAnswer> {
    let result = AppendAnswer {
        next_position: answer.length("x-oss-next-append-position")?,
        crc64: answer.number("x-oss-hash-crc64ecma")?,
        etag: answer.text("etag"),
        version_id: answer.text("x-oss-version-id"),
        request_id: answer.request_id(),
        delay: qos_delay(answer.headers()),
    };
    answer.finish().await;
    Ok(result)
}

pub(in crate::client) fn append_call(request: &AppendRequest) -> Call<'_> {
    let mut call = Call::object("append", Method::POST, &request.object)
        .query("append", "")
        .query("position", &request.position.to_string());
    let create = request.create.as_ref().filter(|_| request.position == 0);
    match create {
        Some(create) => call.headers.set_creation(request.object.key(), create),
        None => call.headers.set_guessed_type(request.object.key()),
    }
    call.headers
        .set_request(&request.options, Some(&request.body));
    call.body(request.body.clone(), request.progress.clone())
}

/// One seal, made by [`OssClient::seal_append_object`].
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct SealAppendObjectRequest {
    client: OssClient,
    object: ObjectPath,
    position: u64,
}

/// The answer to a seal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealAppendObjectResult {
    /// When the object was first sealed.
    pub sealed_time: Option<SystemTime>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl SealAppendObjectRequest {
    pub(in crate::client) fn new(client: OssClient, object: ObjectPath, position: u64) -> Self {
        Self {
            client,
            object,
            position,
        }
    }

    /// Sends the request, once. Sealing a sealed object succeeds.
    ///
    /// # Errors
    /// As described at [`OssClient`]. OSS refuses a position that is not the object's length with
    /// `PositionNotEqualToLength` (409), and an account for which sealing has not been switched on
    /// with `OperationNotSupported` (400).
    ///
    /// # Cancel safety
    /// If the future is dropped the object may or may not be sealed. It is safe to repeat.
    pub async fn send(self) -> Result<SealAppendObjectResult> {
        let context = Context::new("seal", &self.object).at(self.position);
        self.send_seal().await.map_err(|error| context.wrap(error))
    }

    async fn send_seal(self) -> Result<SealAppendObjectResult> {
        let answer = Call::object("seal", Method::POST, &self.object)
            .query("seal", "")
            .query("position", &self.position.to_string())
            .header("content-type", "application/xml")
            .send(&self.client)
            .await?;
        let result = SealAppendObjectResult {
            sealed_time: answer
                .text("x-oss-sealed-time")
                .and_then(|date| system_time(&date)),
            request_id: answer.request_id(),
        };
        answer.finish().await;
        Ok(result)
    }
}
