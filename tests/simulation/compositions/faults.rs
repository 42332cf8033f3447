//! What can happen to requests, as data that can be shrunk and read.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::world::WorldOptions;

/// What happens as one request arrives, in this order.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// How long it is on its way, in ms, and as long its answer.
    pub delay: u8,
    /// Which appends that were on their way arrive before it.
    pub lands: Lands,
    /// What somebody else does to its object just before it.
    pub meddling: Option<Meddling>,
    pub fate: Fate,
}

impl Event {
    pub const NONE: Self = Self {
        delay: 0,
        lands: Lands::None,
        meddling: None,
        fate: Fate::Good,
    };
}

#[derive(Clone, Copy, Debug)]
pub enum Lands {
    None,
    First,
    Last,
    All,
    Backwards,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Good,
    /// Not applied, and the connection breaks.
    Lost,
    Unreachable,
    /// Applied, and the connection breaks.
    LostAnswer,
    /// Not applied yet, and the connection breaks.
    Late,
    /// Applied and answered, and sent once more by something between.
    Twice,
    /// Not applied and never answered; applied; not applied yet.
    Hang,
    AppliedHang,
    LateHang,
    /// Not applied, in the words of OSS.
    Refused(u16, &'static str),
    /// Something between answers: without passing it on; after that; before that.
    Between(u16),
    AppliedBetween(u16),
    LateBetween(u16),
    /// 503, to come back in so many seconds.
    Busy(u16),
    /// The clock was wrong, and has been corrected.
    ClockWrong,
    /// A look shows the object as it was so many changes ago.
    Stale(u8),
    /// Answered, but without the position.
    WithoutPosition,
    /// The process stands still while the request is under way.
    Frozen {
        lost: bool,
    },
}

impl Fate {
    /// Whether the request takes effect, at once or later.
    pub fn may_apply(self) -> bool {
        match self {
            Self::Good
            | Self::LostAnswer
            | Self::Late
            | Self::Twice
            | Self::AppliedHang
            | Self::LateHang
            | Self::AppliedBetween(_)
            | Self::LateBetween(_)
            | Self::Stale(_)
            | Self::WithoutPosition => true,
            Self::Frozen { lost } => !lost,
            _ => false,
        }
    }

    pub fn is_late(self) -> bool {
        matches!(self, Self::Late | Self::LateHang | Self::LateBetween(_))
    }

    pub fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::AppliedHang | Self::LateHang)
    }
}

/// What others do to an object. Sizes compare with the last append that was sent to it.
#[derive(Clone, Copy, Debug)]
pub enum Meddling {
    /// Append other bytes.
    Append(Size),
    /// Append the bytes of the last append that was sent.
    AppendOurs,
    Seal,
    /// Put it under retention.
    Retain,
    Delete,
    /// Put an object of another kind in its place.
    PutOver,
    /// Delete it and create it again, as long as it was, or a byte shorter.
    Recreate,
    Shorten,
}

#[derive(Clone, Copy, Debug)]
pub enum Size {
    Shorter,
    Equal,
    Longer,
}

/// A whole world of trouble.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub options: WorldOptions,
    pub events: Vec<Event>,
}

/// Each with its weight; what comes first is the simplest.
type Table<T> = &'static [(u32, T)];

/// What kinds of trouble there may be.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub fates: Table<Fate>,
    /// In thousandths of the requests.
    pub meddling: Table<Meddling>,
    pub gzip: bool,
}

/// What a writer survives on its own, and what not.
pub const FATES: Table<Fate> = &[
    (400, Fate::Good),
    (60, Fate::LostAnswer),
    (50, Fate::Lost),
    (20, Fate::Unreachable),
    (100, Fate::Late),
    (20, Fate::Twice),
    (15, Fate::Hang),
    (15, Fate::AppliedHang),
    (20, Fate::LateHang),
    (15, Fate::Between(502)),
    (10, Fate::Between(500)),
    (10, Fate::AppliedBetween(503)),
    (15, Fate::LateBetween(504)),
    (5, Fate::Between(408)),
    (5, Fate::Between(429)),
    (10, Fate::Busy(2)),
    (4, Fate::Busy(3600)),
    (15, Fate::ClockWrong),
    (15, Fate::Refused(403, "SecurityTokenExpired")),
    (25, Fate::Stale(0)),
    (15, Fate::Stale(3)),
    (10, Fate::WithoutPosition),
    (8, Fate::Frozen { lost: false }),
    (8, Fate::Frozen { lost: true }),
    // From here on those that end a writer that does not keep trying.
    (40, Fate::Refused(403, "AccessDenied")),
    (12, Fate::Between(403)),
    (8, Fate::Between(407)),
    (6, Fate::AppliedBetween(403)),
    (12, Fate::LateBetween(403)),
    (4, Fate::Between(404)),
    (4, Fate::Refused(404, "NoSuchBucket")),
    (4, Fate::Refused(501, "NotImplemented")),
    (4, Fate::Refused(400, "SomethingNew")),
];

/// All that others can do.
pub const ANYTHING: Table<Meddling> = &[
    (8, Meddling::Append(Size::Shorter)),
    (8, Meddling::Append(Size::Equal)),
    (14, Meddling::Append(Size::Longer)),
    (3, Meddling::AppendOurs),
    (4, Meddling::Seal),
    (3, Meddling::Retain),
    (6, Meddling::Delete),
    (2, Meddling::PutOver),
    (4, Meddling::Recreate),
    (4, Meddling::Shorten),
];

/// What others do to an object that is theirs too: nobody destroys it, and nobody writes what we do.
pub const SHARING: Table<Meddling> = &[
    (30, Meddling::Append(Size::Shorter)),
    (30, Meddling::Append(Size::Equal)),
    (30, Meddling::Append(Size::Longer)),
    (4, Meddling::Seal),
    (3, Meddling::Retain),
];

fn pick<T: Copy>(table: Table<T>, mut at: u32) -> Option<T> {
    for (weight, one) in table {
        match at.checked_sub(*weight) {
            None => return Some(*one),
            Some(left) => at = left,
        }
    }
    None
}

fn event(mix: Mix) -> impl Strategy<Value = Event> {
    let fates: u32 = mix.fates.iter().map(|(weight, _)| weight).sum();
    let meddling: u32 = mix.meddling.iter().map(|(weight, _)| weight).sum();
    // Numbers are made and shrunk many times faster than unions of strategies.
    (0..fates, 0..1000_u32, 0..100_u8, 0..12_u8).prop_map(move |(fate, other, lands, delay)| {
        Event {
            delay: delay.saturating_sub(6),
            lands: match lands {
                0..70 => Lands::None,
                70..80 => Lands::First,
                80..85 => Lands::Last,
                85..95 => Lands::All,
                _ => Lands::Backwards,
            },
            // From the top, so that it shrinks to none.
            meddling: other
                .checked_sub(1000 - meddling)
                .and_then(|at| pick(mix.meddling, at)),
            fate: pick(mix.fates, fate).unwrap_or(Fate::Good),
        }
    })
}

pub fn trouble(mix: Mix, most: usize) -> impl Strategy<Value = Trouble> {
    let events = vec(event(mix), 0..most);
    (events, 0..100_u8).prop_map(move |(events, options)| Trouble {
        options: WorldOptions {
            without_crc: (80..88).contains(&options),
            without_metadata: (70..85).contains(&options),
            without_listing: options >= 90,
            gzip: mix.gzip,
        },
        events,
    })
}
