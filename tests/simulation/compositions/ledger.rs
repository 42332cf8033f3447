//! What writers have accepted and told, and what the objects must hold because of it.

use std::io::{Read, Write};

use crate::compositions::world::{FOREIGN, World, find};

/// Everything that must hold, as an error that says what does not.
macro_rules! must {
    ($condition:expr, $($what:tt)*) => {
        if !$condition {
            return Err(format!($($what)*));
        }
    };
}
pub(crate) use must;

/// What one source wrote, over all its lives.
#[derive(Debug)]
pub struct Script {
    /// Its name, at the beginning of each record.
    pub source: String,
    pub text: Vec<u8>,
    pub records: Vec<Record>,
}

#[derive(Debug)]
pub struct Record {
    pub start: usize,
    pub end: usize,
    /// It was taken in at once, and is never cut.
    pub whole: bool,
    /// The writer that took it in last, and how many rolls were asked of it before.
    pub life: usize,
    pub rolls: usize,
    pub told: Told,
}

/// What is known of a record by what the writer has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing, or that it may be there.
    Doubt,
    Durable,
    /// It is not there, and nothing is under way that could still put it there.
    Missing,
}

impl Script {
    pub fn new(source: String) -> Self {
        Self {
            source,
            text: Vec::new(),
            records: Vec::new(),
        }
    }

    /// A record that nobody else writes, of about `len` bytes.
    pub fn next_record(&self, len: usize) -> Vec<u8> {
        let Self {
            source, records, ..
        } = self;
        format!("{source}:{}:{}\n", records.len(), "x".repeat(len)).into_bytes()
    }

    /// `record` was taken in.
    pub fn took(&mut self, record: &[u8], whole: bool, life: usize, rolls: usize) {
        let start = self.text.len();
        self.text.extend_from_slice(record);
        self.records.push(Record {
            start,
            end: self.text.len(),
            whole,
            life,
            rolls,
            told: Told::Doubt,
        });
    }

    /// The records that were taken in whole and can be told apart.
    fn known(&self) -> impl Iterator<Item = (usize, &Record)> {
        let records = self.records.iter().enumerate();
        records.filter(|(_, record)| {
            let line = self.record(record);
            line.ends_with(b"\n") && line != b"\n"
        })
    }

    pub fn record(&self, record: &Record) -> &[u8] {
        &self.text[record.start..record.end]
    }

    /// The life that took in everything from `from` on has ended: up to `durable` it is durable, up
    /// to `in_doubt` it may be there.
    pub fn tell(&mut self, from: usize, durable: usize, in_doubt: usize) {
        for record in self.records.iter_mut().filter(|r| r.end > from) {
            record.told = match record.told {
                Told::Durable => Told::Durable,
                _ if record.end <= durable => Told::Durable,
                _ if record.start >= in_doubt && record.start >= durable => Told::Missing,
                _ => Told::Doubt,
            };
        }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    let read = decoder.read_to_end(&mut plain);
    must!(
        read.is_ok() || bytes.is_empty(),
        "members that cannot be read: {read:?}"
    );
    Ok(plain)
}

/// What is expected of all objects together.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub gzip: bool,
    /// Nobody else writes to these objects, so that what one ends with goes on in the next.
    pub alone: bool,
    /// No object of ours gets longer than this.
    pub roll_size: Option<usize>,
}

/// Our bytes of an object, without those of others.
fn ours(data: &[u8], gzipped: bool) -> Result<Vec<u8>, String> {
    let mut plain = match gzipped {
        true => gunzip(data)?,
        false => data.to_vec(),
    };
    plain.retain(|byte| *byte != FOREIGN);
    Ok(plain)
}

