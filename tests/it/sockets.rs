//! The promises over real sockets that break: between client and server stands a proxy that
//! spoils exchanges.
//!
//! The chaos tests run random programs against random faults of proxy and server, of a writer that
//! is alone and of several that share an object. `OSS_APPEND_CHAOS_RUNS` sets how many of each are
//! run (default 60 and 30), `OSS_APPEND_SEED` the first seed.

use std::time::Duration;

use fastrand::Rng;
use futures::stream::{self, StreamExt};
use oss_append::emulator::{
    Action, Emulator, EmulatorBuilder, ErrorAnswer, Fault, Late, Operation, Pipelining, Rest,
};
use oss_append::{
    Backoff, Checkpoint, Error, ErrorKind, Landed, OssAppendWriter, OssAppendWriterBuilder,
    OssClient,
};
use tokio::io::AsyncWriteExt;

use crate::support::emulated::{content, start};
use crate::support::proxy::{End, Fate, Proxy, page, replace};
use crate::support::{MS, SEC, bytes, ours};

const BATCH: usize = 100_000;

/// What is no HTTP, or none that anybody should believe.
const GARBAGE: [&str; 9] = [
    "SSH-2.0-OpenSSH_9.9\r\n",
    "\0\0\0\0\0\0\0\0",
    "220 mail.example.com ESMTP ready\r\n",
    "HTTP/1.1 twohundred OK\r\n\r\n",
    "HTTP/3.7 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
];

/// A writer that goes through the proxy, one append a batch.
fn through(proxy: &Proxy, emulator: &Emulator) -> OssAppendWriterBuilder<OssClient> {
    patient(proxy, emulator, 30 * SEC)
}

fn patient(
    proxy: &Proxy,
    emulator: &Emulator,
    attempt_timeout: Duration,
) -> OssAppendWriterBuilder<OssClient> {
    let client = emulator
        .client()
        .endpoint(proxy.url())
        .attempt_timeout(attempt_timeout)
        .build()
        .unwrap();
    OssAppendWriter::builder(client, crate::support::object())
        .backoff(Backoff::new(MS, 10 * MS))
        .batch_size(BATCH as u64)
        .max_append_size(BATCH as u64)
}

/// Each append meets its fate, and the object holds exactly what was written.
async fn survives(fates: Vec<Fate>) {
    survives_within(30 * SEC, fates).await;
}

async fn survives_within(attempt_timeout: Duration, fates: Vec<Fate>) {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let builder = patient(&proxy, &emulator, attempt_timeout);
    let mut writer = builder.open().await.unwrap();
    let data = bytes(BATCH * fates.len());
    for (number, (fate, batch)) in fates.into_iter().zip(data.chunks(BATCH)).enumerate() {
        proxy.on("POST", fate);
        writer.write_all(batch).await.unwrap();
        writer.sync().await.unwrap_or_else(|error| {
            panic!("fate {number}: {error}");
        });
        assert_eq!(proxy.pending(), 0, "fate {number} has struck");
        assert!(content(&emulator) == data[..(number + 1) * BATCH]);
    }
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
    assert_eq!(writer.stats().durable, data.len() as u64);
}

/// After a failure: what is durable is in the object, everything else is given back, and nothing
/// is there twice.
fn nothing_is_lost(writer: OssAppendWriter, emulator: &Emulator, accepted: &[u8]) {
    let durable = writer.durable_position() as usize;
    let unsent = writer.into_unsent().expect("a failed writer");
    let object = emulator.object("bucket", "object");
    let content = object.map(|object| object.bytes).unwrap_or_default();
    assert_eq!(unsent.position as usize, durable);
    assert!(unsent.chunks.concat() == accepted[durable..]);
    assert!(content.len() >= durable, "durable bytes are missing");
    assert!(content.len() - durable <= unsent.in_doubt as usize);
    assert!(accepted.starts_with(&content));
}

