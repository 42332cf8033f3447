//! The bytes on disk: encoding and decoding of segment headers, plan slots and frames.
//!
//! Nothing in here does I/O. The format itself is described in the documentation of the parent
//! module. Decoding never panics, whatever the bytes are, and what it returns keeps all rules of
//! the format.

use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest};

/// First bytes of a segment.
pub(crate) const MAGIC: [u8; 16] = *b"oss-append spool";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// Size of the block that a segment begins with. Frames begin behind it.
pub(crate) const HEADER_BLOCK: u64 = 8192;
/// Size of the part of the block that holds the header proper.
pub(crate) const HEADER_SIZE: usize = 4096;
/// Largest sum of the lengths of owner and note.
pub(crate) const MAX_LABELS: usize = 3800;
/// Where the plan slots are.
pub(crate) const SLOTS: [u64; 2] = [4096, 6144];
/// Size of a plan slot.
pub(crate) const SLOT_SIZE: usize = 2048;
/// Largest length of a plan.
pub(crate) const MAX_PLAN: usize = 1900;
/// Largest payload of a frame.
pub(crate) const MAX_FRAME: u64 = 1 << 20;
/// Largest number of record ends inside a payload.
pub(crate) const MAX_ENDS: usize = 1 << 16;
/// Size of the header of a frame.
pub(crate) const FRAME_HEADER: usize = 40;
/// Size of the checksum behind a payload.
pub(crate) const FRAME_TRAILER: usize = 8;

const FRAME_MAGIC: [u8; 4] = [0xf7, b's', b'p', 0x9c];
const ENDS_RECORD: u32 = 1;
const WITHIN_RECORD: u32 = 1;
const LABELS_AT: usize = 52;
const PLAN_AT: usize = 28;

/// The CRC-64/XZ of these bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Xz, bytes)
}

/// A CRC-64/XZ in pieces.
pub(crate) fn digest() -> Digest {
    Digest::new(CrcAlgorithm::Crc64Xz)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let mut value = [0; 2];
    value.copy_from_slice(&bytes[at..at + 2]);
    u16::from_le_bytes(value)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

/// The name of the segment that begins at this position.
pub(crate) fn segment_name(base: u64) -> String {
    format!("{base:020}.segment")
}

/// The position in the name of a segment, if it is one.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Position of the first byte.
    pub(crate) base: u64,
    /// Base of the segment before this one, or `base` if there was none.
    pub(crate) previous: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) created: u64,
    /// The first byte goes on with a record whose beginning is in the segment before.
    pub(crate) within: bool,
    pub(crate) owner: Vec<u8>,
    pub(crate) note: Vec<u8>,
}

/// What the first bytes of a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// A header. `mended` if its magic or its version was damaged, which the checksum tells.
    Good { header: SegmentHeader, mended: bool },
    /// No header that can be read: damaged, or never written in full.
    Damaged,
    /// Not of this version of the format.
    Version(Option<u32>),
}

impl SegmentHeader {
    /// The first [`HEADER_SIZE`] bytes of a segment.
    ///
    /// The caller has checked that owner and note are not too long.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BLOCK as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let flags = if self.within { WITHIN_RECORD } else { 0 };
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&(self.owner.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(self.note.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&self.owner);
        bytes.extend_from_slice(&self.note);
        let crc = checksum(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_SIZE, 0);
        bytes
    }

    /// Decodes the first bytes of a file, of which there may be too few.
    pub(crate) fn decode(bytes: &[u8]) -> HeaderFound {
        if let Some((header, mended)) = Self::decode_good(bytes) {
            return HeaderFound::Good { header, mended };
        }
        let magic = &bytes[..bytes.len().min(MAGIC.len())];
        let same = magic
            .iter()
            .zip(MAGIC)
            .take_while(|(a, b)| **a == *b)
            .count();
        if same < magic.len() {
            // A header of which only the beginning was written is followed by zeros.
            let unfinished = magic[same..].iter().all(|byte| *byte == 0);
            return if unfinished {
                HeaderFound::Damaged
            } else {
                HeaderFound::Version(None)
            };
        }
        if bytes.len() < MAGIC.len() + 8 {
            return HeaderFound::Damaged;
        }
        match (u32_at(bytes, 16), u32_at(bytes, 20)) {
            (0 | VERSION, _) => HeaderFound::Damaged,
            (version, _) => HeaderFound::Version(Some(version)),
        }
    }

