//! What is measured.

use crate::contest::{Case, Link, Run};
use crate::ours::{self, MIB, defaults, of_size};
use crate::produce::Producer;
use crate::{bare, many, reading, records, spooled};

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
    cases.extend(flushes());
    cases.push(record_sink());
    cases.push(equally_slow());
    cases.push(long());
    cases.extend(objects());
    cases.extend(grid());
    cases.extend(ahead());
    cases.extend(with_a_spool());
    cases.extend(by_lane());
    cases.push(slow_and_far());
    cases.extend(reads());
    cases.extend(latency());
    #[cfg(unix)]
    cases.extend(through_proxies());
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

/// With a spool, and without. What is in a spool and has to be sent, and the same out of memory.
fn with_a_spool() -> Vec<Case> {
    const BYTES: u64 = GIB;
    let links = [(Link::new(5, 1), 1.03), (Link::LOOPBACK, 2.0)];
    let mut cases = Vec::from(links.map(|(link, goal)| {
        let with = Run::new("with a spool", |ground| {
            spooled::write(ground, of_size(APPEND as u64), BYTES, PIECE)
        });
        let without = bulk(BYTES, APPEND).goal(goal);
        Case::new(format!("spool: 64 KiB writes, {link}"), link, with).against(without)
    }));
    cases.extend([Link::new(5, 1), Link::LOOPBACK].map(|link| {
        let catching_up = Run::new("out of a spool", |ground| {
            spooled::catch_up(ground, of_size(APPEND as u64), 2 * GIB)
        });
        let bulk = bulk_bytes(2 * GIB, MIB as usize).goal(1.1);
        Case::new(format!("spool: catching up, {link}"), link, catching_up).against(bulk)
    }));
    let opening = Run::new("this crate", |ground| spooled::look(ground, 10 * GIB));
    cases.push(Case::new(
        "spool: opening one of 10 GiB",
        Link::LOOPBACK,
        opening,
    ));
    cases
}