/// Two batches get through, then every request meets this fate until the writer gives up.
async fn fails(attempt_timeout: Duration, fate: Fate) -> Error {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = patient(&proxy, &emulator, attempt_timeout)
        .delivery_timeout(2 * SEC)
        .open()
        .await
        .unwrap();
    let data = bytes(3 * BATCH);
    writer.write_all(&data[..2 * BATCH]).await.unwrap();
    writer.sync().await.unwrap();
    proxy.always(move |_| fate.clone());
    writer.write_all(&data[2 * BATCH..]).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert_eq!(writer.durable_position(), 2 * BATCH as u64);
    nothing_is_lost(writer, &emulator, &data);
    error
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_body_loses_and_doubles_nothing() {
    let mut fates = Vec::new();
    for end in [End::Reset, End::Close, End::HalfClose] {
        for read in [0, 1, BATCH / 2, BATCH - 1, BATCH] {
            fates.push(Fate::lost(read, end));
        }
    }
    survives(fates).await;
}

#[tokio::test]
async fn an_answer_that_is_cut_anywhere_loses_and_doubles_nothing() {
    let mut fates = Vec::new();
    for end in [End::Reset, End::Close, End::HalfClose] {
        // In the status, in its line, in the headers.
        for keep in [0, 1, 10, 30, 100, 200] {
            fates.push(Fate::cut(keep, end));
        }
    }
    survives(fates).await;
}

#[tokio::test]
async fn a_request_or_answer_that_stalls_is_given_up_and_not_doubled() {
    let mut fates = Vec::new();
    for read in [0, 1, BATCH / 2, BATCH] {
        fates.push(Fate::lost(read, End::Stall));
    }
    for keep in [0, 1, 30, 100] {
        fates.push(Fate::cut(keep, End::Stall));
    }
    survives_within(200 * MS, fates).await;
}

#[tokio::test]
async fn a_body_that_nobody_takes_is_given_up_and_sent_again() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    // More than the sockets' buffers hold.
    let data = bytes(8_000_000);
    let mut writer = patient(&proxy, &emulator, 500 * MS)
        .batch_size(data.len() as u64)
        .max_append_size(data.len() as u64)
        .open()
        .await
        .unwrap();
    proxy.on("POST", Fate::lost(1000, End::Stall));
    writer.write_all(&data).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
}

#[tokio::test]
async fn connections_closed_between_requests_are_replaced() {
    let ends = [End::Close, End::Reset, End::HalfClose];
    let fates = ends.into_iter().cycle().take(9);
    survives(fates.map(|end| Fate::cut(usize::MAX, end)).collect()).await;
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let mut fates = Vec::new();
    for garbage in GARBAGE {
        fates.push(Fate::instead(garbage, End::Close));
        // Else the client might wait for the rest.
        if garbage.ends_with("\r\n\r\n") {
            fates.push(Fate::instead(garbage, End::Keep));
        }
    }
    let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(1_000_000);
    fates.push(Fate::instead(endless, End::Close));
    survives(fates).await;
}

#[tokio::test]
async fn an_append_whose_answer_was_garbled_is_not_doubled() {
    let spoils: [fn(Vec<u8>) -> Vec<u8>; 6] = [
        |_| GARBAGE[0].into(),
        |_| GARBAGE[3].into(),
        |_| GARBAGE[8].into(),
        |answer| {
            replace(
                answer,
                "x-oss-next-append-position: ",
                "x-oss-next-append-position: x",
            )
        },
        |answer| replace(answer, "x-oss-next-append-position", "x-oss-next"),
        |answer| replace(answer, "x-oss-hash-crc64ecma: ", "x-oss-hash-crc64ecma: -"),
    ];
    survives(spoils.map(|spoil| Fate::changed(spoil, End::Close)).into()).await;
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_counts() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = through(&proxy, &emulator).open().await.unwrap();
    proxy.always(|_| Fate::Trickle);
    for _ in 0..2 {
        writer.write_all(b"slow but sure ").await.unwrap();
        writer.sync().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(content(&emulator), b"slow but sure slow but sure ");
    assert_eq!(proxy.struck(), ["POST", "POST"], "no look was needed");
}

#[tokio::test]
async fn an_answer_with_a_wrong_length_still_counts_once() {
    let spoils: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |answer| replace(answer, "content-length: 0", "content-length: 10"),
        |answer| {
            replace(
                answer,
                "content-length: 0",
                "content-length: 18446744073709551615",
            )
        },
        |answer| replace(answer, "content-length: 0", "content-length: zero"),
        |answer| replace(answer, "content-length: 0\r\n", ""),
        |answer| [answer, b"what nobody has announced".into()].concat(),
    ];
    let mut fates: Vec<Fate> = spoils.map(|spoil| Fate::changed(spoil, End::Close)).into();
    // The rest of the answer is waited for, but not for ever.
    fates.push(Fate::changed(spoils[0], End::Keep));
    fates.push(Fate::changed(spoils[4], End::Keep));
    survives(fates).await;
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_is_not_taken_for_the_next() {
    // The same answer twice: the second, if it counted, would name an old position.
    let twice = |answer: Vec<u8>| [answer.clone(), answer].concat();
    survives(vec![
        Fate::changed(twice, End::Keep),
        Fate::Pass,
        Fate::Pass,
    ])
    .await;
}

#[tokio::test]
async fn informational_answers_do_not_count() {
    let early = |answer: Vec<u8>| {
        let informational = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
            x-oss-next-append-position: 1\r\nx-oss-hash-crc64ecma: 1\r\n\r\n";
        [informational.as_bytes(), &answer].concat()
    };
    survives(vec![Fate::changed(early, End::Keep), Fate::Pass]).await;
    let endless = [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
            "x".repeat(1024)
        ),
    ];
    let fates = endless.map(|piece| Fate::Endless(piece.into()));
    survives_within(300 * MS, fates.into()).await;
}