/// Checks all that was told against what the objects hold when everything is over.
pub fn audit(world: &World, scripts: &[Script], expected: Expected) -> Result<(), String> {
    must!(!world.had_enough(), "requests without end");
    let mut text = Vec::new();
    // Where each object begins in the text.
    let mut starts = Vec::new();
    for (_, object) in world.in_order() {
        let own = ours(&object.data, expected.gzip)?;
        if !expected.alone && text.last().is_some_and(|byte| *byte != b'\n') {
            text.push(b'\n');
        }
        starts.push(text.len());
        text.extend(own);
    }
    let graves = world
        .graves
        .iter()
        .map(|(_, data)| ours(data, expected.gzip));
    let graves = graves.collect::<Result<Vec<_>, _>>()?.concat();
    let imitated = world.imitated.iter().map(|data| ours(data, expected.gzip));
    let imitated = imitated.collect::<Result<Vec<_>, _>>()?;
    let object_at = |at: usize| starts.partition_point(|start| *start <= at);

    // An object that was deleted may be created again, by what is on its way if it seemed to be
    // there, or by another process: what is on its way may then land in it.
    let created_again = world.has_shown_stale() || !expected.alone;
    let revived = created_again && !graves.is_empty();

    // Each whole record that is there: its place, by source and number.
    let mut found: Vec<Vec<Vec<usize>>> = scripts
        .iter()
        .map(|script| vec![Vec::new(); script.records.len()])
        .collect();
    let mut latest = vec![0; scripts.len()];
    let mut fragments = Vec::new();
    for (start, line) in lines(&text, &starts, scripts) {
        if line == b"\n" {
            continue;
        }
        let Some((source, number)) = written(line, scripts) else {
            fragments.push(line);
            continue;
        };
        let record = &scripts[source].records[number];
        let copied = imitated.iter().any(|body| touches(body, line));
        if object_at(start) != object_at(start + line.len() - 1) {
            must!(
                !record.whole || copied,
                "a whole record was cut: {}",
                show(line)
            );
        }
        found[source][number].push(start);
        must!(
            number >= latest[source]
                || copied
                || revived
                || world.hides_the_end()
                // It may have landed after the next life had begun.
                || record.told == Told::Doubt,
            "out of order: {} after number {}",
            show(line),
            latest[source]
        );
        latest[source] = latest[source].max(number);
    }
    for line in fragments {
        let known = scripts.iter().any(|script| {
            script.records.iter().any(|record| {
                let whole = script.record(record);
                // The rest may be destroyed, or never have come.
                let may = !whole.ends_with(b"\n")
                    || record.told != Told::Durable
                    || !record.whole && world.has_shown_stale()
                    || !graves.is_empty()
                    || !imitated.is_empty();
                let begins = whole.starts_with(line.strip_suffix(b"\n").unwrap_or(line));
                let cut = !(record.whole && record.told == Told::Missing);
                may && cut && (begins || !graves.is_empty() && find(whole, line))
            })
        });
        must!(
            // What goes on with a record that was begun may be in an object of an earlier number.
            known || !imitated.is_empty() || !graves.is_empty() || world.hides_the_end(),
            "this is no record: {}",
            show(line)
        );
    }
    for (script, found) in scripts.iter().zip(&found) {
        for (number, record) in script.known() {
            let (line, places) = (script.record(record), &found[number]);
            let copies = imitated.iter().filter(|body| touches(body, line)).count();
            must!(
                places.len() <= 1 + copies || revived,
                "{} times there: {}",
                places.len(),
                show(line)
            );
            match record.told {
                Told::Doubt => {}
                Told::Missing => must!(
                    places.is_empty() || copies > 0 || revived,
                    "told to be missing, and yet there: {}",
                    show(line)
                ),
                Told::Durable => {
                    // A copy of a part of it, by somebody else, may be in its midst. Or a part was
                    // taken for the equal one before it, which an older look had hidden.
                    let meddled = !graves.is_empty()
                        || !imitated.is_empty()
                        || world.hides_the_end()
                        || world.has_shown_stale();
                    let torn =
                        meddled && !record.whole || !imitated.is_empty() && find(&text, line);
                    must!(
                        !places.is_empty() || find(&graves, line) || torn,
                        "told to be durable, and not there: {}",
                        show(line)
                    );
                }
            }
        }
    }
    for (script, found) in scripts.iter().zip(&found) {
        check_rolls(script, found, object_at)?;
    }
    // A shared writer that was shown an older object goes after the others, whatever length that is.
    let is_exact = graves.is_empty() && imitated.is_empty() && !world.has_shown_stale();
    if let (Some(limit), true) = (expected.roll_size, is_exact) {
        check_sizes(&text, &starts, limit, scripts)?;
    }
    Ok(())
}

