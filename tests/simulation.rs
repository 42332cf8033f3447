//! Random programs against random faults, each from a seed: success means that the object holds
//! exactly what was accepted, and failure that durable and unsent bytes together do.
//!
//! `OSS_APPEND_SCHEDULES` sets how many schedules are run (default 3,000), `OSS_APPEND_SEED` the
//! first seed. A failure names its seed: run it alone with `OSS_APPEND_SCHEDULES=1`.

mod support;

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures::SinkExt;
use oss_append::{
    Backoff, Checkpoint, ErrorKind, FlushMode, ObjectKind, OssAppendWriter, OssAppendWriterBuilder,
};
use support::store::{Fault, Object, SimStore, broken, grow, land, service, unreachable};
use support::{MS, SEC, writer};
use tokio::io::AsyncWriteExt;

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

#[test]
fn success_means_exact_and_failure_loses_nothing() {
    let first = from_env("OSS_APPEND_SEED", 1);
    let count = from_env("OSS_APPEND_SCHEDULES", 3000);
    let mut outcomes = [0; 2];
    for seed in first..first + count {
        let run = std::panic::catch_unwind(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap()
                .block_on(schedule(seed))
        });
        match run {
            Ok(succeeded) => outcomes[usize::from(succeeded)] += 1,
            Err(panic) => {
                eprintln!(
                    "reproduce: OSS_APPEND_SEED={seed} OSS_APPEND_SCHEDULES=1 cargo test --test \
                     simulation"
                );
                std::panic::resume_unwind(panic);
            }
        }
    }
    let [failed, succeeded] = outcomes;
    println!("{succeeded} schedules succeeded, {failed} failed as they should");
    if count >= 1000 {
        assert!(succeeded > count / 4 && failed > count / 20);
    }
}

/// How likely each kind of trouble is in one schedule.
struct Odds {
    ambiguous: f64,
    look: f64,
    fatal: f64,
    late: f64,
}

fn chaos(store: &SimStore, rng: &mut Rng) {
    let odds = Odds {
        ambiguous: [0.0, 0.1, 0.3, 0.6][rng.usize(..4)],
        look: [0.0, 0.1, 0.3][rng.usize(..3)],
        fatal: [0.0, 0.0, 0.01, 0.05][rng.usize(..4)],
        late: [0.1, 0.5][rng.usize(..2)],
    };
    let mut world = store.world();
    world.latency = rng.u32(..20) * MS;
    let without_crc = rng.u8(..10) == 0;
    world.without_crc = without_crc;
    let mut looks = rng.fork();
    let look = odds.look;
    world.look_chaos = Some(Box::new(move || {
        (looks.f64() < look).then(|| ambiguous_error(&mut looks))
    }));
    let mut rng = rng.fork();
    world.chaos = Some(Box::new(move |late, object| {
        if rng.f64() < odds.late {
            land(late, object);
        }
        if rng.f64() < odds.fatal {
            return fatal(&mut rng, without_crc);
        }
        if rng.f64() < odds.ambiguous {
            return ambiguous(&mut rng);
        }
        Fault::none()
    }));
}

fn ambiguous_error(rng: &mut Rng) -> oss_append::Error {
    match rng.u8(..5) {
        0 => broken(),
        1 => unreachable(),
        2 => service(500, "InternalError"),
        3 => service(503, "ServiceUnavailable"),
        _ => service(429, ""),
    }
}

fn ambiguous(rng: &mut Rng) -> Fault {
    match rng.u8(..12) {
        0 | 1 => Fault::lost_answer(),
        2 => Fault::lost_request(),
        3 => Fault::late(),
        4 => Fault::torn(rng.usize(..20)),
        5 => Fault::refused(),
        6 => Fault::applied_error(500, "InternalError"),
        7 => Fault::error(503, "ServiceUnavailable"),
        8 => Fault::never(),
        9 => Fault::applied_never(),
        10 => Fault::none().edit(|answer| answer.next_position = None),
        _ => Fault::none().edit(|answer| answer.crc64 = None),
    }
}

/// Trouble after which the writer must not report success.
fn fatal(rng: &mut Rng, without_crc: bool) -> Fault {
    const FOREIGN: &str = "0123456789012345678901234567890123456789";
    let foreign = &FOREIGN[..1 + rng.usize(..FOREIGN.len())];
    let lost = rng.bool();
    let fault = if lost {
        Fault::lost_request()
    } else {
        Fault::none()
    };
    match rng.u8(..8) {
        0 | 1 => fault.foreign_before(foreign),
        2 => fault.before(|object| *object = None),
        3 => fault.before(|object| {
            if let Some(object) = object {
                object.sealed = true;
            }
        }),
        4 => fault.before(|object| {
            *object = Some(Object {
                kind: ObjectKind::Other("Normal".into()),
                ..Object::appendable("put over")
            });
        }),
        // Recreated with the same length. Without checksums nobody can notice that.
        5 if !without_crc => fault.before(|object| {
            let len = object.as_ref().map_or(0, |object| object.data.len());
            *object = Some(Object::appendable(vec![b'#'; len]));
        }),
        6 => Fault::none().edit(|answer| answer.crc64 = answer.crc64.map(|crc| crc ^ 1)),
        _ => Fault::error(403, "AccessDenied"),
    }
}