#[tokio::test]
async fn a_page_of_a_gateway_that_failed_is_survived() {
    let mut fates = Vec::new();
    for status in [
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
    ] {
        for end in [End::Keep, End::Close] {
            fates.push(Fate::instead(page(status, ""), end));
            // Before the body was read: the client may see a reset instead.
            fates.push(Fate::Swallow {
                read: 0,
                answer: page(status, ""),
                end: End::Close,
            });
        }
    }
    fates.push(Fate::changed(|_| page("502 Bad Gateway", ""), End::Keep));
    fates.push(Fate::changed(
        |_| page("504 Gateway Timeout", ""),
        End::Close,
    ));
    // The page itself is cut.
    fates.push(Fate::Spoil {
        change: |_| page("504 Gateway Timeout", ""),
        keep: 90,
        end: End::Close,
    });
    survives(fates).await;
}

#[tokio::test]
async fn a_page_of_a_proxy_that_refuses_ends_the_writer_and_keeps_its_bytes() {
    for status in ["403 Forbidden", "407 Proxy Authentication Required"] {
        let error = fails(30 * SEC, Fate::instead(page(status, ""), End::Keep)).await;
        let said = error.service_error().expect("an answer");
        assert_eq!(said.status.to_string(), status[..3]);
        assert!(said.code.is_empty());
        // The look is answered by the same page, and who knows what became of the append?
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        let append = std::error::Error::source(&error).expect("what made us look");
        assert!(append.to_string().contains("text/html"), "{append}");
    }
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let emulator = start().await;
    let elsewhere = Proxy::start(&emulator).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/bucket/object?append\r\n", elsewhere.url());
        let redirect = Fate::instead(page(&format!("{status} Away"), &location), End::Keep);

        let error = fails(30 * SEC, redirect.clone()).await;
        // The look is answered by the same page, and who knows what became of the append?
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        assert_redirect(&error, status, &elsewhere);

        let proxy = Proxy::start(&emulator).await;
        proxy.always(move |_| redirect.clone());
        let error = through(&proxy, &emulator).open().await.unwrap_err();
        assert_redirect(&error, status, &elsewhere);
    }
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(emulator.requests().len(), 0);
}

fn assert_redirect(error: &Error, status: u16, elsewhere: &Proxy) {
    let said = error.service_error().expect("an answer");
    assert_eq!(said.status, status);
    assert!(error.to_string().contains(&elsewhere.url()), "{error}");
    assert!(!error.to_string().contains("?append"), "{error}");
}

#[tokio::test]
async fn a_read_back_that_is_cut_or_garbled_is_repeated() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = patient(&proxy, &emulator, SEC).open().await.unwrap();
    let data = bytes(3 * BATCH);
    writer.write_all(&data[..BATCH]).await.unwrap();
    writer.sync().await.unwrap();

    // Without a checksum only the bytes themselves can tell.
    emulator.inject(Fault::new(Operation::HeadObject, Action::NoCrc).forever());
    proxy.on("POST", Fate::cut(0, End::Close));
    proxy.on("GET", Fate::cut(0, End::Reset));
    proxy.on("GET", Fate::cut(1000, End::Close));
    proxy.on("GET", Fate::cut(60_000, End::Reset));
    proxy.on("GET", Fate::cut(60_000, End::Stall));
    let shorter = |answer| replace(answer, "content-length: 1", "content-length: ");
    proxy.on("GET", Fate::changed(shorter, End::Close));
    proxy.on("GET", Fate::instead(page("502 Bad Gateway", ""), End::Keep));
    proxy.on("GET", Fate::instead(page("200 OK", ""), End::Keep));
    let longer = |answer| replace(answer, "content-length: 1", "content-length: 11");
    proxy.on("GET", Fate::changed(longer, End::Close));
    writer.write_all(&data[BATCH..2 * BATCH]).await.unwrap();
    writer.sync().await.unwrap();
    assert_eq!(proxy.pending(), 0);

    writer.write_all(&data[2 * BATCH..]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(&emulator) == data);
}

#[tokio::test]
async fn looks_that_break_are_repeated() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = patient(&proxy, &emulator, SEC).open().await.unwrap();
    proxy.on("POST", Fate::cut(0, End::Reset));
    for end in [End::Reset, End::Close, End::HalfClose, End::Stall] {
        proxy.on("HEAD", Fate::lost(0, end));
        proxy.on("HEAD", Fate::cut(60, end));
    }
    proxy.on("HEAD", Fate::instead(GARBAGE[0], End::Close));
    proxy.on(
        "HEAD",
        Fate::instead(page("503 Service Unavailable", ""), End::Close),
    );
    // Success, but of whom?
    proxy.on("HEAD", Fate::instead(GARBAGE[8], End::Keep));
    writer.write_all(b"once").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(proxy.pending(), 0);
    assert_eq!(content(&emulator), b"once");
}