/// What was written before a roll and after it is never in one object.
fn check_rolls(
    script: &Script,
    found: &[Vec<usize>],
    object_at: impl Fn(usize) -> usize,
) -> Result<(), String> {
    let places = script.records.iter().zip(found);
    let placed: Vec<_> = places
        .filter_map(|(record, places)| Some((record, object_at(*places.first()?))))
        .collect();
    for pair in placed.windows(2) {
        let [(a, first), (b, second)] = pair else {
            continue;
        };
        must!(
            a.life != b.life || a.rolls == b.rolls || first != second,
            "both before and after a roll in one object: {} {}",
            show(script.record(a)),
            show(script.record(b))
        );
    }
    Ok(())
}

/// Only a record that is too long by itself, or came in pieces, makes an object too long.
fn check_sizes(
    text: &[u8],
    starts: &[usize],
    limit: usize,
    scripts: &[Script],
) -> Result<(), String> {
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(text.len());
        let own = &text[*start..end];
        let excused = own.split_inclusive(|byte| *byte == b'\n').any(|line| {
            line.len() > limit
                || named(line, scripts)
                    .is_none_or(|(source, number)| !scripts[source].records[number].whole)
                    && line != b"\n"
        });
        must!(
            own.len() <= limit || excused,
            "an object of {} bytes, rolled at {limit}: {}",
            own.len(),
            show(own)
        );
    }
    Ok(())
}

/// Whether somebody else's copy holds the line or a part of it.
fn touches(body: &[u8], line: &[u8]) -> bool {
    find(body, line)
        || body
            .split_inclusive(|byte| *byte == b'\n')
            .any(|part| part.len() > 1 && (line.starts_with(part) || line.ends_with(part)))
}

/// The lines of the text and where each begins. One that is no record may also end with its object,
/// before a line that begins in the next: it may have landed there after its writer was given up.
fn lines<'a>(text: &'a [u8], starts: &[usize], scripts: &[Script]) -> Vec<(usize, &'a [u8])> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        let mut cuts = vec![at];
        if written(line, scripts).is_none() {
            let begin = |start: usize| named(&text[start..end], scripts).is_some();
            let inside = starts.iter().copied();
            cuts.extend(inside.filter(|start| (at + 1..end).contains(start) && begin(*start)));
        }
        cuts.push(end);
        cuts.dedup();
        lines.extend(cuts.windows(2).map(|cut| (cut[0], &text[cut[0]..cut[1]])));
        at = end;
    }
    lines
}

/// The source and number of the record that a line is.
fn written(line: &[u8], scripts: &[Script]) -> Option<(usize, usize)> {
    let (source, number) = named(line, scripts)?;
    let record = &scripts[source].records[number];
    (scripts[source].record(record) == line).then_some((source, number))
}

/// The source and number that a line names.
fn named(line: &[u8], scripts: &[Script]) -> Option<(usize, usize)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut parts = line.split(':');
    let (source, number) = (parts.next()?, parts.next()?.parse().ok()?);
    let script = scripts.iter().position(|script| script.source == source)?;
    (number < scripts[script].records.len()).then_some((script, number))
}

pub fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.len() {
        0..200 => format!("{text:?}"),
        len => format!(
            "{:?}… ({len} bytes)",
            text.chars().take(150).collect::<String>()
        ),
    }
}
