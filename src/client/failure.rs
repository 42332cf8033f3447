//! From OSS's error answers to [`ServiceError`].

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use super::document::{document_in_header, parse_document};
use super::response::{decimal, header_text};
use crate::error::{Refusal, ServiceError};
use crate::wire::dates;
use crate::wire::hidden::Hidden;

/// The most bytes of an error document that are read.
pub(super) const MAX_DOCUMENT: usize = 64 * 1024;

/// An error answer, with what only the client itself needs to know.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: ServiceError,
    /// The server's time, if the answer says that the signing time was wrong.
    pub(super) clock_refused: Option<Timestamp>,
}

/// The longest wait that a server is believed to want. OSS asks for seconds at most; something
/// between that asks for an hour must not silence a writer for an hour.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Reads an error answer. `now` turns a date of `Retry-After` into a duration. What stands between
/// client and server may repeat the request in its answer: what is `hidden` is left out.
pub(super) fn refusal(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    hidden: &Hidden<'_>,
) -> Refused {
    let document = parse_document(&String::from_utf8_lossy(body), hidden)
        .or_else(|| parse_document(&document_in_header(headers)?, hidden));
    let found = document.is_some();
    let document = document.unwrap_or_default();
    let text = |name| Some(hidden.show(&header_text(headers, name)?));

    let message = match document.message {
        Some(message) => message,
        None if found => String::new(),
        None => no_document(body, headers, hidden),
    };
    let location = || {
        let location = header_text(headers, "location").filter(|_| (300..400).contains(&status));
        Some(hidden.show(&address_alone(&location?)?))
    };
    let error = ServiceError {
        message,
        request_id: document.request_id.or_else(|| text("x-oss-request-id")),
        host_id: document.host_id,
        ec: document.ec.or_else(|| text("x-oss-ec")),
        endpoint: document
            .endpoint
            .and_then(|endpoint| address_alone(&endpoint))
            .or_else(location),
        next_append_position: text("x-oss-next-append-position").and_then(|n| decimal(&n)),
        retry_after: retry_after(headers, now),
        ..ServiceError::new(status, document.code.unwrap_or_default())
    };
    let error = match is_public_access_blocked(&error) {
        true => error.with_refusal(Refusal::PublicAccessBlocked),
        false => error,
    };
    let about_time = error.code == "RequestTimeTooSkewed"
        || (error.code == "InvalidArgument"
            && error.message == "Invalid signing date in Authorization header.");
    let server_time = || {
        let element = document.server_time.and_then(|time| time.parse().ok());
        element.or_else(|| dates::parse_http_date(&text("date")?))
    };
    Refused {
        clock_refused: about_time.then(server_time).flatten(),
        error,
    }
}

/// Whether it is refused since Block Public Access is on, by EC or message: the code is that of a
/// missing permission. Buckets made since October 2025 have it on by default.
///
/// Source: <https://www.alibabacloud.com/help/en/oss/developer-reference/mb-create-storage-space>
fn is_public_access_blocked(error: &ServiceError) -> bool {
    let is_said = || {
        let message = error.message.to_ascii_lowercase();
        message.starts_with("put public ") && message.contains("acl is not allowed")
    };
    error.refusal == Refusal::Denied && (error.ec.as_deref() == Some("0016-00000901") || is_said())
}

/// Says what there is instead of a document. The body itself is not repeated: what stands between
/// client and server may echo the request's headers in it.
fn no_document(body: &[u8], headers: &HeaderMap, hidden: &Hidden<'_>) -> String {
    let kind = header_text(headers, "content-type").filter(|_| !body.is_empty());
    match kind {
        Some(kind) => format!(
            "no OSS error document in the answer, but {}",
            hidden.show(&kind)
        ),
        None => "no OSS error document in the answer".into(),
    }
}

/// A URL or host without user name, password, query and fragment, which may be secrets.
fn address_alone(text: &str) -> Option<String> {
    let text = text.split(['?', '#']).next()?;
    match reqwest::Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            url.set_username("").ok()?;
            url.set_password(None).ok()?;
            Some(url.into())
        }
        _ => Some(text.to_owned()).filter(|text| !text.contains('@')),
    }
}

