//! A client that sends exactly what it is told to, signed by V4, V1 or not at all.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Account, Emulator, REGION};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const BUCKET: &str = "bucket";

/// A server with [`BUCKET`] for an account that allows everything, and a client with the default
/// key.
pub(crate) async fn start() -> (Emulator, Client) {
    let builder = Emulator::builder().account(Account::Legacy);
    let emulator = builder.bucket(BUCKET).start().await.unwrap();
    let client = Client::new(emulator.address());
    (emulator, client)
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Signing {
    V4,
    V4Query,
    V1,
    V1Query,
    None,
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
    pub(crate) signing: Signing,
    /// How far the client's clock is ahead.
    pub(crate) ahead: SignedDuration,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            id: ACCESS_KEY_ID.into(),
            secret: ACCESS_KEY_SECRET.into(),
            token: None,
            signing: Signing::V4,
            ahead: SignedDuration::ZERO,
        }
    }

    pub(crate) fn signing(&self, signing: Signing) -> Self {
        Self {
            signing,
            ..self.clone()
        }
    }

    pub(crate) fn key(&self, id: &str, secret: &str, token: Option<&str>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            token: token.map(Into::into),
            ..self.clone()
        }
    }

    pub(crate) async fn append(&self, key: &str, position: u64, body: &[u8]) -> Answer {
        self.send(append(key, position, body)).await
    }

    /// Appends 1000 bytes, and says whether it was acknowledged.
    pub(crate) async fn append_if_there(&self, key: &str, position: u64) -> bool {
        let sent = self.try_send(append(key, position, &[7; 1000])).await;
        sent.is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) async fn get(&self, key: &str) -> Answer {
        self.send(Request::new("GET", key)).await
    }

    pub(crate) async fn head(&self, key: &str) -> Answer {
        self.send(Request::new("HEAD", key)).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&self, request: Request) -> io::Result<Answer> {
        let head = request.method == "HEAD";
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(&self.render(request)).await?;
        read_answer(&mut stream, head).await
    }

    /// The request as it goes over the wire.
    pub(crate) fn render(&self, request: Request) -> Vec<u8> {
        let body = request.body.clone();
        let mut bytes = self.render_head(request).into_bytes();
        bytes.extend(body.unwrap_or_default());
        bytes
    }

    pub(crate) fn render_head(&self, request: Request) -> String {
        self.head_text(&self.signed(request))
    }

    /// The request with its Content-Length and its signature.
    pub(crate) fn signed(&self, mut request: Request) -> Request {
        if let Some(body) = &request.body
            && request.framed
        {
            let length = body.len().to_string();
            request = request.header("content-length", &length);
        }
        self.sign(&mut request);
        request
    }

    /// The head of a request as it is.
    pub(crate) fn head_text(&self, request: &Request) -> String {
        let path = match request.virtual_host {
            Some(_) => format!("/{}", encode(&request.key, true)),
            None if request.bucket.is_empty() => "/".into(),
            None => format!("/{}/{}", request.bucket, encode(&request.key, true)),
        };
        let query = query_text(&request.query);
        let host = match &request.virtual_host {
            Some(host) => host.clone(),
            None => self.address.to_string(),
        };
        let mut text = format!(
            "{} {path}?{query} HTTP/1.1\r\nhost: {host}\r\n",
            request.method
        );
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text
    }

    fn sign(&self, request: &mut Request) {
        let now = Timestamp::now() + self.ahead;
        let date = now.strftime("%Y%m%d").to_string();
        let datetime = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{date}/{REGION}/oss/aliyun_v4_request");
        let mut put = |name: &str, value: &str| {
            request.headers.push((name.into(), value.into()));
        };
        match self.signing {
            Signing::None => {}
            Signing::V4 => {
                put("x-oss-date", &datetime);
                put("x-oss-content-sha256", "UNSIGNED-PAYLOAD");
                if let Some(token) = &self.token {
                    put("x-oss-security-token", token);
                }
                let signature = self.v4(request, &date, &datetime, &scope);
                let id = &self.id;
                let authorization =
                    format!("OSS4-HMAC-SHA256 Credential={id}/{scope},Signature={signature}");
                request
                    .headers
                    .push(("authorization".into(), authorization));
            }
            Signing::V4Query => {
                let mut ask = |name: &str, value: &str| {
                    request.query.push((name.into(), value.into()));
                };
                ask("x-oss-signature-version", "OSS4-HMAC-SHA256");
                ask("x-oss-date", &datetime);
                ask("x-oss-expires", "60");
                ask("x-oss-credential", &format!("{}/{scope}", self.id));
                if let Some(token) = &self.token {
                    ask("x-oss-security-token", token);
                }
                let signature = self.v4(request, &date, &datetime, &scope);
                request.query.push(("x-oss-signature".into(), signature));
            }
            Signing::V1 => {
                let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                put("date", &date);
                if let Some(token) = &self.token {
                    put("x-oss-security-token", token);
                }
                let signature = self.v1(request, &date);
                let authorization = format!("OSS {}:{signature}", self.id);
                request
                    .headers
                    .push(("authorization".into(), authorization));
            }
            Signing::V1Query => {
                if let Some(token) = &self.token {
                    let token = token.clone();
                    request.query.push(("security-token".into(), token));
                }
                let expires = (now.as_second() + 60).to_string();
                let signature = self.v1(request, &expires);
                for (name, value) in [
                    ("OSSAccessKeyId", self.id.clone()),
                    ("Expires", expires),
                    ("Signature", signature),
                ] {
                    request.query.push((name.into(), value));
                }
            }
        }
    }

    fn v4(&self, request: &Request, date: &str, datetime: &str, scope: &str) -> String {
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| {
                name.starts_with("x-oss-") || name == "content-type" || name == "content-md5"
            })
            .collect();
        // By name, of which one may begin with another.
        headers.sort();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let mut query = request.query.clone();
        query.sort();
        let canonical = format!(
            "{}\n{}\n{}\n{}\n\nUNSIGNED-PAYLOAD",
            request.method,
            encode(&request.resource(), true),
            query_text(&query).replace("=&", "&").trim_end_matches('='),
            headers.concat(),
        );
        let string_to_sign = format!(
            "OSS4-HMAC-SHA256\n{datetime}\n{scope}\n{}",
            hex::encode(Sha256::digest(canonical))
        );
        let mut key = format!("aliyun_v4{}", self.secret).into_bytes();
        for part in [date, REGION, "oss", "aliyun_v4_request", &string_to_sign] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        hex::encode(key)
    }

    fn v1(&self, request: &Request, date: &str) -> String {
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| name == wanted);
            found.map_or("", |(_, value)| value.as_str())
        };
        let mut headers: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-oss-"))
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        headers.sort();
        let mut parameters: Vec<_> = request
            .query
            .iter()
            .filter(|(name, _)| ["append", "position", "security-token"].contains(&&**name))
            .map(|(name, value)| match value.as_str() {
                "" => name.clone(),
                value => format!("{name}={value}"),
            })
            .collect();
        parameters.sort();
        let separator = if parameters.is_empty() { "" } else { "?" };
        let string_to_sign = format!(
            "{}\n{}\n{}\n{date}\n{}{}{separator}{}",
            request.method,
            header("content-md5"),
            header("content-type"),
            headers.concat(),
            request.resource(),
            parameters.join("&"),
        );
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(string_to_sign.as_bytes());
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// Header names are in lower case.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    bucket: String,
    key: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    /// Whether a Content-Length goes with the body.
    framed: bool,
    virtual_host: Option<String>,
}

