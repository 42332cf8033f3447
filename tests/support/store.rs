//! An object store in memory whose requests fail as told. It keeps OSS's rule: an append is applied
//! whole, and only at the object's length.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use oss_append::{
    AppendAnswer, AppendRequest, AppendStore, Error, Lane, ObjectInfo, ObjectKind, ObjectOptions,
    ObjectPath, Result, ServiceError, TransportCause, crc64,
};
use tokio::time::Instant;

use super::lane::SimLane;

#[derive(Clone, Default)]
pub struct SimStore {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
pub struct World {
    pub object: Option<Object>,
    /// Every request, in order.
    pub requests: Vec<Request>,
    /// How long each append takes.
    pub latency: Duration,
    /// How many bytes of an append get through each second, after all of it has been taken at once:
    /// something between passes it on slowly, and drops it when nobody waits for the answer.
    pub rate: Option<u64>,
    /// Answers name no CRC-64.
    pub without_crc: bool,
    /// HEAD tells no metadata.
    pub without_metadata: bool,
    /// Called at the start of every append, fault or not.
    pub on_append: Option<Watch>,
    /// Where faults come from when none is told.
    pub chaos: Option<Chaos>,
    /// Errors of HEAD and reads when none is told.
    pub look_chaos: Option<Box<dyn FnMut() -> Option<Error> + Send>>,
    append_faults: VecDeque<Fault>,
    head_faults: VecDeque<Error>,
    /// What the next looks show in place of the object.
    stale_looks: VecDeque<Option<Object>>,
    read_faults: VecDeque<Error>,
    /// Whether the seal is applied, and what is answered.
    seal_faults: VecDeque<(bool, Error)>,
    /// Every further append and head fails with this.
    pub down: Option<Error>,
    /// Appends that are still on their way.
    late: Late,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub data: Vec<u8>,
    pub kind: ObjectKind,
    pub sealed: bool,
    /// The metadata by which a writer knows its own object.
    pub creator: Option<String>,
}

impl Object {
    pub fn appendable(data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            kind: ObjectKind::Appendable,
            sealed: false,
            creator: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub at: Instant,
    pub op: Op,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Append {
        position: u64,
        len: u64,
        creates: bool,
    },
    Head,
    Read(Range<u64>),
    Seal(u64),
}

/// An append that has not arrived yet.
pub struct OnItsWay {
    position: u64,
    body: Bytes,
    creator: Option<String>,
}

type Late = Vec<OnItsWay>;
/// Gets the appends on their way, the object and the request's body.
type Chaos = Box<dyn FnMut(&mut Late, &mut Option<Object>, &[u8]) -> Fault + Send>;
type Watch = Box<dyn FnMut(&mut Option<Object>) + Send>;
type Change = Box<dyn FnOnce(&mut Option<Object>) + Send>;
type Edit = Box<dyn FnOnce(&mut AppendAnswer) + Send>;

/// What happens to one append.
pub struct Fault {
    before: Option<Change>,
    apply: Apply,
    after: Option<Change>,
    edit: Option<Edit>,
    answer: Answer,
    /// Before that, one byte of the body moves this often.
    moves: Option<(u32, Duration)>,
}

enum Apply {
    Whole,
    Nothing,
    Prefix(usize),
    Late,
}

enum Answer {
    Given,
    Error(Error),
    Never,
}

impl Fault {
    fn new(apply: Apply, answer: Answer) -> Self {
        Self {
            before: None,
            apply,
            after: None,
            edit: None,
            answer,
            moves: None,
        }
    }

    /// Applied as it should be.
    pub fn none() -> Self {
        Self::new(Apply::Whole, Answer::Given)
    }

    /// Applied, but the answer is lost.
    pub fn lost_answer() -> Self {
        Self::new(Apply::Whole, Answer::Error(broken()))
    }

    /// Lost before it is applied.
    pub fn lost_request() -> Self {
        Self::new(Apply::Nothing, Answer::Error(broken()))
    }

    /// The connection is refused.
    pub fn refused() -> Self {
        Self::new(Apply::Nothing, Answer::Error(unreachable()))
    }

    /// Not applied until [`SimStore::land_late`], and no answer.
    pub fn late() -> Self {
        Self::new(Apply::Late, Answer::Error(broken()))
    }