#[tokio::test]
async fn a_page_of_a_login_portal_is_not_the_object() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    // Not even where the first bytes are read back.
    emulator.inject(Fault::new(Operation::HeadObject, Action::NoCrc).forever());
    let portal = || Fate::instead(page("200 OK", ""), End::Close);
    proxy.on("HEAD", portal());
    proxy.on("POST", portal());
    proxy.on("HEAD", portal());
    let mut writer = through(&proxy, &emulator).open().await.unwrap();
    writer.write_all(b"once ").await.unwrap();
    writer.sync().await.unwrap();
    proxy.on("POST", Fate::cut(0, End::Close));
    proxy.on("HEAD", portal());
    proxy.on("GET", portal());
    writer.write_all(b"and again").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(proxy.pending(), 0);
    assert_eq!(content(&emulator), b"once and again");
}

#[tokio::test]
async fn what_came_twice_and_cannot_be_looked_for_is_in_doubt() {
    let emulator = start().await;
    let proxy = Proxy::start(&emulator).await;
    let mut writer = patient(&proxy, &emulator, 30 * SEC)
        .delivery_timeout(SEC)
        .open()
        .await
        .unwrap();
    let data = bytes(BATCH);
    // The first is applied, and the answer is that of the second, which is refused.
    proxy.always(|method| match method {
        "POST" => Fate::Twice,
        _ => Fate::lost(0, End::Reset),
    });
    writer.write_all(&data).await.unwrap();
    let error = writer.sync().await.unwrap_err();
    assert!(exhausted(&error), "{error}");
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    assert!(content(&emulator) == data);
    nothing_is_lost(writer, &emulator, &data);
}

#[tokio::test]
async fn what_never_gets_through_is_given_back() {
    let fates = [
        Fate::lost(0, End::Reset),
        Fate::lost(BATCH / 2, End::Close),
        Fate::lost(BATCH, End::HalfClose),
        Fate::lost(0, End::Stall),
        Fate::cut(0, End::Close),
        Fate::cut(40, End::Reset),
        Fate::cut(40, End::Stall),
        Fate::instead(GARBAGE[0], End::Close),
        Fate::instead(page("502 Bad Gateway", ""), End::Keep),
    ];
    // On the heap: together they are too large for the stack of a test.
    let failures = fates.map(|fate| Box::pin(fails(500 * MS, fate)));
    for error in futures::future::join_all(failures).await {
        assert!(
            matches!(error.kind(), ErrorKind::RetriesExhausted { .. }),
            "{error}"
        );
        assert_eq!(error.landed(), Some(Landed::InDoubt));
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

#[tokio::test]
async fn chaos() {
    repeat("chaos", 60, run).await;
}

/// Several appends under way at a time.
#[tokio::test]
async fn chaos_ahead() {
    repeat("chaos_ahead", 60, run_ahead).await;
}

#[tokio::test]
async fn chaos_shared() {
    repeat("chaos_shared", 30, run_shared).await;
}

/// Runs one seed after the other, some at a time.
async fn repeat<F>(test: &str, default: u64, run: fn(u64, reqwest::Client) -> F)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let first = from_env("OSS_APPEND_SEED", 1);
    let count = from_env("OSS_APPEND_CHAOS_RUNS", default);
    // One client for all: to set one up takes longer than a run.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .unwrap();
    let runs = (first..first + count).map(|seed| {
        let run = tokio::spawn(run(seed, http.clone()));
        async move {
            run.await.unwrap_or_else(|panic| {
                eprintln!(
                    "reproduce: OSS_APPEND_SEED={seed} OSS_APPEND_CHAOS_RUNS=1 cargo test --test it \
                     -- --exact sockets::{test}"
                );
                std::panic::resume_unwind(panic.into_panic());
            })
        }
    });
    // Most of a run is waiting.
    let outcomes: Vec<Outcome> = stream::iter(runs).buffer_unordered(16).collect().await;
    let failed = outcomes.iter().filter(|run| !run.succeeded).count() as u64;
    let struck: u64 = outcomes.iter().map(|run| run.struck).sum();
    println!("{test}: {count} runs, {failed} failed as they should, {struck} faults struck");
    if count >= 30 {
        assert!(failed > 0 && failed < count && struck > count);
    }
}

struct Outcome {
    succeeded: bool,
    struck: u64,
}

/// One object, its writers, and the trouble that they have.
struct Chaos {
    rng: Rng,
    /// Nothing gets through at all.
    doomed: bool,
    emulator: Emulator,
    proxy: Proxy,
    http: reqwest::Client,
    /// All that was accepted so far, in order.
    accepted: Vec<u8>,
    /// Whether somebody else may have appended.
    foreign: bool,
    attempt_timeout: Duration,
    delivery_timeout: Duration,
    max_in_flight: u16,
    /// Not through the proxy.
    direct: bool,
}

/// What somebody else appends, and no writer of these tests.
const FOREIGN: u8 = 0xff;

async fn run(seed: u64, http: reqwest::Client) -> Outcome {
    live(Chaos::new(seed, http).await).await
}

async fn run_ahead(seed: u64, http: reqwest::Client) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let mut server = Emulator::builder();
    // Of the proxy, each request has a connection of its own to the server.
    let direct = rng.bool();
    if direct {
        server = server.pipelining(match rng.u8(..6) {
            0 => Pipelining::AtOnce,
            1 => Pipelining::Swapped,
            2 => Pipelining::Unanswered,
            _ => Pipelining::InOrder,
        });
        if rng.u8(..4) == 0 {
            server = server.max_requests_per_connection(rng.u64(1..10));
        }
    }
    let mut chaos = Chaos::of(server, seed, http).await;
    chaos.direct = direct;
    chaos.max_in_flight = chaos.rng.u16(2..9);
    live(chaos).await
}

