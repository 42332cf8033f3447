//! What can happen to a request, as data that can be shrunk and read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oss_append::{Error, ObjectKind, ServiceError};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::store::{Fault, Object, SimStore, broken, grow, land, service, unreachable};
use crate::support::{MS, SEC};

/// What becomes of one append.
#[derive(Clone, Debug)]
pub struct AppendEvent {
    /// Appends that were given up arrive before this one.
    pub late_ones_land: bool,
    /// Somebody else does this just before.
    pub meddling: Option<Meddling>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Good,
    LostAnswer,
    LostRequest,
    Refused,
    Late,
    Torn(usize),
    Status(u16),
    AppliedStatus(u16),
    Slow(u8),
    NeverAnswered,
    AppliedNeverAnswered,
    WithoutPosition,
    WithoutCrc,
    WrongPosition,
    WrongCrc,
    TokenExpired,
    ClockCorrected,
    Denied,
}

/// What others do to the object.
#[derive(Clone, Copy, Debug)]
pub enum Meddling {
    /// Append other bytes.
    Append(usize),
    /// Append exactly the bytes that we are about to append.
    AppendOurs,
    Delete,
    Seal,
    PutOver,
    /// Delete and create again, with the same length.
    Recreate,
}

/// What becomes of one look at the object, by HEAD or by reading.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    Good,
    Broken,
    Refused,
    Status(u16),
}

/// A whole world of trouble.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub appends: Vec<AppendEvent>,
    pub looks: Vec<Look>,
    pub latency: u8,
    pub without_crc: bool,
    /// From this append on nothing is ever answered again.
    pub dead_from: Option<usize>,
}

fn outcome(fatal: bool) -> BoxedStrategy<Outcome> {
    let status = prop::sample::select(vec![500_u16, 503, 429, 408, 502]);
    let survivable = prop_oneof![
        6 => Just(Outcome::Good),
        3 => Just(Outcome::LostAnswer),
        2 => Just(Outcome::LostRequest),
        1 => Just(Outcome::Refused),
        3 => Just(Outcome::Late),
        2 => (0..30usize).prop_map(Outcome::Torn),
        1 => status.clone().prop_map(Outcome::Status),
        1 => status.prop_map(Outcome::AppliedStatus),
        1 => any::<u8>().prop_map(Outcome::Slow),
        1 => Just(Outcome::NeverAnswered),
        1 => Just(Outcome::AppliedNeverAnswered),
        1 => Just(Outcome::WithoutPosition),
        1 => Just(Outcome::WithoutCrc),
        1 => Just(Outcome::TokenExpired),
        1 => Just(Outcome::ClockCorrected),
    ];
    if !fatal {
        return survivable.boxed();
    }
    prop_oneof![
        40 => survivable,
        1 => Just(Outcome::WrongPosition),
        1 => Just(Outcome::WrongCrc),
        1 => Just(Outcome::Denied),
    ]
    .boxed()
}

fn meddling() -> impl Strategy<Value = Meddling> {
    prop_oneof![
        4 => (1..60usize).prop_map(Meddling::Append),
        2 => Just(Meddling::AppendOurs),
        1 => Just(Meddling::Delete),
        1 => Just(Meddling::Seal),
        1 => Just(Meddling::PutOver),
        1 => Just(Meddling::Recreate),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![
        6 => Just(Look::Good),
        1 => Just(Look::Broken),
        1 => Just(Look::Refused),
        1 => prop::sample::select(vec![500_u16, 503, 429]).prop_map(Look::Status),
    ]
}

/// Trouble for writers that are alone.
pub fn for_exclusive() -> impl Strategy<Value = Trouble> {
    let event = (
        prop::bool::weighted(0.3),
        prop::option::weighted(0.03, meddling()),
        outcome(true),
    );
    trouble(
        event.prop_map(|(late_ones_land, meddling, outcome)| AppendEvent {
            late_ones_land,
            meddling,
            outcome,
        }),
    )
}

/// Trouble for writers that share an object: others append often, but nobody destroys it. A torn
/// append is impossible by OSS's rule, and only an exclusive writer puts up with it.
pub fn for_shared() -> impl Strategy<Value = Trouble> {
    let foreign = (1..60usize).prop_map(Meddling::Append);
    let whole = outcome(true).prop_map(|outcome| match outcome {
        Outcome::Torn(_) => Outcome::LostRequest,
        outcome => outcome,
    });
    let event = (
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, foreign),
        whole,
    );
    trouble(
        event.prop_map(|(late_ones_land, meddling, outcome)| AppendEvent {
            late_ones_land,
            meddling,
            outcome,
        }),
    )
}

fn trouble(event: impl Strategy<Value = AppendEvent>) -> impl Strategy<Value = Trouble> {
    (
        vec(event, 0..30),
        vec(look(), 0..20),
        0..20u8,
        prop::bool::weighted(0.1),
        prop::option::weighted(0.03, 0..20usize),
    )
        .prop_map(
            |(appends, looks, latency, without_crc, dead_from)| Trouble {
                appends,
                looks,
                latency,
                without_crc,
                dead_from,
            },
        )
}