/// What is read is compared with the object's CRC-64. `cat` is to fill the link, but for 3 %.
fn reads() -> [Case; 2] {
    let get = || Run::new("a bare GET", |ground| reading::get(ground, GIB));
    let reader = Run::new("ObjectReader", |ground| {
        reading::object_reader(ground, |reader| reader, GIB)
    });
    let ahead = Run::new("ObjectReader, 4 parts at a time", |ground| {
        reading::object_reader(ground, |reader| reader.read_ahead(4), GIB)
    });
    let cat = Run::new("oss-append cat", |ground| reading::cat(ground, GIB));
    let far = Link::new(20, 1);
    [
        Case::new("reading", Link::LOOPBACK, reader)
            .against(get().goal(1.15))
            .against(ahead),
        Case::new(format!("reading, {far}"), far, cat).against(get().goal(1.03)),
    ]
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

/// What programs pay that flush, by their adapter or on their own, with the defaults. The other
/// contestant does not flush.
fn flushes() -> impl Iterator<Item = Case> {
    const FEED: u64 = MIB;
    const SENT: u64 = 50;
    const FLUSHED: u64 = 20;
    let links = [Link::new(5, 1), Link::LOOPBACK];
    links.into_iter().flat_map(|link| {
        let feed = Run::new("FramedWrite, feed", |ground| {
            records::framed_feed(ground, FEED)
        });
        let send = Run::new("FramedWrite, send", |ground| {
            records::framed_send(ground, SENT)
        });
        let flush = Run::new("write and flush", |ground| {
            records::write_and_flush(ground, FLUSHED)
        });
        let record = |bytes| Run::new("records, send", move |ground| records::send(ground, bytes));
        [
            Case::new(
                format!("flushes: 1 MiB through FramedWrite, {link}"),
                link,
                feed,
            )
            .against(record(FEED)),
            Case::new(
                format!("flushes: 50 sends by FramedWrite, {link}"),
                link,
                send,
            )
            .against(record(SENT * 120)),
            Case::new(format!("flushes: 20 of 120 bytes, {link}"), link, flush)
                .against(record(FLUSHED * 120)),
        ]
    })
}

/// Records of 120 bytes by the sink of records, and by writes.
fn record_sink() -> Case {
    const BYTES: u64 = GIB;
    let lines = Run::new("lines, feed", |ground| {
        records::feed_lines(ground, of_size(APPEND as u64), BYTES)
    });
    let bytes = Run::new("Bytes, feed", |ground| {
        records::feed(ground, of_size(APPEND as u64), BYTES)
    });
    let mut writes = Run::new("write", |ground| {
        ours::write(ground, of_size(APPEND as u64), Producer::Ready, BYTES, 120)
    });
    writes = writes.goal(1.2);
    Case::new("records of 120 bytes", Link::LOOPBACK, lines)
        .against(writes)
        .against(bytes)
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

/// What the lane costs where the round trip does not count.
fn by_lane() -> [Case; 3] {
    let lane = |size: usize, appends| ours::ahead(size as u64, appends);
    let write = |bytes, size, appends| {
        let name = format!("this crate, {appends} at a time");
        Run::new(name, move |ground| {
            ours::write(ground, lane(size, appends), Producer::Ready, bytes, PIECE)
        })
    };
    [
        Case::new(
            "lane: 64 KiB writes, appends of 8 MiB",
            Link::LOOPBACK,
            write(GIB, APPEND, 2),
        )
        .against(bare(GIB, APPEND).goal(1.10))
        .against(bulk(GIB, APPEND)),
        Case::new(
            "lane: write_bytes of 1 MiB, appends of 8 MiB",
            Link::LOOPBACK,
            Run::new("this crate, 2 at a time", move |ground| {
                ours::write_bytes(ground, lane(APPEND, 2), GIB, MIB as usize)
            }),
        )
        .against(bare(GIB, APPEND).goal(1.0))
        .against(bulk_bytes(GIB, MIB as usize)),
        Case::new(
            "lane: appends of 64 KiB",
            Link::LOOPBACK,
            write(512 * MIB, PIECE, 8),
        )
        .against(bare(512 * MIB, PIECE).goal(1.15))
        .against(bulk(512 * MIB, PIECE)),
    ]
}

/// The defaults but for the window.
fn slow_and_far() -> Case {
    const BYTES: u64 = 128 * MIB;
    let link = Link::of_megabits(100, 100);
    let run = |name: &str, appends| {
        Run::new(name, move |ground| {
            let options = ours::window(appends);
            ours::write(ground, options, Producer::Ready, BYTES, PIECE)
        })
    };
    Case::new(
        format!("ahead: defaults, {link}"),
        link,
        run("this crate, 4 at a time", 4),
    )
    .against(run("one at a time", 1))
    .against(Run::new("one POST of all", move |ground| {
        bare::post(ground, BYTES, BYTES as usize)
    }))
}

/// How long a record is on its way in a steady stream: the time is that of the median record, or of
/// the slowest but one in a hundred.
fn latency() -> [Case; 2] {
    let link = Link::new(20, 1);
    [("median", 50), ("99 %", 99)].map(|(name, percent)| {
        let run = |name: &str, appends| {
            Run::new(name, move |ground| ours::latency(ground, appends, percent))
        };
        Case::new(
            format!("latency: records of 1 KiB each ms, no linger, {link}: {name}"),
            link,
            run("this crate, 32 at a time", 32),
        )
        .against(run("one at a time", 1))
        .against(Run::new("a POST of one record", move |ground| {
            bare::latency(ground, 1024, percent)
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

/// The link is between the contestant and the proxy.
#[cfg(unix)]
fn through_proxies() -> impl Iterator<Item = Case> {
    use crate::proxies::{self, Proxy};

    const BYTES: u64 = 128 * MIB;
    let link = Link::new(50, 1);
    let run = move |name: String, proxy: Option<Proxy>| {
        Run::new(name, move |ground| {
            let options = ours::ahead(MIB, 16);
            proxies::write_through(ground, link, proxy, options, BYTES, PIECE)
        })
    };
    let there = Proxy::ALL.into_iter().filter(|proxy| {
        let found = proxy.program().is_some();
        if !found {
            eprintln!("skipped: {} is not installed", proxy.name());
        }
        found
    });
    there.map(move |proxy| {
        let name = proxy.name();
        Case::new(
            format!("through {name}: appends of 1 MiB, 16 at a time, behind {link}"),
            Link::LOOPBACK,
            run(format!("through {name}"), Some(proxy)),
        )
        .against(run("direct".into(), None).goal(1.05))
    })
}
