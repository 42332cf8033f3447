//! Following what grows: one object, and the objects of a sequence.

mod items;
mod object;
mod sequence;

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use oss_append::emulator::Emulator;
use oss_append::{Backoff, ObjectFollower, ObjectFollowerBuilder};

use crate::support::{MS, object};

/// A follower that looks often, and loses no time between its attempts.
fn quick(builder: ObjectFollowerBuilder) -> ObjectFollowerBuilder {
    builder
        .poll_interval(MS..=10 * MS)
        .backoff(Backoff::new(MS, 20 * MS))
}

fn follower(emulator: &Emulator) -> ObjectFollowerBuilder {
    let client = emulator.client().build().unwrap();
    quick(ObjectFollower::builder(client, object()))
}

/// Somebody appends to the object.
fn grow(emulator: &Emulator, text: impl AsRef<[u8]>) {
    let text = text.as_ref().to_vec();
    emulator.append_foreign("bucket", "object", text).unwrap();
}

fn inject(emulator: &Emulator, fault: &str) {
    emulator.inject(fault.parse().unwrap());
}

/// The next item, which has to come.
async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    stream.next().await.expect("it has no end")
}

/// Nothing comes, in so many looks.
async fn nothing<S: Stream + Unpin>(emulator: &Emulator, stream: &mut S) {
    let before = emulator.requests().len();
    let mut looked = pin!(emulator.wait_for(|requests| requests.len() >= before + 5));
    tokio::select! {
        biased;
        () = &mut looked => {}
        _ = stream.next() => panic!("something came"),
    }
}

const RARELY: Duration = Duration::from_secs(3600);
