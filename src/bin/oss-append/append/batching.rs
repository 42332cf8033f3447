//! Options of the buffer, and of how long to wait.

use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use oss_append::{AppendStore, OssAppendWriterBuilder, defaults};

use crate::patience::Patience;

#[derive(Args)]
#[command(next_help_heading = "Batching")]
pub(super) struct Batching {
    /// Start an append when this many bytes are buffered and none is in flight [default: 1MiB]
    #[arg(long, value_name = "SIZE")]
    batch_size: Option<ByteSize>,
    /// The most bytes of one append [default: 8MiB, or half of --buffer if that is less]
    #[arg(long, value_name = "SIZE")]
    max_append_size: Option<ByteSize>,
    /// The most appends in flight at a time. More than one helps where the round trip limits the
    /// speed. Only for one object that is neither shared nor compressed [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100), conflicts_with_all = ["shared", "compress", "roll", "roll_size"])]
    max_in_flight: Option<u16>,
    /// The most append requests a second; OSS bills each one. Where this limits, each append
    /// carries more, up to --max-append-size [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_appends: Option<u32>,
    /// The longest time that a byte waits for its append to start
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    linger: humantime::Duration,
    /// The most bytes in memory, buffered and in flight; at least twice --max-append-size [default:
    /// 16MiB, or twice --max-append-size if that is more]
    #[arg(long, value_name = "SIZE")]
    buffer: Option<ByteSize>,
    /// Give up after this long without progress, however many retries that takes. With forever it
    /// never gives up, but what OSS refuses for good still ends the command
    #[arg(long, value_name = "DURATION|forever", default_value = "120s")]
    delivery_timeout: Patience,
    /// After a signal, give up if what was read is not durable (with --spool: not on disk) after
    /// this long
    #[arg(long, value_name = "DURATION", default_value = "25s")]
    shutdown_timeout: humantime::Duration,
    /// Refuse an append that would make the object longer, before it is sent [default: 5000000000
    /// bytes, OSS's own limit]
    #[arg(long, value_name = "SIZE")]
    max_object_size: Option<ByteSize>,
}

impl Batching {
    pub(super) fn max_append_size(&self) -> u64 {
        let bytes = |size: Option<ByteSize>| size.map(|size| size.as_u64());
        bytes(self.max_append_size).unwrap_or_else(|| {
            let half = bytes(self.buffer).map_or(u64::MAX, |buffer| (buffer / 2).max(1));
            defaults::MAX_APPEND_SIZE
                .max(bytes(self.batch_size).unwrap_or(0))
                .min(half)
        })
    }

    pub(super) fn buffer(&self) -> u64 {
        let least = defaults::BUFFER_CAPACITY.max(self.max_append_size().saturating_mul(2));
        self.buffer.map_or(least, |buffer| buffer.as_u64())
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        *self.shutdown_timeout
    }

    pub(super) fn max_in_flight(&self) -> Option<u16> {
        self.max_in_flight
    }

    pub(super) fn set<S: AppendStore, O>(
        &self,
        mut builder: OssAppendWriterBuilder<S, O>,
    ) -> OssAppendWriterBuilder<S, O> {
        builder = builder
            .max_append_size(self.max_append_size())
            .linger(*self.linger)
            .delivery_timeout(self.delivery_timeout.0);
        if let Some(appends) = self.max_appends {
            builder = builder.max_appends_per_second(appends);
        }
        if let Some(size) = self.batch_size {
            builder = builder.batch_size(size.as_u64());
        }
        if let Some(size) = self.buffer {
            builder = builder.buffer_capacity(size.as_u64());
        }
        if let Some(size) = self.max_object_size {
            builder = builder.max_object_size(size.as_u64());
        }
        builder
    }
}
