//! Whatever is written, and however it rolls: the objects in their order are what was accepted, and
//! no record is split.

use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use proptest::prelude::*;

use super::{Finished, timed};
use crate::support::bucket::SimBucket;
use crate::support::cases;
use crate::support::store::{Fault, grow};

#[derive(Clone, Debug)]
enum Op {
    /// A line, in pieces of these lengths: less than `batch_size` together, or it may be torn.
    Line(Vec<usize>),
    Item(usize),
    Flush,
    Sync,
    Roll,
    Pause(u64),
    /// Somebody else appends to the present object.
    Foreign,
    Seal,
    Delete,
    LostAnswer,
    LostRequest,
    SetBack(u64),
    SetAhead(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(0..30_usize, 1..4).prop_map(Op::Line),
        3 => (1..150_usize).prop_map(Op::Item),
        1 => Just(Op::Flush),
        1 => Just(Op::Sync),
        1 => Just(Op::Roll),
        2 => (0..90_u64).prop_map(Op::Pause),
        1 => Just(Op::Foreign),
        1 => Just(Op::Seal),
        1 => Just(Op::Delete),
        2 => Just(Op::LostAnswer),
        1 => Just(Op::LostRequest),
        1 => (0..100_u64).prop_map(Op::SetBack),
        1 => (0..1000_u64).prop_map(Op::SetAhead),
    ]
}

#[derive(Clone, Debug)]
struct Plan {
    ops: Vec<Op>,
    roll_size: Option<u64>,
    every: Option<u64>,
    shared: bool,
    listing: bool,
    restarts: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::collection::vec(op(), 1..40),
        prop::option::of(1..400_u64),
        prop::option::of(1..120_u64),
        any::<bool>(),
        any::<bool>(),
        0..3_usize,
    )
        .prop_map(|(ops, roll_size, every, shared, listing, restarts)| Plan {
            ops,
            roll_size,
            every,
            shared,
            listing,
            restarts,
        })
}