    /// Decodes a header as if magic and version were right, and says whether they were not.
    fn decode_good(bytes: &[u8]) -> Option<(Self, bool)> {
        if bytes.len() < HEADER_SIZE || u32_at(bytes, 20) & !WITHIN_RECORD != 0 {
            return None;
        }
        let owner = LABELS_AT..LABELS_AT + usize::from(u16_at(bytes, 48));
        let note = owner.end..owner.end + usize::from(u16_at(bytes, 50));
        if note.end - LABELS_AT > MAX_LABELS {
            return None;
        }
        let mut digest = digest();
        digest.update(&MAGIC);
        digest.update(&VERSION.to_le_bytes());
        digest.update(&bytes[20..note.end]);
        if digest.finalize() != u64_at(bytes, note.end) {
            return None;
        }
        let header = Self {
            base: u64_at(bytes, 24),
            previous: u64_at(bytes, 32),
            created: u64_at(bytes, 40),
            within: u32_at(bytes, 20) == WITHIN_RECORD,
            owner: bytes[owner].to_vec(),
            note: bytes[note].to_vec(),
        };
        Some((header, bytes[..16] != MAGIC || u32_at(bytes, 16) != VERSION))
    }
}

/// What a plan slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanSlot {
    /// Plans are numbered from 1 on.
    pub(crate) sequence: u64,
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

impl PlanSlot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLAN_AT + self.bytes.len());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&(self.bytes.len() as u32).to_le_bytes());
        let mut digest = digest();
        digest.update(&bytes);
        digest.update(&self.bytes);
        bytes.extend_from_slice(&digest.finalize().to_le_bytes());
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    /// Decodes a slot. `None` if there is no valid plan in it.
    pub(crate) fn decode(slot: &[u8]) -> Option<Self> {
        if slot.len() < PLAN_AT {
            return None;
        }
        let sequence = u64_at(slot, 0);
        let len = u32_at(slot, 16) as usize;
        if sequence == 0 || len > MAX_PLAN {
            return None;
        }
        let bytes = slot.get(PLAN_AT..PLAN_AT + len)?;
        let mut digest = digest();
        digest.update(&slot[..20]);
        digest.update(bytes);
        if digest.finalize() != u64_at(slot, 20) {
            return None;
        }
        Some(Self {
            sequence,
            position: u64_at(slot, 8),
            bytes: bytes.to_vec(),
        })
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the payload.
    pub(crate) len: u32,
    /// Number of record ends inside the payload.
    pub(crate) inner: u32,
    /// Whether a record ends where the payload ends.
    pub(crate) ends_record: bool,
    /// Position of the first byte of the payload.
    pub(crate) position: u64,
    /// Milliseconds since the segment was created.
    pub(crate) age: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER] {
        let mut bytes = [0; FRAME_HEADER];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.inner.to_le_bytes());
        let flags = if self.ends_record { ENDS_RECORD } else { 0 };
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.age.to_le_bytes());
        let crc = checksum(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header. `None` if these bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FRAME_HEADER || bytes[..4] != FRAME_MAGIC {
            return None;
        }
        if checksum(&bytes[..32]) != u64_at(bytes, 32) {
            return None;
        }
        let header = Self {
            len: u32_at(bytes, 4),
            inner: u32_at(bytes, 8),
            ends_record: u32_at(bytes, 12) == ENDS_RECORD,
            position: u64_at(bytes, 16),
            age: u32_at(bytes, 24),
        };
        let valid = header.len >= 1
            && u64::from(header.len) <= MAX_FRAME
            && header.inner < header.len
            && header.inner as usize <= MAX_ENDS
            && u32_at(bytes, 12) <= ENDS_RECORD
            && u32_at(bytes, 28) == 0
            && header.position.checked_add(u64::from(header.len)).is_some();
        valid.then_some(header)
    }

    /// Position behind the last byte of the payload.
    pub(crate) fn end(&self) -> u64 {
        self.position + u64::from(self.len)
    }

    /// Size of the whole frame on disk.
    pub(crate) fn size(&self) -> u64 {
        frame_size(u64::from(self.len), self.inner as usize)
    }

    /// Where the payload is in the frame.
    pub(crate) fn payload(&self) -> Range<usize> {
        let start = FRAME_HEADER + 4 * self.inner as usize;
        start..start + self.len as usize
    }

    /// The record ends inside the payload. `frame` is the whole frame.
    pub(crate) fn inner_ends<'a>(&self, frame: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        frame[FRAME_HEADER..self.payload().start]
            .chunks_exact(4)
            .map(|end| u32_at(end, 0))
    }

    /// Whether the rest of the frame is what was written. `frame` is the whole frame.
    pub(crate) fn body_is_valid(&self, frame: &[u8]) -> bool {
        let end = self.payload().end;
        if frame.len() < end + FRAME_TRAILER
            || checksum(&frame[FRAME_HEADER..end]) != u64_at(frame, end)
        {
            return false;
        }
        let mut before = 0;
        self.inner_ends(frame).all(|end| {
            let ascending = end > before && end < self.len;
            before = end;
            ascending
        })
    }
}