fn configured(store: &SimStore, rng: &mut Rng) -> (OssAppendWriterBuilder<SimStore>, u64) {
    let batch_size = 1 + rng.u64(..50);
    let max_append_size = batch_size + rng.u64(..100);
    let capacity = 2 * max_append_size + rng.u64(..100);
    let flush_mode = match rng.u8(..3) {
        0 => FlushMode::default(),
        1 => FlushMode::Durable,
        _ => FlushMode::Handoff,
    };
    let builder = writer(store)
        .batch_size(batch_size)
        .max_append_size(max_append_size)
        .buffer_capacity(capacity)
        .linger(rng.u32(..100) * MS)
        .backoff(Backoff::new(MS, 50 * MS))
        .attempt_timeout(SEC)
        .delivery_timeout(20 * SEC)
        .flush_mode(flush_mode);
    (builder, capacity)
}

/// One writer's life. True if everything succeeded.
async fn schedule(seed: u64) -> bool {
    fastrand::seed(seed);
    let mut rng = Rng::with_seed(seed);
    let base = "base".repeat(rng.usize(..3));
    let store = match base.is_empty() {
        true => SimStore::new(),
        false => SimStore::holding(&base),
    };
    chaos(&store, &mut rng);

    // What the object has to hold.
    let mut expected = base.clone().into_bytes();
    let lives = 1 + rng.usize(..3);
    for life in 0..lives {
        let (builder, capacity) = configured(&store, &mut rng);
        let replay = life > 0 && rng.bool();
        let mut given = if replay { 0 } else { expected.len() };
        let builder = match replay {
            true => builder.replay(Checkpoint::START),
            false => builder,
        };
        let mut writer = match builder.open().await {
            Ok(writer) => writer,
            Err(error) => {
                // Without a look nobody can know; otherwise the object has been spoilt before.
                let spoilt = store.content() != expected;
                let excused = matches!(error.kind(), ErrorKind::RetriesExhausted { .. });
                assert!(
                    spoilt
                        || excused
                        || store
                            .world()
                            .object
                            .as_ref()
                            .is_none_or(|o| o.sealed || o.kind != ObjectKind::Appendable),
                    "{error}"
                );
                return false;
            }
        };
        assert_eq!(writer.position(), given as u64, "seed {seed} life {life}");
        let before = store.content();
        let known = expected.clone();
        let steps = 1 + rng.usize(..30);
        let mut failure = None;
        for step in 0..steps + 1 {
            let done = if step == steps {
                if replay && given < known.len() {
                    // A replay has to go on at least to where the object ends.
                    write(&mut writer, &known[given..]).await.map(|()| {
                        given = known.len();
                    })
                } else {
                    Ok(())
                }
            } else {
                act(
                    &mut writer,
                    &mut rng,
                    &store,
                    &mut expected,
                    &mut given,
                    &known,
                )
                .await
            };
            let stats = writer.stats();
            assert!(stats.buffered <= capacity);
            assert_eq!(
                stats.accepted,
                stats.durable + stats.buffered + stats.compared + stats.failed
            );
            if let Err(error) = done {
                failure = Some(error);
                break;
            }
        }
        let closed = match failure {
            Some(error) => Err(error),
            None => writer.shutdown().await.map_err(support::ours),
        };
        match closed {
            Ok(()) => {
                expected.truncate(given.max(known.len()));
                assert_eq!(text(&store.content()), text(&expected), "seed {seed}");
                let stats = writer.stats();
                assert_eq!(stats.durable, stats.accepted);
            }
            Err(error) => {
                failed(writer, &error, &store, &expected[..given], &before, replay);
                return false;
            }
        }
    }
    store.world().chaos = None;
    store.land_late();
    assert_eq!(
        text(&store.content()),
        text(&expected),
        "a late append changed the object"
    );
    true
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// After a failure: what is durable is in the object, and what is not is given back.
fn failed(
    writer: OssAppendWriter,
    error: &oss_append::Error,
    store: &SimStore,
    accepted: &[u8],
    before: &[u8],
    replay: bool,
) {
    let stats = writer.stats();
    let durable = writer.durable_position() as usize;
    let unsent = writer
        .into_unsent()
        .expect("a failed writer gives its bytes back");
    let position = unsent.position as usize;
    assert_eq!(&accepted[position..], unsent.chunks.concat(), "{error}");
    if replay {
        assert!(durable <= position);
    } else {
        assert_eq!(durable, position, "{error}");
    }
    assert_eq!(stats.failed, stats.accepted - stats.durable);
    // What was durable before the object was spoilt is in it, unless it was replaced.
    let content = store.content();
    let normal = store
        .world()
        .object
        .as_ref()
        .is_none_or(|object| object.kind != ObjectKind::Appendable);
    let spoilt = normal || !content.starts_with(before) || content.contains(&b'#');
    if !spoilt {
        assert!(content.starts_with(&accepted[..durable]), "{error}");
    }
    if !spoilt && unsent.in_doubt == 0 && !content.is_empty() {
        let doubled = content.len() > durable
            && content[durable..].starts_with(&accepted[durable..])
            && accepted.len() > durable;
        assert!(
            !doubled || replay,
            "said to be missing and yet there: {error}"
        );
    }
}

async fn write(writer: &mut OssAppendWriter, bytes: &[u8]) -> Result<(), oss_append::Error> {
    writer.write_all(bytes).await.map_err(support::ours)
}

/// One step of a program. Bytes that were accepted are added to `expected`.
async fn act(
    writer: &mut OssAppendWriter,
    rng: &mut Rng,
    store: &SimStore,
    expected: &mut Vec<u8>,
    given: &mut usize,
    known: &[u8],
) -> Result<(), oss_append::Error> {
    let len = match rng.u8(..4) {
        0 => rng.usize(..5),
        1 => rng.usize(..400),
        _ => rng.usize(..60),
    };
    // In a replay, first what was written before.
    let mut piece: Vec<u8> = known[(*given).min(known.len())..]
        .iter()
        .copied()
        .take(len)
        .collect();
    while piece.len() < len {
        piece.push(b'a' + (expected.len() + piece.len()) as u8 % 26);
    }
    let position = writer.position();
    let patience = rng.u64(..60);
    let limit = Duration::from_millis(patience);
    // What a handle has taken in, although the buffer may have no room for all of it yet.
    let mut taken = 0;
    let done = match rng.u8(..12) {
        0..3 => tokio::time::timeout(limit, write(writer, &piece)).await,
        3 => {
            let (a, b) = piece.split_at(len / 2);
            let slices = [IoSlice::new(a), IoSlice::new(b)];
            let write = async {
                let written = writer.write_vectored(&slices).await;
                written.map(drop).map_err(support::ours)
            };
            tokio::time::timeout(limit, write).await
        }
        4..6 => tokio::time::timeout(limit, writer.write_bytes(Bytes::from(piece.clone()))).await,
        6 => {
            let mut reader = &piece[..];
            let copied = async { writer.copy_from(&mut reader).await.map(drop) };
            let done = tokio::time::timeout(limit, copied).await;
            taken = len - reader.len();
            done
        }
        7 => {
            let fed = writer.feed(Bytes::from(piece.clone())).await;
            taken = if fed.is_ok() { len } else { 0 };
            Ok(fed)
        }
        8 => {
            tokio::time::sleep(limit).await;
            Ok(Ok(()))
        }
        9 => {
            tokio::time::timeout(limit, async {
                AsyncWriteExt::flush(writer).await.map_err(support::ours)
            })
            .await
        }
        kind => {
            let sync = async {
                match kind {
                    10 => writer.sync().await,
                    _ => writer.wait_durable(position).await,
                }
            };
            let synced = tokio::time::timeout(limit, sync).await;
            note(expected, given, &piece, accepted(writer, position));
            if let Ok(Ok(())) = synced
                && kind == 10
            {
                let accepted = &expected[..*given];
                let content = store.content();
                assert!(
                    content.starts_with(accepted),
                    "sync succeeded:\n{}\n{}",
                    text(&content),
                    text(accepted)
                );
            }
            return synced.unwrap_or(Ok(()));
        }
    };
    if taken > 0
        && let Err(error) = settle_item(writer).await
    {
        // The writer has failed, and will give back all of it.
        note(expected, given, &piece, taken);
        return Err(error);
    }
    note(expected, given, &piece, accepted(writer, position));
    done.unwrap_or(Ok(()))
}

/// Lets a waiting item of a `Sink` in, so that `position` counts it.
async fn settle_item(writer: &mut OssAppendWriter) -> Result<(), oss_append::Error> {
    std::future::poll_fn(|cx| {
        futures::Sink::<Bytes>::poll_ready(std::pin::Pin::new(&mut *writer), cx)
    })
    .await
}

/// How many bytes the writer has accepted since it was at `before`.
fn accepted(writer: &OssAppendWriter, before: u64) -> usize {
    (writer.position() - before) as usize
}

/// Adds the first `len` bytes of `piece`, which the writer has taken in.
fn note(expected: &mut Vec<u8>, given: &mut usize, piece: &[u8], len: usize) {
    let overlap = expected.len().saturating_sub(*given).min(len);
    expected.extend_from_slice(&piece[overlap..len]);
    *given += len;
}

#[test]
fn growing_is_how_foreign_writers_append() {
    let mut object = None;
    grow(&mut object, b"x");
    assert_eq!(object, Some(Object::appendable("x")));
}