/// Whatever is not theirs in the finished objects, in order, without what was deleted.
async fn play(plan: Plan) -> Result<(), TestCaseError> {
    let bucket = SimBucket::new();
    if !plan.listing {
        bucket.forbid_listing();
    }
    let (builder, clock) = timed(&bucket, "%Y-%m-%d-%H-%M-%S/{seq:6}");
    let builder = match plan.roll_size {
        Some(size) => builder.roll_size(size),
        None => builder,
    };
    let builder = match plan.every {
        Some(seconds) => builder.roll_every(Duration::from_secs(seconds)),
        None => builder,
    };
    let shared = plan.shared;
    let (builder, finished) = Finished::of(builder.writer(|writer| writer.shared(shared)));
    let mut records: Vec<String> = Vec::new();
    let mut deleted = Vec::new();
    let chunk = plan.ops.len().div_ceil(plan.restarts + 1);
    for ops in plan.ops.chunks(chunk) {
        let mut writer = builder.clone().open().await.unwrap();
        for op in ops {
            let number = records.len();
            let object = writer.stats().open.map(|open| open.object);
            let object = object.map(|object| bucket.object(object.key()));
            match op {
                Op::Line(pieces) => {
                    let mut record = format!("{number}:");
                    writer.write_all(record.as_bytes()).await.unwrap();
                    for (index, length) in pieces.iter().enumerate() {
                        let mut piece = "l".repeat(*length);
                        if index + 1 == pieces.len() {
                            piece.push('\n');
                        }
                        writer.write_all(piece.as_bytes()).await.unwrap();
                        record.push_str(&piece);
                    }
                    records.push(record);
                }
                Op::Item(length) => {
                    let record = format!("{number}:{}\n", "i".repeat(*length));
                    let item = Bytes::from(record.clone());
                    writer.feed(item).await.unwrap();
                    records.push(record);
                }
                Op::Flush => writer.flush().await.unwrap(),
                Op::Sync => writer.sync().await.unwrap(),
                Op::Roll => writer.roll().await.unwrap(),
                Op::Pause(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
                Op::Foreign => {
                    if let Some(object) = object
                        && let present @ Some(_) = &mut object.world().object
                    {
                        grow(present, b"theirs\n");
                    }
                }
                Op::Seal => {
                    if let Some(object) = object
                        && let Some(object) = &mut object.world().object
                    {
                        object.sealed = true;
                    }
                }
                Op::Delete => {
                    if let Some(object) = object
                        && let Some(object) = object.world().object.take()
                    {
                        deleted.extend(object.data);
                    }
                }
                Op::LostAnswer => {
                    if let Some(object) = object {
                        object.fault(Fault::lost_answer());
                    }
                }
                Op::LostRequest => {
                    if let Some(object) = object {
                        object.fault(Fault::lost_request());
                    }
                }
                Op::SetBack(seconds) => clock.set_back(Duration::from_secs(*seconds)),
                Op::SetAhead(seconds) => clock.set_ahead(Duration::from_secs(*seconds)),
            }
        }
        writer.shutdown().await.unwrap();
        let stats = writer.stats().writer;
        prop_assert_eq!(stats.accepted, stats.durable);
    }
    // In the order in which they were taken up, each object once.
    let mut keys = Vec::new();
    for key in finished.keys() {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut found = Vec::new();
    for key in &keys {
        let text = bucket.object(key).text();
        prop_assert!(
            text.is_empty() || text.ends_with('\n'),
            "{key} has half a record"
        );
        found.extend(
            text.lines()
                .filter(|l| *l != "theirs")
                .map(|l| format!("{l}\n")),
        );
    }
    let gone = String::from_utf8(deleted).unwrap();
    // A run that begins at an earlier time goes on in an earlier period.
    let goes_back = plan.restarts > 0 && plan.ops.iter().any(|op| matches!(op, Op::SetBack(_)));
    if gone.is_empty() && !goes_back {
        prop_assert_eq!(&found, &records);
    }
    let lost: Vec<_> = gone
        .lines()
        .filter(|l| *l != "theirs")
        .map(|l| format!("{l}\n"))
        .collect();
    let mut all = [found, lost].concat();
    all.sort();
    records.sort();
    prop_assert_eq!(all, records);
    let count = bucket
        .objects()
        .iter()
        .filter(|(_, text)| text.is_empty())
        .count();
    prop_assert_eq!(count, 0, "empty objects");
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn the_objects_in_order_are_what_was_accepted_and_no_record_is_split(plan in plan()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(plan))?;
    }
}

/// What is done with lines of which many are longer than an append.
#[derive(Clone, Debug)]
enum Step {
    Line(usize),
    /// A line that is written in two parts, with this in between.
    Halves(usize, Between),
    Do(Between),
}

#[derive(Clone, Debug)]
enum Between {
    Sync,
    Roll,
    Pause,
}

fn step() -> impl Strategy<Value = Step> {
    // An append has up to 200 bytes.
    let line = || prop_oneof![1..20_usize, 1..1000_usize];
    let between = || {
        prop_oneof![
            Just(Between::Sync),
            Just(Between::Roll),
            Just(Between::Pause)
        ]
    };
    prop_oneof![
        4 => line().prop_map(Step::Line),
        1 => (line(), between()).prop_map(|(len, between)| Step::Halves(len, between)),
        3 => between().prop_map(Step::Do),
    ]
}

async fn play_long(steps: Vec<Step>, roll_size: Option<u64>) -> Result<(), TestCaseError> {
    let bucket = SimBucket::new();
    let mut builder = super::rolling(&bucket, "{seq:6}");
    if let Some(size) = roll_size {
        builder = builder.roll_size(size);
    }
    let mut writer = builder.open().await.unwrap();
    let mut lines: Vec<String> = Vec::new();
    // Lines before the first of these numbers are not together with lines from the second on.
    let mut rolls = Vec::new();
    let mut halves = Vec::new();
    for step in steps {
        if let Step::Halves(..) = step {
            halves.push(lines.len());
        }
        let (len, between) = match step {
            Step::Line(len) => (len, None),
            Step::Halves(len, between) => (len, Some(between)),
            Step::Do(between) => (0, Some(between)),
        };
        let line = format!("{}:{}\n", lines.len(), "x".repeat(len));
        let (begin, end) = match len {
            0 => ("", ""),
            len => line.split_at(len / 2),
        };
        writer.write_all(begin.as_bytes()).await.unwrap();
        match between {
            None => {}
            Some(Between::Sync) => writer.sync().await.unwrap(),
            Some(Between::Roll) => {
                writer.roll().await.unwrap();
                rolls.push((lines.len(), lines.len() + usize::from(len > 0)));
            }
            Some(Between::Pause) => tokio::time::sleep(Duration::from_secs(2)).await,
        }
        writer.write_all(end.as_bytes()).await.unwrap();
        if len > 0 {
            lines.push(line);
        }
    }
    writer.shutdown().await.unwrap();

    let texts = bucket.texts();
    prop_assert_eq!(texts.concat(), lines.concat());
    let mut first = 0;
    for text in texts {
        prop_assert!(
            text.ends_with('\n'),
            "an object ends in the midst of a line"
        );
        let end = first + text.lines().count();
        for (before, behind) in &rolls {
            prop_assert!(first >= *before || end <= *behind, "a roll was ignored");
        }
        // Of a line that is longer than a batch, or that was flushed, the beginning can go out
        // before its length is known.
        let fits = roll_size.is_none_or(|size| text.len() as u64 <= size);
        let last = end - 1;
        let one = first == last || lines[last].len() > 100 || halves.contains(&last);
        prop_assert!(fits || one, "{} bytes", text.len());
        first = end;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn lines_longer_than_an_append_stay_whole_and_rolls_are_made_where_they_were_asked_for(
        steps in prop::collection::vec(step(), 1..40),
        roll_size in prop::option::of(1..1500_u64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play_long(steps, roll_size))?;
    }
}