    /// Only the first bytes are applied, and the answer is lost.
    pub fn torn(len: usize) -> Self {
        Self::new(Apply::Prefix(len), Answer::Error(broken()))
    }

    /// Not applied, answered with an error.
    pub fn error(status: u16, code: &str) -> Self {
        Self::new(Apply::Nothing, Answer::Error(service(status, code)))
    }

    /// Applied, and yet answered with an error.
    pub fn applied_error(status: u16, code: &str) -> Self {
        Self::new(Apply::Whole, Answer::Error(service(status, code)))
    }

    pub fn answered(error: Error) -> Self {
        Self::new(Apply::Nothing, Answer::Error(error))
    }

    /// Not applied, and nothing ever comes back.
    pub fn never() -> Self {
        Self::new(Apply::Nothing, Answer::Never)
    }

    /// Applied, and nothing ever comes back.
    pub fn applied_never() -> Self {
        Self::new(Apply::Whole, Answer::Never)
    }

    /// Changes the object just before.
    pub fn before(mut self, change: impl FnOnce(&mut Option<Object>) + Send + 'static) -> Self {
        self.before = Some(Box::new(change));
        self
    }

    /// Changes the object just after.
    pub fn after(mut self, change: impl FnOnce(&mut Option<Object>) + Send + 'static) -> Self {
        self.after = Some(Box::new(change));
        self
    }

    /// Somebody else appends just before.
    pub fn foreign_before(self, bytes: &'static str) -> Self {
        self.before(move |object| grow(object, bytes.as_bytes()))
    }

    /// Somebody else appends just after.
    pub fn foreign_after(self, bytes: &'static str) -> Self {
        self.after(move |object| grow(object, bytes.as_bytes()))
    }

    /// Before anything else, the body moves byte by byte: `count` times, one `every` so long.
    pub fn moving(mut self, count: u32, every: Duration) -> Self {
        self.moves = Some((count, every));
        self
    }

    /// Changes the answer.
    pub fn edit(mut self, edit: impl FnOnce(&mut AppendAnswer) + Send + 'static) -> Self {
        self.edit = Some(Box::new(edit));
        self
    }
}

pub fn grow(object: &mut Option<Object>, bytes: &[u8]) {
    object
        .get_or_insert_with(|| Object::appendable(""))
        .data
        .extend_from_slice(bytes);
}

/// Lets appends that were on their way arrive; those at the wrong position change nothing.
pub fn land(late: &mut Vec<OnItsWay>, object: &mut Option<Object>) {
    for arriving in std::mem::take(late) {
        let length = object.as_ref().map_or(0, |o| o.data.len() as u64);
        let open = object
            .as_ref()
            .is_none_or(|o| !o.sealed && o.kind == ObjectKind::Appendable);
        if length == arriving.position && open {
            if object.is_none() {
                let creator = arriving.creator;
                *object = Some(Object {
                    creator,
                    ..Object::appendable("")
                });
            }
            grow(object, &arriving.body);
        }
    }
}

/// The metadata by which the writer would know the object, if this append creates it.
pub fn creator(request: &AppendRequest) -> Option<String> {
    let mut metadata = request.create.as_ref()?.metadata();
    let own = metadata.find(|(name, _)| *name == ObjectOptions::CREATOR)?;
    Some(own.1.to_owned())
}

pub fn broken() -> Error {
    Error::transport(TransportCause::Broken, "connection reset")
}

pub fn unreachable() -> Error {
    Error::transport(TransportCause::Connect, "connection refused")
}

pub fn service(status: u16, code: &str) -> Error {
    Error::service(ServiceError::new(status, code))
}

impl SimStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// A store whose object exists with this content.
    pub fn holding(data: &str) -> Self {
        let store = Self::new();
        store.world().object = Some(Object::appendable(data));
        store
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// The next append without a fault of its own gets this one.
    pub fn fault(&self, fault: Fault) -> &Self {
        self.world().append_faults.push_back(fault);
        self
    }

    pub fn fail_head(&self, error: Error) -> &Self {
        self.world().head_faults.push_back(error);
        self
    }

    /// The next look shows what the object was once; `None`: that there is none.
    pub fn stale_look(&self, data: Option<&str>) -> &Self {
        let object = data.map(Object::appendable);
        self.world().stale_looks.push_back(object);
        self
    }

    pub fn fail_read(&self, error: Error) -> &Self {
        self.world().read_faults.push_back(error);
        self
    }

    /// The next seal is applied or not, and answered with this.
    pub fn fail_seal(&self, applied: bool, error: Error) -> &Self {
        self.world().seal_faults.push_back((applied, error));
        self
    }

    /// Everything fails from now on.
    pub fn go_down(&self, error: Error) {
        self.world().down = Some(error);
    }

    pub fn come_back(&self) {
        self.world().down = None;
    }

    /// Somebody else appends.
    pub fn foreign(&self, bytes: &str) {
        grow(&mut self.world().object, bytes.as_bytes());
    }

    /// The appends that were on their way arrive; those at the wrong position change nothing.
    pub fn land_late(&self) {
        let mut world = self.world();
        let world = &mut *world;
        land(&mut world.late, &mut world.object);
    }

    /// The object's content; empty if there is none.
    pub fn content(&self) -> Vec<u8> {
        self.world()
            .object
            .as_ref()
            .map(|object| object.data.clone())
            .unwrap_or_default()
    }

    /// The object's length, if there is one.
    pub fn length(&self) -> Option<usize> {
        self.world().object.as_ref().map(|object| object.data.len())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.content()).unwrap()
    }

