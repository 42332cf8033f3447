//! What programs do with a writer, from its opening to its end and in the lives after that.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use oss_append::{Checkpoint, Error, ErrorKind, Landed, Receipt, WriterStats, Written};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::compositions::faults::Trouble;
use crate::compositions::ledger::{self, Expected, Record, Script, must, show};
use crate::compositions::options::{BUDGET, Kind, Options, object};
use crate::compositions::world::Process;
use crate::compositions::writer::Writer;
use crate::support::MS;

/// What takes longer hangs.
const HANGS: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug)]
pub struct Plan {
    pub trouble: Trouble,
    pub options: Options,
    /// What each process does, life after life. All run at the same time.
    pub processes: Vec<Vec<Life>>,
}

/// What one writer does, from its opening to its end.
#[derive(Clone, Debug)]
pub struct Life {
    pub steps: Vec<Step>,
    /// The process ends in the midst of it.
    pub crashes: bool,
    /// It writes everything again from the beginning on, if that is known to be there.
    pub reruns: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A record by `write`, of about so many bytes.
    Write(usize),
    /// A record by `write_bytes` or `write_record`.
    Bytes(usize),
    Enqueue(usize),
    /// An empty line.
    Empty,
    Sync,
    Flush,
    Roll,
    /// A sync that is given up after so many ms.
    Hurry(u16),
    Pause(u16),
}

/// Steps of records up to `longest` bytes.
pub fn step(longest: usize) -> impl Strategy<Value = Step> {
    (0..100_u8, 0..longest, 0..longest).prop_map(|(kind, a, b)| match kind {
        // Mostly short ones.
        0..30 => Step::Write(a.min(b).min(40)),
        30..40 => Step::Bytes(a.min(b).min(40)),
        40..60 => Step::Enqueue(a.min(b).min(40)),
        60..68 => Step::Write(a),
        68..71 => Step::Enqueue(a),
        71..73 => Step::Empty,
        73..84 => Step::Sync,
        84..87 => Step::Flush,
        87..92 => Step::Roll,
        92..96 => Step::Hurry(a as u16),
        _ => Step::Pause(a as u16 * 4),
    })
}

/// Up to `lives` lives of up to `steps` steps each.
pub fn lives(
    lives: usize,
    steps: usize,
    longest: usize,
    crashes: bool,
) -> impl Strategy<Value = Vec<Life>> {
    let life = (vec(step(longest), 0..steps), 0..100_u8, 0..100_u8);
    let life = life.prop_map(move |(mut steps, crash, rerun)| {
        if rerun >= 90 {
            // It has only to compare.
            steps.clear();
        }
        Life {
            steps,
            crashes: crashes && crash >= 75,
            reruns: rerun >= 70,
        }
    });
    vec(life, 1..=lives)
}

/// Runs a plan to its end and beyond. It says whether no writer has failed.
pub async fn run(plan: Plan) -> Result<bool, String> {
    let first = Process::first(plan.trouble.clone());
    let outcome = play(&plan, &first).await;
    outcome.map_err(|what| {
        let world = first.world();
        let mut told = what;
        for (key, object) in world.in_order() {
            let data = match plan.options.gzip {
                true => ledger::gunzip(&object.data).unwrap_or_default(),
                false => object.data.clone(),
            };
            let state = (object.sealed, object.immutable);
            told += &format!("\n{key} {state:?}: {}", show(&data));
        }
        told + "\n" + &world.story()
    })
}

async fn play(plan: &Plan, first: &Process) -> Result<bool, String> {
    let sources = plan.processes.iter().enumerate().map(|(number, lives)| {
        let source = Source {
            options: plan.options.clone(),
            script: Script::new(number.to_string()),
            life: 0,
            failed: false,
        };
        source.live(first.clone(), lives)
    });
    let sources = futures::future::join_all(sources).await;
    let sources = sources.into_iter().collect::<Result<Vec<_>, _>>()?;
    let succeeded = sources.iter().all(|source| !source.failed);
    let scripts: Vec<_> = sources.into_iter().map(|source| source.script).collect();
    // What dropped writers still do.
    tokio::time::sleep(100 * BUDGET).await;
    let mut world = first.world();
    world.end();
    let alone = plan.processes.len() == 1;
    // What is left of an earlier life may land behind the end that the next one has seen.
    let may_grow = plan.options.shared && plan.processes.iter().any(|lives| lives.len() > 1);
    let size = match &plan.options.kind {
        Kind::Rolling(rolling) if alone && !plan.options.gzip && !may_grow => rolling.roll_size,
        _ => None,
    };
    let expected = Expected {
        gzip: plan.options.gzip,
        alone,
        roll_size: size.map(|size| size as usize),
    };
    ledger::audit(&world, &scripts, expected)?;
    Ok(succeeded)
}