async fn live(mut chaos: Chaos) -> Outcome {
    chaos.trouble(false);
    let mut succeeded = true;
    for life in 0..1 + chaos.rng.usize(..3) {
        if !chaos.life(life).await {
            succeeded = false;
            break;
        }
    }
    let struck = chaos.struck();
    chaos.aftermath().await;
    Outcome { succeeded, struck }
}

impl Chaos {
    async fn new(seed: u64, http: reqwest::Client) -> Self {
        Self::of(Emulator::builder(), seed, http).await
    }

    async fn of(server: EmulatorBuilder, seed: u64, http: reqwest::Client) -> Self {
        let emulator = server.bucket("bucket").start().await.unwrap();
        let proxy = Proxy::start(&emulator).await;
        Self {
            rng: Rng::with_seed(seed),
            doomed: seed % 15 == 7,
            emulator,
            proxy,
            http,
            accepted: Vec::new(),
            foreign: false,
            attempt_timeout: 300 * MS,
            delivery_timeout: 10 * SEC,
            max_in_flight: 1,
            direct: false,
        }
    }

    /// How many faults have struck.
    fn struck(&self) -> u64 {
        self.emulator.faults().struck() + self.proxy.struck().len() as u64
    }

    /// Lays out the faults.
    fn trouble(&mut self, shared: bool) {
        let rng = &mut self.rng;
        for _ in 0..rng.usize(..6) {
            let action = match action(rng) {
                // Impossible by OSS's rule, and only an exclusive writer puts up with it.
                Action::Torn(_) if shared => Action::Drop,
                action => action,
            };
            let fault = Fault::new(operation(rng), action);
            self.emulator.inject(fault.skip(rng.u64(..6)));
        }
        // Rarely where it is a conflict, so that most runs succeed.
        if rng.u8(..12) == 0 || (shared && rng.bool()) {
            let bytes = vec![FOREIGN; rng.usize(1..300)];
            let action = match rng.bool() {
                true => Action::ForeignBefore(bytes.into()),
                false => Action::ForeignAfter(bytes.into()),
            };
            let fault = Fault::new(Operation::AppendObject, action);
            self.emulator.inject(fault.skip(rng.u64(..6)));
            self.foreign = true;
        }
        // In a hopeless run nothing gets through any more after a while.
        let hopeless = rng.u8(..12) == 0 || self.doomed;
        let lucky = rng.usize(1..12);
        let mut lucky = if self.doomed { 1 } else { lucky };
        let chance = [0.0, 0.1, 0.3][rng.usize(..3)];
        // Stalls cost time: only a few.
        let mut stalls = 2;
        let mut rng = rng.fork();
        if hopeless {
            self.delivery_timeout = SEC;
        }
        self.proxy.always(move |method| {
            lucky = lucky.saturating_sub(1);
            if rng.f64() >= chance && !(hopeless && lucky == 0) {
                return Fate::Pass;
            }
            let fate = match fate(method, &mut rng) {
                // Where others append too, a refusal because of the position is believed.
                Fate::Twice if shared => return Fate::Pass,
                fate => fate,
            };
            if fate.stalls() {
                if stalls == 0 {
                    return Fate::cut(0, End::Close);
                }
                stalls -= 1;
            }
            fate
        });
    }

    fn builder(&mut self) -> OssAppendWriterBuilder<OssClient> {
        let client = match self.direct {
            true => self.emulator.client(),
            false => self.emulator.client().endpoint(self.proxy.url()),
        };
        let client = match self.max_in_flight {
            1 => client.http_client(self.http.clone()),
            // Lanes need a client that knows how it connects.
            _ => client,
        };
        let client = client.attempt_timeout(self.attempt_timeout).build();
        let client = client.unwrap();
        let batch_size = self.rng.u64(1..2000);
        let max_append_size = batch_size + self.rng.u64(..2000);
        OssAppendWriter::builder(client, crate::support::object())
            .backoff(Backoff::new(MS, 10 * MS))
            .delivery_timeout(self.delivery_timeout)
            .batch_size(batch_size)
            .max_append_size(max_append_size)
            .buffer_capacity(2 * max_append_size + self.rng.u64(..2000))
            .linger(self.rng.u32(..20) * MS)
            .max_in_flight(self.max_in_flight)
    }

