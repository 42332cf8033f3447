//! Many objects at a time, by one `KeyedWriter`.

use bytes::Bytes;
use oss_append::{KeyedWriter, KeyedWriterBuilder, OssClient};

use crate::contest::{BUCKET, Ground, Measured, Timer};
use crate::{ours, produce};

type Builder = KeyedWriterBuilder<OssClient>;

/// The options of a writer, for appends of `size` bytes.
pub(crate) fn of_size(size: u64) -> impl Fn(Builder) -> Builder + Copy {
    move |builder| {
        builder
            .buffer_capacity(1 << 30)
            .writer(move |_, writer| writer.batch_size(size).max_append_size(size))
    }
}

pub(crate) fn defaults(builder: Builder) -> Builder {
    builder
}

/// Writes records of `record` bytes to `objects` objects in turn, all of which are open.
pub(crate) async fn write(
    ground: Ground,
    objects: usize,
    options: impl Fn(Builder) -> Builder,
    bytes: u64,
    record: usize,
) -> Measured {
    let builder = KeyedWriter::builder(ours::client(&ground), BUCKET).max_open(objects);
    let writer = options(builder).start().unwrap();
    let names: Vec<String> = (0..objects)
        .map(|number| format!("{}/{number:06}", ground.object))
        .collect();
    let data = Bytes::from(produce::piece(record));
    for name in &names {
        drop(writer.write(name, data.slice(..1)).await.unwrap());
    }
    writer.sync().await.unwrap();
    let records = ground.bytes(bytes) / record as u64;
    let timer = Timer::start();
    for name in names.iter().cycle().take(records as usize) {
        drop(writer.write(name, data.clone()).await.unwrap());
    }
    writer.sync().await.unwrap();
    let measured = timer.stop(records * record as u64);
    writer.shutdown().await.unwrap();
    measured
}
