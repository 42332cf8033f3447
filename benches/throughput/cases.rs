//! What is measured.

use crate::contest::{Case, Link, Run};
use crate::ours::{self, MIB, defaults, of_size};
use crate::produce::Producer;
use crate::{bare, many};

const GIB: u64 = 1 << 30;
const PIECE: usize = 64 * 1024;
const APPEND: usize = 8 * 1024 * 1024;

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "bulk: 64 KiB writes, appends of 8 MiB",
            Link::LOOPBACK,
            bulk(GIB, APPEND),
        )
        .against(bare(GIB, APPEND).goal(1.25)),
        Case::new(
            "bulk: write_bytes of 64 KiB, appends of 8 MiB",
            Link::LOOPBACK,
            bulk_bytes(GIB, PIECE),
        )
        .against(bare(GIB, APPEND).goal(1.10)),
        Case::new(
            "bulk: write_bytes of 1 MiB, appends of 8 MiB",
            Link::LOOPBACK,
            bulk_bytes(GIB, MIB as usize),
        )
        .against(bare(GIB, APPEND).goal(1.10)),
        Case::new(
            "bulk: 64 KiB writes, defaults",
            Link::LOOPBACK,
            Run::new("this crate", |ground| {
                ours::write(ground, defaults, Producer::Ready, GIB, PIECE)
            }),
        )
        .against(bare(GIB, APPEND)),
        Case::new(
            "bulk: 64 KiB writes, appends of 8 MiB, near",
            Link::new(5, 1),
            bulk(512 * MIB, APPEND),
        )
        .against(bare(512 * MIB, APPEND).goal(1.03)),
    ];
    cases.push(
        Case::new("appends of 64 KiB", Link::LOOPBACK, bulk(512 * MIB, PIECE))
            .against(bare(512 * MIB, PIECE)),
    );
    cases.push(copies());
    cases.push(lines());
    cases.push(equally_slow());
    cases.push(long());
    cases.extend(objects());
    cases.extend(grid());
    cases.extend(ahead());
    cases
}

fn bulk(bytes: u64, append: usize) -> Run {
    Run::new("this crate", move |ground| {
        ours::write(
            ground,
            of_size(append as u64),
            Producer::Ready,
            bytes,
            PIECE,
        )
    })
}

fn bulk_bytes(bytes: u64, piece: usize) -> Run {
    Run::new("this crate", move |ground| {
        ours::write_bytes(ground, of_size(APPEND as u64), bytes, piece)
    })
}

fn bare(bytes: u64, body: usize) -> Run {
    Run::new("a bare loop of POSTs", move |ground| {
        bare::post(ground, bytes, body)
    })
}

fn copies() -> Case {
    const BYTES: u64 = 512 * MIB;
    Case::new(
        "a file",
        Link::LOOPBACK,
        Run::new("copy_from", |ground| ours::copy_from(ground, BYTES)),
    )
    .against(Run::new("tokio::io::copy", |ground| {
        ours::copy(ground, BYTES)
    }))
    .against(Run::new("tokio::io::copy to nowhere", |ground| {
        bare::copy_to_nowhere(ground, BYTES)
    }))
    .against(bare(BYTES, APPEND))
}

fn lines() -> Case {
    const BYTES: u64 = GIB;
    let lines = Run::new("lines of 120 bytes", |ground| {
        ours::write(ground, of_size(APPEND as u64), Producer::Ready, BYTES, 120)
    });
    let mut bulk = bulk(BYTES, APPEND).goal(1.5);
    bulk.name = "64 KiB writes".into();
    Case::new("lines", Link::LOOPBACK, lines)
        .against(bulk)
        .against(bare(BYTES, APPEND))
}

fn equally_slow() -> Case {
    const BYTES: u64 = 256 * MIB;
    let link = Link::new(5, 1);
    let producer = Producer::Paced(link.bytes_per_second());
    Case::new(
        "a producer as slow as the network",
        link,
        Run::new("this crate", move |ground| {
            ours::write(ground, defaults, producer, BYTES, PIECE)
        }),
    )
    .against(Run::new("the producer alone", move |ground| {
        bare::produce(ground, producer, BYTES, PIECE)
    }))
    .against({
        let mut network = bare(BYTES, APPEND).goal(1.10);
        network.name = "the network alone: a bare loop of POSTs".into();
        network
    })
    .against(Run::new(
        "one after the other: a loop without a buffer",
        move |ground| bare::produce_and_post(ground, producer, BYTES, PIECE, APPEND),
    ))
}

/// Whether the memory is the same after 1 and after 5 GiB.
fn long() -> Case {
    let run = |name: &str, bytes| {
        Run::new(name, move |ground| {
            ours::write(ground, defaults, Producer::Ready, bytes, PIECE)
        })
    };
    Case::new("a long stream", Link::LOOPBACK, run("5 GiB", 5 * GIB)).against(run("1 GiB", GIB))
}

fn grid() -> impl Iterator<Item = Case> {
    let links = [1, 10].map(|gigabits| [0, 1, 10, 50].map(|ms| Link::new(ms, gigabits)));
    links.into_iter().flatten().map(|link| {
        let bytes = match link.bandwidth {
            1_000_000_000 => 192 * MIB,
            _ => 384 * MIB,
        };
        let name = format!("grid: 64 KiB writes, defaults, {link}");
        let ours = Run::new("this crate", move |ground| {
            ours::write(ground, defaults, Producer::Ready, bytes, PIECE)
        });
        Case::new(name, link, ours).against(bare(bytes, APPEND))
    })
}

/// Several appends under way at a time over 50 ms, beside one at a time.
fn ahead() -> impl Iterator<Item = Case> {
    const KIB: u64 = 1024;
    let link = Link::new(50, 1);
    let sizes = [(8 * MIB, 2, 384), (MIB, 16, 128), (128 * KIB, 32, 24)];
    sizes.into_iter().map(move |(append, appends, mebibytes)| {
        let bytes = mebibytes * MIB;
        let run = move |name: String, appends: u16| {
            Run::new(name, move |ground| {
                let options = ours::ahead(append, appends);
                ours::write(ground, options, Producer::Ready, bytes, PIECE)
            })
        };
        let name = match append {
            MIB.. => format!("ahead: appends of {} MiB, {link}", append / MIB),
            _ => format!("ahead: appends of {} KiB, {link}", append / KIB),
        };
        Case::new(
            name,
            link,
            run(format!("this crate, {appends} at a time"), appends),
        )
        .against(run("one at a time".into(), 1))
        .against(Run::new("one POST of all", move |ground| {
            bare::post(ground, bytes, bytes as usize)
        }))
    })
}

/// The same appends to one object and to many, and records as they come with the defaults, where
/// the same memory for more objects makes smaller appends.
fn objects() -> [Case; 2] {
    let alike = |objects: usize| {
        Run::new(format!("{objects} objects"), move |ground| {
            many::write(ground, objects, many::of_size(PIECE as u64), GIB, 4096)
        })
    };
    let default = |objects: usize| {
        Run::new(format!("{objects} objects"), move |ground| {
            many::write(ground, objects, many::defaults, 64 * MIB, 200)
        })
    };
    [
        Case::new(
            "objects: records of 4 KiB, appends of 64 KiB",
            Link::LOOPBACK,
            alike(10_000),
        )
        .against(alike(10).goal(1.0 / 0.7))
        .against(alike(1))
        .against(alike(1000)),
        Case::new(
            "objects: records of 200 bytes, defaults",
            Link::LOOPBACK,
            default(10_000),
        )
        .against(default(10))
        .against(default(1))
        .against(default(1000)),
    ]
}