impl Request {
    pub(crate) fn new(method: &str, key: &str) -> Self {
        Self {
            method: method.into(),
            bucket: BUCKET.into(),
            key: key.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            framed: true,
            virtual_host: None,
        }
    }

    pub(crate) fn bucket(mut self, bucket: &str) -> Self {
        self.bucket = bucket.into();
        self
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Leaves out the Content-Length.
    pub(crate) fn unframed(mut self) -> Self {
        self.framed = false;
        self
    }

    /// Names the bucket in the host only.
    pub(crate) fn virtual_host(mut self, host: &str) -> Self {
        self.virtual_host = Some(host.into());
        self
    }

    fn resource(&self) -> String {
        match self.bucket.as_str() {
            "" => "/".into(),
            bucket => format!("/{bucket}/{}", self.key),
        }
    }
}

pub(crate) fn append(key: &str, position: u64, body: &[u8]) -> Request {
    Request::new("POST", key)
        .query("append", "")
        .query("position", &position.to_string())
        .body(body)
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value)
    }

    /// The text of an element of the error document, in the body or in `x-oss-err`.
    pub(crate) fn element(&self, name: &str) -> Option<String> {
        let document = match self.header("x-oss-err") {
            Some(encoded) => BASE64_STANDARD.decode(encoded).unwrap(),
            None => self.body.clone(),
        };
        let document = String::from_utf8(document).unwrap();
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        Some(text.into())
    }

    /// `STATUS CODE EC` of an error, `STATUS` of a success.
    pub(crate) fn summary(&self) -> String {
        let parts = [
            Some(self.status.to_string()),
            self.element("Code"),
            self.header("x-oss-ec").map(Into::into),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join(" ")
    }
}

/// Reads one answer, by its Content-Length.
pub(crate) async fn read_answer(stream: &mut TcpStream, head: bool) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut answer = Answer {
        status: status.parse().unwrap(),
        headers,
        body: bytes.split_off(end + 4),
    };
    let length = match answer.header("content-length") {
        Some(length) if !head => length.parse().unwrap(),
        _ => 0,
    };
    while answer.body.len() < length {
        if stream.read_buf(&mut answer.body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(answer)
}

fn encode(text: &str, keep_slash: bool) -> String {
    const STRICT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let encoded = utf8_percent_encode(text, STRICT).to_string();
    if keep_slash {
        return encoded.replace("%2F", "/");
    }
    encoded
}

fn query_text(query: &[(String, String)]) -> String {
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
        .collect();
    pairs.join("&")
}

pub(crate) fn md5(body: &[u8]) -> String {
    BASE64_STANDARD.encode(md5::Md5::digest(body))
}