/// Size on disk of a frame with such a payload.
pub(crate) fn frame_size(payload: u64, inner: usize) -> u64 {
    (FRAME_HEADER + FRAME_TRAILER) as u64 + 4 * inner as u64 + payload
}

/// Offset of the first place in `bytes` where a frame may begin.
pub(crate) fn find_frame(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(FRAME_MAGIC.len())
        .position(|window| window == FRAME_MAGIC)
}

/// A frame that is to be written: a part of what is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FramePlan {
    /// Which part of the payload.
    pub(crate) payload: Range<u64>,
    /// Which of the ends are inside of it.
    pub(crate) inner: Range<usize>,
    /// Whether a record ends where it ends.
    pub(crate) ends_record: bool,
}

impl FramePlan {
    /// Size on disk.
    pub(crate) fn size(&self) -> u64 {
        frame_size(self.payload.end - self.payload.start, self.inner.len())
    }
}

/// Divides what is appended into frames, none of which is larger than a frame may be.
pub(crate) fn divide(payload: u64, ends: &[u64]) -> impl Iterator<Item = FramePlan> + '_ {
    let mut start = 0;
    let mut first = 0;
    std::iter::from_fn(move || {
        if start >= payload {
            return None;
        }
        let mut stop = payload.min(start + MAX_FRAME);
        // One more than may be inside is one that the frame can end at.
        if let Some(end) = ends.get(first + MAX_ENDS) {
            stop = stop.min(*end);
        }
        let rest = &ends[first..];
        let inner = rest.partition_point(|end| *end < stop);
        let ends_record = rest.get(inner) == Some(&stop);
        let plan = FramePlan {
            payload: start..stop,
            inner: first..first + inner,
            ends_record,
        };
        start = stop;
        first += inner + usize::from(ends_record);
        Some(plan)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            base: 7,
            previous: 3,
            created: 1_700_000_000_000,
            within: false,
            owner: b"bucket/key".to_vec(),
            note: b"rotated".to_vec(),
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_xz() {
        assert_eq!(checksum(b"123456789"), 0x995d_c9bb_df19_39fa);
        let mut digest = digest();
        digest.update(b"12345");
        digest.update(b"6789");
        assert_eq!(digest.finalize(), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn a_header_has_the_documented_bytes() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_SIZE);
        assert_eq!(&bytes[..24], b"oss-append spool\x01\0\0\0\0\0\0\0");
        assert_eq!(&bytes[24..32], 7u64.to_le_bytes());
        assert_eq!(&bytes[32..40], 3u64.to_le_bytes());
        assert_eq!(&bytes[40..48], 1_700_000_000_000u64.to_le_bytes());
        assert_eq!(&bytes[48..52], [10, 0, 7, 0]);
        assert_eq!(&bytes[52..69], b"bucket/keyrotated");
        assert_eq!(&bytes[69..77], checksum(&bytes[..69]).to_le_bytes());
        assert!(bytes[77..].iter().all(|byte| *byte == 0));
        let within = SegmentHeader {
            within: true,
            ..header()
        };
        assert_eq!(within.encode()[20..24], [1, 0, 0, 0]);
        let found = HeaderFound::Good {
            header: within.clone(),
            mended: false,
        };
        assert_eq!(SegmentHeader::decode(&within.encode()), found);
    }

    #[test]
    fn a_frame_header_has_the_documented_bytes() {
        let frame = FrameHeader {
            len: 5,
            inner: 2,
            ends_record: true,
            position: 9,
            age: 3,
        };
        let bytes = frame.encode();
        assert_eq!(&bytes[..4], [0xf7, 0x73, 0x70, 0x9c]);
        assert_eq!(&bytes[4..16], [5, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            &bytes[16..32],
            [9, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(&bytes[32..], checksum(&bytes[..32]).to_le_bytes());
        assert_eq!(FrameHeader::decode(&bytes), Some(frame));
        assert_eq!(frame.size(), 40 + 8 + 5 + 8);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_header_is_noticed() {
        let good = header().encode();
        for at in 0..77 {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                match SegmentHeader::decode(&bytes) {
                    HeaderFound::Good {
                        header: found,
                        mended: true,
                    } if at < 20 => {
                        assert_eq!(found, header());
                    }
                    HeaderFound::Damaged if at >= 20 => {}
                    other => panic!("byte {at}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_a_header_is_damaged_and_not_of_another_version() {
        let good = header().encode();
        for keep in 0..77 {
            assert_eq!(SegmentHeader::decode(&good[..keep]), HeaderFound::Damaged);
            let mut zeros = good[..keep].to_vec();
            zeros.resize(HEADER_SIZE, 0);
            assert_eq!(
                SegmentHeader::decode(&zeros),
                HeaderFound::Damaged,
                "{keep}"
            );
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[16] = 2;
        let crc = checksum(&bytes[..69]);
        bytes[69..77].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderFound::Version(Some(2)));
        assert_eq!(
            SegmentHeader::decode(b"PK\x03\x04"),
            HeaderFound::Version(None)
        );
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_plan_makes_it_invalid() {
        let plan = PlanSlot {
            sequence: 4,
            position: 99,
            bytes: b"part 7".to_vec(),
        };
        let good = plan.encode();
        assert_eq!(PlanSlot::decode(&good), Some(plan));
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            assert_eq!(PlanSlot::decode(&bytes), None, "{at}");
        }
        assert_eq!(PlanSlot::decode(&[0; SLOT_SIZE]), None);
    }

    #[test]
    fn only_exact_names_are_segments() {
        assert_eq!(parse_segment_name(&segment_name(0)), Some(0));
        assert_eq!(parse_segment_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in [
            "lock",
            "1.segment",
            "+0000000000000000001.segment",
            ".segment",
        ] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        assert_eq!(parse_segment_name("99999999999999999999.segment"), None);
    }

    #[test]
    fn a_frame_with_too_many_record_ends_is_divided_at_one_of_them() {
        let payload = 3 * MAX_ENDS as u64;
        let ends: Vec<u64> = (1..=payload).collect();
        let frames: Vec<FramePlan> = divide(payload, &ends).collect();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[0].inner, 0..MAX_ENDS);
        assert_eq!(frames[0].payload, 0..MAX_ENDS as u64 + 1);
        assert!(frames.iter().all(|frame| frame.ends_record));
    }

    proptest! {
        #[test]
        fn division_keeps_every_byte_and_every_end(
            payload in 1..4 * MAX_FRAME,
            mut ends in prop::collection::btree_set(1..4 * MAX_FRAME, 0..20),
        ) {
            ends.retain(|end| *end <= payload);
            let ends: Vec<u64> = ends.into_iter().collect();
            let mut position = 0;
            let mut found = Vec::new();
            for frame in divide(payload, &ends) {
                prop_assert_eq!(frame.payload.start, position);
                position = frame.payload.end;
                prop_assert!(position - frame.payload.start <= MAX_FRAME);
                for end in &ends[frame.inner.clone()] {
                    prop_assert!(frame.payload.start < *end && *end < position);
                    found.push(*end);
                }
                if frame.ends_record {
                    found.push(position);
                }
            }
            prop_assert_eq!(position, payload);
            prop_assert_eq!(found, ends);
        }

        #[test]
        fn decoding_of_anything_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = SegmentHeader::decode(&bytes);
            let _ = PlanSlot::decode(&bytes);
            let _ = FrameHeader::decode(&bytes);
        }
    }
}