/// A process and those that come after it, with one source of records.
struct Source {
    options: Options,
    script: Script,
    life: usize,
    failed: bool,
}

/// How the next life goes on.
enum Next {
    /// With new records, at the end of what is there.
    Append,
    /// By writing again what the source has from this offset on.
    Replay { checkpoint: Checkpoint, from: usize },
    /// By writing again what was given back, which begins at this offset: the recipe of the guide `failures`.
    Recipe {
        chunks: Vec<Bytes>,
        from: usize,
        /// Where to replay from, if they are in doubt.
        checkpoint: Option<Checkpoint>,
    },
}

/// A writer that is open.
struct Open {
    writer: Writer,
    store: Process,
    /// The stream's position at the opening, and what it is in the script.
    origin: u64,
    from: usize,
    /// Whether it compares what it is given.
    replays: bool,
    /// Whether it was given everything from the beginning on.
    rerun: bool,
    /// Up to here the script has been given to it.
    given: usize,
    rolls: usize,
    receipts: Vec<(usize, Receipt)>,
}

impl Open {
    fn offset(&self, position: u64) -> usize {
        self.from + (position - self.origin) as usize
    }

    fn durable(&self) -> usize {
        self.offset(self.writer.durable_position())
    }
}

impl Source {
    async fn live(mut self, first: Process, lives: &[Life]) -> Result<Self, String> {
        let mut next = Next::Append;
        for life in lives {
            self.life += 1;
            if life.reruns && matches!(next, Next::Append) && self.life > 1 && self.can_replay() {
                let (checkpoint, from) = (Checkpoint::start(object()), 0);
                next = Next::Replay { checkpoint, from };
            }
            let store = first.fork();
            let opened = within(self.open(&store, &next)).await?;
            let mut open = match opened {
                Ok(open) => open,
                Err(error) => {
                    must!(!first.world().had_enough(), "requests without end");
                    let invalid = matches!(error.kind(), ErrorKind::InvalidInput { .. });
                    must!(!invalid, "no options that go together: {error}");
                    self.failed = true;
                    // Nothing was accepted: what was to be written stays as it was.
                    continue;
                }
            };
            let outcome = self.act(&mut open, life, &next).await?;
            next = match outcome {
                Ended::Crashed => self.crashed(open)?,
                Ended::Well => self.shut_down(open).await?,
                Ended::Failed(error) => self.failed(open, error).await?,
            };
        }
        Ok(self)
    }

    fn can_replay(&self) -> bool {
        let plain = matches!(self.options.kind, Kind::Plain);
        plain && !self.options.shared && !self.options.gzip
    }

    async fn open(&self, store: &Process, next: &Next) -> Result<Open, Error> {
        let (checkpoint, from) = match next {
            Next::Append => (None, self.script.text.len()),
            Next::Replay { checkpoint, from } => (Some(checkpoint.clone()), *from),
            Next::Recipe {
                from, checkpoint, ..
            } => (checkpoint.clone(), *from),
        };
        let replays = checkpoint.is_some();
        let writer = self.options.open(store, checkpoint).await?;
        Ok(Open {
            origin: writer.position(),
            writer,
            store: store.clone(),
            from,
            replays,
            rerun: matches!(next, Next::Replay { from: 0, .. }),
            given: from,
            rolls: 0,
            receipts: Vec::new(),
        })
    }