    pub fn ops(&self) -> Vec<Op> {
        self.world().requests.iter().map(|r| r.op.clone()).collect()
    }

    /// The append requests so far: position and length.
    pub fn appends(&self) -> Vec<(u64, u64)> {
        self.ops()
            .into_iter()
            .filter_map(|op| match op {
                Op::Append { position, len, .. } => Some((position, len)),
                _ => None,
            })
            .collect()
    }

    /// The ranges read so far: start and end.
    pub fn reads(&self) -> Vec<(u64, u64)> {
        self.ops()
            .into_iter()
            .filter_map(|op| match op {
                Op::Read(range) => Some((range.start, range.end)),
                _ => None,
            })
            .collect()
    }

    /// What is to become of this append; `None` if everything is down.
    fn next_fault(&self, request: &AppendRequest) -> Option<Fault> {
        let mut world = self.world();
        let world = &mut *world;
        if world.down.is_some() {
            return None;
        }
        if let Some(on_append) = &mut world.on_append {
            on_append(&mut world.object);
        }
        Some(match (world.append_faults.pop_front(), &mut world.chaos) {
            (Some(fault), _) => fault,
            (None, Some(chaos)) => {
                let body = request.body.chunks().concat();
                chaos(&mut world.late, &mut world.object, &body)
            }
            (None, None) => Fault::none(),
        })
    }

    fn log(&self, op: Op) {
        let at = Instant::now();
        self.world().requests.push(Request { at, op });
    }
}

impl World {
    fn try_append(&mut self, request: &AppendRequest, body: &[u8]) -> Result<AppendAnswer> {
        let position = request.position;
        let object = match &mut self.object {
            None if position == 0 => self.object.insert(Object {
                creator: creator(request),
                ..Object::appendable("")
            }),
            None => return Err(mismatch(0)),
            Some(object) => object,
        };
        if object.kind != ObjectKind::Appendable {
            return Err(service(409, "ObjectNotAppendable"));
        }
        if object.sealed {
            return Err(service(400, "AppendSealedObjectNotAllowed"));
        }
        if object.data.len() as u64 != position {
            return Err(mismatch(object.data.len() as u64));
        }
        object.data.extend_from_slice(body);
        let mut answer = AppendAnswer::new(object.data.len() as u64, crc64::checksum(&object.data));
        if self.without_crc {
            answer.crc64 = None;
        }
        Ok(answer)
    }