/// What others have done so far.
#[derive(Debug, Default)]
pub struct Harm {
    /// What was durable has been destroyed.
    pub destroyed: AtomicBool,
    /// Our own bytes have been appended by somebody else.
    pub imitated: AtomicBool,
}

impl Trouble {
    /// Lets it happen in `store`; when it is over, all goes well.
    pub fn befall(&self, store: &SimStore) -> Arc<Harm> {
        let done = Arc::new(Harm::default());
        let harm = Arc::clone(&done);
        let mut world = store.world();
        world.latency = u32::from(self.latency) * MS;
        world.without_crc = self.without_crc;
        let mut looks: VecDeque<Look> = self.looks.clone().into();
        world.look_chaos = Some(Box::new(move || look_error(looks.pop_front()?)));
        let mut events: VecDeque<AppendEvent> = self.appends.clone().into();
        let without_crc = self.without_crc;
        let mut left = self.dead_from;
        world.chaos = Some(Box::new(move |late, object, body| {
            match &mut left {
                Some(0) => return Fault::never(),
                Some(left) => *left -= 1,
                None => {}
            }
            let Some(event) = events.pop_front() else {
                return Fault::none();
            };
            if event.late_ones_land {
                land(late, object);
            }
            let body = body.to_vec();
            let fault = fault(event.outcome);
            match event.meddling {
                None => fault,
                // Nobody can notice that without checksums.
                Some(Meddling::Recreate) if without_crc => fault,
                Some(meddling) => {
                    match meddling {
                        Meddling::Append(_) | Meddling::Seal => {}
                        Meddling::AppendOurs => harm.imitated.store(true, Ordering::Relaxed),
                        Meddling::Delete | Meddling::PutOver | Meddling::Recreate => {
                            harm.destroyed.store(true, Ordering::Relaxed);
                        }
                    }
                    fault.before(move |object| meddle(meddling, object, &body))
                }
            }
        }));
        done
    }
}

/// What foreign writers append: no writer of the tests uses this byte.
pub const FOREIGN: u8 = b'~';

fn meddle(meddling: Meddling, object: &mut Option<Object>, ours: &[u8]) {
    match meddling {
        Meddling::Append(len) => grow(object, &vec![FOREIGN; len]),
        Meddling::AppendOurs => grow(object, ours),
        Meddling::Delete => *object = None,
        Meddling::Seal => {
            if let Some(object) = object {
                object.sealed = true;
            }
        }
        Meddling::PutOver => {
            *object = Some(Object {
                kind: ObjectKind::Other("Normal".into()),
                ..Object::appendable("~put over~")
            });
        }
        Meddling::Recreate => {
            let len = object.as_ref().map_or(0, |object| object.data.len());
            *object = Some(Object::appendable(vec![FOREIGN; len]));
        }
    }
}

fn fault(outcome: Outcome) -> Fault {
    match outcome {
        Outcome::Good => Fault::none(),
        Outcome::LostAnswer => Fault::lost_answer(),
        Outcome::LostRequest => Fault::lost_request(),
        Outcome::Refused => Fault::refused(),
        Outcome::Late => Fault::late(),
        Outcome::Torn(len) => Fault::torn(len),
        Outcome::Status(status) => Fault::error(status, ""),
        Outcome::AppliedStatus(status) => Fault::applied_error(status, ""),
        // In steps that are shorter than the attempt timeout.
        Outcome::Slow(steps) => Fault::none().moving(u32::from(steps), SEC / 2),
        Outcome::NeverAnswered => Fault::never(),
        Outcome::AppliedNeverAnswered => Fault::applied_never(),
        Outcome::WithoutPosition => Fault::none().edit(|answer| answer.next_position = None),
        Outcome::WithoutCrc => Fault::none().edit(|answer| answer.crc64 = None),
        Outcome::WrongPosition => {
            Fault::none().edit(|answer| answer.next_position = answer.next_position.map(|n| n + 1))
        }
        Outcome::WrongCrc => Fault::none().edit(|answer| answer.crc64 = answer.crc64.map(|c| !c)),
        Outcome::TokenExpired => Fault::error(403, "SecurityTokenExpired"),
        Outcome::ClockCorrected => {
            let mut skewed = ServiceError::new(403, "RequestTimeTooSkewed");
            skewed.clock_corrected = true;
            Fault::answered(Error::service(skewed))
        }
        Outcome::Denied => Fault::error(403, "AccessDenied"),
    }
}

fn look_error(look: Look) -> Option<Error> {
    match look {
        Look::Good => None,
        Look::Broken => Some(broken()),
        Look::Refused => Some(unreachable()),
        Look::Status(status) => Some(service(status, "")),
    }
}

/// The longest that a writer of these tests goes on without progress.
pub const BUDGET: Duration = Duration::from_secs(20);