/// How long to wait: the longer of `Retry-After` and `x-oss-qos-delay-time`, at most [`MAX_WAIT`].
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let standard = header_text(headers, "retry-after").and_then(|text| {
        if let Some(seconds) = decimal(&text) {
            return Some(Duration::from_secs(seconds).min(MAX_WAIT));
        }
        let until = dates::parse_http_date(&text)?;
        let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
        Some(wait.min(MAX_WAIT))
    });
    standard.max(qos_delay(headers))
}

/// How long OSS wants a throttled client to wait, at most [`MAX_WAIT`].
pub(super) fn qos_delay(headers: &HeaderMap) -> Option<Duration> {
    decimal(&header_text(headers, "x-oss-qos-delay-time")?).map(qos_wait)
}

/// The same, as it was given.
pub(super) fn qos_wait(millis: u64) -> Duration {
    Duration::from_millis(millis).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn refusal(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Refused {
        super::refusal(status, headers, body, now, &Hidden::default())
    }

    fn now() -> Timestamp {
        "2023-12-16T16:20:57Z".parse().unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn read(status: u16, body: &str) -> ServiceError {
        refusal(status, &HeaderMap::new(), body.as_bytes(), now()).error
    }

    const MISMATCH: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error \
        xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">\n  <Code> PositionNotEqualToLength \
        </Code>\n  <Message>Position is not equal to file length</Message>\n  \
        <RequestId>5C3D9778CC1C2AEDF85B</RequestId>\n  <HostId>logs.example.com</HostId>\n  \
        <EC>0026-00000016</EC>\n  <Detail><Code>Inner</Code></Detail>\n</Error>\n";

    fn assert_mismatch(error: &ServiceError) {
        assert_eq!(error.code, "PositionNotEqualToLength");
        assert_eq!(error.message, "Position is not equal to file length");
        assert_eq!(error.request_id.as_deref(), Some("5C3D9778CC1C2AEDF85B"));
        assert_eq!(error.host_id.as_deref(), Some("logs.example.com"));
        assert_eq!(error.ec.as_deref(), Some("0026-00000016"));
    }

    #[test]
    fn a_document_is_read_with_declaration_namespace_and_whitespace() {
        assert_mismatch(&read(409, MISMATCH));
    }

    #[test]
    fn the_document_of_a_head_is_in_a_header() {
        let encoded = BASE64_STANDARD.encode(MISMATCH);
        let headers = headers(&[
            ("x-oss-err", &encoded),
            ("x-oss-next-append-position", "42"),
        ]);
        let error = refusal(409, &headers, b"", now()).error;
        assert_mismatch(&error);
        assert_eq!(error.next_append_position, Some(42));
    }

    #[test]
    fn headers_stand_in_for_what_the_document_lacks() {
        let headers = headers(&[("x-oss-ec", "0003-00000001"), ("x-oss-request-id", "ID")]);
        let error = refusal(
            403,
            &headers,
            b"<Error><Code>AccessDenied</Code></Error>",
            now(),
        )
        .error;
        assert_eq!(error.ec.as_deref(), Some("0003-00000001"));
        assert_eq!(error.request_id.as_deref(), Some("ID"));
        assert_eq!(error.message, "");
    }

    #[test]
    fn a_public_acl_that_is_blocked_is_no_missing_permission() {
        let answer = |message: &str, ec: &str| {
            let body = format!(
                "<Error><Code>AccessDenied</Code><Message>{message}</Message><EC>{ec}</EC></Error>"
            );
            read(403, &body).refusal
        };
        for (message, ec, refusal) in [
            (
                "Put public object acl is not allowed",
                "0016-00000901",
                Refusal::PublicAccessBlocked,
            ),
            (
                "Put public bucket acl is not allowed.",
                "",
                Refusal::PublicAccessBlocked,
            ),
            (
                "In other words",
                "0016-00000901",
                Refusal::PublicAccessBlocked,
            ),
            (
                "You have no right to access this object.",
                "0003-00000001",
                Refusal::Denied,
            ),
        ] {
            assert_eq!(answer(message, ec), refusal, "{message}");
        }
    }

    #[test]
    fn what_is_no_document_leaves_the_code_empty_and_is_not_repeated() {
        for body in [
            "",
            "<html><body>502 hush</body></html>",
            "{\"message\":\"hush\"}",
            "<<<hush",
            "\0\u{1}hush",
            "<Code>hush</Code>",
        ] {
            let error = read(502, body);
            assert_eq!((error.status, error.code.as_str()), (502, ""), "{body:?}");
            assert!(error.message.contains("no OSS error document"), "{body:?}");
            assert!(!error.message.contains("hush"));
        }
    }

    #[test]
    fn a_redirect_names_where_to_go_without_the_query() {
        let location = headers(&[(
            "location",
            "https://oss-cn-beijing.aliyuncs.com/a?x-oss-signature=hush",
        )]);
        let error = refusal(301, &location, b"", now()).error;
        assert_eq!(
            error.endpoint.as_deref(),
            Some("https://oss-cn-beijing.aliyuncs.com/a")
        );
        let document = b"<Error><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint></Error>";
        let error = refusal(301, &location, document, now()).error;
        assert_eq!(
            error.endpoint.as_deref(),
            Some("oss-cn-beijing.aliyuncs.com")
        );
    }

    #[test]
    fn the_longer_wait_of_both_headers_counts() {
        for (pairs, wait) in [
            (&[("retry-after", "3")][..], Some(3000)),
            (
                &[("retry-after", "Sat, 16 Dec 2023 16:21:07 GMT")],
                Some(10_000),
            ),
            (&[("retry-after", "Sat, 16 Dec 2023 16:20:07 GMT")], Some(0)),
            (&[("retry-after", "soon")], None),
            (&[("x-oss-qos-delay-time", "150")], Some(150)),
            (
                &[("x-oss-qos-delay-time", "150"), ("retry-after", "1")],
                Some(1000),
            ),
            (
                &[("x-oss-qos-delay-time", "1500"), ("retry-after", "1")],
                Some(1500),
            ),
            (&[("x-oss-qos-delay-time", "-1")], None),
        ] {
            let wait = wait.map(Duration::from_millis);
            assert_eq!(retry_after(&headers(pairs), now()), wait, "{pairs:?}");
        }
    }

    #[test]
    fn a_refused_signing_time_gives_the_servers_time() {
        let date = headers(&[("date", "Sat, 16 Dec 2023 16:20:57 GMT")]);
        let skewed = b"<Error><Code>RequestTimeTooSkewed</Code>\
            <ServerTime>2023-12-16T17:00:00.000Z</ServerTime></Error>";
        let from_element = refusal(403, &date, skewed, now()).clock_refused;
        assert_eq!(from_element, Some("2023-12-16T17:00:00Z".parse().unwrap()));

        let signing_date = b"<Error><Code>InvalidArgument</Code>\
            <Message>Invalid signing date in Authorization header.</Message></Error>";
        assert_eq!(
            refusal(400, &date, signing_date, now()).clock_refused,
            Some(now())
        );
        assert_eq!(
            refusal(400, &HeaderMap::new(), signing_date, now()).clock_refused,
            None
        );

        let other = b"<Error><Code>InvalidArgument</Code></Error>";
        assert_eq!(refusal(400, &date, other, now()).clock_refused, None);
    }

    #[test]
    fn a_server_is_never_waited_for_longer_than_a_minute() {
        assert_eq!(MAX_WAIT, Duration::from_secs(60));
        for (pairs, wait) in [
            ([("retry-after", "60")], Some(MAX_WAIT)),
            ([("retry-after", "3600")], Some(MAX_WAIT)),
            (
                [("retry-after", "Sat, 16 Dec 2023 17:20:57 GMT")],
                Some(MAX_WAIT),
            ),
            ([("x-oss-qos-delay-time", "3600000")], Some(MAX_WAIT)),
            ([("retry-after", "18446744073709551615")], Some(MAX_WAIT)),
            ([("retry-after", "18446744073709551616")], None),
            ([("retry-after", "-1")], None),
            ([("retry-after", "+1")], None),
            ([("retry-after", "1e9")], None),
            (
                [("retry-after", "Thu, 31 Dec 9998 23:59:59 GMT")],
                Some(MAX_WAIT),
            ),
            (
                [("retry-after", "Mon, 01 Jan 0001 00:00:00 GMT")],
                Some(Duration::ZERO),
            ),
            (
                [("x-oss-qos-delay-time", "18446744073709551615")],
                Some(MAX_WAIT),
            ),
            ([("x-oss-qos-delay-time", "+1")], None),
        ] {
            assert_eq!(retry_after(&headers(&pairs), now()), wait, "{pairs:?}");
        }
    }

    #[test]
    fn where_to_go_is_told_without_credentials() {
        for (location, endpoint) in [
            (
                "https://id:hush@example.com/a?x#y",
                Some("https://example.com/a"),
            ),
            ("https:/id:hush@example.com", Some("https://example.com/")),
            (
                "https:\\\\id:hush@example.com",
                Some("https://example.com/"),
            ),
            ("//id:hush@example.com/a", None),
            ("id:hush@example.com", None),
            ("mailto:hush@example.com", None),
            ("/a/b?hush", Some("/a/b")),
            ("example.com:443/a#hush", Some("example.com:443/a")),
        ] {
            let in_header = refusal(302, &headers(&[("location", location)]), b"", now()).error;
            assert_eq!(in_header.endpoint.as_deref(), endpoint, "{location}");
            let body = format!("<Error><Endpoint>{location}</Endpoint></Error>");
            let in_document = read(302, &body).endpoint;
            assert_eq!(in_document.as_deref(), endpoint, "{location}");
        }
    }

    #[test]
    fn what_a_header_says_is_one_line_of_bounded_length() {
        let long = "\u{85}\u{202e}\t".to_owned() + &"x".repeat(100_000);
        let names = ["x-oss-request-id", "x-oss-ec", "location", "content-type"];
        let headers = headers(&names.map(|name| (name, &*long)));
        let text = Error::service(refusal(302, &headers, b"?", now()).error).to_string();
        assert!(text.len() < 5000, "{}", text.len());
        assert!(!text.contains(['\u{85}', '\u{202e}', '\t']));
    }

    #[test]
    fn secrets_in_an_answer_are_left_out() {
        let body = b"<Error><Code>A-hush</Code><Message>token: hush</Message><HostId>hush</HostId>\
            <RequestId>hush</RequestId><EC>hush</EC><Endpoint>hush.example</Endpoint></Error>";
        let encoded = BASE64_STANDARD.encode(body);
        let echo = [
            ("location", "https://example.com/hush"),
            ("content-type", "text/hush"),
            ("x-oss-request-id", "hush"),
            ("x-oss-ec", "hush"),
        ];
        let in_header = headers(&[("x-oss-err", &encoded)]);
        let hidden = Hidden::new(["hush"]);
        for (headers, body) in [
            (&headers(&echo), &body[..]),
            (&headers(&echo), b"not XML: hush"),
            (&in_header, b""),
        ] {
            let error = super::refusal(302, headers, body, now(), &hidden).error;
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_answer_whatever_makes_a_strange_error(
            status in 100_u16..1000,
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 8),
            number in prop::sample::select(vec![
                "18446744073709551616", "-0", "", " ", "0x1", "Sat, 99 Dec 2023 16:20:57 GMT",
                "Sat, 16 Dec 99999 16:20:57 GMT", "Thu, 01 Jan 1970 00:00:00 +9999",
            ]),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let names = [
                "x-oss-err", "x-oss-request-id", "x-oss-ec", "location", "retry-after",
                "x-oss-qos-delay-time", "x-oss-next-append-position", "date",
            ];
            let mut map = headers(&[("retry-after", number), ("date", number)]);
            for (name, value) in names.iter().zip(&values) {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    map.append(*name, value);
                }
            }
            let refusal = refusal(status, &map, &body, now());
            prop_assert!(refusal.error.retry_after <= Some(MAX_WAIT));
            let text = Error::service(refusal.error).to_string();
            prop_assert!(!text.contains(char::is_control), "{:?}", text);
        }
    }
}