    /// Everything up to the shutdown, without it if the life ends before.
    async fn act(&mut self, open: &mut Open, life: &Life, next: &Next) -> Result<Ended, String> {
        let again = match next {
            // After an end that may have left half of a record.
            Next::Append if self.life > 1 => return self.act_anew(open, life).await,
            Next::Append => return self.take_steps(open, life).await,
            Next::Replay { .. } => vec![Bytes::copy_from_slice(&self.script.text[open.from..])],
            // A write is a record there, and what is given back does not show where each ends.
            Next::Recipe { .. } if self.options.refuses_long() => self.records_from(open.from)?,
            Next::Recipe { chunks, .. } => chunks.clone(),
        };
        for chunk in again {
            // So that the receipts of this life count from where it began.
            let written = within(open.writer.write_all(&chunk)).await?;
            open.given = open.offset(open.writer.position());
            let records = self.script.records.iter_mut();
            for record in records.filter(|record| record.end > open.from) {
                record.life = self.life;
                record.rolls = 0;
            }
            if let Err(error) = written {
                return Ok(Ended::Failed(error));
            }
        }
        match self.script.text.ends_with(b"\n") {
            true => self.take_steps(open, life).await,
            // The last record was taken in in part.
            false => self.act_anew(open, life).await,
        }
    }

    /// The records from this offset on, which must be where one begins.
    fn records_from(&self, offset: usize) -> Result<Vec<Bytes>, String> {
        let records = self.script.records.iter().filter(|r| r.end > offset);
        let begin = records.clone().next().map(|record| record.start);
        must!(
            begin.is_none_or(|begin| begin == offset),
            "given back from within a record that is never cut, at {offset}"
        );
        Ok(records
            .map(|record| Bytes::copy_from_slice(self.script.record(record)))
            .collect())
    }

    async fn act_anew(&mut self, open: &mut Open, life: &Life) -> Result<Ended, String> {
        match self.write(open, b"\n".to_vec(), Step::Empty).await? {
            Ok(()) => self.take_steps(open, life).await,
            Err(error) => Ok(Ended::Failed(error)),
        }
    }

    async fn take_steps(&mut self, open: &mut Open, life: &Life) -> Result<Ended, String> {
        for step in &life.steps {
            let done = self.step(open, *step).await?;
            check_stats(&open.writer.stats())?;
            if let Err(error) = done {
                return Ok(Ended::Failed(error));
            }
        }
        if life.crashes {
            return Ok(Ended::Crashed);
        }
        Ok(match within(open.writer.shutdown()).await? {
            Ok(()) => {
                if open.replays {
                    self.check_end_of_replay(open)?;
                }
                Ended::Well
            }
            Err(error) => Ended::Failed(error),
        })
    }

    /// A replay that has only compared ends well only if the object is there as it should be.
    fn check_end_of_replay(&self, open: &Open) -> Result<(), String> {
        let tricked = !open.store.has_seen_the_truth();
        let Some((record, last)) = self.last(open.given) else {
            return Ok(());
        };
        // What it was not given itself is not its to vouch for.
        must!(
            tricked
                || record.start < open.from
                || open.store.has_appended()
                || open.store.world().shows(last),
            "a replay ended well over an object that is not there: {}",
            show(last)
        );
        Ok(())
    }

    /// The last record before this offset.
    fn last(&self, offset: usize) -> Option<(&Record, &[u8])> {
        let record = self.script.records.iter().rev().find(|r| r.end <= offset)?;
        let line = self.script.record(record);
        (line.ends_with(b"\n") && line != b"\n").then_some((record, line))
    }

    async fn step(&mut self, open: &mut Open, step: Step) -> Result<Result<(), Error>, String> {
        Ok(match step {
            Step::Write(len) | Step::Bytes(len) | Step::Enqueue(len) => {
                let record = self.script.next_record(len);
                return self.write(open, record, step).await;
            }
            Step::Empty => return self.write(open, b"\n".to_vec(), step).await,
            Step::Sync => {
                let synced = within(open.writer.sync()).await?;
                if synced.is_ok() {
                    self.check_sync(open)?;
                }
                synced
            }
            Step::Flush => within(open.writer.flush()).await?,
            Step::Roll => {
                let Some(rolled) = within(open.writer.roll()).await? else {
                    return Ok(Ok(()));
                };
                open.rolls += 1;
                rolled
            }
            Step::Hurry(ms) => {
                let limit = u32::from(ms) * MS;
                let synced = tokio::time::timeout(limit, open.writer.sync()).await;
                synced.unwrap_or(Ok(()))
            }
            Step::Pause(ms) => {
                tokio::time::sleep(u32::from(ms) * MS).await;
                Ok(())
            }
        })
    }

