//! What is compared.

use crate::contest::{Case, Link, Run};
use crate::ours::{MIB, defaults, of_size};
use crate::produce::Producer;
use crate::{loops, opendal, ours};

const GIB: u64 = 1 << 30;
const APPEND: usize = 8 * 1024 * 1024;

pub(crate) fn all() -> Vec<Case> {
    vec![
        async_write(),
        bytes(),
        small_writes(),
        equally_slow(),
        loops(),
    ]
}

fn async_write() -> Case {
    const PIECE: usize = 64 * 1024;
    Case::new(
        "AsyncWrite: 64 KiB writes, appends of 8 MiB",
        Link::LOOPBACK,
        Run::new("this crate", |ground| {
            ours::write(ground, of_size(APPEND as u64), Producer::Ready, GIB, PIECE)
        }),
    )
    .against(
        Run::new("OpenDAL, chunks of 8 MiB, futures adapter", |ground| {
            opendal::async_write(ground, Some(APPEND), Producer::Ready, GIB, PIECE)
        })
        .goal(1.0),
    )
}

fn bytes() -> Case {
    Case::new(
        "Bytes of 1 MiB, appends of 8 MiB",
        Link::LOOPBACK,
        Run::new("this crate, write_bytes", |ground| {
            ours::write_bytes(ground, of_size(APPEND as u64), GIB, MIB as usize)
        }),
    )
    .against(
        Run::new("OpenDAL, chunks of 8 MiB, write", |ground| {
            opendal::write(ground, Some(APPEND), GIB, MIB as usize)
        })
        .goal(1.1),
    )
}

fn small_writes() -> Case {
    const PIECE: usize = 4096;
    const BYTES: u64 = 16 * MIB;
    Case::new(
        "4 KiB writes, 10 ms away",
        Link::new(10, 0),
        Run::new("this crate, defaults", |ground| {
            ours::write(ground, defaults, Producer::Ready, BYTES, PIECE)
        }),
    )
    .against(
        Run::new("OpenDAL, defaults, write", |ground| {
            opendal::write(ground, None, BYTES, PIECE)
        })
        .goal(0.2),
    )
    .against(Run::new("OpenDAL, defaults, futures adapter", |ground| {
        opendal::async_write(ground, None, Producer::Ready, BYTES, PIECE)
    }))
    .against(Run::new("OpenDAL, chunks of 8 MiB, write", |ground| {
        opendal::write(ground, Some(APPEND), BYTES, PIECE)
    }))
}

fn equally_slow() -> Case {
    const PIECE: usize = 64 * 1024;
    const BYTES: u64 = 512 * MIB;
    let link = Link::new(5, 1);
    let producer = Producer::Paced(link.bytes_per_second());
    Case::new(
        "a producer as slow as the network",
        link,
        Run::new("this crate, defaults", move |ground| {
            ours::write(ground, defaults, producer, BYTES, PIECE)
        }),
    )
    .against(Run::new(
        "OpenDAL, chunks of 8 MiB, futures adapter",
        move |ground| opendal::async_write(ground, Some(APPEND), producer, BYTES, PIECE),
    ))
}

fn loops() -> Case {
    Case::new(
        "loops over bodies of 8 MiB",
        Link::LOOPBACK,
        Run::new("this crate, write_bytes of 1 MiB", |ground| {
            ours::write_bytes(ground, of_size(APPEND as u64), GIB, MIB as usize)
        }),
    )
    .against(Run::new("ossify", |ground| {
        loops::ossify(ground, GIB, APPEND)
    }))
    .against(Run::new("aliyun-oss-rs", |ground| {
        loops::aliyun_oss_rs(ground, GIB, APPEND)
    }))
}
