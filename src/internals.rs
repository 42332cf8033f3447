//! Steps that are not public alone, for the benchmarks of this package. No part of the interface.

#[cfg(all(feature = "emulator", feature = "keyed", feature = "tracing"))]
pub mod instantiated;

use crate::client::OssClient;
use crate::client::sign::{CanonicalRequest, Signer, UNSIGNED_PAYLOAD};
use crate::credentials::Credentials;
use crate::engine::reconcile::{Creator, Question, Sharing, Verdict, by_head};
use crate::error::Result;
use crate::store::request::AppendRequest;
use crate::values::batch::Batch;
use crate::values::info::ObjectInfo;
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// Signs an append with `secret` by V4: the value of `Authorization`.
pub fn sign_append(secret: &str) -> String {
    let headers = [
        ("content-type", "application/octet-stream"),
        ("x-oss-date", "20231216T162057Z"),
        ("x-oss-content-sha256", UNSIGNED_PAYLOAD),
    ];
    let signer = Signer {
        access_key_id: "ak",
        access_key_secret: secret,
        region: "cn-hangzhou",
        product: "oss",
        datetime: "20231216T162057Z",
    };
    signer.authorization(&CanonicalRequest {
        method: "POST",
        uri: "/bucket/logs/2023/12/16/app.log",
        query: "append&position=1048576",
        headers: &headers.map(|(name, value)| (name.into(), value.into())),
        additional: &[],
        payload: UNSIGNED_PAYLOAD,
    })
}

/// Builds and signs the HTTP request of an append, as it is sent: how many headers it has.
///
/// # Errors
/// As of the append itself before anything is sent.
pub fn build_append(
    client: &OssClient,
    request: &AppendRequest,
    credentials: &Credentials,
) -> Result<usize> {
    client.build_append(request, credentials)
}

/// Decides what became of `batch` behind `position`, by the answer to a HEAD that says that it has
/// been applied: whether it says so.
pub fn reconcile_applied(position: u64, crc64: u64, batch: &Batch) -> bool {
    let proven = Proven {
        position: ObjectPosition::new(position),
        crc: Some(crc64),
    };
    let applied = proven.after(batch);
    let seen = ObjectInfo::appendable(applied.position.bytes(), applied.crc);
    let question = Question {
        proven,
        batch,
        sharing: Sharing::Exclusive,
        in_doubt: true,
        creator: Creator::Anybody,
        tag: None,
    };
    by_head(question, Some(&seen)) == Verdict::Applied(applied)
}