    fn check_sync(&self, open: &Open) -> Result<(), String> {
        must!(
            open.durable() == open.given,
            "synced to {} of {}",
            open.durable(),
            open.given
        );
        let Some((record, last)) = self.last(open.given) else {
            return Ok(());
        };
        let world = open.store.world();
        let plain = matches!(self.options.kind, Kind::Plain);
        // Else it may be cut by a roll, or by whoever has destroyed its beginning or copied it.
        let meddled = !world.graves.is_empty() || !world.imitated.is_empty();
        let together = record.whole || plain && !meddled;
        must!(
            self.options.gzip || !together || world.held(last),
            "a sync succeeded without {}",
            show(last)
        );
        Ok(())
    }

    /// Writes one record.
    async fn write(
        &mut self,
        open: &mut Open,
        record: Vec<u8>,
        step: Step,
    ) -> Result<Result<(), Error>, String> {
        let len = record.len();
        let most = self.options.max_append_size as usize;
        // Others refuse it whole, or would take it in pieces.
        let by_write = matches!(step, Step::Write(_) | Step::Empty) || len > most;
        if by_write && len > most && self.options.refuses_long() {
            return Ok(Ok(()));
        }
        let start = open.writer.position();
        let mut pieces = 0;
        let mut result = Ok(());
        if by_write {
            let mut rest = &record[..];
            while !rest.is_empty() && result.is_ok() {
                pieces += 1;
                match within(open.writer.write(rest)).await? {
                    Ok(taken) => rest = &rest[taken..],
                    Err(error) => result = Err(error),
                }
            }
        } else if matches!(step, Step::Enqueue(_)) {
            match within(open.writer.enqueue(Bytes::from(record.clone()))).await? {
                Ok(receipt) => open.receipts.push((self.script.records.len(), receipt)),
                Err(error) => result = Err(error),
            }
        } else {
            result = within(open.writer.write_bytes(Bytes::from(record.clone()))).await?;
        }
        let taken = (open.writer.position() - start) as usize;
        must!(
            result.is_err() || taken == len,
            "{taken} of {len} bytes taken"
        );
        if taken > 0 {
            let whole = pieces <= 1 && len <= most && self.options.keeps_whole();
            self.script
                .took(&record[..taken], whole, self.life, open.rolls);
            open.given += taken;
        }
        Ok(result)
    }

    fn crashed(&mut self, open: Open) -> Result<Next, String> {
        open.store.kill();
        let durable = open.durable();
        self.script.tell(open.from, durable, self.script.text.len());
        Ok(match self.can_replay() {
            true => Next::Replay {
                checkpoint: open.writer.checkpoint(),
                from: durable,
            },
            false => Next::Append,
        })
    }

    async fn shut_down(&mut self, open: Open) -> Result<Next, String> {
        let stats = open.writer.stats();
        check_stats(&stats)?;
        must!(
            stats.durable == stats.accepted,
            "after a shutdown: {stats:?}"
        );
        let (from, given) = (open.from, open.given);
        self.check_receipts(&open, given).await?;
        self.script.tell(from, given, given);
        Ok(Next::Append)
    }

