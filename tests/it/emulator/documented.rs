//! Every documented answer: `documented.jsonl` has a rule a line, with a request, the answer that OSS
//! documents, and where. What the documents leave open is in the table of the emulator's
//! documentation, and what it does there is checked all the same.
//!
//! A line has these fields:
//!
//! | field | meaning |
//! |---|---|
//! | `request` | method, bucket and key, and query; `{x*3}` stands for `xxx`, here and in values |
//! | `sign` | `v4` (the default), `v4-url`, `v1`, `v1-url` or `none` |
//! | `key` | `ID:SECRET[:TOKEN]` |
//! | `ahead` | how many seconds the client's clock is ahead |
//! | `server` | switches: `legacy`, `sealing`, `v1`, `public`, `archive`, `small`, `block` |
//! | `headers`, `body`, `unframed`, `host`, `hang_up` | of the request |
//! | `after` | `headers` and `query` to set, or with `null` to take away, when it has been signed |
//! | `expect` | status, and code and EC of an error |
//! | `message`, `message_has`, `elements` | of its document; an element that is `""` has any text |
//! | `header`, `header_has`, `body_is`, `body_has` | of the answer; a header that is `null` is missing |
//! | `open` | the words of the row in the table of open questions |
//! | `source` | where it is documented; `E` is the help page of an EC |

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use oss_append::emulator::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, Account, BucketRules, Emulator, EmulatorBuilder, REGION,
};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::raw::{Answer, BUCKET, Client, Request, Signing, append, read_answer};

const RULES: &str = include_str!("documented.jsonl");

/// The emulator's documentation, with the table of open questions.
const DOCUMENTATION: &str = include_str!("../../../src/emulator/mod.rs");