    fn append(&mut self, request: &AppendRequest, fault: Fault) -> (Result<AppendAnswer>, bool) {
        let body = request.body.chunks().concat();
        if let Some(before) = fault.before {
            before(&mut self.object);
        }
        let mut result = match fault.apply {
            Apply::Whole => self.try_append(request, &body),
            Apply::Prefix(len) => self.try_append(request, &body[..len.min(body.len())]),
            Apply::Nothing => Ok(AppendAnswer::default()),
            Apply::Late => {
                self.late.push(OnItsWay {
                    position: request.position,
                    body: body.into(),
                    creator: creator(request),
                });
                Ok(AppendAnswer::default())
            }
        };
        if let Some(after) = fault.after {
            after(&mut self.object);
        }
        if let (Some(edit), Ok(answer)) = (fault.edit, &mut result) {
            edit(answer);
        }
        match fault.answer {
            Answer::Given => (result, true),
            Answer::Error(error) => (Err(error), true),
            Answer::Never => (result, false),
        }
    }
}

fn mismatch(length: u64) -> Error {
    let mut answer = ServiceError::new(409, "PositionNotEqualToLength");
    answer.next_append_position = Some(length);
    Error::service(answer)
}

impl SimStore {
    pub(super) fn log_append(&self, request: &AppendRequest) {
        self.log(Op::Append {
            position: request.position,
            len: request.body.len(),
            creates: request.create.is_some(),
        });
    }

    /// What becomes of an append, and whether that is ever answered.
    pub(super) async fn carry_out(&self, request: &AppendRequest) -> (Result<AppendAnswer>, bool) {
        let Some(fault) = self.next_fault(request) else {
            return (
                Err(self.world().down.clone().expect("a reason to be down")),
                true,
            );
        };
        if let Some((count, every)) = fault.moves {
            for _ in 0..count {
                tokio::time::sleep(every).await;
                request.progress.advance(1);
            }
        }
        self.world().append(request, fault)
    }
}

impl AppendStore for SimStore {
    async fn append(&self, request: AppendRequest) -> Result<AppendAnswer> {
        self.log_append(&request);
        let World { latency, rate, .. } = *self.world();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if let Some(rate) = rate {
            request.progress.advance(request.body.len());
            let seconds = request.body.len() as f64 / rate as f64;
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        let (result, answered) = self.carry_out(&request).await;
        if !answered {
            std::future::pending::<()>().await;
        }
        result
    }

    fn lane(&self, _: &ObjectPath) -> Option<Box<dyn Lane>> {
        // A slow link is one for appends one at a time.
        let has_lane = self.world().rate.is_none();
        has_lane.then(|| Box::new(SimLane::new(self.clone())) as Box<dyn Lane>)
    }

    async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
        self.log(Op::Head);
        let mut world = self.world();
        let error = world.down.clone().or_else(|| world.head_faults.pop_front());
        if let Some(error) = error.or_else(|| world.look_chaos.as_mut()?()) {
            return Err(error);
        }
        let (without_crc, without_metadata) = (world.without_crc, world.without_metadata);
        let stale = world.stale_looks.pop_front();
        let object = stale.as_ref().unwrap_or(&world.object);
        Ok(object.as_ref().map(|object| {
            let crc = (!without_crc).then(|| crc64::checksum(&object.data));
            let mut info = ObjectInfo::appendable(object.data.len() as u64, crc);
            info.kind = object.kind.clone();
            info.sealed = object.sealed;
            info.creator = object.creator.clone().filter(|_| !without_metadata);
            info
        }))
    }

    async fn read_range(
        &self,
        _: &ObjectPath,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        self.log(Op::Read(range.clone()));
        let mut world = self.world();
        let error = world.down.clone().or_else(|| world.read_faults.pop_front());
        if let Some(error) = error.or_else(|| world.look_chaos.as_mut()?()) {
            return Err(error);
        }
        let data = world.object.as_ref().map_or(&[][..], |o| &o.data);
        let end = data.len().min(range.end as usize);
        let part = data.get(range.start as usize..end).unwrap_or_default();
        // In small pieces that agree with nobody's batches.
        let pieces: Vec<_> = part
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        Ok(stream::iter(pieces).boxed())
    }

    async fn seal(&self, _: &ObjectPath, position: u64) -> Result<()> {
        self.log(Op::Seal(position));
        let mut world = self.world();
        if let Some(down) = &world.down {
            return Err(down.clone());
        }
        if let Some((applied, error)) = world.seal_faults.pop_front() {
            if let (true, Some(object)) = (applied, &mut world.object) {
                object.sealed = true;
            }
            return Err(error);
        }
        match &mut world.object {
            None => Err(service(404, "NoSuchKey")),
            Some(object) if object.data.len() as u64 != position => {
                Err(mismatch(object.data.len() as u64))
            }
            Some(object) => {
                object.sealed = true;
                Ok(())
            }
        }
    }
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStore").finish_non_exhaustive()
    }
}
