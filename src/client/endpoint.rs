//! Where requests go: the host of a region or an explicit endpoint, and the URL of an object.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::error::{Error, Result};

/// Which of a region's endpoints is used, where no explicit endpoint is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointKind {
    /// `oss-REGION.aliyuncs.com`: from anywhere. The default.
    #[default]
    Public,
    /// `oss-REGION-internal.aliyuncs.com`: from inside Alibaba Cloud's network in that region, free
    /// of traffic charges.
    Internal,
    /// `REGION.oss.aliyuncs.com`: over IPv6 or IPv4, in some regions.
    DualStack,
    /// `oss-accelerate.aliyuncs.com`: transfer acceleration, which the bucket must have switched
    /// on. Requests are still signed for the bucket's own region.
    Accelerate,
    /// `oss-accelerate-overseas.aliyuncs.com`: acceleration outside the Chinese mainland.
    AccelerateOverseas,
}

/// How a bucket is named in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Addressing {
    /// `https://BUCKET.ENDPOINT/KEY`: the only way that the public service takes.
    VirtualHost,
    /// `https://ENDPOINT/BUCKET/KEY`: the way to servers that have an address or `localhost` for a
    /// name.
    Path,
    /// `https://ENDPOINT/KEY`: the endpoint is a custom domain that is bound to the bucket.
    Cname,
}

/// What the builder was told about the destination.
#[derive(Clone, Debug, Default)]
pub(super) struct Destination {
    /// An error if it was to come from the environment, and what is there cannot be meant.
    pub(super) region: Option<Result<String>>,
    /// As the region.
    pub(super) endpoint: Option<Result<String>>,
    pub(super) kind: EndpointKind,
    pub(super) addressing: Option<Addressing>,
    pub(super) cloud_box: Option<String>,
}

/// A checked destination.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) scheme: String,
    /// Lower-case, without a port.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) addressing: Addressing,
    /// The region to sign for, without `oss-`; of a CloudBox its id.
    pub(super) region: String,
    /// The product to sign for.
    pub(super) product: &'static str,
}

const SUFFIX: &str = ".aliyuncs.com";

impl Destination {
    pub(super) fn resolve(&self) -> Result<Endpoint> {
        let region = given(&self.region)?.map(check_region).transpose()?;
        let cloud_box = self.cloud_box.as_deref().map(check_cloud_box).transpose()?;
        let url = self.url(region, cloud_box)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let addressing = self.addressing(&host)?;
        let derived = derive(&host, addressing)?;
        let (product, region) = match (cloud_box, derived) {
            (Some(id), _) => ("oss-cloudbox", id.to_owned()),
            (None, Derived::CloudBox(id)) => ("oss-cloudbox", id),
            (None, Derived::Region(derived)) => ("oss", region.map_or(derived, str::to_owned)),
            (None, Derived::Nothing) => {
                let region = region.ok_or_else(|| {
                    Error::invalid_input(format!(
                        "no region is given and the endpoint {host} does not name one: requests \
                         are signed for a region, such as cn-hangzhou"
                    ))
                })?;
                ("oss", region.to_owned())
            }
        };
        Ok(Endpoint {
            scheme: url.scheme().to_owned(),
            host,
            port: url.port(),
            addressing,
            region,
            product,
        })
    }

