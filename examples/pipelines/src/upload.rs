//! An axum handler that streams request bodies into objects: `PUT /upload/KEY`.
//!
//! | answer | when |
//! |---|---|
//! | 201 with length and CRC-64 | all of it is durable |
//! | 400 | OSS takes no such key, or the body broke off |
//! | 409 | the object holds something else, or more, or is not appendable: it was not changed; or somebody else has written to it meanwhile |
//! | 413 | no object can be that large |
//! | 502, 503 | OSS refused, or could not be reached |
//!
//! An answer other than 201 has OSS's code and request id, if OSS answered, and how much of the body
//! is durable.
//!
//! An upload that failed, or whose client went away, leaves the beginning of the body in the object.
//! The same request again compares that, and goes on behind it. For one that is complete already it
//! changes nothing.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::{Json, Router};
use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};
use oss_append::{Checkpoint, Error, ErrorKind, ObjectPath, OssAppendWriter, OssClient};
use serde_json::json;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

/// Where uploads go.
#[derive(Clone)]
pub struct Uploads {
    pub client: OssClient,
    pub bucket: String,
    /// The most bytes in memory of each upload; its client waits while OSS is slower.
    pub memory: u64,
    /// How long an upload waits for an OSS that cannot be reached.
    pub patience: Duration,
}

/// The length and CRC-64 of an object.
struct Stored(Checkpoint);

struct Failure {
    error: Error,
    /// How much of the body is in the object for certain; `None` if that was not opened.
    durable: Option<u64>,
}

impl Uploads {
    pub fn router(self) -> Router {
        Router::new()
            .route("/upload/{*key}", put(upload))
            .with_state(self)
    }

    async fn open(&self, key: &str) -> oss_append::Result<OssAppendWriter> {
        let object = ObjectPath::new(&self.bucket, key)?;
        OssAppendWriter::builder(self.client.clone(), object.clone())
            .replay(Checkpoint::start(object))
            .max_append_size(self.memory / 2)
            .buffer_capacity(self.memory)
            .delivery_timeout(self.patience)
            .open()
            .await
    }

    async fn store(
        &self,
        key: &str,
        body: &mut (impl AsyncRead + Unpin),
    ) -> Result<Stored, Failure> {
        let mut writer = self.open(key).await.map_err(|error| Failure {
            error,
            durable: None,
        })?;
        let stored = async {
            let length = writer.copy_from(body).await?;
            SinkExt::<Bytes>::close(&mut writer).await?;
            if length == 0 {
                // A writer without bytes makes no object.
                self.client
                    .append_object(writer.object(), "")
                    .send()
                    .await?;
            }
            Ok(Stored(writer.checkpoint()))
        };
        stored.await.map_err(|error| Failure {
            error,
            durable: Some(writer.durable_position()),
        })
    }
}

async fn upload(State(uploads): State<Uploads>, Path(key): Path<String>, body: Body) -> Response {
    let body = body.into_data_stream().map_err(io::Error::other);
    let mut body = StreamReader::new(body);
    let stored = uploads.store(&key, &mut body).await;
    if let Err(failure) = &stored {
        // The client may be gone.
        eprintln!("upload of {key:?}: {}", failure.error);
        // Most clients look for the answer when they have sent everything.
        let _ = tokio::io::copy(&mut body, &mut tokio::io::sink()).await;
    }
    stored.into_response()
}

impl IntoResponse for Stored {
    fn into_response(self) -> Response {
        let Checkpoint {
            position, crc64, ..
        } = self.0;
        // As text, since the numbers of JavaScript cannot hold 64 bits.
        let crc64 = crc64.map(|crc64| crc64.to_string());
        let told = json!({ "length": position, "crc64": crc64 });
        (StatusCode::CREATED, Json(told)).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.error.kind() {
            ErrorKind::InvalidInput { .. } | ErrorKind::Reader { .. } => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict(_)
            | ErrorKind::NotAppendable { .. }
            | ErrorKind::Sealed
            | ErrorKind::ReplayDiffers { .. }
            | ErrorKind::ReplayTooShort { .. } => StatusCode::CONFLICT,
            ErrorKind::ObjectFull { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Transport { .. } | ErrorKind::RetriesExhausted { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::BAD_GATEWAY,
        };
        let oss = self.error.service_error();
        let told = json!({
            "error": self.error.to_string(),
            "oss_code": oss.map(|oss| &oss.code),
            "oss_request_id": oss.and_then(|oss| oss.request_id.as_ref()),
            "durable": self.durable,
        });
        (status, Json(told)).into_response()
    }
}
