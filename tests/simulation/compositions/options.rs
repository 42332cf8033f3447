//! How the writers of a plan are opened.

use std::time::Duration;

use oss_append::{
    AppendStore, Backoff, Checkpoint, Compression, Error, ObjectPath, OssAppendWriter,
    OssAppendWriterBuilder, RollingWriter, RollingWriterBuilder,
};
use proptest::prelude::*;

use crate::compositions::world::Process;
use crate::compositions::writer::Writer;
use crate::support::{MS, SEC};

/// The longest that a writer goes on without progress, unless it never gives up.
pub const BUDGET: Duration = Duration::from_secs(20);
/// The longest there is, which the wall clock of the world takes a minute for: to check a template
/// takes longer the shorter its periods are.
const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The object of writers of one object.
pub fn object() -> ObjectPath {
    ObjectPath::new("bucket", "object").expect("a good name")
}

/// How all writers of a plan are opened.
#[derive(Clone, Debug)]
pub struct Options {
    pub kind: Kind,
    pub shared: bool,
    pub gzip: bool,
    pub batch_size: u64,
    pub max_append_size: u64,
    pub linger: u8,
    pub max_object_size: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// One object.
    Plain,
    Rolling(Rolling),
}

#[derive(Clone, Debug)]
pub struct Rolling {
    pub template: &'static str,
    pub roll_size: Option<u64>,
    pub records: Records,
    pub keep_trying: bool,
    /// Without a `delivery_timeout`, as a log has it.
    pub for_ever: bool,
    pub seal: bool,
    /// Does not look before the first byte.
    pub start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    Lines,
    Writes,
    Unaligned,
}

impl Options {
    /// Whether a write of more than `max_append_size` bytes is refused.
    pub fn refuses_long(&self) -> bool {
        self.shared
            || matches!(&self.kind, Kind::Rolling(rolling) if rolling.records == Records::Writes)
    }

    /// Whether a record that is taken in at once is in one append.
    pub fn keeps_whole(&self) -> bool {
        match &self.kind {
            Kind::Plain => self.shared,
            Kind::Rolling(rolling) => self.shared || rolling.records != Records::Unaligned,
        }
    }

    pub fn configure<S: AppendStore, O>(
        &self,
        builder: OssAppendWriterBuilder<S, O>,
    ) -> OssAppendWriterBuilder<S, O> {
        let builder = builder
            .shared(self.shared)
            .batch_size(self.batch_size)
            .max_append_size(self.max_append_size)
            .buffer_capacity(3 * self.max_append_size)
            .linger(u32::from(self.linger) * MS)
            .backoff(Backoff::new(MS, 50 * MS))
            .attempt_timeout(SEC)
            .delivery_timeout(BUDGET);
        let builder = match self.max_object_size {
            Some(size) => builder.max_object_size(size),
            None => builder,
        };
        match self.gzip {
            true => builder.compression(Compression::gzip()),
            false => builder,
        }
    }

    pub async fn open(
        &self,
        store: &Process,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Writer, Error> {
        let rolling = match &self.kind {
            Kind::Plain => {
                let builder = OssAppendWriter::builder(store.clone(), object());
                let builder = self.configure(builder);
                let builder = match checkpoint {
                    Some(checkpoint) => builder.replay(checkpoint),
                    None => builder,
                };
                return builder.open().await.map(Writer::Plain);
            }
            Kind::Rolling(rolling) => rolling,
        };
        let builder = RollingWriter::builder(store.clone(), "bucket", rolling.template);
        let builder = self.configure_rolling(builder, rolling, store);
        match rolling.start {
            true => builder.start().map(Writer::Rolling),
            false => builder.open().await.map(Writer::Rolling),
        }
    }

    pub fn configure_rolling<S: AppendStore>(
        &self,
        builder: RollingWriterBuilder<S>,
        rolling: &Rolling,
        store: &Process,
    ) -> RollingWriterBuilder<S> {
        let builder = builder
            .writer(|writer| {
                let writer = self.configure(writer);
                match rolling.for_ever {
                    true => writer.delivery_timeout(FOR_EVER),
                    false => writer,
                }
            })
            .keep_trying(rolling.keep_trying)
            .seal_finished(rolling.seal);
        let builder = match rolling.roll_size {
            Some(size) => builder.roll_size(size),
            None => builder,
        };
        let builder = match rolling.records {
            Records::Lines => builder,
            Records::Writes => builder.record_per_write(),
            Records::Unaligned => builder.unaligned(),
        };
        match rolling.template.contains('%') {
            true => builder.roll_every(PERIOD).clock(store.clock()),
            false => builder,
        }
    }
}

/// Sizes small enough that a short program fills several appends and objects.
pub fn sizes() -> impl Strategy<Value = Options> {
    (10..40_u64, 0..60_u64, 0..40_u8, 0..100_u8).prop_map(|(batch_size, more, linger, limit)| {
        Options {
            kind: Kind::Plain,
            shared: false,
            gzip: false,
            batch_size,
            max_append_size: batch_size + more,
            linger,
            max_object_size: (limit >= 80).then_some(300),
        }
    })
}

/// The same for a sequence of objects.
pub fn rolling() -> impl Strategy<Value = Options> {
    (sizes(), 60..200_u64, 0..128_u8, 0..64_u8).prop_map(
        |(options, roll_size, flags, unnumbered)| {
            let flag = |bit: u8| flags & (1 << bit) != 0;
            // Rarely, since checking it takes longer than the rest.
            let template = match unnumbered {
                63 => "%Y",
                _ => "{seq}",
            };
            let roll_size = roll_size.max(options.max_append_size);
            let rolling = Rolling {
                template,
                roll_size: template.contains("{seq}").then_some(roll_size),
                records: match flags >> 2 & 3 {
                    0 | 1 => Records::Lines,
                    2 => Records::Writes,
                    _ => Records::Unaligned,
                },
                keep_trying: flag(4),
                for_ever: false,
                seal: flag(5),
                start: flag(6),
            };
            Options {
                kind: Kind::Rolling(rolling),
                max_object_size: Some(300),
                ..options
            }
        },
    )
}