    /// Opens the object, writes, and shuts down. False if the writer failed.
    async fn life(&mut self, life: usize) -> bool {
        let replay = life > 0 && self.rng.bool();
        let builder = match replay {
            true => self
                .builder()
                .replay(Checkpoint::start(crate::support::object())),
            false => self.builder(),
        };
        let mut writer = match builder.open().await {
            Ok(writer) => writer,
            Err(error) => {
                assert!(exhausted(&error), "{error}");
                return false;
            }
        };
        if !replay && writer.position() != self.accepted.len() as u64 {
            assert!(self.foreign, "opened at {}", writer.position());
            return false;
        }
        let old = match replay {
            true => self.accepted.clone(),
            false => Vec::new(),
        };
        let outcome = async {
            for piece in old.chunks(1000) {
                writer.write_all(piece).await?;
            }
            for _ in 0..self.rng.usize(1..15) {
                self.step(&mut writer).await?;
            }
            writer.shutdown().await
        };
        match outcome.await {
            Ok(()) => {
                self.is_there("shutdown");
                assert_eq!(writer.stats().durable, writer.stats().accepted);
                true
            }
            Err(error) => {
                self.failed(writer, &error, replay);
                false
            }
        }
    }

    /// One step of a program. Adds what is accepted.
    async fn step(&mut self, writer: &mut OssAppendWriter) -> Result<(), Error> {
        let len = self.rng.usize(..3000);
        let before = writer.position();
        match self.rng.u8(..10) {
            0..5 => {
                let piece: Vec<u8> = (0..len).map(|_| self.rng.u8(..FOREIGN)).collect();
                let patience = Duration::from_millis(self.rng.u64(..30));
                // Given up: what was accepted until then counts.
                let write = tokio::time::timeout(patience, writer.write_all(&piece));
                let done = write.await;
                let taken = (writer.position() - before) as usize;
                self.accepted.extend_from_slice(&piece[..taken]);
                match done {
                    Ok(done) => done?,
                    Err(_) => return Ok(()),
                }
                assert_eq!(taken, len);
            }
            5 => {
                let piece: Vec<u8> = (0..len).map(|_| self.rng.u8(..FOREIGN)).collect();
                let done = writer.write_bytes(piece.clone().into()).await;
                let taken = (writer.position() - before) as usize;
                self.accepted.extend_from_slice(&piece[..taken]);
                done?;
            }
            6 => {
                writer.flush().await?;
                self.is_there("flush");
            }
            7 => {
                writer.sync().await?;
                self.is_there("sync");
            }
            8 if self.rng.u8(..4) == 0 => {
                self.emulator.pause().await;
                tokio::time::sleep(10 * MS).await;
                self.emulator.resume().await.unwrap();
            }
            _ => {
                self.emulator.release().await;
            }
        }
        Ok(())
    }

    fn content(&self) -> Vec<u8> {
        let object = self.emulator.object("bucket", "object");
        object.map_or_else(Vec::new, |object| object.bytes.to_vec())
    }

    /// After a success: the object holds exactly what was accepted.
    fn is_there(&self, call: &str) {
        let content = self.content();
        assert!(content.starts_with(&self.accepted), "{call} succeeded");
        let behind = &content[self.accepted.len()..];
        assert!(behind.iter().all(|byte| *byte == FOREIGN), "doubled");
        assert!(self.foreign || behind.is_empty());
    }

    /// After a failure: nothing is lost, and nothing is there twice.
    fn failed(&mut self, writer: OssAppendWriter, error: &Error, replay: bool) {
        match error.kind() {
            ErrorKind::Conflict(_) | ErrorKind::ReplayDiffers { .. } => {
                assert!(self.foreign, "{error}");
            }
            _ => assert!(exhausted(error), "{error}"),
        }
        let durable = writer.durable_position() as usize;
        let unsent = writer.into_unsent().expect("a failed writer");
        let position = unsent.position as usize;
        assert!(position == durable || replay);
        assert!(unsent.chunks.concat() == self.accepted[position..]);
        let content = self.content();
        assert!(content.starts_with(&self.accepted[..durable]), "{error}");
        if !self.foreign && !replay {
            let more = content.len() - durable;
            let doubt = unsent.in_doubt;
            assert!(
                more as u64 <= doubt,
                "{more} more bytes, {doubt} in doubt: {error:?}"
            );
        }
    }

    /// Ends all trouble.
    async fn calm(&mut self) {
        // However slow the machine is. A pooled connection may be one that stalls.
        self.attempt_timeout = 3 * SEC;
        self.delivery_timeout = 120 * SEC;
        self.emulator.faults().clear();
        self.proxy.always(|_| Fate::Pass);
        self.emulator.release().await;
    }

