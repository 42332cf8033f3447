//! Who may do what: ACLs, blocked public access, buckets whose requesters pay, and endpoints of
//! other regions.

use http::HeaderMap;

use super::auth::{Place, Sender};
use super::operation::Operation;
use super::refusal::Refusal;
use super::shared::Shared;
use super::target::{Query, Target};

/// A request whose sender is known.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) shared: &'a Shared,
    pub(super) sender: Sender,
    pub(super) operation: Operation,
    pub(super) target: &'a Target,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
}

impl Access<'_> {
    /// Whether the sender may ask for it.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.sender {
            Sender::Anonymous => self.allow_anybody()?,
            Sender::Requester(place) => self.allow_requester(place)?,
            Sender::Owner => {}
        }
        match self.shared.traits.public_access_blocked {
            true => self.allow_no_public_acl(),
            false => Ok(()),
        }
    }

    /// Whether the ACLs let anybody do this.
    fn allow_anybody(&self) -> Result<(), Refusal> {
        if self.operation.owner_only() {
            return Err(denied(
                "0003-00001201",
                "Anonymous access is forbidden for this operation.",
            ));
        }
        let name = self.target.bucket.as_deref();
        let bucket = name.and_then(|name| self.shared.storage.bucket(name));
        let mut acl = "private".to_owned();
        if let Some(bucket) = &bucket {
            if bucket.rules().requester_pays {
                return Err(requester_pays("0003-00000701", name));
            }
            acl = bucket.properties().acl;
            if let Some(key) = &self.target.key {
                let own = bucket.object(key);
                let own = own.map(|object| object.attributes.acl.clone());
                acl = own.filter(|own| own != "default").unwrap_or(acl);
            }
        }
        // While public access is blocked, what was public before is not.
        let allowed = match acl.as_str() {
            "public-read-write" => true,
            "public-read" => self.operation.only_reads(),
            _ => false,
        };
        match &self.target.key {
            _ if allowed && !self.shared.traits.public_access_blocked => Ok(()),
            Some(_) => Err(Refusal::access_denied(
                "You have no right to access this object because of bucket acl.",
            )),
            None => Err(denied(
                "0003-00000905",
                "Anonymous user has no right to access this bucket.",
            )),
        }
    }

    /// Whether a requester of another account may do this: what is in a bucket whose requesters
    /// pay, if the request says that they do.
    fn allow_requester(&self, place: Place) -> Result<(), Refusal> {
        const PAYER: &str = "x-oss-request-payer";
        let name = self.target.bucket.as_deref();
        let bucket = name.and_then(|name| self.shared.storage.bucket(name));
        let shared = bucket.is_some_and(|bucket| bucket.rules().requester_pays);
        if !shared || self.operation.owner_only() {
            return Err(Refusal::access_denied("AccessDenied"));
        }
        let in_header = self.headers.get(PAYER).map(|value| value.as_bytes());
        let in_query = self.query.get(PAYER).map(str::as_bytes);
        if in_header.or(in_query) == Some(b"requester") {
            return Ok(());
        }
        let ec = match place {
            Place::Query => "0003-00000702",
            Place::Header => "0003-00000703",
        };
        Err(requester_pays(ec, name))
    }

    /// Refuses to make anything public.
    fn allow_no_public_acl(&self) -> Result<(), Refusal> {
        for (header, message) in [
            ("x-oss-object-acl", "Put public object acl is not allowed"),
            ("x-oss-acl", "Put public bucket acl is not allowed"),
        ] {
            let acl = self.headers.get(header);
            if acl.is_some_and(|acl| acl.as_bytes().starts_with(b"public-")) {
                return Err(denied("0016-00000901", message));
            }
        }
        Ok(())
    }
}

/// Refuses a request that came to the endpoint of another region.
pub(super) fn check_endpoint(host: &str, target: &Target, region: &str) -> Result<(), Refusal> {
    let name = host.split(':').next().unwrap_or_default();
    let (Some(bucket), Some(service)) = (&target.bucket, name.strip_suffix(".aliyuncs.com")) else {
        return Ok(());
    };
    let service = service.rsplit('.').next().unwrap_or_default();
    let named = service
        .strip_prefix("oss-")
        .map(|named| named.strip_suffix("-internal").unwrap_or(named));
    if named.is_none_or(|named| named == region) {
        return Ok(());
    }
    Err(denied(
        "0003-00001403",
        "The bucket you are attempting to access must be addressed using the specified endpoint. \
         Please send all future requests to this endpoint.",
    )
    .element("Bucket", bucket)
    .element("Endpoint", format!("oss-{region}.aliyuncs.com")))
}

fn denied(ec: &'static str, message: &'static str) -> Refusal {
    Refusal::forbidden("AccessDenied", message).ec(ec)
}

fn requester_pays(ec: &'static str, bucket: Option<&str>) -> Refusal {
    denied(ec, "Access denied for requester pay bucket")
        .element("BucketName", bucket.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_another_region_is_told_by_its_name() {
        let target = Target {
            bucket: Some("b".into()),
            key: None,
        };
        for (host, right) in [
            ("b.oss-cn-hangzhou.aliyuncs.com", true),
            ("b.oss-cn-hangzhou-internal.aliyuncs.com:80", true),
            ("oss-cn-hangzhou.aliyuncs.com", true),
            ("127.0.0.1:9000", true),
            ("b.oss-accelerate.example.com", true),
            ("b.oss-cn-beijing.aliyuncs.com", false),
            ("oss-cn-beijing-internal.aliyuncs.com", false),
        ] {
            let checked = check_endpoint(host, &target, "cn-hangzhou");
            assert_eq!(checked.is_ok(), right, "{host}");
        }
        let service = Target::default();
        assert!(check_endpoint("oss-cn-beijing.aliyuncs.com", &service, "cn-hangzhou").is_ok());
    }
}