    fn url(&self, region: Option<&str>, cloud_box: Option<&str>) -> Result<Url> {
        let text = match (given(&self.endpoint)?, region, cloud_box) {
            (Some(endpoint), ..) if endpoint.contains("://") => endpoint.trim().to_owned(),
            (Some(endpoint), ..) => format!("https://{}", endpoint.trim()),
            (None, Some(region), Some(id)) => format!("https://{id}.{region}.oss-cloudbox{SUFFIX}"),
            (None, Some(region), None) => match self.kind {
                EndpointKind::Public => format!("https://oss-{region}{SUFFIX}"),
                EndpointKind::Internal => format!("https://oss-{region}-internal{SUFFIX}"),
                EndpointKind::DualStack => format!("https://{region}.oss{SUFFIX}"),
                EndpointKind::Accelerate => format!("https://oss-accelerate{SUFFIX}"),
                EndpointKind::AccelerateOverseas => {
                    format!("https://oss-accelerate-overseas{SUFFIX}")
                }
            },
            (None, None, _) => {
                return Err(Error::invalid_input(
                    "neither a region, such as cn-hangzhou, nor an endpoint is given",
                ));
            }
        };
        let problem = |problem: &str| {
            // The text may hold a password: it is not repeated.
            Error::invalid_input(format!(
                "the endpoint {problem}: https://HOST, http://HOST:PORT or HOST is right"
            ))
        };
        let url = Url::parse(&text).map_err(|error| problem(&format!("is not a URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(problem("has a scheme that is neither https nor http"));
        }
        // The text and not the URL is asked: that has folded `/./` and dropped line breaks.
        let host = text.split_once("://").map_or(&*text, |(_, host)| host);
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.contains('@') {
            return Err(problem("has a user name or password"));
        }
        if host.contains(['/', '\\', '?', '#']) {
            return Err(problem("has a path or query"));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(problem("has a space or control character"));
        }
        Ok(url)
    }

    fn addressing(&self, host: &str) -> Result<Addressing> {
        let has_address = is_address(host);
        match self.addressing {
            Some(Addressing::VirtualHost) if has_address => Err(Error::invalid_input(format!(
                "the endpoint {host} is an address: a bucket's name cannot be put before it"
            ))),
            Some(chosen) => Ok(chosen),
            None if has_address || is_localhost(host) => Ok(Addressing::Path),
            None => Ok(Addressing::VirtualHost),
        }
    }
}

impl Endpoint {
    /// Whether requests stay on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_localhost(&self.host) || address(&self.host).is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

fn given(setting: &Option<Result<String>>) -> Result<Option<&str>> {
    let set = setting.as_ref().map(|set| set.as_deref());
    set.transpose().map_err(Error::clone)
}

fn check_region(region: &str) -> Result<&str> {
    let region = region.strip_prefix("oss-").unwrap_or(region);
    if is_label(region) {
        return Ok(region);
    }
    Err(Error::invalid_input(format!(
        "region {region:?} is not valid: a-z, 0-9 and -, such as cn-hangzhou"
    )))
}

fn check_cloud_box(id: &str) -> Result<&str> {
    if is_label(id) {
        return Ok(id);
    }
    Err(Error::invalid_input(format!(
        "CloudBox id {id:?} is not valid: a-z, 0-9 and -, such as cb-123"
    )))
}

fn is_label(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}

/// What an endpoint's name tells about the region to sign for.
enum Derived {
    Region(String),
    CloudBox(String),
    Nothing,
}

fn derive(host: &str, addressing: Addressing) -> Result<Derived> {
    if addressing == Addressing::Cname {
        return Ok(Derived::Nothing);
    }
    let Some(name) = host.strip_suffix(SUFFIX) else {
        return Ok(Derived::Nothing);
    };
    let labels: Vec<&str> = name.split('.').collect();
    Ok(match labels[..] {
        ["oss"] => Derived::Region("cn-hangzhou".into()),
        ["oss-accelerate" | "oss-accelerate-overseas"] => Derived::Nothing,
        [label] => match label.strip_prefix("oss-") {
            Some(region) => {
                Derived::Region(region.strip_suffix("-internal").unwrap_or(region).into())
            }
            None => Derived::Nothing,
        },
        [id, _, "oss-cloudbox"] => Derived::CloudBox(id.into()),
        [_, label] if label.starts_with("oss-") => {
            return Err(Error::invalid_input(format!(
                "the endpoint {host} has a bucket's name in it: {label}{SUFFIX} is the endpoint"
            )));
        }
        [region, "oss"] => Derived::Region(region.into()),
        _ => Derived::Nothing,
    })
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

fn is_address(host: &str) -> bool {
    address(host).is_some()
}

fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(region: &str) -> Destination {
        Destination {
            region: Some(Ok(region.into())),
            ..Destination::default()
        }
    }

    fn endpoint(endpoint: &str) -> Destination {
        Destination {
            endpoint: Some(Ok(endpoint.into())),
            ..Destination::default()
        }
    }

    fn bucket_url(destination: &Destination) -> String {
        let endpoint = destination.resolve().unwrap();
        endpoint.url("logs", None, "").unwrap().into()
    }

    #[test]
    fn a_region_has_an_endpoint_of_each_kind() {
        for (kind, url) in [
            (
                EndpointKind::Public,
                "https://logs.oss-cn-hangzhou.aliyuncs.com/",
            ),
            (
                EndpointKind::Internal,
                "https://logs.oss-cn-hangzhou-internal.aliyuncs.com/",
            ),
            (
                EndpointKind::DualStack,
                "https://logs.cn-hangzhou.oss.aliyuncs.com/",
            ),
            (
                EndpointKind::Accelerate,
                "https://logs.oss-accelerate.aliyuncs.com/",
            ),
            (
                EndpointKind::AccelerateOverseas,
                "https://logs.oss-accelerate-overseas.aliyuncs.com/",
            ),
        ] {
            let destination = Destination {
                kind,
                ..region("oss-cn-hangzhou")
            };
            assert_eq!(bucket_url(&destination), url);
            assert_eq!(destination.resolve().unwrap().region, "cn-hangzhou");
        }
    }

    #[test]
    fn the_region_is_read_from_the_services_own_endpoints() {
        for (name, region) in [
            ("oss-cn-beijing.aliyuncs.com", "cn-beijing"),
            ("https://OSS-cn-beijing-internal.aliyuncs.com", "cn-beijing"),
            ("cn-beijing.oss.aliyuncs.com", "cn-beijing"),
            ("http://oss.aliyuncs.com/", "cn-hangzhou"),
            ("cb-1.cn-beijing.oss-cloudbox.aliyuncs.com", "cb-1"),
        ] {
            assert_eq!(endpoint(name).resolve().unwrap().region, region, "{name}");
        }
        for name in [
            "http://127.0.0.1:9000",
            "oss-accelerate.aliyuncs.com",
            "files.example.com",
        ] {
            let error = endpoint(name).resolve().unwrap_err().to_string();
            assert!(error.contains("region"), "{name}: {error}");
        }
    }

    #[test]
    fn a_given_region_beats_the_endpoints() {
        let destination = Destination {
            region: Some(Ok("cn-shanghai-finance-1".into())),
            ..endpoint("oss-cn-shfinance.aliyuncs.com")
        };
        assert_eq!(
            destination.resolve().unwrap().region,
            "cn-shanghai-finance-1"
        );
    }

    #[test]
    fn a_cloud_box_is_signed_for_by_its_own_name() {
        let destination = Destination {
            cloud_box: Some("cb-123".into()),
            ..region("cn-hangzhou")
        };
        let resolved = destination.resolve().unwrap();
        assert_eq!(
            (resolved.region.as_str(), resolved.product),
            ("cb-123", "oss-cloudbox")
        );
        assert_eq!(
            bucket_url(&destination),
            "https://logs.cb-123.cn-hangzhou.oss-cloudbox.aliyuncs.com/"
        );
    }

    #[test]
    fn an_address_or_localhost_is_spoken_to_in_path_style() {
        for (name, url) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000/logs/"),
            ("http://[::1]:9000", "http://[::1]:9000/logs/"),
            ("http://localhost:80", "http://localhost/logs/"),
            ("localhost:9000", "https://localhost:9000/logs/"),
            ("10.0.0.1", "https://10.0.0.1/logs/"),
        ] {
            let destination = Destination {
                region: Some(Ok("cn-hangzhou".into())),
                ..endpoint(name)
            };
            assert_eq!(bucket_url(&destination), url);
        }
    }

    #[test]
    fn the_addressing_can_be_chosen() {
        let of = |addressing, name: &str| Destination {
            addressing: Some(addressing),
            region: Some(Ok("cn-hangzhou".into())),
            ..endpoint(name)
        };
        assert_eq!(
            bucket_url(&of(Addressing::Cname, "https://files.example.com")),
            "https://files.example.com/"
        );
        assert_eq!(
            bucket_url(&of(Addressing::Path, "oss.example.com")),
            "https://oss.example.com/logs/"
        );
        assert_eq!(
            bucket_url(&of(Addressing::VirtualHost, "http://localhost:1")),
            "http://logs.localhost:1/"
        );
        let impossible = of(Addressing::VirtualHost, "http://127.0.0.1:1").resolve();
        assert!(impossible.is_err());
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for destination in [
            Destination::default(),
            region("cn_hangzhou"),
            region("cn-hangzhou.evil.example"),
            region(""),
            endpoint("ftp://oss-cn-hangzhou.aliyuncs.com"),
            endpoint("https://oss-cn-hangzhou.aliyuncs.com/path"),
            endpoint("https://oss-cn-hangzhou.aliyuncs.com?query"),
            endpoint("https://user:hush@oss-cn-hangzhou.aliyuncs.com"),
            endpoint("https://"),
            endpoint("https://@oss-cn-hangzhou.aliyuncs.com"),
            endpoint("https://oss-cn-hangzhou.aliyuncs.com/./"),
            endpoint("https://oss-cn-hangzhou\n.aliyuncs.com"),
            endpoint("logs.oss-cn-hangzhou.aliyuncs.com"),
        ] {
            let error = destination.resolve().unwrap_err();
            assert!(matches!(
                error.kind(),
                crate::ErrorKind::InvalidInput { .. }
            ));
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_endpoint_is_a_host_or_refused(
            any: String,
            pieces in prop::collection::vec(prop::sample::select(vec![
                "http", "https", "ftp", "://", ":", "/", "//", "\\", "@", "?", "#", "%2f", "%40", "..",
                ".", "[::1]", "[", "]", "127.0.0.1", "0x7f.1", "oss-cn-a", ".aliyuncs.com", "host",
                "日", ":80", ":99999", " ", "\n", "\t", "\0", "-", "oss", "user",
            ]), 0..7),
            region in prop::option::of("[a-z./@ 日-]{0,9}"),
        ) {
            for text in [any, pieces.concat()] {
                let destination = Destination { region: region.clone().map(Ok), ..endpoint(&text) };
                let Ok(resolved) = destination.resolve() else { continue };
                let text = text.trim();
                let host = text.split_once("://").map_or(text, |(_, host)| host);
                let host = host.strip_suffix('/').unwrap_or(host);
                prop_assert!(!host.contains(['/', '\\', '@', '?', '#']), "{:?}", text);
                prop_assert!(["http", "https"].contains(&&*resolved.scheme));
                prop_assert!(is_label(&resolved.region) || destination.region.is_none());
                if let Ok(url) = resolved.url("bucket", Some("key"), "append") {
                    prop_assert!(url.username().is_empty() && url.password().is_none());
                    prop_assert!(url.path().ends_with("/key"));
                    prop_assert_eq!(url.query(), Some("append"));
                }
            }
        }
    }
}