    /// All trouble is over: what was accepted can be completed by a replay.
    async fn aftermath(mut self) {
        self.calm().await;
        let content = self.content();
        if content.contains(&FOREIGN) {
            return;
        }
        assert!(self.accepted.starts_with(&content), "doubled or torn");
        let builder = self
            .builder()
            .replay(Checkpoint::start(crate::support::object()));
        let mut writer = builder.open().await.unwrap();
        writer.write_all(&self.accepted).await.unwrap();
        writer.shutdown().await.unwrap();
        self.is_there("replay");
        self.emulator.shutdown().await;
    }
}

/// The longest record of a writer that shares its object.
const RECORD: usize = 1500;

/// Several writers share one object, and then one more.
async fn run_shared(seed: u64, http: reqwest::Client) -> Outcome {
    let mut chaos = Chaos::new(seed, http).await;
    chaos.trouble(true);
    let writers = (0..2 + chaos.rng.usize(..3)).map(|id| {
        let builder = chaos.shared_builder();
        Sharer::new(id, chaos.rng.fork(), builder)
    });
    let mut writers: Vec<Sharer> = writers.collect();
    let lives = writers
        .iter_mut()
        .map(|writer| writer.live(&chaos.emulator));
    futures::future::join_all(lives).await;
    let succeeded = writers.iter().all(|writer| writer.failure.is_none());
    let struck = chaos.struck();

    // What is behind it leaves no place for an append that is still under way.
    chaos.calm().await;
    let (rng, builder) = (chaos.rng.fork(), chaos.shared_builder());
    let mut last = Sharer::new(writers.len(), rng, builder);
    last.live(&chaos.emulator).await;
    assert!(last.failure.is_none(), "{:?}", last.failure);
    writers.push(last);

    // Foreign bytes stand between records, never within one.
    let content = chaos.content();
    let parts = content.split(|byte| *byte == FOREIGN);
    let records: Vec<&[u8]> = parts
        .flat_map(|part| part.split_inclusive(|byte| *byte == b'\n'))
        .collect();
    let mut known = 0;
    for writer in &writers {
        let own = format!("{}:", writer.id);
        let own = records
            .iter()
            .filter(|record| record.starts_with(own.as_bytes()));
        let landed: Vec<&[u8]> = own.copied().collect();
        known += landed.len();
        writer.check(&landed);
    }
    let others = records.iter().filter(|record| !record.is_empty()).count() - known;
    assert_eq!(others, 0, "torn records");
    chaos.emulator.shutdown().await;
    Outcome { succeeded, struck }
}

impl Chaos {
    fn shared_builder(&mut self) -> OssAppendWriterBuilder<OssClient> {
        let most = (RECORD + self.rng.usize(..2000)) as u64;
        self.builder()
            .shared(true)
            .batch_size(self.rng.u64(1..most))
            .max_append_size(most)
            .buffer_capacity(2 * most)
    }
}

/// One of the writers of an object, and what became of it.
struct Sharer {
    id: usize,
    rng: Rng,
    builder: Option<OssAppendWriterBuilder<OssClient>>,
    /// Its records that were accepted, in order.
    accepted: Vec<Vec<u8>>,
    /// How many of their bytes are durable, and how many of the next may be.
    durable: usize,
    in_doubt: usize,
    failure: Option<Error>,
}

impl Sharer {
    fn new(id: usize, rng: Rng, builder: OssAppendWriterBuilder<OssClient>) -> Self {
        Self {
            id,
            rng,
            builder: Some(builder),
            accepted: Vec::new(),
            durable: 0,
            in_doubt: 0,
            failure: None,
        }
    }

    /// Opens the object, writes records, and shuts down.
    async fn live(&mut self, emulator: &Emulator) {
        let builder = self.builder.take().expect("the first life");
        let mut writer = match builder.open().await {
            Ok(writer) => writer,
            Err(error) => {
                assert!(exhausted(&error), "{error}");
                self.failure = Some(error);
                return;
            }
        };
        let start = writer.position();
        let outcome = async {
            for number in 0..self.rng.usize(1..15) {
                self.step(&mut writer, number, emulator).await?;
                let accepted: usize = self.accepted.iter().map(Vec::len).sum();
                assert_eq!((writer.position() - start) as usize, accepted);
            }
            writer.shutdown().await
        };
        let outcome = outcome.await;
        self.durable = (writer.durable_position() - start) as usize;
        if let Err(error) = outcome {
            assert!(exhausted(&error), "{error}");
            self.failure = Some(error);
            let unsent = writer.into_unsent().expect("a failed writer");
            let rest = self.accepted.concat().split_off(self.durable);
            assert!(unsent.chunks.concat() == rest, "not given back");
            self.in_doubt = unsent.in_doubt as usize;
        }
    }

