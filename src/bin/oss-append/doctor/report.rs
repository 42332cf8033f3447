//! What an examination has found, as text and as JSON.

use std::fmt;

use bytesize::ByteSize;
use jiff::{Timestamp, Unit};
use oss_append::{credentials, defaults};
use serde::Serialize;

use crate::output::one_line;
use crate::summary::Rounded;

/// One JSON object, and as [`Display`](fmt::Display) the lines without `--json`.
#[derive(Serialize)]
pub(super) struct Report {
    target: String,
    pub(super) credentials: Credentials,
    pub(super) endpoint: Endpoint,
    pub(super) clock: Option<Clock>,
    pub(super) permissions: Permissions,
    pub(super) round_trip_ms: Option<RoundTrip>,
    pub(super) upload_bytes_per_second: Option<u64>,
    pub(super) recommended_batch_size: Option<u64>,
    pub(super) appends: Option<Appends>,
    pub(super) pipelining: Option<Pipelining>,
    pub(super) encoded: Vec<Encoded>,
    pub(super) problems: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Credentials {
    provider: &'static str,
    /// In which of its places the provider found it.
    origin: Option<String>,
    /// The beginning of the access key id.
    id: Option<String>,
    temporary: Option<bool>,
    expires: Option<String>,
}

impl Credentials {
    pub(super) fn found(&mut self, credentials: &credentials::Credentials) {
        let id = credentials.access_key_id();
        // As `Debug` of credentials: the kind of the key, and no more.
        let shown = if id.chars().count() < 8 { 0 } else { 4 };
        let start: String = id.chars().take(shown).collect();
        self.id = Some(format!("{start}…"));
        self.origin = credentials.origin().map(str::to_owned);
        self.temporary = Some(credentials.session_token().is_some());
        self.expires = credentials
            .expiration()
            .and_then(|time| Timestamp::try_from(time).ok())
            .and_then(|time| time.round(Unit::Second).ok())
            .map(|time| time.to_string());
    }
}

#[derive(Default, Serialize)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) region: String,
    /// Where the answers came from.
    pub(super) address: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Clock {
    pub(super) server_ahead_seconds: i64,
}

#[derive(Default, Serialize)]
pub(super) struct Permissions {
    pub(super) head: Permission,
    pub(super) list: Permission,
    pub(super) append: Permission,
    pub(super) tag: Permission,
    pub(super) seal: Permission,
    pub(super) delete: Permission,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Permission {
    #[default]
    Untried,
    Allowed,
    Denied,
    /// The account has not been granted the operation, whatever its permissions are.
    Ungranted,
    /// For another reason than a missing permission.
    Failed,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untried => "not tried",
            Self::Allowed => "allowed",
            Self::Denied => "DENIED",
            Self::Ungranted => "not granted to the account, which a ticket asks for",
            Self::Failed => "FAILED",
        })
    }
}

#[derive(Serialize)]
pub(super) struct RoundTrip {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

/// What the recommended batch size comes to at full speed: requests that are billed.
#[derive(Serialize)]
pub(super) struct Appends {
    pub(super) per_second: f64,
    pub(super) per_month: u64,
}

/// Whether the endpoint takes an append before it has answered the one before.
#[derive(Serialize)]
pub(super) struct Pipelining {
    pub(super) taken: bool,
    /// Why it is not.
    pub(super) reason: Option<String>,
    /// With the default batch size.
    pub(super) recommended_max_in_flight: Option<u64>,
    /// How many times as fast that would be as one at a time.
    pub(super) gain: Option<f64>,
}

/// An object of appends that HTTP clients are told to decode.
#[derive(Serialize)]
pub(super) struct Encoded {
    pub(super) key: String,
    pub(super) content_encoding: String,
}

impl Report {
    pub(super) fn new(target: String, provider: &'static str) -> Self {
        Self {
            target,
            credentials: Credentials {
                provider,
                origin: None,
                id: None,
                temporary: None,
                expires: None,
            },
            endpoint: Endpoint::default(),
            clock: None,
            permissions: Permissions::default(),
            round_trip_ms: None,
            upload_bytes_per_second: None,
            recommended_batch_size: None,
            appends: None,
            pipelining: None,
            encoded: Vec::new(),
            problems: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn fmt::Display| {
            writeln!(f, "{name:<12}{}", one_line(&value.to_string()))
        };
        line("target", &self.target)?;
        line("credentials", &self.credentials)?;
        let Endpoint {
            url,
            region,
            address,
        } = &self.endpoint;
        let address = address.as_deref().unwrap_or("nowhere yet");
        line(
            "endpoint",
            &format_args!("{url} for region {region}, connected to {address}"),
        )?;
        if let Some(clock) = &self.clock {
            let ahead = clock.server_ahead_seconds;
            line(
                "clock",
                &format_args!("the server's is {ahead:+} s from this machine's"),
            )?;
        }
        let may = &self.permissions;
        for (name, permission) in [
            ("head", may.head),
            ("list", may.list),
            ("append", may.append),
            ("tag", may.tag),
            ("seal", may.seal),
            ("delete", may.delete),
        ] {
            line(name, &permission)?;
        }
        if let Some(RoundTrip { min, median, max }) = &self.round_trip_ms {
            line(
                "round trip",
                &format_args!("{median} ms ({min} to {max} ms)"),
            )?;
        }
        if let Some(rate) = self.upload_bytes_per_second {
            line("upload", &format_args!("{}/s", ByteSize(rate)))?;
        }
        if let Some(batch) = self.recommended_batch_size {
            let advice =
                "as batch_size; max_append_size the same or more, buffer_capacity twice that";
            line("advice", &format_args!("{} {advice}", ByteSize(batch)))?;
        }
        if let Some(Appends {
            per_second,
            per_month,
        }) = self.appends
        {
            let month = Rounded(per_month);
            line(
                "requests",
                &format_args!(
                    "{per_second:.1} appends a second then at full speed, {month} a month; a \
                     trickle with a linger of 1 s makes 1, 2.59 million a month"
                ),
            )?;
        }
        if let Some(pipelining) = &self.pipelining {
            line("in flight", pipelining)?;
        }
        for object in &self.encoded {
            line("encoded", object)?;
        }
        for problem in &self.problems {
            line("PROBLEM", problem)?;
        }
        if self.problems.is_empty() {
            line("problems", &"none")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pipelining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.reason {
            return write!(f, "one append at a time only: {reason}");
        }
        f.write_str("several appends at a time are taken")?;
        match (self.recommended_max_in_flight, self.gain) {
            (Some(most), Some(gain)) => write!(
                f,
                "; max_in_flight {most} with batch_size {} would be {gain:.1} times as fast as one \
                 at a time",
                ByteSize(defaults::BATCH_SIZE)
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has the Content-Encoding {}: of an object of several appends many HTTP clients give \
             the first only, so that it is best read by oss-append cat --decompress",
            self.key, self.content_encoding
        )
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {}", self.provider)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        if let Some(id) = &self.id {
            write!(f, ": {id}")?;
        }
        if self.temporary == Some(true) {
            f.write_str(", temporary")?;
        }
        match &self.expires {
            Some(expires) => write!(f, ", expires at {expires}"),
            None => Ok(()),
        }
    }
}