#[tokio::test]
async fn every_documented_rule_is_kept() {
    let mut wrong = Vec::new();
    for line in RULES.lines() {
        let rule = Rule(serde_json::from_str(line).unwrap());
        if let Err(error) = rule.check().await {
            let id = rule.text("id").unwrap();
            wrong.push(format!("{id} ({}): {error}", rule.text("rule").unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_an_id_of_its_own_and_a_source() {
    let mut ids = BTreeMap::new();
    for line in RULES.lines() {
        let rule = Rule(serde_json::from_str(line).unwrap());
        let (id, source) = (rule.text("id").unwrap(), rule.text("source").unwrap());
        assert!(!source.is_empty(), "{id}");
        assert_eq!(ids.insert(id.clone(), source), None, "{id} is there twice");
    }
    assert!(ids.len() > 136, "{}", ids.len());
}

#[test]
fn what_the_documents_leave_open_is_in_the_documentation() {
    let table: Vec<&str> = DOCUMENTATION
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .collect();
    for line in RULES.lines() {
        let rule = Rule(serde_json::from_str(line).unwrap());
        if let Some(open) = rule.text("open") {
            let found = table
                .iter()
                .any(|row| row.starts_with(&format!("//! | {open}")));
            assert!(found, "not in the table: {open}");
        }
    }
}

struct Rule(Value);

impl Rule {
    fn text(&self, field: &str) -> Option<String> {
        Some(expanded(self.0.get(field)?.as_str().unwrap()))
    }

    fn is(&self, field: &str) -> bool {
        self.0.get(field).is_some()
    }

    /// Names and values, of which `None` stands for `null`.
    fn pairs(&self, fields: &[&str]) -> Vec<(String, Option<String>)> {
        let found = fields
            .iter()
            .try_fold(&self.0, |value, field| value.get(field));
        let Some(found) = found else {
            return Vec::new();
        };
        let pairs = found.as_object().unwrap().iter();
        pairs
            .map(|(name, value)| (name.clone(), value.as_str().map(expanded)))
            .collect()
    }

    fn has_switch(&self, switch: &str) -> bool {
        let switches = self.0.get("server").and_then(Value::as_array);
        switches.is_some_and(|switches| switches.iter().any(|own| own == switch))
    }

    fn builder(&self) -> EmulatorBuilder {
        let mut builder = Emulator::builder()
            .bucket(BUCKET)
            .bucket_with("payers", BucketRules::new().requester_pays(true))
            .bucket_with("retention", BucketRules::new().retention(true))
            .bucket_with("versions", BucketRules::new().versioning(true))
            .bucket_with("worm", BucketRules::new().object_worm(true))
            .credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
            .sts("sts", "secret", "token")
            .expired_sts("old", "secret", "gone")
            .requester("requester", "secret");
        if self.has_switch("legacy") {
            builder = builder.account(Account::Legacy);
        }
        if self.has_switch("sealing") {
            builder = builder.sealing(true);
        }
        if self.has_switch("v1") {
            builder = builder.v1_signatures(true);
        }
        if self.has_switch("public") {
            builder = builder.block_public_access(false);
        }
        if self.has_switch("archive") {
            builder = builder.archive_direct_read(true);
        }
        if self.has_switch("small") {
            builder = builder.max_object_size(10);
        }
        builder
    }

    async fn check(&self) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = self.builder();
        if self.has_switch("block") {
            // What was made public before nothing could be.
            let before = Emulator::builder().account(Account::Legacy);
            let before = before.directory(directory.path()).start().await.unwrap();
            make_public(&before).await;
            before.shutdown().await;
            builder = builder.directory(directory.path());
        }
        let emulator = builder.start().await.unwrap();
        fill(&emulator).await;
        if self.has_switch("legacy") {
            make_public(&emulator).await;
        }
        let answer = self.ask(&emulator).await;
        self.compare(&answer)
    }

    async fn ask(&self, emulator: &Emulator) -> Answer {
        let mut client = Client::new(emulator.address());
        client.signing = match self.text("sign").as_deref() {
            None | Some("v4") => Signing::V4,
            Some("v4-url") => Signing::V4Query,
            Some("v1") => Signing::V1,
            Some("v1-url") => Signing::V1Query,
            Some(_) => Signing::None,
        };
        if let Some(key) = self.text("key") {
            let mut parts = key.split(':');
            client.id = parts.next().unwrap().into();
            client.secret = parts.next().unwrap().into();
            client.token = parts.next().map(Into::into);
        }
        if let Some(seconds) = self.0.get("ahead") {
            client.ahead = SignedDuration::from_secs(seconds.as_i64().unwrap());
        }
        let request = client.signed(self.request());
        let request = self.changed(request, &client);
        let mut bytes = client.head_text(&request).into_bytes();
        bytes.extend(self.text("body").unwrap_or_default().into_bytes());
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        if self.is("hang_up") {
            stream.shutdown().await.unwrap();
        }
        let head = self.text("request").unwrap().starts_with("HEAD");
        read_answer(&mut stream, head).await.unwrap()
    }

    fn request(&self) -> Request {
        let text = self.text("request").unwrap();
        let (method, target) = text.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let mut request = Request::new(method, key).bucket(bucket);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            request = request.query(name, value);
        }
        for (name, value) in self.pairs(&["headers"]) {
            request = request.header(&name, &value.unwrap());
        }
        if let Some(host) = self.text("host") {
            request = request.virtual_host(&host);
        }
        if self.is("unframed") {
            request = request.unframed();
        }
        match self.text("body") {
            Some(body) => request.body(body),
            None => request,
        }
    }

    /// The request with what is changed after it was signed.
    fn changed(&self, mut request: Request, client: &Client) -> Request {
        let date = (Timestamp::now() + client.ahead)
            .strftime("%Y%m%d")
            .to_string();
        let fill = |text: &str| {
            text.replace(
                "{scope}",
                &format!("{{id}}/{date}/{REGION}/oss/aliyun_v4_request"),
            )
            .replace("{id}", &client.id)
            .replace("{date}", &date)
            .replace("{signature}", &"0".repeat(64))
        };
        for (name, value) in self.pairs(&["after", "headers"]) {
            set(&mut request.headers, &name, value.map(|value| fill(&value)));
        }
        for (name, value) in self.pairs(&["after", "query"]) {
            set(&mut request.query, &name, value.map(|value| fill(&value)));
        }
        request
    }

    fn compare(&self, answer: &Answer) -> Result<(), String> {
        let same = |what: &str, expected: &str, found: &str| match expected == found {
            true => Ok(()),
            false => Err(format!("{what}: expected {expected:?}, found {found:?}")),
        };
        let whole = !self.is("body_is") && !self.is("body_has") && answer.status >= 400;
        let found = match whole {
            true => answer.summary(),
            false => answer.status.to_string(),
        };
        same("answer", &self.text("expect").unwrap(), &found)?;
        let message = || {
            let message = answer.element("Message").unwrap_or_default();
            message.replace("&apos;", "'")
        };
        if let Some(expected) = self.text("message") {
            same("message", &expected, &message())?;
        }
        if let Some(part) = self.text("message_has")
            && !message().contains(&part)
        {
            return Err(format!("{part:?} is not in the message {:?}", message()));
        }
        for (name, value) in self.pairs(&["elements"]) {
            match (answer.element(&name), value.unwrap()) {
                (None, _) => return Err(format!("no element {name}")),
                (Some(_), expected) if expected.is_empty() => {}
                (Some(found), expected) => same(&name, &expected, &found)?,
            }
        }
        for (name, value) in self.pairs(&["header"]) {
            match (answer.header(&name), value) {
                (None, None) => {}
                (Some(_), Some(expected)) if expected.is_empty() => {}
                (Some(found), Some(expected)) => same(&name, &expected, found)?,
                (found, _) => return Err(format!("the header {name} is {found:?}")),
            }
        }
        for (name, part) in self.pairs(&["header_has"]) {
            let found = answer.header(&name).unwrap_or_default();
            if !found.contains(&part.unwrap()) {
                return Err(format!("the header {name} is {found:?}"));
            }
        }
        let body = String::from_utf8_lossy(&answer.body);
        if let Some(expected) = self.text("body_is") {
            same("body", &expected, &body)?;
        }
        let parts = self.0.get("body_has").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            if !body.contains(part.as_str().unwrap()) {
                return Err(format!("{part} is not in the body {body:?}"));
            }
        }
        Ok(())
    }
}

/// The objects that rules speak of.
async fn fill(emulator: &Emulator) {
    for key in ["log", "sealed", "retained"] {
        emulator.append_foreign(BUCKET, key, "abc").unwrap();
    }
    emulator.seal(BUCKET, "sealed").unwrap();
    emulator.retain(BUCKET, "retained").unwrap();
    for bucket in [BUCKET, "payers"] {
        emulator.put(bucket, "normal", "hello").unwrap();
    }
    for (bucket, key) in [
        ("retention", "log"),
        ("versions", "log"),
        ("versions", "deleted"),
        ("versions", "replaced"),
    ] {
        emulator.append_foreign(bucket, key, "abc").unwrap();
    }
    emulator.delete("versions", "deleted").unwrap();
    emulator.put("versions", "replaced", "hello").unwrap();
    let archived = append("archived", 0, b"abc").header("x-oss-storage-class", "Archive");
    let client = Client::new(emulator.address());
    assert_eq!(client.send(archived).await.status, 200);
}

/// Makes the bucket `open` with the object `public`, for everybody.
async fn make_public(emulator: &Emulator) {
    let client = Client::new(emulator.address());
    let open = Request::new("PUT", "").bucket("open");
    let open = open.header("x-oss-acl", "public-read");
    assert_eq!(client.send(open).await.status, 200);
    let object = append("public", 0, b"x").bucket("open");
    assert_eq!(client.send(object).await.status, 200);
}

fn set(pairs: &mut Vec<(String, String)>, name: &str, value: Option<String>) {
    pairs.retain(|(own, _)| own != name);
    if let Some(value) = value {
        pairs.push((name.into(), value));
    }
}

/// Replaces `{x*3}` by `xxx`.
fn expanded(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else {
        return text.into();
    };
    let (inner, after) = rest.split_once('}').unwrap();
    let repeated = inner
        .rsplit_once('*')
        .and_then(|(part, times)| Some(part.repeat(times.parse().ok()?)));
    let inner = repeated.unwrap_or_else(|| format!("{{{inner}}}"));
    format!("{before}{inner}{}", expanded(after))
}
