//! Known answers of signature V4, in the header form (V1 to V8) and in the query form (P1 to P6).

use super::*;

const KEY: &str = "1234+-/123/1.txt";
const LONG_KEY: &str = "test-sign-V4/-!@#$%^&*()/abcdefjhijklmnoqprstuvwxyz/123456789";
const QUERY: [(&str, &str); 6] = [
    ("param1", "value1"),
    ("+param1", "value3"),
    ("|param1", "value4"),
    ("+param2", ""),
    ("|param2", ""),
    ("param2", ""),
];

struct Vector {
    method: &'static str,
    bucket: &'static str,
    key: &'static str,
    query: &'static [(&'static str, &'static str)],
    content_type: &'static str,
    more_headers: bool,
    token: Option<&'static str>,
    additional: &'static [&'static str],
    region: &'static str,
    product: &'static str,
}

const BASE: Vector = Vector {
    method: "PUT",
    bucket: "bucket",
    key: KEY,
    query: &QUERY,
    content_type: "text/plain",
    more_headers: true,
    token: None,
    additional: &[],
    region: "cn-hangzhou",
    product: "oss",
};

const PRESIGNED: Vector = Vector {
    content_type: "application/octet-stream",
    ..BASE
};

impl Vector {
    fn headers(&self) -> Vec<Header<'static>> {
        let mut headers = vec![("content-type", self.content_type)];
        if self.more_headers {
            let more = ["x-oss-head1", "abc", "ZAbc", "XYZ"];
            headers.extend(more.map(|name| (name, "value")));
        }
        owned(&headers)
    }

    fn signer<'a>(&self, datetime: &'a str) -> Signer<'a> {
        Signer {
            access_key_id: "ak",
            access_key_secret: "sk",
            region: self.region,
            product: self.product,
            datetime,
        }
    }

    fn canonical<T>(
        &self,
        headers: &[Header<'_>],
        query: &[(&str, &str)],
        then: impl FnOnce(&CanonicalRequest<'_>) -> T,
    ) -> T {
        then(&CanonicalRequest {
            method: self.method,
            uri: &canonical_uri(Some(self.bucket), Some(self.key)),
            query: &canonical_query(query.iter().copied()),
            headers,
            additional: &self
                .additional
                .iter()
                .map(|n| (*n).to_owned())
                .collect::<Vec<_>>(),
            payload: UNSIGNED_PAYLOAD,
        })
    }

    fn by_header<T>(&self, datetime: &str, then: impl FnOnce(&CanonicalRequest<'_>) -> T) -> T {
        let mut headers = self.headers();
        headers.extend(owned(&[
            ("x-oss-date", datetime),
            ("x-oss-content-sha256", UNSIGNED_PAYLOAD),
        ]));
        headers.extend(
            self.token
                .map(|t| ("x-oss-security-token".into(), t.into())),
        );
        self.canonical(&headers, self.query, then)
    }

    fn authorization(&self, datetime: &str) -> String {
        self.by_header(datetime, |request| {
            self.signer(datetime).authorization(request)
        })
    }

    fn query_signature(&self, datetime: &str, expires: &str) -> String {
        let signer = self.signer(datetime);
        let credential = signer.credential();
        let headers = self.headers();
        let additional = self.canonical(&headers, &[], |request| request.additional_headers());
        let mut query = self.query.to_vec();
        query.extend([
            ("x-oss-signature-version", ALGORITHM),
            ("x-oss-date", datetime),
            ("x-oss-expires", expires),
            ("x-oss-credential", &credential),
        ]);
        query.extend(self.token.map(|token| ("x-oss-security-token", token)));
        if !additional.is_empty() {
            query.push(("x-oss-additional-headers", &additional));
        }
        self.canonical(&headers, &query, |request| signer.sign(request))
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<Header<'static>> {
    headers
        .iter()
        .map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()))
        .collect()
}

#[track_caller]
fn assert_signed(vector: &Vector, datetime: &str, signature: &str) {
    let value = vector.authorization(datetime);
    assert!(
        value.ends_with(&format!(",Signature={signature}")),
        "{value}"
    );
}

const TIME: &str = "20231216T162057Z";

#[test]
fn v1_a_put_is_signed() {
    assert_eq!(
        BASE.authorization(TIME),
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,\
         Signature=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"
    );
}

#[test]
fn v1_goes_through_the_known_intermediate_values() {
    BASE.by_header(TIME, |request| {
        assert_eq!(request.uri, "/bucket/1234%2B-/123/1.txt");
        assert_eq!(
            request.query,
            "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2"
        );
        assert_eq!(
            hex::encode(Sha256::digest(request.text())),
            "f4613657f1b108998e8dbd10a1aa5da621dc2c6e02c9ddec0f163664848704c4"
        );
    });
}

#[test]
fn v2_the_token_is_signed_as_a_header() {
    let vector = Vector {
        token: Some("token"),
        ..BASE
    };
    assert_signed(
        &vector,
        "20231217T034736Z",
        "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    );
}

#[test]
fn v3_additional_headers_are_signed_and_named() {
    let vector = Vector {
        additional: &["ZAbc", "abc"],
        ..BASE
    };
    assert!(
        vector
            .authorization(TIME)
            .contains(",AdditionalHeaders=abc;zabc,")
    );
    assert_signed(
        &vector,
        "20231216T172512Z",
        "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    );
}

#[test]
fn v4_additional_headers_that_are_absent_or_signed_anyway_are_dropped() {
    let vector = Vector {
        additional: &["x-oss-no-exist", "ZAbc", "x-oss-head1", "abc"],
        ..BASE
    };
    assert_signed(
        &vector,
        "20231216T172512Z",
        "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    );
}

#[test]
fn v5_a_cloud_box_has_its_own_product() {
    let vector = Vector {
        region: "cb-123",
        product: "oss-cloudbox",
        ..BASE
    };
    assert_signed(
        &vector,
        TIME,
        "94ce1f12c17d148ea681030275a94449d3357f5b5b21133996eec80af3e08a43",
    );
}

#[test]
fn v6_an_append_is_signed() {
    let vector = Vector {
        method: "POST",
        key: "object",
        query: &[("position", "0"), ("append", "")],
        more_headers: false,
        ..BASE
    };
    vector.by_header(TIME, |request| {
        assert_eq!(request.query, "append&position=0");
        assert_eq!(
            hex::encode(Sha256::digest(request.text())),
            "23834db5581a923c24130b228eacdc50e763f5161439620e651f85ab87410eed"
        );
    });
    assert_signed(
        &vector,
        TIME,
        "f7a645f23a0434ea90d5e2bb2bca90d0fda9ef4bc54a9c5008b2134e7c9023f2",
    );
}

#[test]
fn v7_every_reserved_character_of_a_key_is_escaped() {
    let vector = Vector {
        bucket: "oss-bucket-test",
        key: LONG_KEY,
        ..PRESIGNED
    };
    assert_signed(
        &vector,
        "20221016T040719Z",
        "16e58322c5aafb55edd82813b02d6521caab8194882c786bf0e77b7987a63979",
    );
}

#[test]
fn v8_a_cloud_box_takes_the_same_keys() {
    let vector = Vector {
        bucket: "oss-bucket-test",
        key: LONG_KEY,
        region: "cloudbox-id",
        product: "oss-cloudbox",
        ..PRESIGNED
    };
    assert_signed(
        &vector,
        "20221016T091831Z",
        "939eae7d5012d444c8d1dd8c68811275928f780a859e41ddbe52cf10a100adb4",
    );
}

#[test]
fn p1_a_url_is_signed() {
    assert_eq!(
        PRESIGNED.query_signature("20231217T025437Z", "599"),
        "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe"
    );
}

#[test]
fn p2_the_token_is_signed_as_a_parameter() {
    let vector = Vector {
        token: Some("token"),
        ..PRESIGNED
    };
    assert_eq!(
        vector.query_signature("20231217T035628Z", "599"),
        "3817ac9d206cd6dfc90f1c09c00be45005602e55898f26f5ddb06d7892e1f8b5"
    );
}

#[test]
fn p3_additional_headers_are_a_parameter() {
    let vector = Vector {
        additional: &["ZAbc", "abc"],
        ..PRESIGNED
    };
    assert_eq!(
        vector.query_signature("20231217T033009Z", "599"),
        "6bd984bfe531afb6db1f7550983a741b103a8c58e5e14f83ea474c2322dfa2b7"
    );
}

#[test]
fn p4_the_lifetime_is_signed() {
    assert_eq!(
        PRESIGNED.query_signature("20231217T025437Z", "432000"),
        "31029123dc7732d2d2cfd4006ea4fdb6cf86da6478f813e2bf8f87877c7b9fec"
    );
}

#[test]
fn p5_a_url_of_a_cloud_box_is_signed() {
    let vector = Vector {
        additional: &["ZAbc", "abc"],
        region: "cb-123",
        product: "oss-cloudbox",
        ..PRESIGNED
    };
    assert_eq!(
        vector.query_signature("20231217T025437Z", "599"),
        "07284191b9b4978ac3520cd39ee2dea2747eda454089359371ff463a6c7ba20f"
    );
}

#[test]
fn p6_a_space_in_a_key_is_escaped() {
    let vector = Vector {
        key: "key 123.txt",
        additional: &["ZAbc", "abc"],
        ..PRESIGNED
    };
    assert_eq!(
        vector.query_signature("20231217T033009Z", "599"),
        "33208021567953241c3cc1d95ecf1864f8561890c30d29488ce76c7afb81a623"
    );
}

#[test]
fn several_values_of_one_header_are_signed_in_one_line() {
    let headers = owned(&[("x-oss-b", " 2 "), ("X-Oss-A", "z"), ("x-oss-a", "y")]);
    let text = CanonicalRequest {
        method: "GET",
        uri: "/",
        query: "",
        headers: &headers,
        additional: &[],
        payload: UNSIGNED_PAYLOAD,
    }
    .text();
    assert_eq!(
        text,
        "GET\n/\n\nx-oss-a:z,y\nx-oss-b:2\n\n\nUNSIGNED-PAYLOAD"
    );
}

#[test]
fn canonical_uris_name_service_bucket_and_object() {
    assert_eq!(canonical_uri(None, None), "/");
    assert_eq!(canonical_uri(Some("bucket"), None), "/bucket/");
    assert_eq!(
        canonical_uri(Some("bucket"), Some("a b/ü")),
        "/bucket/a%20b/%C3%BC"
    );
}

#[test]
fn pairs_come_in_order_however_they_are_added() {
    let pairs = [
        ("b", ""),
        ("a=", "1"),
        ("a", "2&"),
        ("a", ""),
        ("c d", "é"),
        ("b", "0"),
        ("a", "1"),
    ];
    for start in 0..pairs.len() {
        let mut query = Query::default();
        let turned = pairs[start..].iter().chain(&pairs[..start]);
        turned.for_each(|(name, value)| query.add(name, value));
        assert_eq!(query.as_str(), canonical_query(pairs));
    }
    assert_eq!(
        canonical_query(pairs),
        "a&a=1&a=2%26&a%3D=1&b&b=0&c%20d=%C3%A9"
    );
}