    /// Takes back what is not durable.
    async fn failed(&mut self, open: Open, error: Error) -> Result<Next, String> {
        self.failed = true;
        must!(!open.store.world().had_enough(), "requests without end");
        check_stats(&open.writer.stats())?;
        if let Kind::Rolling(rolling) = &self.options.kind {
            let hopeless = matches!(error.kind(), ErrorKind::InvalidInput { .. });
            must!(
                !(rolling.keep_trying && rolling.for_ever) || hopeless,
                "a writer that never gives up has given up: {error}"
            );
        }
        let (from, given, durable) = (open.from, open.given, open.durable());
        self.check_receipts(&open, durable).await?;
        let (origin, rerun) = (open.origin, open.rerun);
        let unsent = open.writer.into_unsent();
        let unsent = unsent.ok_or("a failed writer keeps its bytes")?;
        let position = from + (unsent.position - origin) as usize;
        must!(
            self.script.text.get(position..given) == Some(&unsent.chunks.concat()),
            "{error}: {} bytes from {position} are not those up to {given}",
            unsent.len()
        );
        let missing = [unsent.missing.start, unsent.missing.end];
        let missing = missing.map(|at| from + at.saturating_sub(origin) as usize);
        must!(
            position == durable || missing == [durable, position],
            "{error}: what was accepted between {durable} and {position} is named by nobody"
        );
        must!(unsent.in_doubt <= unsent.len(), "{error}: {unsent:?}");
        must!(
            error.landed() != Some(Landed::InDoubt) || unsent.in_doubt > 0 || unsent.is_empty(),
            "{error}, but nothing is in doubt: {unsent:?}"
        );
        let in_doubt = position + unsent.in_doubt as usize;
        self.script.tell(from, durable, in_doubt.max(position));
        let gives_up = rerun || unsent.in_doubt > 0 && !self.can_replay();
        if durable == given || gives_up {
            return Ok(Next::Append);
        }
        // What a replay has compared and not proven comes from the source again, and may be there.
        let may_be_there = unsent.in_doubt > 0 || position > durable;
        let compared = Bytes::copy_from_slice(&self.script.text[durable..position]);
        let replay_from = unsent.position - compared.len() as u64;
        // If it failed while it was given again what the life before had given back.
        let not_given = Bytes::copy_from_slice(&self.script.text[given..]);
        Ok(Next::Recipe {
            checkpoint: may_be_there.then(|| Checkpoint::new(object(), replay_from)),
            chunks: [vec![compared], unsent.chunks, vec![not_given]].concat(),
            from: durable,
        })
    }

    /// A receipt tells where its record is, and fails only for one that is not durable.
    async fn check_receipts(&self, open: &Open, durable: usize) -> Result<(), String> {
        for (number, receipt) in &open.receipts {
            let record = &self.script.records[*number];
            let line = self.script.record(record);
            let told = within(receipt.written())
                .await
                .map_err(|error| format!("the receipt of {}: {error}", show(line)))?;
            match told {
                Ok(written) => self.check_written(open, line, &written)?,
                Err(error) => must!(
                    record.end > durable,
                    "an error for the durable {}: {error}",
                    show(line)
                ),
            }
        }
        Ok(())
    }

    fn check_written(&self, open: &Open, line: &[u8], written: &Written) -> Result<(), String> {
        let world = open.store.world();
        let last = (&written.object, &written.range);
        let earlier = written.earlier.iter();
        let parts = earlier
            .map(|part| (&part.object, &part.range))
            .chain([last]);
        let mut rest = line;
        for (object, range) in parts {
            let range = range.start as usize..range.end as usize;
            let len = range.len().min(rest.len());
            let there = world.contents(object.key()).any(|data| {
                data.get(range.clone())
                    .is_some_and(|part| match self.options.gzip {
                        true => ledger::gunzip(part)
                            .is_ok_and(|part| crate::compositions::world::find(&part, line)),
                        false => rest.starts_with(part),
                    })
            });
            // A member has a part of a record that a roll has cut. Of one that took several appends,
            // the object with the first may have been replaced before the last.
            let in_parts = self.options.gzip && !written.earlier.is_empty()
                || !world.graves.is_empty()
                    && (!self.options.keeps_whole()
                        || line.len() as u64 > self.options.max_append_size);
            must!(
                there || in_parts,
                "a receipt tells that {} is at {range:?} of {object}",
                show(line)
            );
            rest = &rest[len..];
        }
        must!(
            rest.is_empty() || self.options.gzip,
            "a receipt tells nothing of {}: {written:?}",
            show(rest)
        );
        Ok(())
    }
}

enum Ended {
    Well,
    Crashed,
    Failed(Error),
}

fn check_stats(stats: &WriterStats) -> Result<(), String> {
    must!(
        stats.accepted == stats.durable + stats.buffered + stats.compared + stats.failed,
        "they do not add up: {stats:?}"
    );
    Ok(())
}

/// Waits for a call that must come to an end.
pub async fn within<T>(call: impl Future<Output = T>) -> Result<T, String> {
    let done = tokio::time::timeout(HANGS, call).await;
    done.map_err(|_| "it waits for ever".to_owned())
}
