//! Requests on one connection that do not wait for the answers of those ahead, and what servers and
//! proxies do to them.

use std::io::ErrorKind;
use std::time::Duration;

use oss_append::emulator::{
    Action, Emulator, EmulatorBuilder, ErrorAnswer, Fault, Late, Operation, Pipelining, Rest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{BUCKET, Client, Request, append};

const WATCHDOG: Duration = Duration::from_secs(60);

/// On the runtime of the test, so that a server and its client take turns: what is behind a request
/// has come when that is answered.
async fn start(builder: EmulatorBuilder) -> (Emulator, Client) {
    let builder = builder.bucket(BUCKET).on_current_runtime();
    let emulator = builder.start().await.unwrap();
    let client = Client::new(emulator.address());
    (emulator, client)
}

/// Strikes the append behind `skip` others.
fn strike(action: Action, skip: u64) -> EmulatorBuilder {
    Emulator::builder().fault(Fault::new(Operation::AppendObject, action).skip(skip))
}

/// A connection with these requests under way, which were sent in one go.
async fn send(client: &Client, requests: impl IntoIterator<Item = Request>) -> Connection {
    let mut connection = Connection::open(client).await;
    connection.send(client, requests).await;
    connection
}

/// Appends of one byte each, `1`, `2` and so on, at these positions.
fn appends(positions: impl IntoIterator<Item = u64>) -> impl Iterator<Item = Request> {
    (b'1'..)
        .zip(positions)
        .map(|(body, position)| append("k", position, &[body]))
}

struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    async fn open(client: &Client) -> Self {
        let stream = TcpStream::connect(client.address).await.unwrap();
        let bytes = Vec::new();
        Self { stream, bytes }
    }

    async fn send(&mut self, client: &Client, requests: impl IntoIterator<Item = Request>) {
        let bytes: Vec<u8> = requests
            .into_iter()
            .flat_map(|request| client.render(request))
            .collect();
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// Waits for the next answer; `None` if the connection ends before it is whole. It is its
    /// status, its next position, and whether it announces the end.
    async fn answer(&mut self) -> Option<String> {
        loop {
            if let Some((answer, length)) = parse(&self.bytes) {
                self.bytes.drain(..length);
                return Some(answer);
            }
            // An end or a reset.
            if !matches!(soon(self.stream.read_buf(&mut self.bytes)).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// The answers until the connection ends.
    async fn answers(mut self) -> Vec<String> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    /// The answers, when nothing more is sent.
    async fn all_answers(mut self) -> Vec<String> {
        self.stream.shutdown().await.unwrap();
        self.answers().await
    }
}

/// The answer that begins `bytes`, if it is all there, and its length.
fn parse(bytes: &[u8]) -> Option<(String, usize)> {
    let head = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let text = str::from_utf8(&bytes[..head]).unwrap();
    let header = |wanted| {
        let named = text.lines().filter_map(|line| line.split_once(": "));
        named
            .filter(|(name, _)| *name == wanted)
            .map(|(_, v)| v)
            .next()
    };
    let body: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    let parts = [
        text.split(' ').nth(1),
        header("x-oss-next-append-position"),
        header("connection"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let length = head + body;
    (bytes.len() >= length).then(|| (parts.join(" "), length))
}

fn stored(emulator: &Emulator, key: &str) -> String {
    let object = emulator.object(BUCKET, key);
    String::from_utf8(object.map_or(Vec::new(), |object| object.bytes.to_vec())).unwrap()
}

/// The bodies of the appends that the server received, by their positions, with their statuses.
fn carried_out(emulator: &Emulator) -> Vec<(Option<u64>, Option<u16>)> {
    let requests = emulator.requests();
    requests.iter().map(|r| (r.position, r.status)).collect()
}

/// Waits for something, and fails where it would wait for ever.
async fn soon<T>(something: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(WATCHDOG, something).await;
    waited.expect("it never comes")
}

/// Waits until the object has this length.
async fn grown(emulator: &Emulator, length: u64) {
    soon(async {
        while emulator.length(BUCKET, "k") != Some(length) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Releases what is held, when it is.
async fn release(emulator: &Emulator) {
    soon(async {
        while emulator.release().await == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until requests have come.
async fn received(emulator: &Emulator, requests: usize) {
    soon(emulator.wait_for(|received| received.len() == requests)).await;
}

#[tokio::test]
async fn requests_are_carried_out_and_answered_in_their_order() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce, Pipelining::Swapped] {
        let (emulator, client) = start(Emulator::builder().pipelining(pipelining)).await;
        let mut connection = send(&client, appends([0])).await;
        assert_eq!(connection.answer().await.unwrap(), "200 1");
        connection.send(&client, appends([1])).await;
        assert_eq!(connection.answer().await.unwrap(), "200 2");
        assert_eq!(connection.all_answers().await, [""; 0]);
        assert_eq!(stored(&emulator, "k"), "11");
    }
    let (emulator, client) = start(Emulator::builder()).await;
    let connection = send(&client, appends([0, 1, 2])).await;
    assert_eq!(connection.all_answers().await, ["200 1", "200 2", "200 3"]);
    assert_eq!(stored(&emulator, "k"), "123");
}

#[tokio::test]
async fn a_close_drops_what_is_behind_it() {
    for pipelining in [Pipelining::InOrder, Pipelining::Unanswered] {
        let close = strike(Action::Close(Rest::Drop), 0).pipelining(pipelining);
        let (emulator, client) = start(close).await;
        let mut connection = send(&client, appends([0])).await;
        assert_eq!(connection.answer().await.unwrap(), "200 1 close");
        // It is not taken any more, whether it can still be written or not.
        let behind = client.render(append("k", 1, b"2"));
        let _ = connection.stream.write_all(&behind).await;
        assert_eq!(connection.answers().await, [""; 0]);
        assert_eq!(stored(&emulator, "k"), "1");
    }
    let (emulator, client) = start(strike(Action::Close(Rest::Drop), 1)).await;
    let connection = send(&client, appends([0, 1, 2])).await;
    assert_eq!(connection.answers().await, ["200 1", "200 2 close"]);
    assert_eq!(carried_out(&emulator).len(), 2);
    assert_eq!(stored(&emulator, "k"), "12");
}

#[tokio::test]
async fn what_is_behind_a_close_can_be_carried_out_and_never_answered() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce, Pipelining::Swapped] {
        let close = strike(Action::Close(Rest::Apply), 0).pipelining(pipelining);
        let (emulator, client) = start(close).await;
        let mut connection = send(&client, appends([0])).await;
        assert_eq!(connection.answer().await.unwrap(), "200 1 close");
        assert_eq!(connection.answer().await, None);
        for position in [1, 2] {
            connection.send(&client, appends([position])).await;
            grown(&emulator, position + 1).await;
        }
        assert_eq!(connection.all_answers().await, [""; 0]);
    }
    let (emulator, client) = start(strike(Action::Close(Rest::Apply), 0)).await;
    let connection = send(&client, appends([0, 1, 2])).await;
    assert_eq!(connection.answers().await, ["200 1 close"]);
    grown(&emulator, 3).await;
    assert_eq!(stored(&emulator, "k"), "123");
}

#[tokio::test]
async fn what_is_behind_a_close_can_be_carried_out_and_answered() {
    let (emulator, client) = start(strike(Action::Close(Rest::Answer), 0)).await;
    let connection = send(&client, appends([0, 1, 2])).await;
    let answers = connection.answers().await;
    assert_eq!(answers, ["200 1 close", "200 2 close", "200 3 close"]);
    assert_eq!(stored(&emulator, "k"), "123");

    let close = strike(Action::Close(Rest::Answer), 0).pipelining(Pipelining::AtOnce);
    let hold = Fault::new(Operation::AppendObject, Action::Hold);
    let (emulator, client) = start(close.fault(hold)).await;
    let others = [append("k", 1, b"2"), append("other", 0, b"3")];
    let connection = send(&client, appends([0]).chain(others)).await;
    grown(&emulator, 1).await;
    release(&emulator).await;
    let answers = connection.answers().await;
    assert_eq!(answers, ["200 1 close", "200 2", "200 1"]);
    assert_eq!(stored(&emulator, "k"), "12");
}

#[tokio::test]
async fn a_gateway_gives_up_and_its_request_lands_behind_the_others() {
    let timeout = || strike(Action::GatewayTimeout(Late::Release), 0);
    let (emulator, client) = start(timeout()).await;
    let connection = send(&client, appends([2, 0, 1])).await;
    assert_eq!(connection.all_answers().await, ["504", "200 1", "200 2"]);
    assert_eq!(stored(&emulator, "k"), "23");
    assert_eq!(emulator.release().await, 1);
    assert_eq!(stored(&emulator, "k"), "231");

    let (emulator, client) = start(timeout()).await;
    let connection = send(&client, appends([0, 0, 1])).await;
    assert_eq!(connection.all_answers().await, ["504", "200 1", "200 2"]);
    assert_eq!(emulator.release().await, 1);
    assert_eq!(stored(&emulator, "k"), "23", "it is refused");
}

#[tokio::test]
async fn a_refusal_ahead_of_the_body_ends_the_connection_without_a_word() {
    // Where all are begun at once, a small body is taken before it is refused.
    for (pipelining, sizes) in [
        (Pipelining::InOrder, [1, 100 << 10, 4 << 20]),
        (Pipelining::AtOnce, [100 << 10, 1 << 20, 4 << 20]),
    ] {
        for size in sizes {
            let error = ErrorAnswer::new(409).code("Refused");
            let refuse = strike(Action::RefuseEarly(error), 1).pipelining(pipelining);
            let (emulator, client) = start(refuse).await;
            let mut connection = send(&client, appends([0])).await;
            assert_eq!(connection.answer().await.unwrap(), "200 1");
            let behind = [append("k", 1, &vec![b'2'; size]), append("k", 1, b"3")];
            let behind = behind.map(|request| client.render(request)).concat();
            let (mut read, mut write) = connection.stream.into_split();
            let sending = tokio::spawn(async move {
                // It breaks where the server does not read on.
                let _ = write.write_all(&behind).await;
                write
            });
            let mut bytes = Vec::new();
            while let Ok(1..) = read.read_buf(&mut bytes).await {}
            let (answer, length) = parse(&bytes).unwrap();
            assert_eq!((&*answer, length), ("409", bytes.len()), "{size}");
            drop(sending.await.unwrap());
            assert_eq!(carried_out(&emulator).len(), 2, "{size}");
            assert_eq!(stored(&emulator, "k"), "1", "{size}");
        }
    }
}

#[tokio::test]
async fn an_early_refusal_waits_for_nothing() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce] {
        // Neither for the body, nor for what could be behind it.
        for sent in [0, 1] {
            let refuse = strike(Action::RefuseEarly(ErrorAnswer::new(409)), 0);
            let (_emulator, client) = start(refuse.pipelining(pipelining)).await;
            let mut connection = Connection::open(&client).await;
            let mut request = client.render(append("k", 0, b"1"));
            request.truncate(request.len() - 1 + sent);
            connection.stream.write_all(&request).await.unwrap();
            assert_eq!(connection.answers().await, ["409"]);
        }
    }
}

#[tokio::test]
async fn a_request_timeout_overtakes_the_answers_that_are_owed() {
    let hold = strike(Action::Hold, 0).pipelining(Pipelining::AtOnce);
    let timeout = Fault::new(Operation::AppendObject, Action::RequestTimeout);
    let (emulator, client) = start(hold.fault(timeout)).await;
    let connection = send(&client, appends([0, 1])).await;
    assert_eq!(connection.answers().await, ["408 close"]);
    release(&emulator).await;
    grown(&emulator, 1).await;
    assert_eq!(stored(&emulator, "k"), "1");
}

#[tokio::test]
async fn a_request_timeout_owes_nothing_where_requests_wait_for_each_other() {
    let (emulator, client) = start(strike(Action::RequestTimeout, 1)).await;
    let connection = send(&client, appends([0, 1, 1])).await;
    assert_eq!(connection.answers().await, ["200 1", "408 close"]);
    assert_eq!(stored(&emulator, "k"), "1");
    assert_eq!(carried_out(&emulator).len(), 2);
}

#[tokio::test]
async fn a_connection_ends_with_the_last_request_that_it_may_have() {
    for pipelining in [Pipelining::InOrder, Pipelining::AtOnce] {
        let builder = Emulator::builder().pipelining(pipelining);
        let (emulator, client) = start(builder.max_requests_per_connection(2)).await;
        for end in [1, 3] {
            let mut connection = send(&client, appends([end - 1])).await;
            let first = format!("200 {end}");
            assert_eq!(connection.answer().await.unwrap(), first);
            connection.send(&client, appends([end, end + 1])).await;
            let last = format!("200 {} close", end + 1);
            assert_eq!(connection.answers().await, [last]);
        }
        assert_eq!(stored(&emulator, "k"), "1111");
        assert_eq!(carried_out(&emulator).len(), 4);
    }
    let (_emulator, client) = start(Emulator::builder().max_requests_per_connection(0)).await;
    let connection = send(&client, appends([0, 1])).await;
    assert_eq!(connection.answers().await, ["200 1 close"]);
}

/// The first request is held. The second is for the same object, the third for another.
async fn hold_the_first(pipelining: Pipelining) -> (Emulator, Connection) {
    let hold = strike(Action::Hold, 0).pipelining(pipelining);
    let (emulator, client) = start(hold).await;
    let requests = [
        append("k", 2, b"11"),
        append("k", 0, b"22"),
        append("other", 0, b"3"),
    ];
    let connection = send(&client, requests).await;
    (emulator, connection)
}

#[tokio::test]
async fn requests_at_once_overtake_a_slow_one_and_wait_for_its_answer() {
    let (emulator, connection) = hold_the_first(Pipelining::AtOnce).await;
    let done = |requests: &[oss_append::emulator::RequestRecord]| {
        requests.iter().filter(|r| r.status == Some(200)).count() == 2
    };
    soon(emulator.wait_for(done)).await;
    assert_eq!(stored(&emulator, "k"), "22");
    release(&emulator).await;
    assert_eq!(connection.all_answers().await, ["200 4", "200 2", "200 1"]);
    assert_eq!(stored(&emulator, "k"), "2211");
}

#[tokio::test]
async fn answers_are_swapped() {
    let (emulator, mut connection) = hold_the_first(Pipelining::Swapped).await;
    let mut early = [
        connection.answer().await.unwrap(),
        connection.answer().await.unwrap(),
    ];
    early.sort();
    assert_eq!(early, ["200 1", "200 2"]);
    release(&emulator).await;
    assert_eq!(connection.all_answers().await, ["200 4"]);
    assert_eq!(stored(&emulator, "k"), "2211");
}

#[tokio::test]
async fn a_request_that_comes_too_early_ends_the_connection_unanswered() {
    let hold = Fault::new(Operation::AppendObject, Action::Hold).skip(1);
    let builder = Emulator::builder().pipelining(Pipelining::Unanswered);
    let (emulator, client) = start(builder.fault(hold)).await;
    let mut connection = send(&client, appends([0])).await;
    assert_eq!(connection.answer().await.unwrap(), "200 1");
    connection.send(&client, appends([1, 2])).await;
    assert_eq!(connection.answers().await, [""; 0]);
    release(&emulator).await;
    grown(&emulator, 2).await;
    assert_eq!(carried_out(&emulator).len(), 2);
}

#[tokio::test]
async fn faults_strike_one_request_of_those_at_once() {
    for (action, answers, length) in [
        (
            Action::Error(ErrorAnswer::new(503)),
            vec!["503", "200 1"],
            1,
        ),
        (Action::NoPosition, vec!["200", "200 1"], 2),
        (Action::Truncate(20), vec![], 2),
        (Action::Truncate(0), vec![], 2),
        (Action::DropAnswer, vec![], 2),
        (Action::Drop, vec![], 1),
        (Action::ResetBody(0), vec![], 1),
    ] {
        let struck = strike(action.clone(), 1).pipelining(Pipelining::AtOnce);
        let (emulator, client) = start(struck).await;
        let mut connection = send(&client, appends([0])).await;
        assert_eq!(connection.answer().await.unwrap(), "200 1");
        let others = [append("k", 1, b"2"), append("other", 0, b"3")];
        connection.send(&client, others).await;
        assert_eq!(connection.all_answers().await, answers, "{action:?}");
        assert_eq!(emulator.length(BUCKET, "k"), Some(length), "{action:?}");
    }
}

#[tokio::test]
async fn one_request_of_those_at_once_can_reset_the_connection() {
    let reset = strike(Action::ResetBody(1), 1).pipelining(Pipelining::AtOnce);
    let (_emulator, client) = start(reset).await;
    let mut connection = send(&client, appends([0])).await;
    assert_eq!(connection.answer().await.unwrap(), "200 1");
    connection.send(&client, appends([1])).await;
    let broken = soon(connection.stream.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_request_at_once_is_told_to_send_its_body() {
    let (emulator, client) = start(Emulator::builder().pipelining(Pipelining::AtOnce)).await;
    let expecting = append("k", 0, b"1").header("expect", "100-continue");
    let (head, body) = (client.render_head(expecting), b"1");
    let mut connection = Connection::open(&client).await;
    connection.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(connection.answer().await.unwrap(), "100");
    connection.stream.write_all(body).await.unwrap();
    assert_eq!(connection.answer().await.unwrap(), "200 1");
    assert_eq!(stored(&emulator, "k"), "1");
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_that_its_client_gave_up() {
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let stall = strike(Action::Stall, 0).pipelining(Pipelining::AtOnce);
    let (emulator, client) = start(stall).await;
    let before = alive();
    let connection = send(&client, appends([0])).await;
    received(&emulator, 1).await;
    assert!(alive() > before);
    drop(connection);
    soon(async {
        while alive() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_at_once_have_bodies_of_every_sort() {
    let (emulator, client) = start(Emulator::builder().pipelining(Pipelining::AtOnce)).await;
    let large = vec![b'x'; 3 << 20];
    let chunked = append(
        "chunked",
        0,
        b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nc: d\r\n\r\n",
    )
    .unframed()
    .header("transfer-encoding", "chunked");
    let requests = [
        append("large", 0, &large),
        chunked,
        append("empty", 0, b""),
        append("k", 0, b"k"),
    ];
    let connection = send(&client, requests).await;
    let answers = connection.all_answers().await;
    assert_eq!(answers, ["200 3145728", "200 6", "200 0", "200 1"]);
    assert_eq!(stored(&emulator, "chunked"), "hello!");
    // What does not fit a pipe comes back whole too.
    assert_eq!(client.get("large").await.body, large);
}

#[tokio::test]
async fn a_request_at_once_that_makes_no_sense_is_refused_and_is_the_last() {
    let (emulator, client) = start(Emulator::builder().pipelining(Pipelining::AtOnce)).await;
    let mut connection = send(&client, appends([0])).await;
    let nonsense = b"POST /bucket/k HTTP/1.1\r\ncontent-length: +1\r\n\r\nx";
    connection.stream.write_all(nonsense).await.unwrap();
    assert_eq!(connection.answers().await, ["200 1", "400 close"]);
    assert_eq!(stored(&emulator, "k"), "1");

    let last = append("k", 1, b"2").header("connection", "close");
    let connection = send(&client, [last, append("k", 2, b"3")]).await;
    assert_eq!(connection.answers().await, ["200 2 close"]);
    assert_eq!(stored(&emulator, "k"), "12");
}

#[tokio::test]
async fn so_many_requests_are_at_work_at_once_and_the_others_wait() {
    const MOST: usize = 64;
    let hold = Fault::new(Operation::AppendObject, Action::Hold).forever();
    let builder = Emulator::builder().pipelining(Pipelining::AtOnce);
    let (emulator, client) = start(builder.fault(hold)).await;
    let requests = (0..MOST + 6).map(|number| append(&format!("k{number}"), 0, b"x"));
    let mut connection = send(&client, requests).await;
    received(&emulator, MOST).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(emulator.requests().len(), MOST);
    let answering = tokio::spawn(async move {
        for _ in 0..MOST + 6 {
            assert_eq!(connection.answer().await.unwrap(), "200 1");
        }
    });
    while !answering.is_finished() {
        emulator.release().await;
        tokio::task::yield_now().await;
    }
    answering.await.unwrap();
}

#[tokio::test]
async fn a_server_ends_with_requests_at_once_under_way() {
    for pipelining in [
        Pipelining::AtOnce,
        Pipelining::Swapped,
        Pipelining::Unanswered,
    ] {
        let stall = strike(Action::Stall, 1).pipelining(pipelining);
        let (emulator, client) = start(stall).await;
        let idle = Connection::open(&client).await;
        let mut stalled = send(&client, appends([0])).await;
        assert_eq!(stalled.answer().await.unwrap(), "200 1");
        stalled.send(&client, appends([1])).await;
        received(&emulator, 2).await;
        emulator.shutdown().await;
        assert_eq!(idle.answers().await, [""; 0]);
        assert_eq!(stalled.answers().await, [""; 0]);
    }
}