    /// One step of a program. Adds the record if it is accepted.
    async fn step(
        &mut self,
        writer: &mut OssAppendWriter,
        number: usize,
        emulator: &Emulator,
    ) -> Result<(), Error> {
        let mut record = format!("{}:{number}:", self.id).into_bytes();
        record.resize(self.rng.usize(record.len()..RECORD - 1), b'x');
        record.push(b'\n');
        match self.rng.u8(..10) {
            0..3 => {
                let patience = Duration::from_millis(self.rng.u64(..30));
                // Given up, it is not accepted.
                let write = tokio::time::timeout(patience, writer.write(&record));
                if let Ok(written) = write.await {
                    assert_eq!(written.map_err(ours)?, record.len(), "a part was accepted");
                    self.accepted.push(record);
                }
            }
            3..6 => {
                writer.write_bytes(record.clone().into()).await?;
                self.accepted.push(record);
            }
            6 => {
                writer.flush().await?;
                assert_eq!(writer.durable_position(), writer.position());
            }
            7 => {
                writer.sync().await?;
                assert_eq!(writer.durable_position(), writer.position());
            }
            8 if self.id == 0 && self.rng.u8(..4) == 0 => {
                emulator.pause().await;
                tokio::time::sleep(10 * MS).await;
                emulator.resume().await.unwrap();
            }
            _ => {
                emulator.release().await;
            }
        }
        Ok(())
    }

    /// Of its records those that are in the object: all that are durable, no other but those in
    /// doubt, each whole, once, and in order.
    fn check(&self, landed: &[&[u8]]) {
        let (id, failure) = (self.id, &self.failure);
        let (landed, accepted) = (landed.concat(), self.accepted.concat());
        assert!(
            accepted.starts_with(&landed),
            "writer {id}: torn, doubled or moved"
        );
        assert!(
            landed.len() >= self.durable,
            "writer {id}: durable bytes are missing"
        );
        let more = landed.len() - self.durable;
        assert!(
            more <= self.in_doubt,
            "writer {id}: {more} more bytes, {failure:?}"
        );
        assert!(
            failure.is_some() || landed == accepted,
            "writer {id}: not everything"
        );
    }
}

fn exhausted(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::RetriesExhausted { .. })
}

fn operation(rng: &mut Rng) -> Operation {
    match rng.u8(..4) {
        0 => Operation::HeadObject,
        1 => Operation::GetObject,
        _ => Operation::AppendObject,
    }
}

/// Any trouble of the server that a writer has to survive.
fn action(rng: &mut Rng) -> Action {
    let failed = || ErrorAnswer::new(500);
    match rng.u8(..25) {
        0 => Action::Drop,
        1 => Action::DropAnswer,
        2 => Action::ApplyLate(Late::Release),
        3 => Action::ApplyLate(Late::After(rng.u32(..30) * MS)),
        4 => Action::Hold,
        5 => Action::HoldAnswer,
        6 => Action::Error(failed()),
        7 => Action::ErrorAfter(failed()),
        8 => Action::Error(ErrorAnswer::new(503).qos_delay(100 * MS)),
        9 => Action::ErrorAfter(ErrorAnswer::new(503).qos_delay(20 * MS)),
        10 => Action::Error(ErrorAnswer::new(429)),
        11 => Action::NoCrc,
        12 => Action::NoPosition,
        13 => Action::Torn(rng.u64(..2000)),
        14 => Action::ResetBody(rng.u64(..2000)),
        15 => Action::Stall,
        16 => Action::StallAnswer,
        17 => Action::Truncate(rng.u64(..200)),
        18 => Action::BadGateway,
        19 => Action::BadGatewayAfter,
        20 => Action::GatewayTimeout(Late::After(rng.u32(..30) * MS)),
        21 => Action::Close([Rest::Drop, Rest::Apply, Rest::Answer][rng.usize(..3)]),
        22 => Action::RefuseEarly(failed()),
        23 => Action::RequestTimeout,
        _ => Action::Delay(rng.u32(..30) * MS),
    }
}

/// Any trouble of the proxy that a writer has to survive.
fn fate(method: &str, rng: &mut Rng) -> Fate {
    let ends = [
        End::Close,
        End::Reset,
        End::HalfClose,
        End::Close,
        End::Reset,
        End::Stall,
    ];
    let end = ends[rng.usize(..ends.len())];
    match rng.u8(..9) {
        0 | 1 => Fate::lost(rng.usize(..2000), end),
        2 | 3 => Fate::cut(rng.usize(..300), end),
        4 => Fate::cut(usize::MAX, End::Close),
        5 => Fate::instead(GARBAGE[rng.usize(..GARBAGE.len())], End::Close),
        6 => {
            let pages = ["502 Bad Gateway", "504 Gateway Timeout", "200 OK"];
            let page = page(pages[rng.usize(..pages.len())], "");
            // A HEAD's answer has no body, and the connection is not in step any more.
            match method {
                "HEAD" => Fate::instead(page, End::Close),
                _ => Fate::instead(page, End::Keep),
            }
        }
        7 if method == "POST" => Fate::Twice,
        _ => Fate::changed(|_| page("502 Bad Gateway", ""), End::Close),
    }
}
