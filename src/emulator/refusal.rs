//! The errors that OSS answers with: status, code, message, EC, and what belongs to each code.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;

use super::storage::BucketDeleted;
use super::xml::Document;

/// The element that tells what has failed on this machine. OSS has none like it.
const CAUSE: &str = "Cause";

/// An error answer before it has a request id and a host.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    pub(super) ec: Option<&'static str>,
    pub(super) elements: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            ec: None,
            elements: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn ec(mut self, ec: &'static str) -> Self {
        self.ec = Some(ec);
        self
    }

    pub(super) fn element(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.elements.push((name, text.into()));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn forbidden(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    pub(super) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request("InvalidArgument", message)
    }

    /// An argument whose name and value are repeated to the client.
    pub(super) fn invalid_value(
        name: &'static str,
        value: impl Into<String>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::invalid_argument(message)
            .element("ArgumentName", name)
            .element("ArgumentValue", value)
    }

    pub(super) fn access_denied(message: &'static str) -> Self {
        Self::forbidden("AccessDenied", message).ec("0003-00000001")
    }

    pub(super) fn invalid_bucket_name(bucket: &str) -> Self {
        Self::bad_request("InvalidBucketName", "The specified bucket is not valid.")
            .ec("0015-00000001")
            .element("BucketName", bucket)
    }

    pub(super) fn invalid_object_name(key: &str, ec: &'static str) -> Self {
        let message = match ec {
            "0016-00000001" => "The Object name can not be empty.",
            "0016-00000002" => "The Length of Object name must be less than 1024.",
            _ => "The specified object is not valid.",
        };
        Self::bad_request("InvalidObjectName", message)
            .ec(ec)
            .element("ObjectName", key)
    }

    pub(super) fn no_such_bucket(bucket: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchBucket",
            "The specified bucket does not exist.",
        )
        .ec("0015-00000101")
        .element("BucketName", bucket)
    }

    pub(super) fn no_such_key(key: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchKey",
            "The specified key does not exist.",
        )
        .ec("0026-00000001")
        .element("Key", key)
    }

    pub(super) fn position_mismatch(length: u64) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "PositionNotEqualToLength",
            "Position is not equal to file length",
        )
        .ec("0026-00000016")
        .header("x-oss-next-append-position", length)
    }

    pub(super) fn not_appendable() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "ObjectNotAppendable",
            "The object is not appendable",
        )
        .ec("0026-00000017")
    }

    pub(super) fn immutable() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "FileImmutable",
            "The object you specified is immutable.",
        )
        .ec("0026-00000005")
    }

    pub(super) fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("The emulator does not implement {what}."),
        )
    }

    pub(super) fn method_not_allowed(method: &http::Method) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
        )
        .element("Method", method.as_str())
    }

    pub(super) fn missing_content_length() -> Self {
        Self::new(
            StatusCode::LENGTH_REQUIRED,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )
        .ec("0017-00000101")
    }

    /// A document that is not what the operation takes.
    pub(super) fn malformed_xml(ec: &'static str) -> Self {
        Self::bad_request(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published \
             schema.",
        )
        .ec(ec)
    }

    pub(super) fn request_timeout() -> Self {
        Self::bad_request(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the \
             timeout period. Idle connections will be closed.",
        )
        .ec("0017-00000704")
    }

    pub(super) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error. Please try again.",
        )
        .element(CAUSE, error.to_string())
    }

    /// Logs what has failed on this machine. Not while anything is locked: who takes it may ask the
    /// server.
    pub(super) fn log(&self) {
        if let Some((_, error)) = self.elements.iter().find(|(name, _)| *name == CAUSE) {
            tracing::error!(error, "storage failed");
        }
    }

    /// The error document.
    pub(super) fn document(&self, request_id: &str, host: &str) -> Bytes {
        let mut document = Document::new("Error");
        document
            .text("Code", &self.code)
            .text("Message", &self.message)
            .text("RequestId", request_id)
            .text("HostId", host);
        for (name, text) in &self.elements {
            document.text(name, text);
        }
        if let Some(ec) = self.ec {
            document.text("EC", ec).text(
                "RecommendDoc",
                format_args!("https://api.aliyun.com/troubleshoot?q={ec}"),
            );
        }
        document.finish()
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        if let Some(BucketDeleted(bucket)) = cause {
            return Self::no_such_bucket(bucket);
        }
        Self::internal(error)
    }
}
