//! Standard input, output and error as whoever starts the command gives them: non-blocking, closed,
//! full, or with nobody at the other end.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use oss_append::emulator::{Action, Fault};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::pty;

use super::*;
use crate::support::raw::Client;

fn set_blocking(fd: impl AsFd, blocking: bool) {
    let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
    let flags = match blocking {
        true => flags - OFlags::NONBLOCK,
        false => flags | OFlags::NONBLOCK,
    };
    rustix::fs::fcntl_setfl(&fd, flags).unwrap();
}

/// Writes until there is no room: how much that was.
fn fill(mut to: impl Write + AsFd) -> usize {
    set_blocking(&to, false);
    let mut filled = 0;
    loop {
        match to.write(b"x") {
            Ok(written) => filled += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return filled,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A pipe without room, and how much is in it.
fn full_pipe(blocking: bool) -> (PipeReader, PipeWriter, usize) {
    let (reader, writer) = std::io::pipe().unwrap();
    let filled = fill(&writer);
    set_blocking(&writer, blocking);
    (reader, writer, filled)
}

/// Waits until there is no room in the pipe.
async fn is_full(pipe: &PipeWriter) {
    loop {
        let mut poll = [PollFd::new(pipe, PollFlags::OUT)];
        if rustix::event::poll(&mut poll, Some(&Default::default())).unwrap() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until there is something to read.
async fn is_readable(from: &OwnedFd) {
    loop {
        let mut poll = [PollFd::new(from, PollFlags::IN)];
        if rustix::event::poll(&mut poll, Some(&Default::default())).unwrap() > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn read_all(mut from: impl Read + Send + 'static) -> Vec<u8> {
    let read = move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// A terminal: what holds it, and what a process is given.
pub(super) fn terminal() -> (OwnedFd, File) {
    let controller = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::grantpt(&controller).unwrap();
    pty::unlockpt(&controller).unwrap();
    let name = pty::ptsname(&controller, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    (controller, File::from(terminal))
}

/// What standard error can be, none of which is ever read. With what has to stay open.
fn unread() -> Vec<(&'static str, Stdio, Option<PipeReader>)> {
    let gone = std::io::pipe().unwrap().1;
    let (blocking, full, _) = full_pipe(true);
    let (non_blocking, full_too, _) = full_pipe(false);
    let disk = OpenOptions::new().write(true).open("/dev/full").unwrap();
    vec![
        ("gone", gone.into(), None),
        ("full", full.into(), Some(blocking)),
        ("full, non-blocking", full_too.into(), Some(non_blocking)),
        ("a full disk", disk.into(), None),
    ]
}

/// `command` by a shell, which does `first` with its descriptors or signals.
pub(super) fn after(first: &str, command: &Command) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

#[tokio::test]
async fn a_non_blocking_input_is_waited_for() {
    for options in [&[][..], &["--shared"]] {
        let emulator = emulator().await;
        let (reader, mut input) = std::io::pipe().unwrap();
        set_blocking(&reader, false);
        let arguments = [&["append", "--linger=1ms", TARGET], options].concat();
        let mut command = command(&emulator, arguments);
        let running = command.stdin(reader).spawn().unwrap();
        drop(command);
        looked(&emulator, 1).await;
        for (line, appends) in [("one\n", 1), ("two\n", 2), ("three\n", 3)] {
            input.write_all(line.as_bytes()).unwrap();
            appended(&emulator, appends).await;
        }
        drop(input);
        let output = running.wait_with_output().await.unwrap();
        Ended::new(output.status, output.stdout, &output.stderr).expect(0);
        assert_eq!(content(&emulator), b"one\ntwo\nthree\n");
    }
}

#[tokio::test]
async fn an_input_may_be_a_file_a_socket_a_terminal_or_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), b"hello\n");
    let (socket, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"hello\n").unwrap();
    drop(peer);
    let (controller, terminal) = terminal();
    // ^D on a line of its own ends the input.
    rustix::io::write(&controller, b"hello\n\x04").unwrap();
    for (input, read) in [
        (Stdio::from(File::open(path).unwrap()), "hello\n"),
        (OwnedFd::from(socket).into(), "hello\n"),
        (terminal.into(), "hello\n"),
        (Stdio::null(), ""),
    ] {
        let emulator = emulator().await;
        let mut command = command(&emulator, ["append", "--json", TARGET]);
        let output = command.stdin(input).output().await.unwrap();
        let ended = Ended::new(output.status, output.stdout, &output.stderr).expect(0);
        assert_eq!(ended.json()["bytes"], read.len());
        let object = emulator.object("bucket", KEY);
        assert_eq!(object.map_or("".into(), |object| object.bytes), read);
    }
}

#[tokio::test]
async fn an_input_that_cannot_be_read_is_told_before_anything_is_sent() {
    let emulator = emulator().await;
    let directory = tempfile::tempdir().unwrap();
    let input = File::open(directory.path()).unwrap();
    let mut command = command(&emulator, ["append", TARGET]);
    let output = command.stdin(input).output().await.unwrap();
    let ended = Ended::new(output.status, output.stdout, &output.stderr);
    ended.expect(1).says(&["standard input", "directory"]);
    assert!(emulator.requests().is_empty());
}

#[tokio::test]
async fn a_non_blocking_output_that_is_full_is_waited_for() {
    let emulator = emulator().await;
    let all = bytes(MIB);
    emulator.append_foreign("bucket", KEY, all.clone()).unwrap();
    emulator.seal("bucket", KEY).unwrap();
    for arguments in [
        &["cat", TARGET][..],
        &["tail", "--from=0", TARGET],
        &["tail", "-f", "--from=0", TARGET],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        set_blocking(&writer, false);
        let mut command = command(&emulator, arguments);
        let running = command.stdout(writer.try_clone().unwrap()).spawn().unwrap();
        drop(command);
        is_full(&writer).await;
        drop(writer);
        let read = read_all(reader).await;
        let output = running.wait_with_output().await.unwrap();
        Ended::new(output.status, Vec::new(), &output.stderr).expect(0);
        assert!(read == all, "{arguments:?}: {} bytes", read.len());
    }
}

#[tokio::test]
async fn help_is_whole_in_a_pipe_that_was_full() {
    let whole = run(bare(["append", "--help"]), "").await.expect(0);
    assert!(whole.stdout.len() > 4096);
    for blocking in [true, false] {
        let (mut reader, writer, filled) = full_pipe(blocking);
        // Room for the first part, but not for the next.
        reader.read_exact(&mut [0; 4096]).unwrap();
        let mut command = bare(["append", "--help"]);
        let running = command.stdout(writer.try_clone().unwrap()).spawn().unwrap();
        drop(command);
        is_full(&writer).await;
        drop(writer);
        let read = read_all(reader).await;
        assert!(running.wait_with_output().await.unwrap().status.success());
        assert!(read[filled - 4096..] == whole.stdout, "{blocking}");
    }
}

#[tokio::test]
async fn an_output_without_room_on_its_disk_is_a_failure() {
    let emulator = emulator().await;
    for arguments in [
        &["append", "--json", TARGET][..],
        &["cat", TARGET],
        &["tail", TARGET],
        &["tail", "-f", TARGET],
        &["stat", TARGET],
        &["doctor", "oss://bucket"],
        &["append", "--help"],
        &["emulator", "--listen=127.0.0.1:0"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = command(&emulator, arguments);
        command.stdout(full).env("RUST_LOG", "off");
        let ended = run(command, "hello").await.expect(1);
        ended.says(&["standard output cannot be written", "No space left"]);
    }
    assert_eq!(content(&emulator), b"hello");
}

#[tokio::test]
async fn an_output_that_nobody_reads_ends_what_waits() {
    let emulator = emulator().await;
    emulator.append_foreign("bucket", KEY, "hello").unwrap();
    let mut stalled = 0;
    for (arguments, stalls) in [
        (
            &["tail", "-f", TARGET, "--poll-min=1h", "--poll-max=1h"][..],
            None,
        ),
        (&["tail", TARGET], Some(Operation::GetObject)),
        (&["cat", TARGET], Some(Operation::GetObject)),
        (&["stat", TARGET], Some(Operation::HeadObject)),
        (&["doctor", "oss://bucket"], Some(Operation::HeadObject)),
    ] {
        let (socket, peer) = UnixStream::pair().unwrap();
        let (reader, pipe) = std::io::pipe().unwrap();
        for (stdout, reader) in [
            (Stdio::from(pipe), OwnedFd::from(reader)),
            (OwnedFd::from(socket).into(), peer.into()),
        ] {
            if let Some(operation) = stalls {
                emulator.inject(Fault::new(operation, Action::Stall));
            }
            let mut command = command(&emulator, arguments);
            let running = command.stdout(stdout).spawn().unwrap();
            drop(command);
            if stalls.is_some() {
                stalled += 1;
                struck(&emulator, "stall", stalled).await;
            } else {
                is_readable(&reader).await;
            }
            drop(reader);
            let output = running.wait_with_output().await.unwrap();
            let ended = Ended::new(output.status, Vec::new(), &output.stderr).expect(141);
            assert_eq!(ended.stderr, "", "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn an_append_goes_on_although_nobody_reads_what_it_says() {
    for (kind, stderr, _reader) in unread() {
        let emulator = emulator().await;
        let gone = std::io::pipe().unwrap().1;
        let mut command = command(&emulator, ["append", "--json", "--progress=always", TARGET]);
        command.stdout(gone).stderr(stderr).env("RUST_LOG", "trace");
        run(command, "hello").await.expect(0);
        assert_eq!(content(&emulator), b"hello", "{kind}");
    }
}

#[tokio::test]
async fn a_terminal_that_takes_nothing_does_not_hold_up_an_append() {
    let emulator = emulator().await;
    let (_controller, terminal) = terminal();
    fill(&terminal);
    set_blocking(&terminal, true);
    let arguments = ["append", "--progress=always", "--linger=1ms", TARGET];
    let mut command = command(&emulator, arguments);
    command.stderr(terminal);
    run(command, bytes(MIB)).await.expect(0);
    assert!(content(&emulator) == bytes(MIB));
}

#[tokio::test]
async fn a_failure_says_so_by_its_code_although_nobody_reads_why() {
    for (kind, stderr, _reader) in unread() {
        let mut command = bare(["append", "--unknown"]);
        command.stderr(stderr);
        assert_eq!(run(command, "").await.code, 2, "{kind}");
    }
}

#[tokio::test]
async fn a_server_whose_log_nobody_reads_answers() {
    for (kind, stderr, _reader) in unread() {
        let mut command = bare(["emulator", "--listen=127.0.0.1:0", "--bucket=bucket"]);
        command.stderr(stderr).env("RUST_LOG", "trace");
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).await.unwrap();
        // Whoever has read it may not be interested in more.
        drop(stdout);
        let address = url.trim().strip_prefix("http://").unwrap().parse().unwrap();
        let client = Client::new(address);
        for position in 0..20 {
            let answer = client.append("k", position, b"x").await;
            assert_eq!(answer.status, 200, "{kind}");
        }
        let id = i32::try_from(child.id().unwrap()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, Signal::HUP).unwrap();
        assert!(child.wait().await.unwrap().success(), "{kind}");
    }
}

#[tokio::test]
async fn a_server_answers_before_its_url_is_read_and_can_be_ended_then() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let (_reader, writer, _) = full_pipe(true);
    let listen = format!("--listen={address}");
    let mut command = bare(["emulator", &listen, "--bucket=bucket"]);
    command.stdout(writer);
    let mut running = Running::start(command);
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(Client::new(address).append("k", 0, b"x").await.status, 200);
    running.signal(Signal::TERM);
    assert!(running.child.wait().await.unwrap().success());
}

#[tokio::test]
async fn closed_streams_are_like_dev_null() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let emulator = emulator().await;
        emulator.append_foreign("bucket", KEY, "hello").unwrap();
        let exec = format!("exec {closed}");
        for arguments in [
            &["append", "--json", "oss://bucket/other"][..],
            &["cat", TARGET],
            &["tail", TARGET],
            &["stat", TARGET],
            &["doctor", "oss://bucket"],
            &["append", "--help"],
        ] {
            let mut command = after(&exec, &command(&emulator, arguments));
            command.env("RUST_LOG", "trace");
            let ended = run(command, "input").await.expect(0);
            if closed.contains(">&-") && !closed.starts_with('2') {
                assert!(ended.stdout.is_empty(), "{closed} {arguments:?}");
            }
        }
        let other = emulator.object("bucket", "other");
        assert_eq!(other.is_some(), !closed.starts_with('<'), "{closed}");
    }
}

#[tokio::test]
async fn a_signal_ends_an_append_whose_summary_finds_no_room() {
    let emulator = emulator().await;
    let (_reader, writer, _) = full_pipe(true);
    let mut command = command(&emulator, ["append", "--json", "--seal", TARGET]);
    command.stdout(writer);
    let mut running = Running::start(command);
    running.write("hello").await;
    running.close_input();
    emulator
        .wait_for(|requests| {
            let seal = requests
                .iter()
                .find(|r| r.operation == Operation::SealAppendObject);
            seal.is_some_and(|seal| seal.status.is_some())
        })
        .await;
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert!(running.child.wait().await.unwrap().code().is_some());
    assert_eq!(content(&emulator), b"hello");
}
